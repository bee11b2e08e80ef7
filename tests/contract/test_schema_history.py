"""Every schema that was ever released, with all that it may hold, becomes the newest one.

The rows are in tests/data/released, as versions with these schemas left them.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from adapters.database import migrate
from adapters.database.copying import Copy
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.snapshot import open_snapshot
from adapters.database.store import DatabaseStore
from service.domain import Claim, ClaimState, ItemState
from service.errors import ConfigurationError
from tests.contract.test_store_upgrade import old_analysis
from tests.support.copies import GROUP, THEN, contents
from tests.support.postgres import ROOT, fresh_database
from tests.support.postgrest import postgrest
from tests.support.stores import Database, fields, make_full_analysis, make_item, without_vectors

ROWS = Path(__file__).parents[1] / "data" / "released"
WITH_GROUPS = "20261120144200"
"""From here on there are groups, transcripts, tag edits and reconciliations."""
VERSIONS = [migration.version for migration in migrate.migrations()[1:]]
"""The first file alone has no functions: nobody could write into it."""
DEADLINE_S = 60.0


async def migrate_to(dsn: str, version: str) -> None:
    """Apply the files up to a version."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        await migrate.apply_on(admin, "a test", last=version)


async def as_left_by(dsn: str, version: str) -> None:
    """A database with this schema, and rows as the versions with it left them."""
    await migrate_to(dsn, version)
    rows = max(path for path in ROWS.glob("*.sql") if path.stem <= version)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        await admin.execute(rows.read_bytes())


def test_every_file_that_changes_what_is_kept_has_its_rows():
    """A column that comes later wants a file of rows that has it."""
    names = sorted(path.stem for path in ROWS.glob("*.sql"))
    assert names == [
        migration.version
        for migration in migrate.migrations()[1:]
        if migration.version == VERSIONS[0] or changes_results(migration.sql)
    ]


def changes_results(text: str) -> bool:
    """Whether there is more to keep; what the database computes from the rest is not."""
    return any(
        "moodreel." not in statement.splitlines()[0]
        and "row level security" not in statement
        and not ("add column" in statement and "generated always" in statement)
        for statement in re.findall(r"^ *(?:create|alter) table [^;]*", text, re.MULTILINE)
    )


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_was_kept_is_read_after_the_migration(version, database_dsn):
    await as_left_by(database_dsn, version)
    await migrate.apply(database_dsn)
    async with aclosing(await Database(dsn=database_dsn, server=None).open_store()) as store:
        await store.verify_schema()
        await read_back(store)
        if version >= WITH_GROUPS:
            await read_back_groups(store)
        token = await store.begin(make_item("later"))
        assert token == 1, "new rows find a number that is free"
        await store.save_event({"id": "event-later", "topic": "t"})
        assert (await store.list_events())[0]["id"] == "event-later"


async def read_back(store: DatabaseStore) -> None:
    loaded = await store.load(make_item("1").ref)
    assert loaded is not None
    assert fields(loaded) == fields(old_analysis())
    refs = {name: make_item(name).ref for name in ("1", "broken", "gone")}
    statuses = await store.statuses(refs.values())
    assert {name: statuses[ref].state for name, ref in refs.items()} == {
        "1": ItemState.ANALYZED,
        "broken": ItemState.FAILED,
        "gone": ItemState.DELETED,
    }
    assert statuses[refs["broken"]].reason == "the file is empty"
    assert await store.claim_publication(refs["1"], "discord", "e1") == Claim(
        state=ClaimState.SENT, receipt="message 5"
    )
    assert (await store.claim_publication(refs["1"], "nats", "e1")).state is ClaimState.UNKNOWN
    events = {event["id"]: event for event in await store.list_events()}
    assert events["event-0"]["title"] == "Süß \\ 'x'"
    assert (await store.installed_at()).year == 2026


async def read_back_groups(store: DatabaseStore) -> None:
    full = make_full_analysis(3, 8)
    loaded = await store.load(full.item.ref)
    assert loaded is not None
    assert fields(loaded) == fields(without_vectors(full))
    assert [line.text for line in await store.load_transcript(full.item.ref)] == ["Süß, no?"]
    edit = await store.load_tag_edit(full.item.ref)
    assert edit.added == ("moodreel:beach", "moodreel:calm")
    assert await store.reconciled_at("jellyfin") == THEN
    gathered = await store.list_gathered("discord", f"{GROUP}#1")
    assert [entry.ref.item_id for entry in gathered] == ["i0", "i1", "i2"]
    claim = await store.claim_group("discord", f"{GROUP}#1", "group-event")
    assert claim == Claim(state=ClaimState.SENT, receipt="message-2")


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_was_kept_can_be_copied_after_the_migration(version, database_dsn, postgres):
    await as_left_by(database_dsn, version)
    await migrate.apply(database_dsn)
    with fresh_database(postgres) as elsewhere:
        await migrate.apply(elsewhere)
        async with open_snapshot(database_dsn) as snapshot:
            transport = await PsycopgTransport.open(elsewhere)
            async with aclosing(transport):
                report = await Copy(snapshot, transport).run()
        assert report.is_complete
        assert contents(elsewhere) == contents(database_dsn)


async def test_postgrest_finds_what_a_migration_brought(database_dsn):
    """It has read the old schema, and is told that there is another."""
    await as_left_by(database_dsn, WITH_GROUPS)
    with postgrest(database_dsn) as server:
        await migrate.apply(database_dsn)
        database = Database(dsn=database_dsn, server=server)
        async with aclosing(await database.open_store()) as store:
            await read_back(store)
            await read_back_groups(store)


def catalog(dsn: str) -> Mapping[str, Any]:
    """All that a migration may change: our rows, columns, functions and the history."""
    with psycopg.connect(dsn) as admin:
        return {
            name: admin.execute(query.encode()).fetchall()
            for name, query in {
                "columns": "select table_schema, table_name, column_name, data_type "
                "from information_schema.columns "
                "where table_schema in ('public', 'moodreel') order by 1, 2, 3",
                "functions": "select oid, proname, md5(prosrc) from pg_proc "
                "where pronamespace in ('public'::regnamespace, 'moodreel'::regnamespace) "
                "order by 1",
                "history": "select version from supabase_migrations.schema_migrations order by 1",
                "items": "select server, item_id, state, updated_at from media_items order by 1, 2",
            }.items()
        }


PROGRAM = """
import asyncio, sys
from adapters.database import migrate
print(*(file.version for file in asyncio.run(migrate.apply(sys.argv[1]))))
"""


async def _migrating(dsn: str) -> asyncio.subprocess.Process:
    """A program that migrates."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, dsn), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )


async def _applied(program: asyncio.subprocess.Process) -> list[str]:
    """Wait for its end; what it says that it applied."""
    async with asyncio.timeout(DEADLINE_S):
        out, _ = await program.communicate()
    assert program.returncode == 0
    return out.decode().split()


async def _until_sessions(dsn: str, count: int, state: LiteralString) -> None:
    """Wait until so many sessions that migrate are in a state."""
    async with (
        asyncio.timeout(DEADLINE_S),
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin,
    ):
        while True:
            cursor = await admin.execute(
                "select count(*) from pg_stat_activity where datname = current_database() "
                "and application_name = 'moodreel-migrate' and " + state
            )
            if await cursor.fetchone() == (count,):
                return
            await asyncio.sleep(0.01)


async def test_a_migration_that_is_killed_in_the_middle_leaves_the_former_version_whole(
    database_dsn,
):
    await as_left_by(database_dsn, "20261120104600")
    before = catalog(database_dsn)
    async with await psycopg.AsyncConnection.connect(database_dsn) as reader:
        # Somebody reads in a table that a file changes after it has changed another.
        await reader.execute("select from media_analyses")
        doomed = await _migrating(database_dsn)
        await _until_sessions(database_dsn, 1, "wait_event_type = 'Lock'")
        doomed.kill()
        await doomed.communicate()
    await _until_sessions(database_dsn, 0, "true")
    assert catalog(database_dsn) == before
    assert await _applied(await _migrating(database_dsn)) == VERSIONS[2:]
    async with aclosing(await Database(dsn=database_dsn, server=None).open_store()) as store:
        await store.verify_schema()
        await read_back(store)


async def test_of_two_programs_that_migrate_at_once_one_does_it(database_dsn):
    await as_left_by(database_dsn, VERSIONS[0])
    both = [await _migrating(database_dsn) for _ in range(2)]
    applied = [version for one in both for version in await _applied(one)]
    assert sorted(applied) == VERSIONS[1:]


async def test_a_program_that_is_older_than_the_schema_says_so_and_touches_nothing(database_dsn):
    await as_left_by(database_dsn, VERSIONS[-1])
    async with await psycopg.AsyncConnection.connect(database_dsn, autocommit=True) as admin:
        await admin.execute(
            "insert into supabase_migrations.schema_migrations (version, name) "
            "values ('20991231000000', 'moodreel_future'); "
            "create or replace function moodreel_schema_version(request jsonb default '{}') "
            "returns jsonb language sql as $$ select to_jsonb('20991231000000'::text) $$; "
            "alter table media_items add column of_the_future text"
        )
    before = catalog(database_dsn)
    with pytest.raises(ConfigurationError, match=r"newer than this version's .* update moodreel"):
        await migrate.apply(database_dsn)
    async with aclosing(await Database(dsn=database_dsn, server=None).open_store()) as store:
        with pytest.raises(ConfigurationError, match="update moodreel"):
            await store.verify_schema()
    assert catalog(database_dsn) == before
