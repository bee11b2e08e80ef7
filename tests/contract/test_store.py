"""One contract for the store, over psycopg and over the real PostgREST: analyses."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings

from service.domain import (
    ItemRef,
    Severity,
    SoundAnalysis,
)
from tests.support.stores import (
    analyses,
    analyzed,
    fields,
    make_analysis,
    make_full_analysis,
    make_item,
    make_scenes,
    unit_vectors,
    without_vectors,
)

EVENT = "7e57d004-2b97-5e7a-b45f-5387367791cd"


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


async def test_the_moment_of_the_installation_stays(store):
    installed_at = await store.installed_at()
    assert installed_at < datetime.now(UTC)
    assert await store.installed_at() == installed_at


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
