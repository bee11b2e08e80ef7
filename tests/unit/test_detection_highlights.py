from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detection.comfort import find_discomfort
from service.detection.concepts import Concepts
from service.detection.heard import HeardSounds
from service.detection.highlights import (
    HighlightRules,
    find_dead_spans,
    find_highlights,
    fuse_voices,
)
from service.detection.moments import gather_moments, unit
from service.detection.sound import SoundMeter
from service.detection.voices import SILENT, Voice, hear_picture, hear_signals, hear_sounds
from service.domain import AudioWindow, Calibration, MediaKind, ScoreKind, Shot
from service.vocabulary import HighlightCue, load_vocabulary
from tests.support.pictures import film, place, plain

VOCABULARY = load_vocabulary()


def voice(times_s, strengths, weight=1.0, label="fun"):
    strengths = np.array(strengths, np.float32)
    return Voice(
        times_s=np.array(times_s, np.float64),
        strengths=strengths,
        weight=weight,
        labels=(label,),
        shares=strengths[:, None],
    )


def hill(start_s, end_s, duration_s=60.0, height=0.9, floor=0.1):
    times = np.arange(0.0, duration_s, 0.25)
    return voice(times, np.where((times >= start_s) & (times < end_s), height, floor))


def spans(highlights):
    return [(highlight.start_s, highlight.end_s) for highlight in highlights]


def test_a_hill_is_a_highlight_from_foot_to_foot():
    (highlight,) = find_highlights([hill(20, 30)], 60.0)
    assert highlight.start_s == pytest.approx(20.0, abs=0.25)
    assert highlight.end_s == pytest.approx(30.0, abs=0.25)
    assert highlight.score == pytest.approx(0.9)
    assert highlight.reasons == ("fun",)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_steady_curve_has_no_highlight_however_high(level):
    assert find_highlights([voice(np.arange(60.0), np.full(60, level))], 60.0) == ()


def test_a_dull_item_has_no_highlight_although_something_is_its_best():
    assert find_highlights([hill(20, 30, height=0.2, floor=0.0)], 60.0) == ()


def test_the_best_comes_first():
    both = voice(
        np.arange(0, 60.0),
        [0.9 if 40 <= t < 46 else 0.7 if 10 <= t < 16 else 0.0 for t in range(60)],
    )
    first, second = find_highlights([both], 60.0)
    assert [first.score, second.score] == pytest.approx([0.9, 0.7])
    assert first.start_s > second.end_s


def test_edges_snap_to_near_cuts_and_not_to_far_ones():
    shots = [Shot(start_s=0, end_s=19.5), Shot(start_s=19.5, end_s=55), Shot(start_s=55, end_s=60)]
    (highlight,) = find_highlights([hill(20, 30)], 60.0, shots=shots)
    assert highlight.start_s == 19.5
    assert highlight.end_s == pytest.approx(30.0, abs=0.25)


def test_snapping_moves_no_highlight_into_another():
    times = np.arange(0.0, 60.0, 0.25)
    two = voice(times, np.where((times >= 20) & (times < 25), 0.9, 0.0))
    two.strengths[(times >= 26.5) & (times < 32)] = 0.8
    shots = [Shot(start_s=0, end_s=26.3), Shot(start_s=26.3, end_s=60)]
    first, second = find_highlights([two], 60.0, shots=shots)
    late = [Shot(start_s=0, end_s=25.7), Shot(start_s=25.7, end_s=60)]
    assert second.start_s >= first.end_s + 1.0 - 1e-6
    first, second = find_highlights([two], 60.0, shots=late)
    assert second.start_s >= first.end_s + 1.0 - 1e-6


def test_a_long_plateau_is_cut_down_around_its_peak():
    rules = HighlightRules(max_length_s=10.0, max_count=1)
    times = np.arange(0.0, 120.0, 0.5)
    strengths = np.where((times > 20) & (times < 60), 0.8, 0.0)
    strengths[times == 35.0] = 0.9
    (highlight,) = find_highlights([voice(times, strengths)], 120.0, rules=rules)
    assert highlight.end_s - highlight.start_s == pytest.approx(10.0)
    assert highlight.start_s <= 35.0 <= highlight.end_s


@pytest.mark.parametrize("kind", [MediaKind.MOVIE, MediaKind.EPISODE])
def test_the_last_quarter_of_a_story_is_not_given_away(kind):
    assert find_highlights([hill(50, 56)], 60.0, kind=kind) == ()
    (early,) = find_highlights([hill(42, 50)], 60.0, kind=kind)
    assert early.end_s <= 45.0
    told = HighlightRules(guard_spoilers=False)
    assert len(find_highlights([hill(50, 56)], 60.0, kind=kind, rules=told)) == 1


def test_a_home_video_may_be_best_at_its_end():
    assert len(find_highlights([hill(50, 56)], 60.0, kind=MediaKind.VIDEO)) == 1


def test_excluded_chapters_hold_no_highlight():
    assert find_highlights([hill(20, 30)], 60.0, excluded=[(15.0, 35.0)]) == ()


def test_what_only_leads_up_to_a_closed_stretch_is_no_highlight():
    """Context spreads a climax over the seconds around it."""
    times = np.arange(0.0, 60.0, 0.25)
    climax = voice(times, np.clip(1.0 - np.abs(times - 47.0) / 6.0, 0.0, 1.0))
    assert find_highlights([climax], 60.0, kind=MediaKind.MOVIE) == ()
    opening = voice(times, np.clip((22.0 - times) / 6.0, 0.0, 1.0))
    assert find_highlights([opening], 60.0, excluded=[(0.0, 18.0)]) == ()


def test_what_rises_until_the_end_of_an_item_is_a_highlight():
    times = np.arange(0.0, 60.25, 0.25)
    rising = voice(times, np.clip((times - 50.0) / 10.0, 0.0, 1.0))
    (highlight,) = find_highlights([rising], 60.0)
    assert highlight.end_s == 60.0


def test_black_stretches_and_late_credits_are_dead():
    def picture(time_s):
        if time_s < 10.0:
            return plain(0)
        if time_s < 110.0:
            return place(int(time_s) % 5)
        card = plain(10)
        card[30:34, 40:90] = 230  # a line of white text
        return card

    dead = find_dead_spans(film(picture, 120.0, rate_hz=2), 120.0)
    assert (0.0, 10.0) in dead
    assert any(start == pytest.approx(110.0, abs=1.0) and end == 120.0 for start, end in dead)


def test_absent_voices_drop_out_and_the_rest_count_for_the_whole():
    curve = fuse_voices([hill(20, 30), voice([], [], weight=3.0)], 60.0)
    assert curve is not None
    assert curve.values.max() == pytest.approx(0.9)
    assert fuse_voices([voice([], [])], 60.0) is None
    assert find_highlights([], 60.0) == ()


def test_weights_are_shares_of_what_is_there():
    picture, sound = hill(20, 30, height=1.0, floor=0.0), hill(40, 50, height=1.0, floor=0.0)
    curve = fuse_voices([picture, Voice(**{**vars_of(sound), "weight": 3.0})], 60.0)
    assert curve is not None
    at = dict(zip(curve.times_s.tolist(), curve.values.tolist(), strict=True))
    assert at[25.0] ** 2 == pytest.approx(0.25)
    assert at[45.0] ** 2 == pytest.approx(0.75)


def vars_of(given):
    return {name: getattr(given, name) for name in Voice.__dataclass_fields__}


rates = st.sampled_from([23.976, 24.0, 25.0, 29.97, 30.0, 59.94])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), rates)
def test_the_best_highlight_peaks_where_the_item_does(seed, rate_hz):
    """Random scores for every half second of frames: nothing is lost between grids of time."""
    step = round(rate_hz / 2) / rate_hz
    times = np.arange(0.0, 60.0, step)
    scores = np.random.default_rng(seed).uniform(0, 1, len(times))
    highlights = find_highlights([voice(times, scores)], 60.0)
    assert abs(highlights[0].peak_s - times[np.argmax(scores)]) <= 0.5


@settings(max_examples=120, deadline=None)
@given(
    gaps=st.lists(st.floats(0.01, 20.0), min_size=1, max_size=60),
    seed=st.integers(0, 2**32 - 1),
    duration_s=st.floats(0.05, 600.0),
    cuts=st.lists(st.floats(0.0, 600.0), max_size=10),
    kind=st.sampled_from(MediaKind),
    max_length_s=st.floats(4.0, 40.0),
)
def test_highlights_are_inside_disjoint_bounded_and_in_order_of_score(
    *, gaps, seed, duration_s, cuts, kind, max_length_s
):
    times = np.cumsum(gaps)
    strengths = np.random.default_rng(seed).uniform(0, 1, len(times)) ** 2
    edges = sorted({0.0, duration_s, *(cut for cut in cuts if cut < duration_s)})
    shots = [Shot(start_s=a, end_s=b) for a, b in itertools.pairwise(edges)]
    rules = HighlightRules(max_length_s=max_length_s)
    highlights = find_highlights(
        [voice(times, strengths)], duration_s, kind=kind, shots=shots, rules=rules
    )
    assert len(highlights) <= rules.max_count
    assert [h.score for h in highlights] == sorted((h.score for h in highlights), reverse=True)
    for highlight in highlights:
        assert 0.0 <= highlight.start_s <= highlight.peak_s <= highlight.end_s
        assert highlight.end_s <= round(duration_s, 3)
        length_s = highlight.end_s - highlight.start_s
        assert min(rules.min_length_s, duration_s) - 0.002 <= length_s <= max_length_s + 0.002
        assert 0.0 <= highlight.score <= 1.0
    ordered = sorted(spans(highlights))
    assert all(a[1] <= b[0] + 0.002 for a, b in itertools.pairwise(ordered))


def test_prompts_of_the_user_s_own_wording_find_their_moment():
    axes = np.eye(3, dtype=np.float32)
    concepts = Concepts(
        model="small",
        calibration=Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0),
        tags=(),
        tag_vectors=axes[:0],
        moods=(),
        mood_vectors=axes[:0],
        positive=(HighlightCue(label="a car", prompts=("a car",)),),
        positive_vectors=axes[:1],
        negative=(HighlightCue(label="a road", prompts=("a road",)),),
        negative_vectors=axes[1:2],
        background_vectors=axes[:0],
    )
    times = np.arange(0, 40, 0.25)
    cars = (times >= 10) & (times < 16)
    vectors = unit(np.where(cars[:, None], [0.3, 0.2, 1.0], [0.2, 0.3, 1.0]))
    heard = hear_picture(gather_moments(times, vectors), concepts)
    (highlight,) = find_highlights([heard], 40.0)
    assert highlight.start_s == pytest.approx(10.0, abs=0.3)
    assert highlight.end_s == pytest.approx(16.0, abs=0.3)
    assert highlight.reasons == ("looks like a car",)


def test_laughter_is_a_reason():
    scores = np.zeros((60, 1), np.float32)
    scores[20:26] = 0.9
    heard = HeardSounds(
        model="tagger", labels=("Laughter",), times_s=np.linspace(0.5, 59.5, 60), scores=scores
    )
    (highlight,) = find_highlights([hear_sounds(heard, VOCABULARY)], 60.0)
    assert 19.0 <= highlight.start_s <= 21.0
    assert highlight.reasons == ("sounds like laughter",)


def bang_in_silence(duration_s=40, at_s=20):
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.003, duration_s * 16_000)
    samples[at_s * 16_000 : (at_s + 4) * 16_000] *= 100
    meter = SoundMeter()
    meter.add(AudioWindow(start_s=0.0, samples=samples.astype(np.float32), sample_rate_hz=16_000))
    return meter.signals()


def test_a_bang_with_movement_is_a_highlight_without_any_model():
    def picture(time_s):
        return np.roll(place(1), round(80 * time_s), axis=1) if 20 <= time_s < 24 else place(1)

    signals = film(picture, 40.0, rate_hz=4)
    (highlight,) = find_highlights([hear_signals(signals, bang_in_silence())], 40.0)
    assert 18.0 <= highlight.start_s <= 21.0
    assert set(highlight.reasons) >= {"much movement", "louder than usual"}


def test_sound_that_swells_is_not_said_to_be_sudden():
    """Comfort warnings speak of jumps; a highlight only knows what is usual in the item."""
    rng = np.random.default_rng(0)
    level = np.exp(np.linspace(np.log(0.003), np.log(0.3), 40 * 16_000))
    meter = SoundMeter()
    samples = (rng.normal(0.0, 1.0, len(level)) * level).astype(np.float32)
    meter.add(AudioWindow(start_s=0.0, samples=samples, sample_rate_hz=16_000))
    sound = meter.signals()
    assert find_discomfort(None, sound) == ()
    (highlight,) = find_highlights([hear_signals(None, sound)], 40.0)
    assert highlight.reasons == ("louder than usual",)


def test_cuts_between_still_pictures_are_no_movement():
    signals = film(lambda t: place(int(t // 5)), 40.0, rate_hz=4)
    shots = [Shot(start_s=5.0 * n, end_s=5.0 * (n + 1)) for n in range(8)]
    assert hear_signals(signals, None, shots).strengths.max() == pytest.approx(0.0, abs=1e-6)


def test_a_steady_film_and_steady_noise_have_no_highlight():
    noise = np.random.default_rng(0).normal(0, 0.1, 40 * 16_000).astype(np.float32)
    meter = SoundMeter()
    meter.add(AudioWindow(start_s=0.0, samples=noise, sample_rate_hz=16_000))
    signals = film(lambda t: np.roll(place(1), round(80 * t), axis=1), 40.0, rate_hz=4)
    assert find_highlights([hear_signals(signals, meter.signals())], 40.0) == ()


def test_signals_of_nothing_say_nothing():
    assert hear_signals(None, None) is SILENT
    assert hear_signals(None, SoundMeter().signals()) is SILENT
    assert hear_picture(None, None) is SILENT
    assert hear_sounds(None, VOCABULARY) is SILENT
    assert find_highlights([SILENT, SILENT], 60.0) == ()


def test_a_highlight_always_has_a_reason_and_weak_ones_are_not_told():
    loud, soft = hill(20, 30, height=0.9, floor=0.0), voice(np.arange(60.0), np.full(60, 0.1))
    other = Voice(**{**vars_of(soft), "labels": ("dull",)})
    (highlight,) = find_highlights([loud, other], 60.0)
    assert highlight.reasons == ("fun",)


def test_what_fills_half_of_an_item_is_still_worth_jumping_to():
    highlights = find_highlights([hill(10, 25, height=0.9, floor=0.05, duration_s=40)], 40.0)
    assert len(highlights) >= 1
    assert highlights[0].start_s == pytest.approx(10.0, abs=0.3)
