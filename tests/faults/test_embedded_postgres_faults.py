"""The embedded Postgres when something dies, hangs or was left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from adapters.database.binaries import find_binaries
from adapters.database.embedded import EmbeddedPostgres, EmbeddedSettings
from adapters.database.embedded_cluster import PidFile, read_pid_file
from adapters.database.embedded_server import stop_server
from adapters.database.embedded_user import Identity, choose_user, environment
from service.errors import ConfigurationError, TransientError
from tests.support.postgres import FAST, Owner, copy_cluster, eventually, reachable_directory

DURABLE: dict[str, str] = {}
NO_SERVER = PidFile(pid=0, socket_dir="", port=0, status="")


@pytest.fixture
def new_directory():
    with reachable_directory() as path:
        yield path


@pytest.fixture
def directory(new_directory, used_cluster):
    """One with a cluster that was in use before: quicker than making one."""
    copy_cluster(used_cluster, new_directory)
    return new_directory


def keep(dsn, value):
    with psycopg.connect(dsn) as connection:
        connection.execute("create table if not exists kept (value int)")
        connection.execute("insert into kept values (%s)", [value])


def kept(dsn):
    with psycopg.connect(dsn) as connection:
        return [value for (value,) in connection.execute("select value from kept order by 1")]


def log_of(directory: Path) -> str:
    return (directory / "postgres.log").read_text()


def server_of(directory: Path) -> psutil.Process:
    found = read_pid_file(directory / "pgdata")
    assert found is not None
    return psutil.Process(found.pid)


def kill_at_once(process: psutil.Process) -> None:
    process.kill()
    process.wait(10)


def test_a_killed_moodreel_takes_its_server_along_cleanly(directory):
    with Owner(directory, parameters=DURABLE) as owner:
        keep(owner.dsn(), 1)
        server = server_of(directory)
        owner.kill()
    server.wait(20)
    assert "database system is shut down" in log_of(directory)
    with EmbeddedPostgres(directory) as postgres:
        assert kept(postgres.start()) == [1]
    assert "automatic recovery" not in log_of(directory)


def test_a_server_that_does_not_stop_is_made_to(directory):
    with EmbeddedPostgres(directory) as postgres:
        keep(postgres.start(), 1)
        server = server_of(directory)
        server.suspend()
        stop_server(server, patience_s=0.2)
        assert not server.is_running()
        assert kept(postgres.start()) == [1]


def test_an_interrupt_from_the_terminal_does_not_reach_the_server(directory):
    with EmbeddedPostgres(directory, parameters=FAST):
        assert os.getpgid(server_of(directory).pid) != os.getpgid(0)


def test_a_thread_that_would_take_the_server_along_may_not_start_it(directory):
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(EmbeddedPostgres(directory, parameters=FAST).start)
        with pytest.raises(RuntimeError, match="from the main thread"):
            starting.result()
    with EmbeddedPostgres(directory, parameters=FAST) as postgres:
        assert postgres.is_owner


def test_a_server_that_outlived_its_moodreel_is_shut_down_and_replaced(directory):
    """Where the kernel does not tell it (macOS), it knows nothing of the death of its parent."""
    pgdata = directory / "pgdata"
    user = choose_user("nobody", pgdata)
    identity: Identity = {} if user is None else user.identity
    program = find_binaries().program("postgres")
    with subprocess.Popen(
        [program, "-D", str(pgdata), "-k", str(pgdata), "-h", ""],
        env=environment(Path(program).parent),
        stderr=subprocess.DEVNULL,
        **identity,
    ) as orphan:
        eventually(lambda: (read_pid_file(pgdata) or NO_SERVER).status == "ready")
        with EmbeddedPostgres(directory) as postgres:
            assert orphan.wait(10) == 0
            keep(postgres.start(), 1)
    assert "automatic recovery" not in log_of(directory)


def test_a_killed_server_comes_back_with_what_was_committed(directory):
    with EmbeddedPostgres(directory) as postgres:
        dsn = postgres.start()
        keep(dsn, 1)
        kill_at_once(server_of(directory))
        assert postgres.start() == dsn
        assert kept(dsn) == [1]


def test_a_power_cut_loses_nothing_committed(directory):
    with Owner(directory, parameters=DURABLE) as owner:
        keep(owner.dsn(), 1)
        server = server_of(directory)
        os.kill(server.pid, signal.SIGKILL)
        owner.kill()
    with EmbeddedPostgres(directory) as postgres:
        assert kept(postgres.start()) == [1]
    assert "automatic recovery in progress" in log_of(directory)


def test_a_busy_process_of_a_killed_server_does_not_keep_the_next_from_starting(directory):
    with EmbeddedPostgres(directory) as postgres:
        dsn = postgres.start()
        keep(dsn, 1)
        with closing(psycopg.connect(dsn, autocommit=True)) as busy:
            working = psutil.Process(busy.info.backend_pid)
            busy.pgconn.send_query(b"do $$ begin loop end loop; end $$")
            kill_at_once(server_of(directory))
            assert working.status() == psutil.STATUS_RUNNING
            assert kept(postgres.start()) == [1]
        assert not working.is_running() or working.status() == psutil.STATUS_ZOMBIE


def test_a_pid_file_that_names_a_stranger_is_removed_and_the_stranger_lives(directory):
    with EmbeddedPostgres(directory, parameters=FAST) as postgres:
        postgres.start()
        pid_file = directory / "pgdata" / "postmaster.pid"
        lines = pid_file.read_text().split("\n")
        owner = pid_file.stat()
    identity = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], **identity) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]))
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        socket_lock = directory / "run" / ".s.PGSQL.5432.lock"
        socket_lock.write_text(f"{stranger.pid}\n")
        os.chown(socket_lock, owner.st_uid, owner.st_gid)
        with EmbeddedPostgres(directory, parameters=FAST) as postgres:
            with psycopg.connect(postgres.start()) as connection:
                assert connection.execute("select 1").fetchone() == (1,)
            assert stranger.poll() is None
        stranger.kill()


def test_a_pid_file_of_a_dead_process_is_no_obstacle(directory):
    with EmbeddedPostgres(directory, parameters=FAST) as postgres:
        postgres.start()
        text = (directory / "pgdata" / "postmaster.pid").read_text()
        owner = (directory / "pgdata").stat()
    with subprocess.Popen(["true"]) as gone:
        pass
    left = directory / "pgdata" / "postmaster.pid"
    left.write_text("\n".join([str(gone.pid), *text.split("\n")[1:]]))
    os.chown(left, owner.st_uid, owner.st_gid)
    with EmbeddedPostgres(directory, parameters=FAST) as postgres:
        assert server_of(directory).pid != gone.pid
        assert postgres.is_owner


def test_a_pid_file_cut_short_is_no_obstacle(directory):
    with EmbeddedPostgres(directory, parameters=FAST):
        owner = (directory / "pgdata").stat()
    left = directory / "pgdata" / "postmaster.pid"
    left.write_text("4711\n/some")
    os.chown(left, owner.st_uid, owner.st_gid)
    with EmbeddedPostgres(directory, parameters=FAST) as postgres:
        assert postgres.is_owner


def test_a_first_start_that_is_killed_midway_is_begun_again(new_directory):
    with Owner(new_directory) as owner:
        unfinished = eventually(lambda: next(new_directory.glob("pgdata.new-*/PG_VERSION"), None))
        makers = psutil.Process(owner.process.pid).children(recursive=True)
        owner.kill()
        for maker in makers:
            with suppress(psutil.NoSuchProcess):
                maker.kill()
    assert not (new_directory / "pgdata").exists()
    with EmbeddedPostgres(new_directory, parameters=FAST) as postgres:
        keep(postgres.start(), 1)
    assert not unfinished.parent.exists()


def test_a_server_that_is_slow_to_start_is_waited_for(new_directory):
    """Its ``postgres`` is a script that begins only when the test says so."""
    real = find_binaries().bin_dir
    slow = new_directory / "slow"
    slow.mkdir()
    slow.chmod(0o755)
    (slow / "initdb").symlink_to(real / "initdb")
    script = slow / "postgres"
    script.write_text(
        "#!/bin/sh\n"
        'case "$*" in *-D*)'
        f" while [ ! -e {new_directory}/go ]; do sleep 0.05; done;; esac\n"
        f'exec {real}/postgres "$@"\n'
    )
    script.chmod(0o755)
    settings = {"MOODREEL_POSTGRES_BIN": str(slow)}
    with Owner(new_directory / "data", environment=settings) as owner:
        eventually((new_directory / "data" / "postgres.log").exists)
        begun = eventually(lambda: next(iter(psutil.Process(owner.process.pid).children()), None))
        assert begun.is_running()
        (new_directory / "go").touch()
        keep(owner.dsn(), 1)


def test_a_server_that_ends_while_it_starts_has_its_last_words_told(directory):
    with pytest.raises(TransientError, match=r'(?s)ended with status 1.*"shared_buffers"'):
        EmbeddedPostgres(directory, parameters={"shared_buffers": "plenty"}).start()
    with EmbeddedPostgres(directory, parameters=FAST) as postgres:
        assert postgres.is_owner


def test_a_full_disk_is_told_and_leaves_nothing_that_hinders_the_next_start(new_directory):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(TransientError, match="initdb could not make a cluster"):
            EmbeddedPostgres(new_directory, parameters=FAST).start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(new_directory.glob("pgdata*")) == []
    with EmbeddedPostgres(new_directory, parameters=FAST) as postgres:
        assert postgres.is_owner


def test_programs_without_pgvector_are_refused_with_the_ways_out(new_directory):
    """A copy of the programs that lost the extension stands for a bare distribution's."""
    copied = find_binaries().copy_to(new_directory)
    lost = list(copied.bin_dir.parent.rglob("vector.control"))
    assert lost
    for path in lost:
        path.unlink()
    settings = EmbeddedSettings(bin_dir=copied.bin_dir)
    with pytest.raises(ConfigurationError, match=r"no pgvector.*DATABASE_URL"):
        EmbeddedPostgres(new_directory / "data", settings, parameters=FAST).start()
