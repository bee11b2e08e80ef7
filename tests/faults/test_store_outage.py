"""What the store does while its server is away, and after."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.store import DatabaseStore
from service.domain import Claim, ClaimState, Gathered, TranscriptLine
from service.errors import TransientError
from tests.support.postgres import FAST, copy_cluster, reachable_directory
from tests.support.stores import make_full_analysis, make_item

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def store(database_dsn: str) -> AsyncIterator[DatabaseStore]:
    await migrate.apply(database_dsn)
    async with aclosing(DatabaseStore(await PsycopgTransport.open(database_dsn))) as opened:
        yield opened


async def test_calls_fail_for_now_while_the_server_is_away_and_succeed_once_it_is_back(
    used_cluster,
):
    with reachable_directory() as directory:
        copy_cluster(used_cluster, directory)
        server = EmbeddedPostgres(directory, parameters=FAST)
        dsn = server.start()
        await migrate.apply(dsn)
        transport = await PsycopgTransport.open(dsn, connect_timeout_s=1.0)
        async with aclosing(DatabaseStore(transport)) as store:
            assert await store.begin(make_item()) == 1
            server.stop()
            for _ in range(3):
                with pytest.raises(TransientError):
                    await store.begin(make_item())
            assert server.start() == dsn
            async with asyncio.timeout(60):
                while True:
                    try:
                        token = await store.begin(make_item())
                        break
                    except TransientError:
                        pass  # each call waits by itself
            assert token == 2
            tokens = await asyncio.gather(*(store.begin(make_item(str(n))) for n in range(20)))
            assert sorted(tokens)[:19] == [1] * 19
        server.stop()


# Killed half-way --------------------------------------------------------------------------------

CLAIM_AND_HANG = """
import asyncio, sys
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.store import DatabaseStore
async def main():
    store = DatabaseStore(await PsycopgTransport.open(sys.argv[1]))
    claim = await store.claim_group("discord", sys.argv[2], sys.argv[3])
    print(claim.state.value, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def claim_and_be_killed(dsn: str, key: str, event_id: str) -> str:
    """What a worker was told that died before it could say how its message ended."""
    command = (sys.executable, "-c", CLAIM_AND_HANG, dsn, key, event_id)
    worker = await asyncio.create_subprocess_exec(*command, stdout=PIPE, cwd=ROOT)
    try:
        assert worker.stdout is not None
        async with asyncio.timeout(60):
            said = await worker.stdout.readline()
    finally:
        worker.kill()
        await worker.wait()
    return said.decode().strip()


async def test_nobody_knows_of_a_groups_message_whose_worker_was_killed(store, database_dsn):
    gathered = await begun_and_gathered(store, "1")
    key = await store.gather_publication(gathered, "discord", "season", open_for_s=60.0)
    assert await claim_and_be_killed(database_dsn, key, "of 1") == "claimed"

    gathered = await begun_and_gathered(store, "2")
    assert await store.gather_publication(gathered, "discord", "season", open_for_s=0.0) == key
    for event_id in ("of 1", "of both"):
        claim = await store.claim_group("discord", key, event_id)
        assert claim == Claim(state=ClaimState.UNKNOWN)
    assert (await store.counts())["groups_sending"] == 1


async def test_a_message_that_is_known_is_amended_after_a_worker_was_killed(store, database_dsn):
    gathered = await begun_and_gathered(store, "1")
    key = await store.gather_publication(gathered, "discord", "season", open_for_s=60.0)
    await store.claim_group("discord", key, "of 1")
    await store.settle_group("discord", key, "of 1", receipt="message 5")
    assert await claim_and_be_killed(database_dsn, key, "of both") == "claimed"
    claim = await store.claim_group("discord", key, "of both")
    assert claim == Claim(state=ClaimState.UNKNOWN, receipt="message 5")


async def test_a_rename_that_is_cut_off_in_its_midst_has_not_begun(store, database_dsn):
    former, present = make_item("old", fingerprint="f"), make_item("new", fingerprint="f")
    await store.save(replace(make_full_analysis(), item=former), await store.begin(former))
    await store.begin(present)
    for item in (former, present):
        await store.claim_publication(item.ref, "discord", "e")
        await store.save_transcript(item.ref, [TranscriptLine(start_s=0, end_s=1, text="Hi")])
    before = await store.counts()
    async with await psycopg.AsyncConnection.connect(database_dsn) as holder:
        await holder.execute("select from media_analyses for update")  # what it writes last
        renaming = asyncio.create_task(store.adopt(former.ref, present))
        await end_whoever_waits(database_dsn)
        with pytest.raises(TransientError):
            await renaming

    assert await store.counts() == before
    loaded = await store.load(former.ref)
    assert loaded is not None
    assert loaded.item == former
    assert len(loaded.scenes) == 3
    await store.adopt(former.ref, present)
    assert await store.load(present.ref) is not None
    assert await store.statuses([former.ref]) == {}


async def begun_and_gathered(store: DatabaseStore, item_id: str) -> Gathered:
    item = make_item(item_id)
    await store.begin(item)
    return Gathered(ref=item.ref, event_id=f"news of {item_id}")


async def end_whoever_waits(dsn: str) -> None:
    """End the session of whoever waits for a lock, once there is somebody."""
    async with (
        asyncio.timeout(30),
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin,
    ):
        while True:
            cursor = await admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and wait_event_type = 'Lock'"
            )
            if await cursor.fetchone():
                return
            await asyncio.sleep(0.01)
