"""CLAP's ears get what its reference feature extractor makes."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from adapters.models.mels import (
    FFT_SAMPLES,
    HIGHEST_HZ,
    HOP_SAMPLES,
    LOWEST_HZ,
    MEL_COUNT,
    SAMPLE_RATE_HZ,
    WINDOW_SAMPLES,
    to_log_mels,
)
from tests.support.golden import GOLDEN_SOUNDS, read_golden_sound

TOLERANCE_DB = 1e-3


def chirp_and_noise(sample_count: int) -> np.ndarray:
    """Loud and all but silent by turns, at all frequencies."""
    times_s = np.arange(sample_count) / SAMPLE_RATE_HZ
    chirp = librosa.chirp(fmin=60, fmax=13_000, sr=SAMPLE_RATE_HZ, length=sample_count)
    noise = np.random.default_rng(5).normal(0, 1e-4, sample_count)
    return (0.8 * chirp * np.exp(-3 * (times_s % 1.0)) + noise).astype(np.float32)


def reference(samples: np.ndarray, *, htk: bool = False) -> np.ndarray:
    """``(1001, 64)`` by librosa, as the model's card describes it."""
    power = librosa.feature.melspectrogram(
        y=samples.astype(np.float64),
        sr=SAMPLE_RATE_HZ,
        n_fft=FFT_SAMPLES,
        hop_length=HOP_SAMPLES,
        n_mels=MEL_COUNT,
        fmin=LOWEST_HZ,
        fmax=HIGHEST_HZ,
        pad_mode="reflect",
        power=2.0,
        htk=htk,
        norm=None if htk else "slaney",
    )
    levels: np.ndarray = 10 * np.log10(np.maximum(power, 1e-10))
    return levels.T


def test_a_full_window_equals_librosas():
    samples = chirp_and_noise(WINDOW_SAMPLES)
    mels = to_log_mels([samples])
    assert mels.shape == (1, 1, 1001, 64)
    assert mels.dtype == np.float32
    assert np.abs(mels[0, 0] - reference(samples)).max() < TOLERANCE_DB


def test_the_filters_of_the_other_setting_would_be_noticed():
    samples = chirp_and_noise(WINDOW_SAMPLES)
    assert np.abs(to_log_mels([samples])[0, 0] - reference(samples, htk=True)).mean() > 5


def test_a_short_sound_is_repeated_as_often_as_it_fits_and_then_silent():
    samples = chirp_and_noise(150_000)
    padded = np.concatenate([samples] * 3 + [np.zeros(30_000, np.float32)])
    assert np.abs(to_log_mels([samples])[0, 0] - reference(padded)).max() < TOLERANCE_DB


def test_a_sound_that_is_longer_than_half_a_window_is_not_repeated():
    samples = chirp_and_noise(240_001)
    padded = np.pad(samples, (0, WINDOW_SAMPLES - len(samples)))
    assert np.abs(to_log_mels([samples])[0, 0] - reference(padded)).max() < TOLERANCE_DB


@pytest.mark.parametrize("sample_count", [0, 1])
def test_next_to_nothing_is_silence(sample_count):
    np.testing.assert_array_equal(to_log_mels([np.zeros(sample_count, np.float32)]), -100)


def test_windows_of_a_batch_do_not_meet():
    one, other = chirp_and_noise(WINDOW_SAMPLES), chirp_and_noise(70_000)
    both = to_log_mels([one, other])
    np.testing.assert_array_equal(both[0], to_log_mels([one])[0])
    np.testing.assert_array_equal(both[1], to_log_mels([other])[0])


@pytest.mark.shared
@pytest.mark.parametrize(("row", "name"), list(enumerate(GOLDEN_SOUNDS)))
def test_real_sounds_equal_the_golden_tensor_and_not_the_htk_one(shared, row, name):
    samples = read_golden_sound(shared, name, SAMPLE_RATE_HZ)
    with np.load(shared / "golden/audio_golden.npz") as golden:
        head = golden["wav48k_head"][row]
        slaney, htk = golden["clap_mel_slaney"][row], golden["clap_mel_htk"][row]
    np.testing.assert_array_equal(samples[: len(head)], head)
    mels = to_log_mels([samples])[0, 0]
    assert np.abs(mels - slaney).max() < TOLERANCE_DB
    assert np.abs(mels - htk).max() > 1
