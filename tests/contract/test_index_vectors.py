"""One contract for the index of scenes, over both transports: vectors and cards."""

from __future__ import annotations

import numpy as np
import pytest

from service.domain import (
    MediaKind,
)
from service.query import (
    QueryVector,
    SceneKey,
    SearchChannel,
    VectorKind,
)
from tests.support.indexed import (
    EAST,
    NORTH,
    NORTH_EAST,
    asked,
    nearest,
    scene,
    scenes,
)
from tests.support.stores import (
    MODEL,
    SOUND_MODEL,
    analyzed,
    make_full_analysis,
    make_item,
    unit_vectors,
    with_vectors,
)

# Vectors ----------------------------------------------------------------------------------------


async def test_the_nearest_scenes_come_first(store, index):
    first = await with_vectors(store, "1", NORTH, EAST)
    second = await with_vectors(store, "2", NORTH_EAST)
    found = await nearest(index, asked(EAST), limit=2)
    assert [one.scene for one in found] == [
        SceneKey(ref=first.item.ref, position=1),
        SceneKey(ref=second.item.ref, position=0),
    ]
    assert [one.score for one in found] == pytest.approx([1.0, 0.8], abs=1e-3)


async def test_a_scene_is_as_near_as_the_nearer_of_its_pictures_vectors(store, index):
    pictured = scene(
        embedding=np.array(NORTH, np.float32), keyframe_embedding=np.array(EAST, np.float32)
    )
    await analyzed(store, "1", scenes=scenes(pictured), embedding_model=MODEL)
    [candidate] = await nearest(index, asked(EAST))
    assert candidate.score == pytest.approx(1.0)


async def test_vectors_of_other_models_kinds_and_lengths_do_not_compare(store, index):
    heard = scene(sound_embedding=np.array(EAST, np.float32))
    await analyzed(store, "1", scenes=scenes(heard), sound_embedding_model=SOUND_MODEL)
    sound = asked(EAST, VectorKind.SOUND, SOUND_MODEL)
    assert len(await nearest(index, sound, SearchChannel.AUDIO)) == 1
    assert not await nearest(index, asked(EAST, model=SOUND_MODEL))
    assert not await nearest(index, asked(EAST, VectorKind.SOUND), SearchChannel.AUDIO)
    longer = asked([1.0, 0.0, 0.0], VectorKind.SOUND, SOUND_MODEL)
    assert not await nearest(index, longer, SearchChannel.AUDIO)


async def test_a_vector_of_zeros_is_near_to_nothing(store, index):
    await with_vectors(store, "1", [0.0, 0.0])
    assert not await nearest(index, asked(EAST))
    key = SceneKey(ref=make_item("1").ref, position=0)
    assert await index.score_scenes(asked(EAST), [key]) == {}


async def test_scenes_are_scored_in_one_call_and_those_without_a_vector_are_absent(store, index):
    first = (await with_vectors(store, "1", EAST, NORTH_EAST, NORTH)).item.ref
    await analyzed(store, "bare", scenes=scenes(scene()))
    keys = [SceneKey(ref=first, position=position) for position in (2, 1, 0, -1, 7)]
    keys += [SceneKey(ref=make_item(name).ref, position=0) for name in ("bare", "unknown")]
    scores = await index.score_scenes(asked(EAST), keys)
    assert list(map(scores.get, keys[:4])) == pytest.approx([0.0, 0.8, 1.0, 1.0], abs=1e-3)
    assert set(scores) == set(keys[:4])


async def test_five_hundred_scenes_of_long_vectors_fit_into_a_request(store, index):
    vectors = unit_vectors(500, 1152)
    await with_vectors(store, "1", *vectors.tolist())
    ref = make_item("1").ref
    keys = [SceneKey(ref=ref, position=position) for position in range(500)]
    query = QueryVector(model=MODEL, kind=VectorKind.SCENE, values=vectors[7])
    scores = await index.score_scenes(query, keys)
    expected = vectors @ vectors[7]
    assert [scores[key] for key in keys] == pytest.approx(expected.tolist(), abs=2e-3)


async def test_vectors_come_back_as_they_were_kept(store, index):
    vectors = unit_vectors(3, 8)
    await with_vectors(store, "1", *vectors.tolist())
    ref = make_item("1").ref
    one = await index.load_vectors([SceneKey(ref=ref, position=1)], VectorKind.SCENE, MODEL)
    assert one[SceneKey(ref=ref, position=1)] == pytest.approx(vectors[1], abs=1e-3)
    whole = await index.load_vectors([SceneKey(ref=ref, position=-1)], VectorKind.SCENE, MODEL)
    assert [key.position for key in whole] == [0, 1, 2]
    assert all(vector.dtype == np.float32 for vector in whole.values())


# Cards ------------------------------------------------------------------------------------------


async def test_a_card_says_what_is_shown_of_a_scene_and_of_an_item(store, index):
    full = make_full_analysis()
    await store.save(full, await store.begin(full.item))
    keys = [SceneKey(ref=full.item.ref, position=position) for position in (1, -1, 99)]
    cards = await index.load_cards(keys)
    assert set(cards) == set(keys[:2])
    shown, whole = cards[keys[0]], cards[keys[1]]
    assert (shown.title, shown.series, shown.year) == (full.item.title, "The Series", 1987)
    assert (shown.season_number, shown.episode_number) == (0, 7)
    assert (shown.kind, shown.library) == (MediaKind.EPISODE, "Serien & Mehr")
    assert shown.server_url == full.item.url
    assert (shown.start_s, shown.end_s, shown.keyframe_s) == (10.0, 20.0, 15.0)
    assert (shown.tags, shown.moods) == (("beach", "sun"), ("joyful", "calm"))
    assert shown.caption == "Waves roll onto a beach."
    assert (whole.start_s, whole.end_s, whole.keyframe_s) == (0.0, 1324.04, None)
    assert whole.tags == ("beach", "bright")
