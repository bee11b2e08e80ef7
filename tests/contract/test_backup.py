"""What a backup holds, and what a restore makes of a database."""

from __future__ import annotations

import asyncio
import io
import json
import random
import uuid
import zipfile
from contextlib import aclosing
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.database import migrate, tables
from adapters.database.archive import Archive, ArchiveWriter
from adapters.database.backup import back_up
from adapters.database.binaries import find_binaries
from adapters.database.embedded import EmbeddedPostgres, EmbeddedSettings
from adapters.database.restore import check_versions
from service.errors import ConfigurationError, MoodreelError, StaleTokenError
from tests.contract.test_store_upgrade import EARLIER, as_released
from tests.support.backups import FILES, digests, fill, load, prepare, quiet, write
from tests.support.postgres import FAST, fresh_database, reachable_directory
from tests.support.queue_worker import opened
from tests.support.stores import Database, make_analysis, make_item

JOBS = "procrastinate.procrastinate_jobs"
QUEUE = {table.full_name for table in tables.QUEUE}


@pytest.fixture(scope="module")
def full(postgres):
    """A database with something in every table; tests may only read it."""
    with fresh_database(postgres) as dsn:
        fill(dsn)
        yield dsn


@pytest.fixture(scope="module")
def backup(full, tmp_path_factory):
    path = tmp_path_factory.mktemp("backup") / "all.zip"
    write(full, path)
    return path


def ask(dsn, query):
    with psycopg.connect(dsn) as admin:
        return admin.execute(query).fetchall()


def begin(dsn, item):
    async def ask_for_token():
        async with aclosing(await Database(dsn=dsn, server=None).open_store()) as store:
            return await store.begin(item)

    return asyncio.run(ask_for_token())


def save(dsn, item, token):
    async def put():
        async with aclosing(await Database(dsn=dsn, server=None).open_store()) as store:
            await store.save(make_analysis(item=item), token)

    asyncio.run(put())


def take_numbers(dsn, count):
    """The last of as many numbers of each table that numbers its rows."""
    with psycopg.connect(dsn) as admin:
        rows = admin.execute(
            "select format('%I.%I', n.nspname, c.relname) from pg_class c "
            "join pg_namespace n on n.oid = c.relnamespace "
            "where c.relkind = 'S' and n.nspname in ('public', 'procrastinate') "
            "and c.relname !~ 'periodic' order by 1"
        ).fetchall()
        for _ in range(count):
            numbers = [admin.execute("select nextval(%s)", row).fetchone() for row in rows]
    return [number for found in numbers if found for number in found]


def results(found):
    return {name: rows for name, rows in found.items() if name not in QUEUE}


def results_but_tokens(dsn):
    """A restore that replaces something raises all tokens."""
    items = ask(dsn, "select to_jsonb(i) - 'token' from media_items i order by id")
    return results(digests(dsn)) | {"public.media_items": items}


def test_everything_comes_back(full, backup, prepared_dsn):
    before = digests(full)
    assert [name for name, (count, _) in before.items() if not count] == []
    restored = load(prepared_dsn, backup)
    assert results(digests(prepared_dsn)) == results(before)
    assert restored.counts == {name: count for name, (count, _) in before.items()}
    assert restored.replaced == {}
    assert ask(prepared_dsn, "select installed_at from moodreel.installation") == ask(
        full, "select installed_at from moodreel.installation"
    )


def test_jobs_that_wait_are_as_they_were_and_those_that_ran_wait(full, backup, prepared_dsn):
    restored = load(prepared_dsn, backup)
    query = f"select id, attempts, args, lock, priority, scheduled_at from {JOBS} order by id"
    assert ask(prepared_dsn, query) == ask(full, query)
    states = f"select args->>'item_id', status::text from {JOBS} order by id"
    assert ask(full, states)[:2] == [("runs", "doing"), ("twin", "doing")]
    found = ask(prepared_dsn, states)
    assert found[0] == ("runs", "todo")
    # Its twin waits: the service's rescue puts the two together, as after a worker's death.
    assert found[1] == ("twin", "doing")
    assert found[2:] == [("twin", "todo"), ("waits", "todo"), ("waits", "todo")]
    assert restored.requeued == 1
    assert ask(prepared_dsn, f"select count(*) from {JOBS} where worker_id is not null") == [(0,)]


def test_new_rows_get_numbers_that_were_never_given_out(full, backup, prepared_dsn):
    with psycopg.connect(full, autocommit=True) as admin:
        query = "select last_value from media_items_id_seq"
        [(last,)] = admin.execute(query).fetchall()
    load(prepared_dsn, backup)
    with psycopg.connect(prepared_dsn) as admin:
        [(number,)] = admin.execute(
            "insert into media_items (server, item_id) values ('s', 'new') returning id"
        ).fetchall()
    assert number == last + 1


def test_a_worker_that_slept_through_a_restore_has_lost_what_it_was_at(backup, prepared_dsn):
    """It was suspended, or out of reach, when its database was put back to an earlier state."""
    load(prepared_dsn, backup)
    item = make_item("3")
    late = begin(prepared_dsn, item)
    assert load(prepared_dsn, backup, may_replace=True).replaced
    with pytest.raises(StaleTokenError):
        save(prepared_dsn, item, late)
    present = begin(prepared_dsn, item)
    assert present > late
    with pytest.raises(StaleTokenError):
        save(prepared_dsn, item, late)
    save(prepared_dsn, item, present)


def test_a_job_that_somebody_was_at_begins_another_run_after_a_restore(backup, prepared_dsn):
    """The word of whoever slept through it would end the run of who has the job since."""
    load(prepared_dsn, backup)
    attempts = f"select id, attempts, status::text from {JOBS} order by id"
    [*others, (taken, before, _)] = ask(prepared_dsn, attempts)
    with psycopg.connect(prepared_dsn) as admin:
        admin.execute("set search_path = procrastinate, pg_catalog")
        admin.execute(f"update {JOBS} set status = 'doing' where id = %s", [taken])
    load(prepared_dsn, backup, may_replace=True)
    found = {number: count for number, count, _ in ask(prepared_dsn, attempts)}
    assert found[taken] == before + 1
    assert all(found[number] == count for number, count, state in others if state == "todo")


def test_numbers_that_were_given_out_since_a_backup_are_not_given_to_others(backup, prepared_dsn):
    """A worker that slept through the restore settles its job by the number."""
    load(prepared_dsn, backup)
    before = take_numbers(prepared_dsn, 5)
    load(prepared_dsn, backup, may_replace=True)
    assert take_numbers(prepared_dsn, 1) == [number + 1 for number in before]


def test_a_database_that_has_something_is_left_alone_unless_told(full, backup, database_dsn):
    as_released(database_dsn)
    prepare(database_dsn)
    before = digests(database_dsn)
    with pytest.raises(ConfigurationError, match=r"1 in public.media_items.*--force"):
        load(database_dsn, backup)
    assert digests(database_dsn) == before
    restored = load(database_dsn, backup, may_replace=True)
    assert restored.replaced["public.media_items"] == 1
    assert results_but_tokens(database_dsn) == results_but_tokens(full)


def test_a_restore_that_fails_leaves_what_was_there(backup, database_dsn, tmp_path):
    """The last table is not what its counts say: all others were loaded by then."""
    fill(database_dsn)
    before = digests(database_dsn)
    path = tmp_path / "wrong.zip"
    rewrite(
        backup, path, lambda table: replace(table, row_count=7) if table.name == JOBS else table
    )
    with pytest.raises(MoodreelError, match="not what it says: 5 rows of 7"):
        load(database_dsn, path, may_replace=True)
    assert digests(database_dsn) == before


def rewrite(source, target, change):
    """The same archive with another list."""
    with Archive(source) as archive, target.open("wb") as stream, ArchiveWriter(stream) as writer:
        for table in archive.manifest.tables:
            with writer.table(table.name) as member:
                for block in archive.table(table.name):
                    member.write(block)
        changed = tuple(map(change, archive.manifest.tables))
        writer.finish(replace(archive.manifest, tables=changed, files=()))


SITUATIONS = [(EARLIER[0], True), *((version, False) for version in EARLIER)]


@pytest.mark.parametrize(("version", "is_new"), SITUATIONS)
def test_a_backup_of_an_earlier_version_becomes_one_of_this(
    version, is_new, database_dsn, postgres, tmp_path
):
    as_released(database_dsn, version)
    manifest = write(database_dsn, tmp_path / "old.zip")
    assert manifest.schema_version == version
    with fresh_database(postgres) as target:
        prepare(target)
        if is_new:
            drop_results(target)
        restored = load(target, tmp_path / "old.zip")
        prepare(database_dsn)
        assert results(digests(target)) == results(digests(database_dsn))
        known = [migration.file_name for migration in migrate.migrations()]
        assert list(restored.migrations) == [name for name in known if name[:14] > version]
        assert ask(target, "select moodreel_schema_version()") == [(known[-1][:14],)]


def drop_results(dsn):
    """A queue alone, as in a database that Supabase is to take the results of."""
    with psycopg.connect(dsn) as admin:
        names = ", ".join(t.full_name for t in tables.RESULTS if t.schema == "public")
        admin.execute(f"drop table {names} cascade".encode())
        admin.execute("drop schema moodreel cascade")
        admin.execute("drop schema supabase_migrations cascade")
        found = admin.execute("select oid::regprocedure from pg_proc where proname ~ '^moodreel_'")
        for (name,) in found.fetchall():
            admin.execute(f"drop function {name}".encode())


def test_a_backup_of_a_newer_postgres_goes_into_an_older_one(full, backup):
    former = EmbeddedSettings(bin_dir=find_binaries(major=16).bin_dir)
    with (
        reachable_directory(in_memory=True) as directory,
        EmbeddedPostgres(directory, former, parameters=FAST) as server,
    ):
        prepare(server.start())
        load(server.start(), backup)
        assert Archive(backup).manifest.postgres.startswith("18.")
        assert ask(server.start(), "show server_version")[0][0].startswith("16.")
        assert results(digests(server.start())) == results(digests(full))


@pytest.fixture
def hosted(database_dsn):
    """A database of a role that is no superuser, as hosted ones are."""
    role = f"owner_{uuid.uuid4().hex}"
    with psycopg.connect(database_dsn, autocommit=True) as admin:
        admin.execute(f"create role {role} login createrole".encode())
        admin.execute("create schema extensions")
        admin.execute("create extension vector with schema extensions")
        admin.execute(f"grant all on schema extensions, public to {role}".encode())
        name = conninfo_to_dict(database_dsn)["dbname"]
        admin.execute(f"grant all on database {name} to {role}".encode())
        admin.execute(f"grant service_role to {role}".encode())
        yield make_conninfo(database_dsn, user=role)
        admin.execute(f"drop owned by {role}".encode())
        admin.execute(f"drop role {role}".encode())


def test_it_needs_no_superuser(hosted, full, backup, tmp_path):
    prepare(hosted)
    load(hosted, backup)
    assert results(digests(hosted)) == results(digests(full))
    again = tmp_path / "again.zip"
    assert write(hosted, again).row_counts["public.media_items"] == 3
    load(hosted, again, may_replace=True)
    assert results_but_tokens(hosted) == results_but_tokens(full)


def test_an_older_backup_needs_no_superuser(hosted, postgres, tmp_path):
    with fresh_database(postgres) as old:
        as_released(old)
        write(old, tmp_path / "old.zip")
    prepare(hosted)
    assert load(hosted, tmp_path / "old.zip").counts["public.media_items"] == 1


def test_what_others_keep_beside_us_is_neither_saved_nor_touched(backup, prepared_dsn):
    with psycopg.connect(prepared_dsn) as admin:
        admin.execute("create table public.theirs as select 42 as answer")
        admin.execute("create view public.report as select title from media_items")
    load(prepared_dsn, backup)
    assert ask(prepared_dsn, "select answer from theirs") == [(42,)]
    assert len(ask(prepared_dsn, "select * from report")) == 3
    names = {name.removeprefix("tables/") for name in zipfile.ZipFile(backup).namelist()}
    assert names == {
        *(table.full_name for table in (*tables.RESULTS, *tables.QUEUE)),
        *(f"files/{name}" for name in FILES),
        "manifest.json",
    }


def test_what_others_built_upon_our_tables_is_not_dropped_with_them(
    database_dsn, postgres, tmp_path
):
    as_released(database_dsn)
    write(database_dsn, tmp_path / "old.zip")
    with fresh_database(postgres) as target:
        prepare(target)
        with psycopg.connect(target) as admin:
            admin.execute("create view public.report as select title from media_items")
        with pytest.raises(ConfigurationError, match="view report depends on"):
            load(target, tmp_path / "old.zip")
        assert ask(target, "select * from report") == []


def test_a_restore_waits_for_no_service_that_works_there(backup, prepared_dsn):
    with (
        psycopg.connect(prepared_dsn, application_name="moodreel-store"),
        pytest.raises(ConfigurationError, match="stop it"),
    ):
        load(prepared_dsn, backup)


def test_a_restore_waits_for_no_worker_whose_results_are_elsewhere(backup, prepared_dsn):
    """The queue is here, and results go through the API of a Supabase project."""

    async def restore_beside_a_queue():
        async with opened(prepared_dsn):
            await asyncio.to_thread(load, prepared_dsn, backup)

    with pytest.raises(ConfigurationError, match="stop it"):
        asyncio.run(restore_beside_a_queue())


async def test_a_database_of_somebody_else_is_no_backup(database_dsn):
    with pytest.raises(ConfigurationError, match="no results of Moodreel's"):
        await back_up(database_dsn, io.BytesIO(), {}, quiet)


def test_a_file_that_was_cut_short_is_refused_wherever_it_ends(backup, tmp_path):
    whole = backup.read_bytes()
    chosen = random.Random(0).sample(range(len(whole)), 30)
    for length in (0, 1, len(whole) - 1, *chosen):
        path = tmp_path / "short.zip"
        path.write_bytes(whole[:length])
        with pytest.raises(ConfigurationError, match=r"short\.zip"), Archive(path) as archive:
            archive.verify(quiet)


def test_a_file_with_a_damaged_byte_is_refused_or_the_same(backup, tmp_path):
    """Some bytes say nothing of the content, such as the time of a part."""
    whole = backup.read_bytes()
    content = {
        name: zipfile.ZipFile(backup).read(name) for name in zipfile.ZipFile(backup).namelist()
    }
    refused = 0
    for place in random.Random(1).sample(range(len(whole)), 200):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path = tmp_path / "damaged.zip"
        path.write_bytes(damaged)
        try:
            with Archive(path) as archive:
                archive.verify(quiet)
                for table in archive.manifest.tables:
                    name = f"tables/{table.name}"
                    assert b"".join(archive.table(table.name)) == content[name]
        except ConfigurationError:
            refused += 1
    assert refused > 100


def zipped(path, **parts):
    with zipfile.ZipFile(path, "w") as file:
        for name, text in parts.items():
            file.writestr(name, text)


def test_other_files_are_told_from_backups(tmp_path):
    path = tmp_path / "other"
    path.write_text("a letter")
    with pytest.raises(ConfigurationError, match="no whole backup"):
        Archive(path)
    zipped(path, letter="Dear")
    with pytest.raises(ConfigurationError, match="no backup of Moodreel's"):
        Archive(path)
    with pytest.raises(ConfigurationError, match="cannot read"):
        Archive(tmp_path / "nowhere")


def test_a_backup_of_a_newer_version_is_refused(backup, tmp_path):
    path = tmp_path / "newer.zip"
    manifest = json.loads(zipfile.ZipFile(backup).read("manifest.json"))
    zipped(path, **{"manifest.json": json.dumps(manifest | {"format_version": 2})})
    with pytest.raises(ConfigurationError, match="update moodreel"):
        Archive(path)
    newer = [*manifest["migrations"], "29990101000000"]
    zipped(path, **{"manifest.json": json.dumps(manifest | {"migrations": newer})})
    with Archive(path) as archive, pytest.raises(ConfigurationError, match="29990101000000"):
        check_versions(archive)
