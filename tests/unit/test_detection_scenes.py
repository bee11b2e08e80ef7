from __future__ import annotations

import itertools

import numpy as np
import pytest

from service.detection.heard import HeardSounds
from service.detection.moments import gather_moments, unit
from service.detection.scenes import group_scenes, tag_scenes
from service.detection.shots import find_shots
from service.detection.signals import PictureMeter
from service.domain import Shot
from service.vocabulary import load_vocabulary
from tests.support.pictures import cut_at, film, place, plain


def shots_at(*edges):
    return [Shot(start_s=a, end_s=b) for a, b in itertools.pairwise(edges)]


def spans(scenes):
    return [(scene.start_s, scene.end_s) for scene in scenes]


def moments_of(directions, step_s=0.5):
    vectors = unit(np.array(directions, np.float32))
    return gather_moments([index * step_s for index in range(len(vectors))], vectors)


def test_shots_of_one_place_become_one_scene_without_a_model():
    # place 1, place 2, place 1, place 2 (shot and counter-shot), then place 5.
    pictures = [place(1), place(2), place(1), place(2), place(5)]
    signals = film(lambda t: pictures[int(t // 4)], 20.0, rate_hz=4)
    scenes = group_scenes(shots_at(0, 4, 8, 12, 16, 20), signals)
    assert spans(scenes)[-1] == (16.0, 20.0)
    assert all(scene.embedding is None for scene in scenes)


def test_with_vectors_meaning_decides_not_colour():
    signals = film(cut_at([4.0, 8.0]), 12.0, rate_hz=2)
    east, north = [1.0, 0.0], [0.0, 1.0]
    moments = moments_of([east] * 16 + [north] * 8)
    scenes = group_scenes(shots_at(0, 4, 8, 12), signals, moments)
    assert spans(scenes) == [(0.0, 8.0), (8.0, 12.0)]
    assert scenes[1].embedding == pytest.approx(np.array(north))


def test_a_scene_too_short_joins_the_neighbour_it_resembles():
    signals = film(lambda _: place(1), 10.0, rate_hz=4)
    near_north = [0.5, 0.9]
    moments = moments_of([[1.0, 0.0]] * 10 + [near_north] + [[0.0, 1.0]] * 9)
    scenes = group_scenes(shots_at(0, 5, 5.5, 10), signals, moments)
    assert spans(scenes) == [(0.0, 5.0), (5.0, 10.0)]


def test_a_long_take_is_cut_evenly():
    signals = film(lambda _: place(1), 150.0, rate_hz=1)
    assert spans(group_scenes(shots_at(0, 150), signals)) == [
        (0.0, 50.0),
        (50.0, 100.0),
        (100.0, 150.0),
    ]


def test_the_best_frame_is_neither_black_nor_white():
    def picture(time_s):
        if time_s < 2.0:
            return plain(0)
        return plain(255) if time_s > 3.0 else place(1)

    (scene,) = group_scenes(shots_at(0, 6), film(picture, 6.0, rate_hz=4))
    assert 2.0 <= scene.keyframe_s <= 3.0
    assert scene.quality > 0.1


def test_the_vector_is_the_unit_mean_of_the_three_best_frames():
    def picture(time_s):
        return place(1) if time_s < 2.0 else plain(0)

    vectors = [
        [-1.0, 0.0],
        [0.0, 1.0],
        [1.0, 0.0],
        [1.0, 0.0],
        *([[-1.0, 0.0]] * 4),
    ]  # the first lies on a cut
    (scene,) = group_scenes(shots_at(0, 4), film(picture, 4.0, rate_hz=2), moments_of(vectors))
    assert scene.embedding == pytest.approx(unit(np.array([2.0, 1.0], np.float32)), abs=1e-6)


def test_scenes_cover_the_shots_even_where_no_frame_was_sampled():
    signals = film(lambda _: place(1), 0, times_s=[0.0, 30.0])
    scenes = group_scenes(shots_at(0, 10, 20, 40), signals)
    assert scenes[0].start_s == 0.0
    assert scenes[-1].end_s == 40.0
    assert all(scene.start_s <= scene.keyframe_s <= scene.end_s for scene in scenes)


def test_without_frames_or_shots_there_are_no_scenes():
    assert group_scenes((), PictureMeter().signals()) == ()
    assert group_scenes(shots_at(0, 4), PictureMeter().signals()) == ()


def test_scenes_get_the_tags_that_are_heard_in_them():
    vocabulary = load_vocabulary()
    signals = film(cut_at([5.0]), 10.0, rate_hz=4)
    scenes = group_scenes(
        find_shots(signals, 10.0), signals, moments_of([[1, 0]] * 10 + [[0, 1]] * 10)
    )
    scores = np.array([[0.9, 0.0]] * 5 + [[0.0, 0.8]] * 5, np.float32)
    heard = HeardSounds(
        model="tagger", labels=("Bark", "Meow"), times_s=np.linspace(0.5, 9.5, 10), scores=scores
    )
    first, second = tag_scenes(scenes, vocabulary, heard=heard)
    assert first.tags == ("dog",)
    assert second.tags == ("cat",)
