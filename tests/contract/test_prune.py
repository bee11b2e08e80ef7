"""Deleting what nobody needs any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from adapters.database.pruning import Prunable, Pruned, Pruner, PruneSettings
from adapters.database.store import DatabaseStore
from service.domain import Claim, ClaimState, Gathered, ItemState, TagEdit
from service.errors import ConfigurationError
from service.wanted import Reprocess, needs_analysis
from tests.support.copies import contents, fill
from tests.support.stores import MODEL, analyzed, make_item, state_of, with_vectors


def pruner(
    store: DatabaseStore, *, days_later: float = 0.0, keep_events_days: float = 365.0
) -> Pruner:
    def now() -> datetime:
        return datetime.now(UTC) + timedelta(days=days_later)

    return Pruner(store.transport, PruneSettings(keep_events_days=keep_events_days), now)


def by_kind(pruned: list[Pruned]) -> dict[Prunable, int]:
    return {entry.what: entry.count for entry in pruned if entry.count}


@pytest.fixture
def change(database) -> Callable[..., None]:
    def execute(query: str, *values: object) -> None:
        with psycopg.connect(database.dsn, autocommit=True) as admin:
            admin.execute(query.encode(), values)

    return execute


async def until_somebody_waits(dsn: str) -> None:
    """For a lock."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        async with asyncio.timeout(60.0):
            while not admin.execute(  # noqa: ASYNC110  another session waits
                "select from pg_stat_activity "
                "where datname = current_database() and wait_event_type = 'Lock'"
            ).fetchall():
                await asyncio.sleep(0.01)


async def test_nothing_goes_before_its_time(store, database):
    await fill(store)
    before = contents(database.dsn)
    assert by_kind(await pruner(store, days_later=89.0).prune()) == {}
    assert contents(database.dsn) == before


async def test_findings_of_what_was_deleted_long_ago_go_and_its_ledger_stays(store):
    item = (await with_vectors(store, "1", [1.0, 0.0], [0.0, 1.0])).item
    await store.settle_publication(item.ref, "discord", "event", receipt="message")
    await store.note_tag_edit(TagEdit(ref=item.ref, added=("calm",)))
    await store.mark_deleted(item.ref)
    [findings] = [
        entry
        for entry in await pruner(store, days_later=91.0).prune()
        if entry.what is Prunable.FINDINGS
    ]
    assert findings.count == 1
    assert findings.size_bytes > 100
    assert await store.load(item.ref) is None
    counts = await store.counts()
    assert (counts["scenes"], counts["embeddings"], counts["items_deleted"]) == (0, 0, 1)
    assert (await store.load_tag_edit(item.ref)).added == ("calm",)


async def test_what_is_never_to_be_forgotten_is_not_forgotten_at_once(store):
    """Zero days mean never for all that is pruned."""
    item = (await with_vectors(store, "1", [1.0, 0.0])).item
    await store.mark_deleted(item.ref)
    kept = Pruner(store.transport, PruneSettings(keep_deleted_days=0.0))
    with pytest.raises(ConfigurationError, match="MOODREEL_KEEP_DELETED_DAYS"):
        await kept.forget_deleted()
    assert (await store.counts())["items_deleted"] == 1


async def test_what_comes_back_after_that_is_analysed_and_not_told_again(store):
    item = (await analyzed(store, "1")).item
    await store.settle_publication(item.ref, "discord", "event", receipt="message")
    await store.mark_deleted(item.ref)
    await pruner(store, days_later=91.0).prune()
    status = (await store.statuses([item.ref]))[item.ref]
    assert needs_analysis(item, status, "", Reprocess.MISSING)
    await analyzed(store, "1")
    assert await state_of(store, item.ref) is ItemState.ANALYZED
    claim = await store.claim_publication(item.ref, "discord", "event")
    assert claim == Claim(state=ClaimState.SENT, receipt="message")


async def test_what_is_there_keeps_everything_however_old(store, database):
    await fill(store)
    before = contents(database.dsn)
    await pruner(store, days_later=10_000.0, keep_events_days=0.0).prune()
    after = contents(database.dsn)
    assert after["public.scene_embeddings"] == before["public.scene_embeddings"]
    assert after["public.publications"] == before["public.publications"]
    assert after["public.published_events"] == before["public.published_events"]


async def test_a_rehearsal_counts_the_same_and_deletes_nothing(store, database):
    await fill(store)
    late = pruner(store, days_later=400.0)
    before = contents(database.dsn)
    planned = await late.prune(dry_run=True)
    assert contents(database.dsn) == before
    assert by_kind(planned) == {Prunable.FINDINGS: 1, Prunable.EVENTS: 1}
    assert await late.prune() == planned
    assert by_kind(await late.prune()) == {}


async def test_events_go_when_they_are_old(store):
    await store.save_event({"id": "1", "topic": "t"})
    assert by_kind(await pruner(store, days_later=364.0).prune()) == {}
    assert by_kind(await pruner(store, days_later=366.0).prune()) == {Prunable.EVENTS: 1}
    assert await store.list_events() == []


async def test_abandoned_uploads_go_after_a_day(store, pieces):
    item = make_item("1")
    token = await store.begin(item)
    ref = {"server": "jellyfin", "item_id": "1", "token": token}
    piece = {**ref, "upload_id": str(uuid4()), "position": 0, "piece": "[" * 1_000}
    await store.transport.call("moodreel_upload", piece)
    await pruner(store, days_later=0.9).prune()
    assert pieces() == 1
    pruned = await pruner(store, days_later=1.1).prune()
    assert by_kind(pruned) == {Prunable.UPLOADS: 1}
    assert pieces() == 0


async def test_messages_whose_items_are_all_forgotten_go(store):
    await fill(store)
    for number in range(3):
        await store.mark_deleted(make_item(f"i{number}").ref)
    late = pruner(store, days_later=91.0)
    assert Prunable.GROUPS not in by_kind(await late.prune())
    assert (await late.forget_deleted()).count == 4
    assert by_kind(await late.prune()) == {Prunable.GROUPS: 1}
    assert (await store.counts())["items_deleted"] == 0


async def test_a_message_that_somebody_joins_at_that_moment_stays(store, database, change):
    """It was empty when it was found, and is not when it is about to be deleted."""
    item = (await with_vectors(store, "1", [1.0, 0.0])).item
    gathered = Gathered(ref=item.ref, event_id="e")
    assert await store.gather_publication(gathered, "discord", "season", open_for_s=60.0)
    change("delete from gathered_publications")
    with psycopg.connect(database.dsn) as other:
        # It lets others read, and nobody hold a row.
        other.execute("lock table publication_groups in exclusive mode")
        pruning = asyncio.create_task(pruner(store, days_later=91.0).prune())
        await until_somebody_waits(database.dsn)
        other.execute(
            "insert into gathered_publications (group_id, media_item_id, event_id) "
            "select g.id, i.id, 'e' from publication_groups g, media_items i"
        )
    assert by_kind(await pruning) == {}
    assert [*await store.list_gathered("discord", "season#1")] == [gathered]


async def test_many_go_in_batches(store, monkeypatch):
    monkeypatch.setattr("adapters.database.pruning.BATCH_SIZE", 2)
    for number in range(5):
        item = (await with_vectors(store, str(number), [1.0, 0.0])).item
        await store.mark_deleted(item.ref)
    pruned = await pruner(store, days_later=91.0).prune()
    assert by_kind(pruned) == {Prunable.FINDINGS: 5}


async def test_an_item_that_somebody_holds_is_left_for_the_next_time(store, database):
    held = (await with_vectors(store, "1", [1.0, 0.0])).item
    free = (await with_vectors(store, "2", [1.0, 0.0])).item
    await store.mark_deleted(held.ref)
    await store.mark_deleted(free.ref)
    late = pruner(store, days_later=91.0)
    with psycopg.connect(database.dsn) as other:
        other.execute("select from media_items where item_id = '1' for update")
        assert by_kind(await late.prune()) == {Prunable.FINDINGS: 1}
    assert await store.load(held.ref) is not None
    assert by_kind(await late.prune()) == {Prunable.FINDINGS: 1}


async def test_vectors_of_a_model_go_and_those_of_others_stay(store, change):
    await with_vectors(store, "1", [1.0, 0.0], [0.0, 1.0])
    await with_vectors(store, "2", [1.0, 0.0])
    change("update scene_embeddings set model = 'former' where position = 1")
    held = (await pruner(store).holdings()).vectors
    assert held == {MODEL: 2, "former": 1}
    dry = await pruner(store).drop_vectors("former", dry_run=True)
    assert (await pruner(store).holdings()).vectors == held
    assert await pruner(store).drop_vectors("former") == dry
    assert dry.count == 1
    assert (await pruner(store).holdings()).vectors == {MODEL: 2}


async def test_messages_in_doubt_are_counted_and_kept(store, change):
    item = (await analyzed(store, "1")).item
    await store.claim_publication(item.ref, "discord", "event")
    assert (await pruner(store).holdings()).doubtful_count == 0
    change("update publications set claimed_at = now() - interval '1 year'")
    late = pruner(store, days_later=400.0)
    await late.prune()
    assert (await late.holdings()).doubtful_count == 1
    claim = await store.claim_publication(item.ref, "discord", "event")
    assert claim.state is ClaimState.UNKNOWN


async def test_of_several_processes_one_prunes_a_day(pair, change):
    change("delete from moodreel.upkeep")
    answers = [await pruner(store).prune_if_due() for store in pair]
    assert [answer is None for answer in answers] == [False, True]
    change("update moodreel.upkeep set claimed_at = now() - interval '25 hours'")
    assert await pruner(pair[1]).prune_if_due() is not None
