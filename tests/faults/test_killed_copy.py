"""A copy is killed with -9 in the middle, and started again."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from adapters.database.copying import Copy, CopyReport
from adapters.database.snapshot import open_snapshot
from tests.support.copies import contents, fill
from tests.support.postgres import ROOT
from tests.support.stores import (
    MODEL,
    TRANSPORTS,
    Database,
    analyzed,
    make_scenes,
    migrated_database,
    unit_vectors,
)

DEADLINE_S = 60.0

POINTS = {
    "psycopg": (
        "moodreel.installation",
        "scene_embeddings",
        "gathered_publications",
        "published_events",
    ),
    "postgrest": ("moodreel.uploads", "scene_embeddings"),
}
"""Tables of the other side to which nothing can be written: there the copy stands still. Each is
reached by a call of its own, since the server may finish what a dead client has asked for."""


@pytest.fixture(scope="module")
def source(postgres) -> Iterator[Database]:
    with migrated_database("psycopg", postgres) as made:
        asyncio.run(_fill(made))
        yield made


async def _fill(database: Database) -> None:
    async with aclosing(await database.open_store()) as store:
        await fill(store, item_count=8)
        scenes = make_scenes(unit_vectors(150, 1152))  # 1.2 MB: more than a request may have
        await analyzed(store, "large", scenes=scenes, embedding_model=MODEL)


@pytest.fixture(scope="module", params=TRANSPORTS)
def target(request, postgres) -> Iterator[Database]:
    with migrated_database(request.param, postgres) as made:
        yield made


async def test_a_copy_that_is_killed_anywhere_goes_on(source, target):
    """At each point in turn, into what the kills before have left."""
    before = contents(source.dsn)
    for table in POINTS["postgrest" if target.server else "psycopg"]:
        async with _standing_still(target.dsn, table):
            process = await _start(source, target)
            try:
                await _until_it_stands(target.dsn, process)
            finally:
                process.kill()
                await process.wait()
        assert process.returncode == -signal.SIGKILL
    assert contents(target.dsn) != before
    report = await _copy(source, target)
    assert report.is_complete
    assert contents(target.dsn) == before
    assert report.present, "what came before the kills was not copied again"
    assert not (await _copy(source, target)).wanted


async def _start(source: Database, target: Database) -> asyncio.subprocess.Process:
    place = str(target.server.socket) if target.server else target.dsn
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.doomed_copy", source.dsn, place, cwd=ROOT
    )


async def _copy(source: Database, target: Database) -> CopyReport:
    async with open_snapshot(source.dsn) as snapshot, aclosing(await target.open_store()) as store:
        return await Copy(snapshot, store.transport).run()


@asynccontextmanager
async def _standing_still(dsn: str, table: str) -> AsyncIterator[None]:
    """Whoever wants to write to a table waits; reading goes on."""
    name = sql.Identifier(*table.split("."))
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute(sql.SQL("lock table {} in share mode").format(name))
        yield


async def _until_it_stands(dsn: str, process: asyncio.subprocess.Process) -> None:
    async with (
        asyncio.timeout(DEADLINE_S),
        await psycopg.AsyncConnection[Any].connect(dsn, autocommit=True) as admin,
    ):
        while True:
            assert process.returncode is None, "it ended before it came to the table"
            cursor = await admin.execute(
                "select 1 from pg_stat_activity where datname = current_database() "
                "and wait_event_type = 'Lock' and query like '%moodreel_%'"
            )
            if await cursor.fetchone():
                return
            await asyncio.sleep(0.01)
