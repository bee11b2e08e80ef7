"""One contract for the store, over psycopg and over the real PostgREST: analyses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from psycopg.rows import dict_row

from service.domain import (
    EncodingNote,
    Highlight,
    ItemRef,
    Scene,
    Severity,
    SoundAnalysis,
)
from tests.support.stores import (
    MODEL,
    SOUND_MODEL,
    analyses,
    analyzed,
    fields,
    make_analysis,
    make_full_analysis,
    make_full_scenes,
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
    assert (counts["scenes"], counts["embeddings"], counts["sound_embeddings"]) == (0, 0, 0)
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


async def test_what_a_language_model_wrote_is_cleaned_and_bounded(store):
    wild = "a\x00b \ud800 '); drop table media_items; --" + "long " * 10_000
    scene = Scene(
        start_s=0,
        end_s=1,
        keyframe_s=0.5,
        quality=1,
        caption=wild,
        encoding=EncodingNote(model=wild[:9], dimension=2, device="cpu", error=wild),
    )
    highlight = Highlight(start_s=0, end_s=1, peak_s=0.5, score=1, caption=wild)
    analysis = await analyzed(store, "1", scenes=(scene,), highlights=(highlight,))
    loaded = await store.load(analysis.item.ref)
    assert loaded is not None
    [kept], [best] = loaded.scenes, loaded.highlights
    assert kept.encoding is not None
    for written in (kept.caption, kept.encoding.error, best.caption):
        assert written.startswith("a\ufffdb \ufffd '); drop table media_items; --long ")
        assert len(written) == 2_000
    assert kept.encoding.model == "a\ufffdb \ufffd ');"


async def test_each_kind_of_vector_is_kept_under_its_own_model(store, database):
    scenes = make_full_scenes(2, 4)
    silent = replace(scenes[1], sound_embedding=None)
    unseen = replace(scenes[0], embedding=None, keyframe_embedding=None)
    await analyzed(
        store,
        "1",
        scenes=(scenes[0], silent, unseen),
        embedding_model=MODEL,
        sound_embedding_model=SOUND_MODEL,
    )
    with psycopg.connect(database.dsn) as admin:
        rows = admin.execute(
            "select kind, position, model, dimension, embedding::text from scene_embeddings"
        ).fetchall()
    kept = {(kind, position): json.loads(text) for kind, position, _, _, text in rows}
    assert {(kind, model, dimension) for kind, _, model, dimension, _ in rows} == {
        ("scene", MODEL, 4),
        ("keyframe", MODEL, 4),
        ("sound", SOUND_MODEL, 4),
    }
    assert kept == {
        ("scene", 0): pytest.approx(scenes[0].embedding, abs=1e-3),
        ("scene", 1): pytest.approx(scenes[1].embedding, abs=1e-3),
        ("keyframe", 0): pytest.approx(scenes[0].keyframe_embedding, abs=1e-3),
        ("keyframe", 1): pytest.approx(scenes[1].keyframe_embedding, abs=1e-3),
        ("sound", 0): pytest.approx(scenes[0].sound_embedding, abs=1e-3),
        ("sound", 2): pytest.approx(scenes[0].sound_embedding, abs=1e-3),
    }


async def test_how_each_scenes_vectors_came_to_be_can_be_read_as_a_table(store, database):
    first, second, third = make_full_scenes(3, 4)
    assert second.encoding is not None
    error = replace(second.encoding, frame_count=0, inference_ms=0.0, error="not within 2 s")
    failed = replace(second, embedding=None, keyframe_embedding=None, encoding=error)
    analysis = await analyzed(
        store,
        "1",
        scenes=(first, failed, replace(third, encoding=None)),
        embedding_model=MODEL,
    )
    with psycopg.connect(database.dsn, row_factory=dict_row) as admin:
        rows = admin.execute("select * from scene_clip_metadata order by position").fetchall()
    assert [row["has_embedding"] for row in rows] == [True, False]
    assert [row["error"] for row in rows] == ["one frame: no answer within 2 s", "not within 2 s"]
    assert (
        rows[0].items()
        >= {
            "server": "jellyfin",
            "item_id": "1",
            "position": 0,
            "keyframe_s": 5.0,
            "model_name": MODEL,
            "embed_dim": 4,
            "normalized": True,
            "device": "cpu",
            "frame_quality": 0.5,
            "frame_count": 12,
            "inference_time_ms": 140.5,
            "created_at": await store.saved_at(analysis.item.ref),
        }.items()
    )


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
    assert (counts["scenes"], counts["embeddings"], counts["sound_embeddings"]) == (700, 700, 700)
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
    # Of content that is known already, the earliest date of arrival is kept.
    analysis = replace(analysis, item=replace(analysis.item, revision=uuid4().hex))
    await store.save(analysis, await store.begin(analysis.item))
    loaded = await store.load(analysis.item.ref)
    assert fields(loaded) == fields(analysis)
