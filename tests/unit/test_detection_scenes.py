from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detection.concepts import Concepts
from service.detection.heard import HeardSounds
from service.detection.moments import EncodingFailure, gather_moments, unit
from service.detection.scenes import group_scenes, tag_scenes
from service.detection.shots import find_shots
from service.detection.signals import PictureMeter
from service.domain import Calibration, EncodingNote, ScoreKind, Shot
from service.vocabulary import TagWord, load_vocabulary
from tests.support.pictures import HEIGHT, WIDTH, cut_at, film, place, plain

AXES = np.eye(3, dtype=np.float32)
CONCEPTS = Concepts(
    model="small",
    calibration=Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0),
    tags=(
        TagWord(label="cat", kind="subject", prompts=("a cat",)),
        TagWord(label="dog", kind="subject", prompts=("a dog",)),
    ),
    tag_vectors=AXES[:2],
    moods=(),
    mood_vectors=AXES[:0],
    positive=(),
    positive_vectors=AXES[:0],
    negative=(),
    negative_vectors=AXES[:0],
    background_vectors=AXES[2:],
)


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


# Frames and vectors -----------------------------------------------------------------------------


def blurred(light=1.0):
    """Nothing but a soft gradient."""
    ramp = np.linspace(40, 200, WIDTH) * light
    return np.broadcast_to(ramp[None, :, None], (HEIGHT, WIDTH, 3)).astype(np.uint8)


def text_on_black(offset):
    picture = plain(0)
    picture[10 + offset : 40 + offset : 2, 30:100] = 200
    return picture


def show(*pictures, each_s=1.0):
    """A film that shows these pictures one after the other."""
    return lambda time_s: pictures[min(int(time_s / each_s), len(pictures) - 1)]


def times_of(scene):
    return [frame.time_s for frame in scene.frames]


@pytest.mark.parametrize(("length_s", "count"), [(1, 1), (3.9, 1), (4, 2), (6, 3), (59, 3)])
def test_a_scene_has_a_best_frame_for_each_two_seconds_and_three_at_most(length_s, count):
    signals = film(lambda _: place(1), length_s, rate_hz=4)
    (scene,) = group_scenes(shots_at(0, length_s), signals)
    assert len(scene.frames) == count
    gaps = np.diff(sorted(times_of(scene)))
    assert all(gaps >= length_s / 6)


def test_the_best_frames_come_first_and_the_first_is_the_keyframe():
    lights = [0.3, 0.5, 1.0, 0.7, 0.4, 0.2, 0.1, 0.1]
    signals = film(show(*(place(1, light=light) for light in lights)), 8.0, rate_hz=4)
    (scene,) = group_scenes(shots_at(0, 8), signals)
    qualities = [frame.quality for frame in scene.frames]
    assert qualities == sorted(qualities, reverse=True)
    assert (scene.keyframe_s, scene.quality) == (scene.frames[0].time_s, qualities[0])
    assert 2.0 <= scene.keyframe_s < 3.0
    at = np.searchsorted(signals.times_s, times_of(scene))
    assert qualities == pytest.approx(signals.quality()[at], abs=1e-4)


def test_blurred_frames_stand_for_a_scene_only_where_there_is_no_other():
    pictures = [blurred(), plain(0), place(1, light=0.3), blurred(), plain(255), blurred()]
    (scene,) = group_scenes(shots_at(0, 6), film(show(*pictures), 6.0, rate_hz=4))
    assert all(2.0 <= time_s < 3.0 for time_s in times_of(scene))
    pictures[2] = blurred(0.5)
    (scene,) = group_scenes(shots_at(0, 6), film(show(*pictures), 6.0, rate_hz=4))
    assert scene.quality == 0.0
    assert all(int(time_s) in {0, 2, 3, 5} for time_s in times_of(scene))
    (scene,) = group_scenes(shots_at(0, 6), film(lambda _: plain(0), 6.0, rate_hz=4))
    assert scene.quality == 0.0


def test_credits_stand_for_a_scene_only_where_there_is_no_other():
    credits_s = 160.0

    def picture(time_s):
        return place(1, light=0.3) if time_s < credits_s else text_on_black(int(time_s - credits_s))

    signals = film(picture, 180.0, rate_hz=4)
    story, last = group_scenes(shots_at(120, 170, 180), signals)
    assert (story.start_s, story.end_s) == (120, 170)
    assert all(time_s < credits_s for time_s in times_of(story))
    assert last.keyframe_s > 170
    assert last.quality > 0.0


def test_the_keyframes_vector_is_that_of_the_best_frame_that_has_one():
    lights = [0.5, 1.0, 0.8, 0.4]
    signals = film(show(*(place(1, light=light) for light in lights)), 4.0, rate_hz=2)
    vectors = unit(np.eye(4, dtype=np.float32))
    moments = gather_moments([0.5, 1.5, 2.5, 3.5], vectors)
    (scene,) = group_scenes(shots_at(0, 4), signals, moments)
    assert scene.keyframe_embedding == pytest.approx(vectors[1])
    some = gather_moments([0.5, 2.5, 3.5], vectors[[0, 2, 3]])
    (scene,) = group_scenes(shots_at(0, 4), signals, some)
    assert 1.0 <= scene.keyframe_s < 2.0
    assert scene.keyframe_embedding == pytest.approx(vectors[2])
    assert scene.embedding == pytest.approx(unit(vectors[[0, 2, 3]].mean(axis=0)), abs=1e-6)


def test_the_three_frames_of_a_vector_are_apart_in_time():
    signals = film(lambda t: place(1, light=1.0 if t < 1.0 else 0.8), 12.0, rate_hz=4)
    moments = moments_of([[1.0, 0.0]] * 8 + [[0.0, 1.0]] * 40, step_s=0.25)
    (scene,) = group_scenes(shots_at(0, 12), signals, moments)
    assert scene.embedding == pytest.approx(unit(np.array([1.0, 2.0], np.float32)), abs=1e-6)


def test_a_scene_that_could_not_be_encoded_says_why_and_the_others_are_intact():
    signals = film(cut_at([4.0, 8.0]), 12.0, rate_hz=2)
    times = [*np.arange(0, 4, 0.5), *np.arange(8, 12, 0.5)]
    moments = replace(
        gather_moments(times, unit(np.array([[1, 0]] * 8 + [[0, 1]] * 8, np.float32))),
        device="cpu",
        encode_ms=np.full(16, 12.5),
        failures=(
            EncodingFailure(time_s=4.0, error="not within 2 s"),
            EncodingFailure(time_s=5.0, error="not within 2 s"),
            EncodingFailure(time_s=11.75, error="lost"),
        ),
    )
    first, failed, last = group_scenes(shots_at(0, 4, 8, 12), signals, moments, model="clip")
    assert (failed.embedding, failed.keyframe_embedding) == (None, None)
    assert len(failed.frames) == 2
    assert failed.encoding == EncodingNote(
        model="clip", dimension=2, device="cpu", error="not within 2 s"
    )
    assert first.embedding == pytest.approx(np.array([1.0, 0.0]))
    assert first.encoding == EncodingNote(
        model="clip", dimension=2, device="cpu", frame_count=8, inference_ms=100.0
    )
    assert last.embedding == pytest.approx(np.array([0.0, 1.0]))
    assert last.encoding is not None
    assert last.encoding.error == "lost"


def test_a_vector_that_was_taken_over_counts_in_the_mean_but_not_as_encoded():
    """A picture lasts until the cut after it, where the next frame is of another scene."""
    signals = film(lambda t: plain(0) if t < 4 else place(1), 0, times_s=[0.0, 1.0, 4.0, 8.0])
    vectors = unit(np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    moments = gather_moments([1.0, 3.75, 4.5], vectors)
    moments = replace(moments, encode_ms=np.array([20.0, 0.0, 30.0]))
    first, second = group_scenes(shots_at(0, 4, 10), signals, moments, model="clip")
    assert first.embedding == pytest.approx(np.array([1.0, 0.0]))
    assert [scene.encoding and scene.encoding.frame_count for scene in (first, second)] == [1, 1]
    assert [scene.encoding and scene.encoding.inference_ms for scene in (first, second)] == [20, 30]


def test_a_moment_is_rated_by_a_frame_of_its_own_scene():
    """The picture before a cut lasts up to it; the frame nearest in time is behind the cut."""
    signals = film(
        lambda t: place(1) if 2 <= t < 4 else plain(0), 0, times_s=[0.0, 2.0, 4.1, 5.0, 9.0]
    )
    vectors = unit(np.array([[1, 0], [0, 1]], np.float32))
    moments = gather_moments([0.5, 3.75], vectors)
    (scene, _) = group_scenes(shots_at(0, 4, 10), signals, moments)
    assert scene.keyframe_s == 2.0
    assert scene.keyframe_embedding == pytest.approx(vectors[1])


def test_where_nothing_could_be_encoded_scenes_are_those_of_the_colours():
    signals = film(cut_at([4.0, 8.0]), 12.0, rate_hz=2)
    failures = tuple(EncodingFailure(time_s=float(t), error="no answer") for t in range(12))
    nothing = replace(gather_moments([], np.zeros((0, 2), np.float32)), failures=failures)
    scenes = group_scenes(shots_at(0, 4, 8, 12), signals, nothing, nothing, model="clip")
    assert spans(scenes) == spans(group_scenes(shots_at(0, 4, 8, 12), signals))
    for scene in scenes:
        assert (scene.embedding, scene.keyframe_embedding, scene.sound_embedding) == (None,) * 3
        assert scene.encoding == EncodingNote(
            model="clip", dimension=2, device="", error="no answer"
        )


def test_a_still_picture_that_was_encoded_once_stands_for_all_scenes_that_show_it():
    still, other = place(1), place(2)
    signals = film(lambda t: still if t < 150 else other, 160.0, rate_hz=1)
    moments = moments_of([[1.0, 0.0], [0.0, 1.0]], step_s=150.0)
    scenes = group_scenes(shots_at(0, 150, 160), signals, moments, model="clip")
    assert [scene.start_s for scene in scenes] == [0, 50, 100, 150]
    for scene in scenes[:3]:
        assert scene.embedding == pytest.approx(np.array([1.0, 0.0]))
    assert scenes[3].embedding == pytest.approx(np.array([0.0, 1.0]))
    assert [scene.encoding and scene.encoding.frame_count for scene in scenes] == [1, 0, 0, 1]
    unlike = gather_moments([155.0], unit(np.array([[0.0, 1.0]], np.float32)))
    first = group_scenes(shots_at(0, 150, 160), signals, unlike, model="clip")[0]
    assert first.embedding is None


def test_a_scene_sounds_like_the_windows_in_it_and_a_short_one_like_what_covers_it():
    signals = film(cut_at([20.0, 22.0]), 60.0, rate_hz=2)
    vectors = unit(np.eye(3, dtype=np.float32))
    listened = gather_moments([5.0, 15.0, 25.0], vectors)
    scenes = group_scenes(shots_at(0, 20, 22, 30, 60), signals, None, listened)
    assert spans(scenes) == [(0.0, 20.0), (20.0, 22.0), (22.0, 60.0)]
    long, short, rest = scenes
    assert long.sound_embedding == pytest.approx(unit(vectors[0] + vectors[1]))
    assert short.sound_embedding == pytest.approx(vectors[2])
    assert rest.sound_embedding == pytest.approx(vectors[2])
    silent = gather_moments([5.0], vectors[:1])
    assert group_scenes(shots_at(0, 20, 60), signals, None, silent)[-1].sound_embedding is None
    assert all(scene.encoding is None for scene in scenes)


def test_vectors_that_cancel_out_leave_the_best_one():
    signals = film(lambda _: place(1), 2.0, rate_hz=2)
    moments = gather_moments([0.5, 1.5], np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32))
    (scene,) = group_scenes(shots_at(0, 2), signals, moments)
    assert scene.embedding == pytest.approx(moments.vectors[0, 0])


def test_a_scene_that_could_not_be_encoded_is_not_tagged_with_what_its_neighbours_show():
    signals = film(cut_at([4.0]), 8.0, rate_hz=2)
    moments = gather_moments([index / 2 for index in range(8)], np.tile(AXES[0], (8, 1)))
    failures = (EncodingFailure(time_s=6.0, error="no answer"),)
    moments = replace(moments, failures=failures)
    scenes = group_scenes(shots_at(0, 4, 8), signals, moments)
    first, second = tag_scenes(scenes, load_vocabulary(), context=moments, concepts=CONCEPTS)
    assert (first.tags, second.tags) == (("cat",), ())


def test_scenes_get_the_tags_that_a_model_of_sounds_and_words_hears_in_them():
    signals = film(cut_at([20.0]), 40.0, rate_hz=2)
    listened = gather_moments([5.0, 15.0], np.tile(AXES[1], (2, 1)))
    first, second = tag_scenes(
        group_scenes(shots_at(0, 20, 40), signals),
        load_vocabulary(),
        listened=listened,
        sound_concepts=CONCEPTS,
    )
    assert (first.tags, second.tags) == (("dog",), ())


# Anything at all --------------------------------------------------------------------------------

LENGTH_S = 90.0
some_times = st.lists(st.floats(0, LENGTH_S, width=32), max_size=25, unique=True)
PICTURES = [place(1), place(2, light=0.4), blurred(), plain(0), plain(255), text_on_black(3)]


@settings(max_examples=150, deadline=None)
@given(
    cuts=st.lists(st.floats(0.1, LENGTH_S - 0.1), max_size=8, unique=True),
    frames=some_times.filter(bool),
    model=st.tuples(some_times, some_times, some_times),
    seed=st.integers(0, 99),
)
def test_any_times_give_scenes_that_hold_together(cuts, frames, model, seed):
    encoded, failed, heard = model
    rng = np.random.default_rng(seed)
    signals = film(lambda t: PICTURES[int(t * 7 + seed) % 6], 0, times_s=frames)
    moments = replace(
        gather_moments(encoded, unit(rng.normal(size=(len(encoded), 2, 4)))),
        failures=tuple(EncodingFailure(time_s=t, error="lost") for t in sorted(failed)),
    )
    listened = gather_moments(heard, unit(rng.normal(size=(len(heard), 1, 3))))
    shots = shots_at(0.0, *sorted(cuts), LENGTH_S)
    scenes = group_scenes(shots, signals, moments, listened, model="clip")
    assert (scenes[0].start_s, scenes[-1].end_s) == (0.0, LENGTH_S)
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(scenes))
    assert sum(s.encoding.frame_count for s in scenes if s.encoding) == len(moments)
    for scene in scenes:
        length_s = scene.end_s - scene.start_s
        assert 1 <= len(scene.frames) <= min(3, max(1, int(length_s / 2 + 1e-3)))
        assert all(scene.start_s <= time_s <= scene.end_s for time_s in times_of(scene))
        assert all(np.diff(sorted(times_of(scene))) >= length_s / 6 - 2e-3)
        qualities = [frame.quality for frame in scene.frames]
        assert qualities == sorted(qualities, reverse=True)
        assert (scene.keyframe_s, scene.quality) == (scene.frames[0].time_s, qualities[0])
        assert (scene.embedding is None) == (scene.keyframe_embedding is None)
        for vector in (scene.embedding, scene.keyframe_embedding, scene.sound_embedding):
            assert vector is None or np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
        assert scene.encoding is not None
        if scene.encoding.frame_count:
            assert scene.embedding is not None
        elif scene.encoding.error:
            assert scene.embedding is None
