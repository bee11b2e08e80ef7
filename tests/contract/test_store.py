"""One contract for the store, over psycopg and over the real PostgREST."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from adapters.database.records import dump_analysis
from adapters.database.store import DatabaseStore
from service.domain import (
    Analysis,
    ClaimState,
    ItemRef,
    ItemState,
    Severity,
    SoundAnalysis,
)
from service.errors import NotFoundError, StaleTokenError, TransientError
from tests.support.stores import (
    MODEL,
    TRANSPORTS,
    Database,
    analyses,
    fields,
    make_analysis,
    make_full_analysis,
    make_item,
    make_scenes,
    migrated_database,
    unit_vectors,
    without_vectors,
)

EVENT = "7e57d004-2b97-5e7a-b45f-5387367791cd"


@pytest.fixture(scope="module", params=TRANSPORTS)
def migrated(request, postgres) -> Iterator[Database]:
    with migrated_database(request.param, postgres) as database:
        yield database


@pytest.fixture
def database(migrated: Database) -> Database:
    """An empty database."""
    migrated.clear()
    return migrated


@pytest.fixture
async def store(database) -> AsyncIterator[DatabaseStore]:
    async with aclosing(await database.open_store()) as opened:
        yield opened


@pytest.fixture
async def pair(store, database) -> AsyncIterator[list[DatabaseStore]]:
    """Two stores over the same database, as two workers have them."""
    async with aclosing(await database.open_store()) as second:
        yield [store, second]


@pytest.fixture
def pieces(database) -> Callable[[], int]:
    """How many pieces of uploads lie in the database, seen from beside the store."""

    def count() -> int:
        with psycopg.connect(database.dsn) as admin:
            row = admin.execute("select count(*) from moodreel.uploads").fetchone()
        assert row is not None
        return int(row[0])

    return count


async def analyzed(store: DatabaseStore, item_id: str, **changes) -> Analysis:
    """Save an analysis of a new item."""
    item = make_item(item_id)
    analysis = make_analysis(item, **changes)
    await store.save(analysis, await store.begin(item))
    return analysis


async def with_vectors(store: DatabaseStore, item_id: str, *vectors: list[float]) -> Analysis:
    """Save an item whose scenes point in these directions."""
    scenes = make_scenes(np.array(vectors, np.float32))
    return await analyzed(store, item_id, scenes=scenes, embedding_model=MODEL)


async def state_of(store: DatabaseStore, ref: ItemRef) -> ItemState:
    return (await store.statuses([ref]))[ref].state


# Analyses ---------------------------------------------------------------------------------------


async def test_what_was_saved_is_loaded_field_by_field_but_for_vectors(store):
    analysis = make_full_analysis()
    await store.save(analysis, await store.begin(analysis.item))
    loaded = await store.load(analysis.item.ref)
    assert loaded is not None
    assert fields(loaded) == fields(without_vectors(analysis))


async def test_an_analysis_that_says_little_comes_back_as_it_was(store):
    analysis = await analyzed(store, "1")
    loaded = await store.load(analysis.item.ref)
    assert loaded is not None
    assert fields(loaded) == fields(analysis)


async def test_saving_twice_leaves_what_saving_once_leaves(store):
    analysis = make_full_analysis()
    token = await store.begin(analysis.item)
    await store.save(analysis, token)
    saved_at, counts = await store.saved_at(analysis.item.ref), await store.counts()
    await store.save(analysis, token)
    assert await store.counts() == counts
    assert await store.saved_at(analysis.item.ref) == saved_at


async def test_a_new_analysis_replaces_all_of_the_former(store):
    analysis = make_full_analysis()
    await store.save(analysis, await store.begin(analysis.item))
    former_saved_at = await store.saved_at(analysis.item.ref)
    plain = make_analysis(analysis.item, pipeline="p2")
    await store.save(plain, await store.begin(analysis.item))
    loaded = await store.load(analysis.item.ref)
    assert loaded is not None
    assert fields(loaded) == fields(plain)
    counts = await store.counts()
    assert (counts["scenes"], counts["embeddings"]) == (0, 0)
    saved_at = await store.saved_at(analysis.item.ref)
    assert saved_at is not None
    assert former_saved_at is not None
    assert saved_at > former_saved_at


async def test_an_unknown_item_has_no_analysis(store):
    ref = ItemRef(server="jellyfin", item_id="nobody")
    assert await store.load(ref) is None
    assert await store.saved_at(ref) is None
    assert await store.statuses([ref]) == {}


async def test_the_time_of_saving_is_utc(store):
    before = datetime.now(UTC)
    analysis = await analyzed(store, "1")
    saved_at = await store.saved_at(analysis.item.ref)
    assert saved_at is not None
    assert saved_at.tzinfo is UTC
    assert abs((saved_at - before).total_seconds()) < 60


async def test_characters_that_postgres_cannot_keep_are_replaced(store):
    item = make_item("nul\x00id", title="a\x00b \ud800 c", genres=("x\udfff",))
    analysis = make_analysis(
        item,
        warnings=("bad \x00 tag", "\\u0000 is only text"),
        seconds={"pro\x00be": 1.0},
    )
    token = await store.begin(item)
    await store.save(analysis, token)
    loaded = await store.load(item.ref)
    assert loaded is not None
    assert loaded.item.title == "a\ufffdb \ufffd c"
    assert loaded.item.genres == ("x\ufffd",)
    assert loaded.warnings == ("bad \ufffd tag", "\\u0000 is only text")
    assert loaded.seconds == {"pro\ufffdbe": 1.0}
    assert set(await store.statuses([item.ref])) == {item.ref}
    await store.fail(item.ref, "cannot read \x00\ud800", token)
    await store.save_event({"id": EVENT, "topic": "t", "payload": {"title": "\x00"}})
    assert (await store.list_events())[0]["payload"] == {"title": "\ufffd"}


async def test_the_loudness_of_silence_is_kept(store):
    silence = SoundAnalysis(loudness_dbfs=-math.inf, dynamic_range_db=0.0)
    analysis = await analyzed(store, "1", audio=silence)
    loaded = await store.load(analysis.item.ref)
    assert loaded is not None
    assert loaded.audio == silence


async def test_an_analysis_larger_than_a_request_is_saved_whole(store, pieces):
    analysis = make_full_analysis(scene_count=700, dimension=512)
    await store.save(analysis, await store.begin(analysis.item))
    loaded = await store.load(analysis.item.ref)
    assert loaded is not None
    assert fields(loaded) == fields(without_vectors(analysis))
    counts = await store.counts()
    assert (counts["scenes"], counts["embeddings"]) == (700, 700)
    assert pieces() == 0


async def test_the_largest_embeddings_of_known_models_are_kept(store):
    analysis = await analyzed(
        store, "1", scenes=make_scenes(unit_vectors(2, 1152)), embedding_model="siglip-so400m"
    )
    [match] = await store.nearest_items(
        unit_vectors(1, 1152), "siglip-so400m", exclude=make_item("2").ref
    )
    assert match.ref == analysis.item.ref
    assert match.score == pytest.approx(1.0, abs=1e-3)


# Fencing ----------------------------------------------------------------------------------------


async def test_each_begin_issues_a_higher_token(pair):
    item = make_item()
    first, second = await pair[0].begin(item), await pair[1].begin(item)
    assert second > first


async def test_a_stale_token_changes_nothing(pair):
    old, new = pair
    analysis = await analyzed(new, "1", pipeline="kept")
    stale = await old.begin(analysis.item)
    await new.begin(analysis.item)
    with pytest.raises(StaleTokenError):
        await old.save(replace(make_full_analysis(), item=analysis.item), stale)
    with pytest.raises(StaleTokenError):
        await old.fail(analysis.item.ref, "too late", stale)
    loaded = await new.load(analysis.item.ref)
    assert loaded is not None
    assert loaded.pipeline == "kept"
    assert await state_of(new, analysis.item.ref) is ItemState.PENDING


async def test_a_stale_token_is_noticed_before_all_pieces_have_travelled(pair, pieces):
    old, new = pair
    item = make_item()
    stale = await old.begin(item)
    await new.begin(item)
    large = replace(make_full_analysis(700, 512), item=item)
    with pytest.raises(StaleTokenError):
        await old.save(large, stale)
    assert pieces() == 0


async def test_tokens_of_different_items_do_not_meet(store):
    first = await store.begin(make_item("1"))
    await store.begin(make_item("2"))
    await store.begin(make_item("2"))
    await store.save(make_analysis(make_item("1")), first)


async def test_nobody_saves_what_was_never_begun(store):
    with pytest.raises(NotFoundError):
        await store.save(make_analysis(), 1)
    with pytest.raises(NotFoundError):
        await store.fail(make_item().ref, "why", 1)


async def test_two_saves_at_once_leave_one_of_them_whole(pair, pieces):
    analysis = make_full_analysis(scene_count=400, dimension=512)
    other = replace(analysis, pipeline="p2", scenes=analysis.scenes[:300], tags=(), moods=())
    token = await pair[0].begin(analysis.item)
    await asyncio.gather(pair[0].save(analysis, token), pair[1].save(other, token))
    loaded = await pair[0].load(analysis.item.ref)
    assert loaded is not None
    winner = analysis if loaded.pipeline == analysis.pipeline else other
    assert fields(loaded) == fields(without_vectors(winner))
    assert (await pair[0].counts())["embeddings"] == len(winner.scenes)
    assert pieces() == 0


async def test_begin_overtakes_a_save_that_has_not_ended(pair):
    """Whichever comes first: either the save is whole, or it is refused and changed nothing."""
    item = make_item()
    token = await pair[0].begin(item)
    large = replace(make_full_analysis(400, 512), item=item)
    saving = asyncio.create_task(pair[0].save(large, token))
    assert await pair[1].begin(item) == token + 1
    await asyncio.wait([saving])
    refusal = saving.exception()
    loaded = await pair[1].load(item.ref)
    if isinstance(refusal, StaleTokenError):
        assert loaded is None
    else:
        assert refusal is None
        assert loaded is not None
        assert len(loaded.scenes) == 400
    assert await state_of(pair[1], item.ref) in {ItemState.PENDING, ItemState.ANALYZED}


class Dying:
    """A transport whose process dies before it sends the last request of a save."""

    def __init__(self, inner) -> None:
        self._inner = inner
        self.place = inner.place
        self.request_bytes = 100_000

    async def call(self, function: str, request) -> object:
        if function == "moodreel_save":
            raise TransientError("killed")
        return await self._inner.call(function, request)

    async def aclose(self) -> None: ...


async def test_a_save_that_dies_half_way_leaves_the_former_analysis(pair, pieces):
    analysis = await analyzed(pair[0], "1", pipeline="former")
    token = await pair[0].begin(analysis.item)
    dying = DatabaseStore(Dying(pair[0]._transport))
    large = replace(make_full_analysis(200, 512), item=analysis.item)
    with pytest.raises(TransientError):
        await dying.save(large, token)
    assert pieces() > 1
    loaded = await pair[1].load(analysis.item.ref)
    assert loaded is not None
    assert fields(loaded) == fields(analysis)

    again = await pair[1].begin(analysis.item)
    assert pieces() == 0
    await pair[1].save(large, again)
    loaded = await pair[1].load(analysis.item.ref)
    assert loaded is not None
    assert len(loaded.scenes) == 200


async def test_an_upload_with_a_missing_piece_is_not_saved(store):
    analysis = await analyzed(store, "1", pipeline="former")
    token = await store.begin(analysis.item)
    attempt = {"server": "jellyfin", "item_id": "1", "token": token}
    upload = {**attempt, "upload_id": "9b2f4f3e-8a83-4a2e-9d55-0f7a4c1c2d10"}
    document = json.dumps(dump_analysis(replace(analysis, pipeline="half")))
    await store._transport.call("moodreel_upload", {**upload, "position": 1, "piece": document})
    with pytest.raises(TransientError, match="1 of 2 pieces"):
        await store._transport.call("moodreel_save", {**upload, "piece_count": 2})
    loaded = await store.load(analysis.item.ref)
    assert loaded is not None
    assert loaded.pipeline == "former"


# Failures, deletions, statuses ------------------------------------------------------------------


async def test_a_failure_keeps_its_reason_and_the_earlier_analysis(store):
    analysis = await analyzed(store, "1")
    newer = replace(analysis.item, revision="b")
    await store.fail(newer.ref, "cannot decode", await store.begin(newer))
    status = (await store.statuses([newer.ref]))[newer.ref]
    assert (status.state, status.reason) == (ItemState.FAILED, "cannot decode")
    assert status.revision == "b"
    loaded = await store.load(newer.ref)
    assert loaded is not None
    assert fields(loaded) == fields(analysis)


async def test_a_failure_without_a_token_is_kept_even_of_an_unknown_item(store):
    ref = ItemRef(server="jellyfin", item_id="unknown")
    await store.fail(ref, "the server has no such item")
    status = (await store.statuses([ref]))[ref]
    assert (status.state, status.reason) == (ItemState.FAILED, "the server has no such item")
    assert await store.load(ref) is None


async def test_a_failure_without_a_token_does_not_stop_an_attempt_under_way(store):
    item = make_item()
    token = await store.begin(item)
    await store.fail(item.ref, "an earlier job died")
    await store.save(make_analysis(item), token)
    status = (await store.statuses([item.ref]))[item.ref]
    assert (status.state, status.reason) == (ItemState.ANALYZED, "")


async def test_beginning_again_clears_the_failure(store):
    item = make_item()
    await store.fail(item.ref, "broken", await store.begin(item))
    await store.begin(item)
    status = (await store.statuses([item.ref]))[item.ref]
    assert (status.state, status.reason) == (ItemState.PENDING, "")


async def test_a_deleted_item_leaves_search_and_its_running_attempt_is_refused(store):
    analysis = await with_vectors(store, "1", [1.0, 0.0])
    token = await store.begin(analysis.item)
    await store.mark_deleted(analysis.item.ref)
    assert await state_of(store, analysis.item.ref) is ItemState.DELETED
    query = np.array([[1.0, 0.0]], np.float32)
    assert await store.nearest_items(query, MODEL, exclude=make_item("2").ref) == []
    with pytest.raises(StaleTokenError):
        await store.save(analysis, token)
    await store.fail(analysis.item.ref, "the server has no such item")
    assert await state_of(store, analysis.item.ref) is ItemState.DELETED


async def test_a_deleted_item_that_returns_is_analysed_again(store):
    analysis = await with_vectors(store, "1", [1.0, 0.0])
    await store.mark_deleted(analysis.item.ref)
    await store.save(analysis, await store.begin(analysis.item))
    query = np.array([[1.0, 0.0]], np.float32)
    [match] = await store.nearest_items(query, MODEL, exclude=make_item("2").ref)
    assert match.ref == analysis.item.ref


async def test_deleting_an_unknown_item_is_no_error(store):
    await store.mark_deleted(ItemRef(server="jellyfin", item_id="nobody"))
    assert (await store.counts())["items_deleted"] == 0


async def test_statuses_of_thousands_come_in_one_answer(store):
    await analyzed(store, "1")
    await store.begin(make_item("2"))
    known = [make_item("1").ref, make_item("2").ref]
    unknown = [ItemRef(server="folder", item_id=f"{n:032x}") for n in range(6_000)]
    found = await store.statuses([*unknown, *known])
    assert {ref: status.state for ref, status in found.items()} == {
        known[0]: ItemState.ANALYZED,
        known[1]: ItemState.PENDING,
    }
    assert found[known[0]].pipeline == "p1"
    assert found[known[0]].title == "Film 1"


async def test_more_statuses_than_postgrest_gives_rows_come_back(store, database):
    with psycopg.connect(database.dsn) as admin:
        admin.execute(
            "insert into media_items (server, item_id) "
            "select 'folder', n::text from generate_series(1, 1500) n"
        )
    refs = [ItemRef(server="folder", item_id=str(n)) for n in range(1, 1501)]
    assert len(await store.statuses(refs)) == 1500
    assert len(await store.list_statuses(limit=1400)) == 1400


async def test_the_latest_items_are_listed_first(store):
    for item_id in ("1", "2", "3"):
        await store.begin(make_item(item_id))
    await store.save(make_analysis(make_item("2")), 1)
    listed = [status.ref.item_id for status in await store.list_statuses(limit=2)]
    assert listed == ["2", "3"]


async def test_counts_name_every_state(store):
    await with_vectors(store, "1", [1.0, 0.0], [0.0, 1.0])
    await store.begin(make_item("2"))
    await store.fail(make_item("3").ref, "broken")
    await store.mark_deleted(make_item("3").ref)
    await store.claim_publication(make_item("1").ref, "discord", EVENT)
    await store.save_event({"id": EVENT})
    assert await store.counts() == {
        "items_pending": 1,
        "items_analyzed": 1,
        "items_failed": 0,
        "items_deleted": 1,
        "scenes": 2,
        "embeddings": 2,
        "publications_sending": 1,
        "publications_sent": 0,
        "publications_failed": 0,
        "events": 1,
    }


# Nearest items ----------------------------------------------------------------------------------


async def test_the_best_pair_of_scenes_says_how_near_an_item_is(store):
    await with_vectors(store, "east", [1.0, 0.0], [-1.0, 0.0])
    await with_vectors(store, "north", [0.0, 1.0])
    await with_vectors(store, "north-east", [0.6, 0.8], [-1.0, 0.0])
    query = np.array([[0.0, 1.0], [0.28, 0.96]], np.float32)
    matches = await store.nearest_items(query, MODEL, exclude=make_item("0").ref, limit=3)
    assert [match.ref.item_id for match in matches] == ["north", "north-east", "east"]
    # by hand: (0, 1)(0, 1) = 1; (.28, .96)(.6, .8) = .936; (.28, .96)(1, 0) = .28
    assert [match.score for match in matches] == pytest.approx([1.0, 0.936, 0.28], abs=2e-3)
    assert matches[0].title == "Film north"


async def test_any_number_of_vectors_finds_the_same_items(store):
    stored = unit_vectors(30, 16, seed=1)
    for number, vector in enumerate(stored):
        await with_vectors(store, str(number), vector.tolist())
    asked = unit_vectors(150, 16, seed=2)
    matches = await store.nearest_items(asked, MODEL, exclude=make_item("none").ref, limit=5)
    best = (asked @ stored.T).max(axis=0)
    assert [int(match.ref.item_id) for match in matches] == np.argsort(-best)[:5].tolist()
    assert [match.score for match in matches] == pytest.approx(-np.sort(-best)[:5], abs=2e-3)


async def test_an_item_is_not_its_own_match(store):
    analysis = await with_vectors(store, "1", [1.0, 0.0])
    await with_vectors(store, "2", [0.0, 1.0])
    query = np.array([[1.0, 0.0]], np.float32)
    [match] = await store.nearest_items(query, MODEL, exclude=analysis.item.ref, limit=5)
    assert match.ref.item_id == "2"


async def test_vectors_of_another_model_or_dimension_do_not_compare(store):
    await with_vectors(store, "1", [1.0, 0.0])
    await with_vectors(store, "2", [1.0, 0.0, 0.0])
    other = make_item("9").ref
    plane, space = np.array([[1.0, 0.0]], np.float32), np.array([[1.0, 0.0, 0.0]], np.float32)
    assert await store.nearest_items(plane, "another model", exclude=other) == []
    assert [m.ref.item_id for m in await store.nearest_items(plane, MODEL, exclude=other)] == ["1"]
    assert [m.ref.item_id for m in await store.nearest_items(space, MODEL, exclude=other)] == ["2"]


async def test_a_vector_of_zeros_is_near_nothing(store):
    await with_vectors(store, "1", [0.0, 0.0])
    await with_vectors(store, "2", [-1.0, 0.0])
    query, nobody = np.array([[1.0, 0.0]], np.float32), make_item("9").ref
    [match] = await store.nearest_items(query, MODEL, exclude=nobody, limit=5)
    assert match.ref.item_id == "2"
    assert await store.nearest_items(0.0 * query, MODEL, exclude=nobody) == []


async def test_nothing_is_near_no_vector(store):
    await with_vectors(store, "1", [1.0, 0.0])
    none = np.empty((0, 2), np.float32)
    assert await store.nearest_items(none, MODEL, exclude=make_item("2").ref) == []


async def test_an_item_that_is_analysed_again_stays_in_search_meanwhile(store):
    analysis = await with_vectors(store, "1", [1.0, 0.0])
    await store.begin(analysis.item)
    query = np.array([[1.0, 0.0]], np.float32)
    assert len(await store.nearest_items(query, MODEL, exclude=make_item("2").ref)) == 1


# The ledger of publications ---------------------------------------------------------------------


async def test_an_event_is_claimed_then_sent_and_never_claimed_again(store):
    ref = (await analyzed(store, "1")).item.ref
    claim = await store.claim_publication(ref, "discord", EVENT)
    assert (claim.state, claim.receipt) == (ClaimState.CLAIMED, "")
    await store.settle_publication(ref, "discord", EVENT, receipt="message 5")
    claim = await store.claim_publication(ref, "discord", EVENT)
    assert (claim.state, claim.receipt) == (ClaimState.SENT, "message 5")


async def test_channels_do_not_share_a_claim(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.claim_publication(ref, "discord", EVENT)
    claim = await store.claim_publication(ref, "http", EVENT)
    assert claim.state is ClaimState.CLAIMED


async def test_a_claim_that_nobody_settled_is_unknown_until_it_is(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.claim_publication(ref, "http", EVENT)
    for _ in range(2):
        claim = await store.claim_publication(ref, "http", EVENT)
        assert (claim.state, claim.receipt) == (ClaimState.UNKNOWN, "")
    await store.settle_publication(ref, "http", EVENT, receipt="204")
    assert (await store.claim_publication(ref, "http", EVENT)).state is ClaimState.SENT


async def test_an_event_that_could_not_be_sent_may_be_claimed_again(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.claim_publication(ref, "http", EVENT)
    await store.settle_publication(ref, "http", EVENT, error="503")
    assert (await store.counts())["publications_failed"] == 1
    assert (await store.claim_publication(ref, "http", EVENT)).state is ClaimState.CLAIMED


async def test_news_of_an_item_are_claimed_with_the_receipt_of_the_former(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.claim_publication(ref, "discord", EVENT)
    await store.settle_publication(ref, "discord", EVENT, receipt="message 5")
    claim = await store.claim_publication(ref, "discord", "news")
    assert (claim.state, claim.receipt) == (ClaimState.CLAIMED, "message 5")
    claim = await store.claim_publication(ref, "discord", "news")
    assert (claim.state, claim.receipt) == (ClaimState.UNKNOWN, "message 5")
    await store.settle_publication(ref, "discord", "news", error="429")
    claim = await store.claim_publication(ref, "discord", "news")
    assert (claim.state, claim.receipt) == (ClaimState.CLAIMED, "message 5")


async def test_a_late_word_on_a_former_event_does_not_settle_the_news(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.claim_publication(ref, "discord", EVENT)
    await store.claim_publication(ref, "discord", "news")
    with pytest.raises(StaleTokenError):
        await store.settle_publication(ref, "discord", EVENT, receipt="late")
    assert (await store.claim_publication(ref, "discord", "news")).state is ClaimState.UNKNOWN


async def test_of_two_claims_at_once_one_is_told_that_it_is_not_alone(pair):
    ref = (await analyzed(pair[0], "1")).item.ref
    claims = await asyncio.gather(
        *(store.claim_publication(ref, "discord", EVENT) for store in pair)
    )
    assert {claim.state for claim in claims} == {ClaimState.CLAIMED, ClaimState.UNKNOWN}


async def test_a_failure_before_any_claim_is_kept(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.settle_publication(ref, "discord", EVENT, error="the channel refuses us")
    assert (await store.claim_publication(ref, "discord", EVENT)).state is ClaimState.CLAIMED


async def test_nothing_of_an_unknown_item_can_be_published(store):
    with pytest.raises(NotFoundError):
        await store.claim_publication(make_item().ref, "discord", EVENT)


async def test_the_ledger_outlives_another_analysis(store):
    analysis = await analyzed(store, "1")
    await store.claim_publication(analysis.item.ref, "discord", EVENT)
    await store.settle_publication(analysis.item.ref, "discord", EVENT, receipt="5")
    await store.save(analysis, await store.begin(analysis.item))
    claim = await store.claim_publication(analysis.item.ref, "discord", EVENT)
    assert claim.state is ClaimState.SENT


async def test_an_event_is_kept_once_and_the_latest_comes_first(store):
    first = {"id": "1", "topic": "content.published.v1", "payload": {"duration": 1.5, "n": None}}
    await store.save_event(first)
    await store.save_event({"id": "2", "topic": "content.published.v1", "payload": {}})
    await store.save_event({"id": "1", "topic": "changed", "payload": {}})
    assert [event["id"] for event in await store.list_events()] == ["2", "1"]
    assert (await store.list_events())[1] == first
    assert len(await store.list_events(limit=1)) == 1


# Health -----------------------------------------------------------------------------------------


async def test_a_migrated_database_passes_the_check(store):
    [finding] = await store.check()
    assert finding.severity is Severity.OK


# Documents --------------------------------------------------------------------------------------


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(analysis=analyses)
async def test_any_analysis_survives_the_way_through_the_database(store, analysis):
    await store.save(analysis, await store.begin(analysis.item))
    loaded = await store.load(analysis.item.ref)
    assert fields(loaded) == fields(analysis)
