from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detection.sound import SoundMeter, SoundSignals, summarize_sound
from service.detection.tonality import MAJOR_PROFILE, find_key
from service.domain import AudioWindow

RATE_HZ = 16_000


def tone(frequency_hz, duration_s, level=0.5):
    times = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    return (level * np.sin(2 * np.pi * frequency_hz * times)).astype(np.float32)


def clicks(beats_per_minute, duration_s):
    samples = np.zeros(int(duration_s * RATE_HZ), np.float32)
    burst = np.random.default_rng(0).normal(0, 0.3, 400) * np.hanning(400)
    for start in np.arange(0.0, duration_s - 0.05, 60 / beats_per_minute):
        samples[int(start * RATE_HZ) :][:400] += burst.astype(np.float32)
    return samples


def window(samples, start_s=0.0):
    return AudioWindow(start_s=start_s, samples=samples, sample_rate_hz=RATE_HZ)


def measure(samples, window_s=10.0):
    meter = SoundMeter()
    size = int(window_s * RATE_HZ)
    for start in range(0, samples.size, size):
        meter.add(window(samples[start : start + size], start / RATE_HZ))
    return meter.signals()


def describe(samples):
    analysis = summarize_sound(measure(samples))
    assert analysis is not None
    return analysis


def chord(*semitones):
    return sum(tone(261.63 * 2 ** (step / 12), 4.0, 0.2) for step in semitones)


KEYS = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
MAJOR, MINOR = [(0, 4, 7), (5, 9, 12), (7, 11, 14)], [(0, 3, 7), (5, 8, 12), (7, 10, 14)]


def cadence(chords, tonic):
    """Sixteen seconds: the three chords on a tonic, and home."""
    return np.concatenate([chord(*(tonic + step for step in c)) for c in (*chords, chords[0])])


def test_a_full_scale_sine_is_three_decibels_below_full_scale():
    analysis = describe(tone(1000, 5.0, level=1.0))
    assert analysis.loudness_dbfs == pytest.approx(-3.0, abs=0.1)
    assert analysis.brightness_hz == pytest.approx(1000, rel=0.05)
    assert analysis.silence_ratio == 0.0
    assert analysis.dynamic_range_db < 1.0


def test_silence_is_silent_and_has_neither_tempo_nor_key():
    analysis = describe(np.zeros(10 * RATE_HZ, np.float32))
    assert analysis.loudness_dbfs == -100.0
    assert analysis.silence_ratio == 1.0
    assert analysis.tempo_bpm is None
    assert analysis.mode == ""


def test_half_silence_is_half_silent():
    samples = np.concatenate([np.zeros(5 * RATE_HZ, np.float32), tone(440, 5.0)])
    assert describe(samples).silence_ratio == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("beats_per_minute", [60, 75, 97, 120, 132, 150, 174])
def test_the_tempo_of_clicks_is_found(beats_per_minute):
    analysis = describe(clicks(beats_per_minute, 20.0))
    assert analysis.tempo_bpm == pytest.approx(beats_per_minute, rel=0.02)
    assert analysis.onset_rate_hz == pytest.approx(beats_per_minute / 60, rel=0.1)


def test_a_few_seconds_of_clicks_are_no_tempo():
    assert describe(clicks(120, 5.0)).tempo_bpm is None


def test_noise_has_no_tempo_and_no_key():
    noise = np.random.default_rng(3).normal(0, 0.1, 20 * RATE_HZ).astype(np.float32)
    analysis = describe(noise)
    assert analysis.tempo_bpm is None
    assert analysis.mode == ""


@pytest.mark.parametrize("tonic", [0, 1, 4, 7, 10])
def test_major_and_minor_cadences_are_told_apart_and_their_tonic_is_named(tonic):
    for chords, mode in ((MAJOR, "major"), (MINOR, "minor")):
        analysis = describe(cadence(chords, tonic))
        assert (analysis.key, analysis.mode) == (KEYS[tonic], mode)


def test_one_tone_and_one_chord_are_no_key():
    assert describe(tone(440, 16.0)).key == ""
    assert describe(chord(0, 4, 7)).key == ""


def test_a_voice_that_glides_has_no_key_and_no_tempo():
    times = np.arange(20 * RATE_HZ) / RATE_HZ
    pitch_hz = 150 + 40 * np.sin(2 * np.pi * 0.7 * times) + 25 * np.sin(2 * np.pi * 1.9 * times)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    voice = 0.1 * np.sum([np.sin(n * phase) / n for n in range(1, 12)], axis=0)
    analysis = describe(voice.astype(np.float32))
    assert (analysis.key, analysis.mode, analysis.tempo_bpm) == ("", "", None)


def test_tones_that_fit_no_key_have_no_mode():
    assert find_key(np.ones((4, 12), np.float32)) == ("", "")
    assert find_key(np.zeros((0, 12), np.float32)) == ("", "")


def test_noise_is_flat_and_a_tone_is_not():
    noise = np.random.default_rng(3).normal(0, 0.1, 5 * RATE_HZ).astype(np.float32)
    assert describe(noise).flatness > 0.4
    assert describe(tone(1000, 5.0)).flatness < 0.01


def test_loudness_and_its_range_are_told_apart_from_plain_level():
    loud, soft = tone(1000, 30.0, level=0.5), tone(1000, 30.0, level=0.05)
    analysis = describe(np.concatenate([loud, soft]))
    assert analysis.loudness_lufs == pytest.approx(-9.0, abs=0.2)  # the soft half is gated out
    assert analysis.loudness_range_lu == pytest.approx(20.0, abs=0.5)
    assert analysis.loudness_dbfs == pytest.approx(-12.0, abs=0.2)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 6 * RATE_HZ), max_size=8))
def test_where_the_sound_is_cut_into_windows_changes_nothing(cuts):
    samples = np.concatenate([clicks(120, 3.0), chord(0, 4, 7)])[: 6 * RATE_HZ]
    edges = sorted({0, len(samples), *(cut for cut in cuts if cut < len(samples))})
    meter = SoundMeter()
    for start, end in itertools.pairwise(edges):
        meter.add(window(samples[start:end], start / RATE_HZ))
    whole, pieces = measure(samples, window_s=60.0), meter.signals()
    for name in SoundSignals.__dataclass_fields__:
        assert getattr(pieces, name) == pytest.approx(getattr(whole, name), abs=1e-3), name


def test_what_was_measured_may_be_asked_for_in_between():
    samples = cadence(MAJOR, 0)
    meter = SoundMeter()
    for start in range(0, len(samples), 3 * RATE_HZ):
        meter.add(window(samples[start : start + 3 * RATE_HZ], start / RATE_HZ))
        meter.signals()
    assert meter.signals().chroma == pytest.approx(measure(samples).chroma, abs=1e-3)


def test_windows_that_overlap_are_measured_once():
    samples = tone(440, 20.0)
    meter = SoundMeter()
    for start_s in (0.0, 5.0, 10.0):
        start = int(start_s * RATE_HZ)
        meter.add(window(samples[start : start + 10 * RATE_HZ], start_s))
    times = meter.signals().times_s
    assert len(times) == 40
    assert (np.diff(times) > 0).all()


def test_a_gap_between_windows_stays_a_gap():
    meter = SoundMeter()
    meter.add(window(tone(440, 2.0)))
    meter.add(window(tone(440, 2.0), start_s=60.0))
    signals = meter.signals()
    assert signals.times_s.tolist() == pytest.approx(
        [0.25, 0.75, 1.25, 1.75, 60.25, 60.75, 61.25, 61.75]
    )
    assert len(signals.powers) == 20 + 30 + 20  # three seconds of it are silence
    assert (np.diff(signals.power_times_s) > 0.09).all()
    assert signals.power_times_s[50] == pytest.approx(60.05)


@pytest.mark.parametrize("count", [0, 1, 2, 100, 1599, 8001])
def test_the_shortest_windows_pass_without_a_warning(count):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        signals = measure(tone(440, 1.0)[:count])
        analysis = summarize_sound(signals)
    assert (analysis is None) == (count <= 1)


def test_samples_that_are_no_numbers_do_not_spread():
    samples = tone(440, 2.0)
    samples[100:200] = np.nan
    signals = measure(samples)
    assert np.isfinite(signals.level_dbfs).all()
    assert np.isfinite(signals.chroma).all()


def test_tones_that_neither_hold_nor_return_have_no_key_whatever_they_add_up_to():
    counts = np.rint(MAJOR_PROFILE * 4).astype(int)
    held = np.eye(12, dtype=np.float32)[np.repeat(np.arange(12), counts)]
    shuffled = np.random.default_rng(0).permutation(held)
    assert find_key(held) == ("C", "major")
    assert find_key(shuffled) == ("", "")


def test_the_short_rest_of_a_sound_weighs_as_long_as_it_lasts():
    """A coder's last block is silence of some milliseconds, in a cell of its own."""
    analysis = describe(np.concatenate([tone(440, 0.5), np.zeros(320, np.float32)]))
    assert analysis.loudness_dbfs == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)) - 0.2, abs=0.15)
    assert analysis.dynamic_range_db == 0.0
    assert analysis.silence_ratio == pytest.approx(0.02 / 0.52, abs=0.025)
