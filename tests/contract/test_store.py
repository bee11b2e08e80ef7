"""One contract for the store, over psycopg and over the real PostgREST: analyses and fences."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings

from adapters.database.records import dump_analysis
from adapters.database.store import DatabaseStore
from service.domain import (
    ItemRef,
    ItemState,
    Severity,
    SoundAnalysis,
)
from service.errors import NotFoundError, StaleTokenError, TransientError
from tests.support.stores import (
    analyses,
    analyzed,
    fields,
    make_analysis,
    make_full_analysis,
    make_item,
    make_scenes,
    state_of,
    unit_vectors,
    without_vectors,
)

EVENT = "7e57d004-2b97-5e7a-b45f-5387367791cd"


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


# Health -----------------------------------------------------------------------------------------


async def test_a_migrated_database_passes_the_check(store):
    [finding] = await store.check()
    assert finding.severity is Severity.OK


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
