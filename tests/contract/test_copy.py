"""Copying what was found to another database, straight and through the real PostgREST."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime

import psycopg
import pytest

from adapters.database.copied import KINDS
from adapters.database.copying import Copy, CopyReport
from adapters.database.snapshot import open_snapshot
from adapters.database.store import DatabaseStore
from adapters.database.supabase_transport import REQUEST_BYTES, SupabaseTransport
from adapters.database.tables import RESULTS
from adapters.database.transports import Transport
from service.domain import ClaimState, ItemState, TagEdit
from tests.support.copies import THEN, contents, fill
from tests.support.postgrest import URL, key
from tests.support.stores import (
    MODEL,
    Database,
    analyzed,
    make_full_analysis,
    make_scenes,
    migrated_database,
    state_of,
    unit_vectors,
    with_vectors,
)


@pytest.fixture(scope="module")
def migrated_source(postgres) -> Iterator[Database]:
    with migrated_database("psycopg", postgres) as made:
        yield made


@pytest.fixture
def source(migrated_source: Database) -> Database:
    """Where things are now: another database, straight."""
    migrated_source.clear()
    return migrated_source


@pytest.fixture
async def here(source) -> AsyncIterator[DatabaseStore]:
    async with aclosing(await source.open_store()) as opened:
        yield opened


async def copy(source: Database, target: Transport, *, dry_run: bool = False) -> CopyReport:
    async with open_snapshot(source.dsn) as snapshot:
        copying = Copy(snapshot, target)
        return await (copying.plan() if dry_run else copying.run())


async def test_everything_is_there_afterwards(source, here, database, store):
    await fill(here)
    before = contents(source.dsn)
    assert all(before.values()), "every table has something to copy"
    report = await copy(source, store.transport)
    assert report.is_complete, report
    assert contents(database.dsn) == before
    assert report.sampled_vector_count == 18
    names = {table.name for table in RESULTS} - {"installation"}
    assert report.tables.keys() == names, "each table is counted"
    rows = {table.name: len(before[table.full_name]) for table in RESULTS if table.key}
    for table, count in report.tables.items():
        assert count.here == count.there == rows[table], table


async def test_a_second_copy_finds_everything_there(source, here, database, store):
    await fill(here)
    first = await copy(source, store.transport)
    second = await copy(source, store.transport)
    assert (first.present.total(), second.wanted.total()) == (0, 0)
    assert second.present == first.wanted
    assert second.is_complete
    assert contents(database.dsn) == contents(source.dsn)


async def test_what_is_only_there_stays(source, here, database, store):
    await fill(here)
    kept = await with_vectors(store, "only-there", [1.0, 0.0])
    await copy(source, store.transport)
    assert await store.load(kept.item.ref) is not None
    assert await store.load(make_full_analysis().item.ref) is not None


async def test_an_analysis_that_is_newer_there_stays(source, here, store):
    older = await analyzed(here, "1", pipeline="older")
    await analyzed(store, "1", pipeline="newer")
    report = await copy(source, store.transport)
    assert report.is_complete
    assert report.newer["items"] == 1
    loaded = await store.load(older.item.ref)
    assert loaded is not None
    assert loaded.pipeline == "newer"


async def test_an_analysis_that_is_older_there_is_replaced(source, here, store):
    await with_vectors(store, "1", [1.0, 0.0], [0.0, 1.0])
    newer = await analyzed(here, "1", pipeline="newer")
    assert (await copy(source, store.transport)).is_complete
    loaded = await store.load(newer.item.ref)
    assert loaded is not None
    assert (loaded.pipeline, loaded.scenes) == ("newer", ())


async def test_an_item_that_was_only_described_there_gets_its_analysis(source, here, store):
    """The service was started there before the copy, and has the item in its queue."""
    analysis = await analyzed(here, "1")
    await store.begin(replace(analysis.item, title="Named anew"))
    assert (await copy(source, store.transport)).is_complete
    loaded = await store.load(analysis.item.ref)
    assert loaded is not None
    assert loaded.item.title == "Named anew"
    assert await state_of(store, analysis.item.ref) is ItemState.ANALYZED


async def test_other_content_that_waits_there_goes_on_waiting(source, here, store):
    analysis = await analyzed(here, "1")
    await store.begin(replace(analysis.item, revision="b"))
    await copy(source, store.transport)
    assert await state_of(store, analysis.item.ref) is ItemState.PENDING


async def test_what_was_told_is_not_told_again(source, here, store):
    await fill(here)
    await copy(source, store.transport)
    ref = make_full_analysis().item.ref
    sent = await store.claim_publication(ref, "discord", "event-1")
    assert (sent.state, sent.receipt) == (ClaimState.SENT, "message-1")
    doubtful = await store.claim_publication(ref, "nats", "event-1")
    assert doubtful.state is ClaimState.UNKNOWN


async def test_a_ledger_that_is_newer_there_stays_and_the_rest_is_copied(source, here, store):
    item = (await analyzed(here, "1")).item
    for channel in ("discord", "nats"):
        await here.settle_publication(item.ref, channel, "e1", receipt="old")
    await here.note_tag_edit(TagEdit(ref=item.ref, added=("old",)))
    await analyzed(store, "1")
    await store.settle_publication(item.ref, "discord", "e2", receipt="new")
    await store.note_tag_edit(TagEdit(ref=item.ref, added=("new",)))
    assert (await copy(source, store.transport)).is_complete
    assert (await store.claim_publication(item.ref, "discord", "e2")).receipt == "new"
    assert (await store.claim_publication(item.ref, "nats", "e1")).receipt == "old"
    assert (await store.load_tag_edit(item.ref)).added == ("new",)


def install(dsn: str, at: datetime) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("update moodreel.installation set installed_at = %s", [at])


async def test_the_earlier_installation_counts(source, here, database, store):
    present = await store.installed_at()
    install(source.dsn, THEN)
    await copy(source, store.transport)
    assert await store.installed_at() == THEN
    install(source.dsn, present)
    await copy(source, store.transport)
    assert await store.installed_at() == THEN
    install(database.dsn, present)


async def test_the_later_reconciliation_counts(source, here, store):
    await here.note_reconciled("jellyfin", THEN.replace(day=2))
    await store.note_reconciled("jellyfin", THEN)
    await here.note_reconciled("folder", THEN)
    await store.note_reconciled("folder", THEN.replace(day=3))
    await copy(source, store.transport)
    assert await store.reconciled_at("jellyfin") == THEN.replace(day=2)
    assert await store.reconciled_at("folder") == THEN.replace(day=3)


async def test_events_keep_their_order(source, here, store):
    for number in range(5):
        await here.save_event({"id": f"z{5 - number}", "topic": "t", "number": number})
    await copy(source, store.transport)
    assert [event["number"] for event in await store.list_events()] == [4, 3, 2, 1, 0]


async def test_items_come_page_by_page(source, here, store, monkeypatch):
    monkeypatch.setattr("adapters.database.copying.PAGE_SIZE", 2)
    for number in range(5):
        await with_vectors(here, str(number), [1.0, 0.0])
    report = await copy(source, store.transport)
    assert report.wanted["items"] == 5
    assert report.is_complete
    assert (await store.counts())["embeddings"] == 5


async def test_requests_stay_below_the_limit(source, here, database, store, pieces):
    """An item of 1.5 MB, and many small ones that go together."""
    scenes = make_scenes(unit_vectors(200, 1152))
    await analyzed(here, "large", scenes=scenes, embedding_model=MODEL)
    for number in range(20):
        await with_vectors(here, str(number), [1.0, 0.0])
    if database.server is None:
        report = await copy(source, store.transport)
    else:
        gateway = database.server.gateway()
        transport = await SupabaseTransport.open(URL, key("service_role"), http_transport=gateway)
        async with aclosing(transport):
            report = await copy(source, transport)
        assert REQUEST_BYTES / 2 < max(gateway.request_bytes) <= REQUEST_BYTES
        assert len(gateway.request_bytes) < 40, "small ones go together: 21 are looked at again"
    assert report.is_complete
    assert report.sampled_vector_count == 220
    assert pieces() == 0


async def test_a_rehearsal_counts_and_copies_nothing(source, here, store):
    await fill(here)
    report = await copy(source, store.transport, dry_run=True)
    assert report.wanted == {
        "items": 6,
        "groups": 1,
        "events": 1,
        "reconciliations": 1,
        "triggers": 1,
        "votes": 1,
    }
    assert (await store.counts())["items_analyzed"] == 0


async def test_what_is_written_here_meanwhile_is_for_the_next_copy(source, here, store):
    await analyzed(here, "1")
    async with open_snapshot(source.dsn) as snapshot:
        copying = Copy(snapshot, store.transport)
        assert await copying.total() == 1
        late = await analyzed(here, "2")
        assert (await copying.run()).is_complete
    assert await store.load(late.item.ref) is None
    assert (await copy(source, store.transport)).wanted["items"] == 1
    assert await store.load(late.item.ref) is not None


class Losing:
    """Another side that forgets the vectors it was given."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.place = inner.place
        self.request_bytes = None

    async def call(self, function, request):
        if function == "moodreel_copy_put":
            for entry in request.get("entries", []):
                if isinstance(entry, dict) and "findings" in entry.get("parts", {}):
                    entry["parts"]["findings"]["scene_embeddings"] = []
        return await self._inner.call(function, request)

    async def aclose(self) -> None: ...


async def test_what_got_lost_on_the_way_is_noticed(source, here, store):
    await fill(here)
    report = await copy(source, Losing(store.transport))
    assert not report.is_complete
    assert "items jellyfin/full: findings" in report.different
    assert report.tables["scene_embeddings"].there == 0


async def test_vectors_that_differ_are_noticed(source, here, database, store):
    await fill(here)
    await copy(source, store.transport)
    with psycopg.connect(database.dsn, autocommit=True) as admin:
        admin.execute(
            "update scene_embeddings set embedding = '[0.5,0.5]' where model = %s "
            "and dimension = 2 and position = 0",
            [MODEL],
        )
    report = await copy(source, store.transport)
    assert not report.is_complete
    assert sum(line.endswith(": vectors") for line in report.different) == 3


async def test_a_copy_goes_back_the_same_way(source, here, database, store):
    """From a database that is reached through its API alone, which gives no snapshot."""
    await fill(store)
    report = await Copy(store.transport, here.transport).run()
    assert report.is_complete
    assert contents(source.dsn) == contents(database.dsn)


def test_kinds_come_after_those_that_they_refer_to():
    assert KINDS.index("items") < KINDS.index("groups")
