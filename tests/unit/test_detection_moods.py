from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detection.heard import HeardSounds
from service.detection.mood_signals import place_signals
from service.detection.moods import find_moods
from service.detection.sound import SoundMeter
from service.domain import AudioWindow, SoundAnalysis
from service.vocabulary import load_vocabulary
from tests.support.pictures import film, place

VOCABULARY = load_vocabulary()
RATE_HZ = 16_000


def sound(samples):
    meter = SoundMeter()
    meter.add(AudioWindow(start_s=0.0, samples=samples, sample_rate_hz=RATE_HZ))
    return meter.signals()


def noise(duration_s, level):
    rng = np.random.default_rng(0)
    return (level * rng.uniform(-1, 1, int(duration_s * RATE_HZ))).astype(np.float32)


def centre(**given):
    placed = place_signals(np.array([2.0, 4.0, 6.0]), **given)
    assert placed is not None
    return placed.mean(axis=0)


def music(**traits):
    return SoundAnalysis(loudness_dbfs=-20.0, dynamic_range_db=6.0, **traits)


def test_a_bright_colourful_picture_is_more_pleasant_than_a_dark_one():
    bright = centre(picture=film(lambda _: place(1), 8.0))
    dark = centre(picture=film(lambda _: place(1, light=0.2), 8.0))
    assert bright[0] > dark[0] + 0.3


def test_movement_is_more_excited_than_stillness():
    moving = film(lambda t: np.roll(place(1), round(60 * t), axis=1), 8.0)
    assert centre(picture=moving)[1] > centre(picture=film(lambda _: place(1), 8.0))[1] + 0.5


def test_loud_noise_is_more_excited_than_a_whisper():
    loud, soft = centre(sound=sound(noise(8, 0.9))), centre(sound=sound(noise(8, 0.003)))
    assert loud[1] > soft[1] + 0.5


def test_major_is_more_pleasant_than_minor():
    signals = sound(noise(8, 0.1))
    major, minor = music(mode="major"), music(mode="minor")
    assert centre(sound=signals, analysis=major)[0] > 0 > centre(sound=signals, analysis=minor)[0]


def test_fast_music_is_more_pleasant_than_slow():
    signals = sound(noise(8, 0.1))
    fast, slow = music(tempo_bpm=150.0), music(tempo_bpm=70.0)
    assert centre(sound=signals, analysis=fast)[0] > 0 > centre(sound=signals, analysis=slow)[0]


def test_without_picture_and_sound_there_is_no_mood():
    assert place_signals(np.array([1.0])) is None
    assert find_moods(VOCABULARY, 10.0) == ((), ())
    assert find_moods(VOCABULARY, 0.0, picture=film(lambda _: place(1), 1.0)) == ((), ())


def test_signals_alone_name_moods_but_with_little_confidence():
    moods, curve = find_moods(VOCABULARY, 8.0, picture=film(lambda _: place(1, light=0.15), 8.0))
    assert 1 <= len(moods) <= 5
    assert all(0.15 <= mood.score <= 0.4 for mood in moods)
    assert [mood.score for mood in moods] == sorted((m.score for m in moods), reverse=True)
    assert moods[0].valence < 0  # dark and still
    assert moods[0].arousal < 0
    assert len(curve) == 8


def test_a_mood_that_is_heard_comes_first():
    times = np.linspace(0.5, 19.5, 20)
    heard = HeardSounds(
        model="tagger",
        labels=("Scary music",),
        times_s=times,
        scores=np.full((20, 1), 0.9, np.float32),
    )
    moods, curve = find_moods(
        VOCABULARY, 20.0, picture=film(lambda _: place(1), 20.0, rate_hz=2), heard=heard
    )
    assert moods[0].label == "scary"
    assert moods[0].score > 0.6
    assert np.mean([point.valence for point in curve]) < 0


def test_the_curve_turns_where_the_picture_does():
    signals = film(lambda t: place(1) if t < 10 else place(1, light=0.1), 20.0)
    _, curve = find_moods(VOCABULARY, 20.0, picture=signals)
    before = np.mean([point.valence for point in curve if point.time_s < 10])
    after = np.mean([point.valence for point in curve if point.time_s > 10])
    assert before > after + 0.2


def test_a_silent_item_gets_its_moods_from_the_picture_alone():
    silent = sound(np.zeros(8 * RATE_HZ, np.float32))
    analysis = SoundAnalysis(loudness_dbfs=-100, dynamic_range_db=0)
    picture = film(lambda _: place(1), 8.0)
    with_silence = find_moods(VOCABULARY, 8.0, picture=picture, sound=silent, analysis=analysis)
    assert with_silence == find_moods(VOCABULARY, 8.0, picture=picture)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.0, 5000.0), min_size=1, max_size=30, unique=True),
    st.floats(0.05, 20_000.0),
)
def test_the_curve_is_bounded_in_length_and_value(times, duration_s):
    signals = film(lambda t: place(int(t) % 7), 0, times_s=sorted(times))
    moods, curve = find_moods(VOCABULARY, duration_s, picture=signals)
    assert 1 <= len(curve) <= 240
    assert all(0 <= point.time_s <= duration_s for point in curve)
    assert all(abs(point.valence) <= 1 and abs(point.arousal) <= 1 for point in curve)
    assert all(0 <= mood.score <= 1 for mood in moods)
    assert [p.time_s for p in curve] == sorted(p.time_s for p in curve)
    assert curve[0].time_s == pytest.approx(duration_s / len(curve) / 2, abs=1e-3)
