"""LanguageBind's ears get what Kaldi's filter banks make."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.models.fbank import (
    FRAME_COUNT,
    HOP_SAMPLES,
    MEAN,
    SAMPLE_RATE_HZ,
    TWO_STD,
    WINDOW_SAMPLES,
    to_fbanks,
)
from tests.support.golden import GOLDEN_SOUNDS, read_golden_sound

TOLERANCE = 1e-3
"""After normalisation; single precision is 2.3e-4 off on a real recording."""


def sweep(sample_count: int) -> np.ndarray:
    times_s = np.arange(sample_count) / SAMPLE_RATE_HZ
    tones = np.sin(2 * np.pi * (80 + 300 * times_s) * times_s)
    noise = np.random.default_rng(3).normal(0, 0.01, sample_count)
    return (0.4 * tones + noise + 0.05).astype(np.float32)


def reference(samples: np.ndarray, mel_count: int) -> np.ndarray:
    """``(frames, mel_count)``: Kaldi's formulas frame by frame, in double precision."""
    signal = samples.astype(np.float64) - samples.astype(np.float64).mean()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)
    lowest, highest = 1127 * np.log(1 + np.array([20, 8000]) / 700)
    edges = np.linspace(lowest, highest, mel_count + 2)
    rows = []
    for start in range(0, len(signal) - 399, 160):
        frame = signal[start : start + 400]
        frame = frame - frame.mean()
        frame = (frame - 0.97 * np.array([frame[0], *frame[:-1]])) * window
        power = np.abs(np.fft.rfft(frame, 512)) ** 2
        row = np.zeros(mel_count)
        for bin_, energy in enumerate(power[:256]):
            mel = 1127 * np.log(1 + bin_ * 16_000 / 512 / 700)
            up = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
            down = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
            row += energy * np.maximum(0, np.minimum(up, down))
        rows.append(np.log(np.maximum(row, 1.1920929e-07)))
    return np.array(rows)


@pytest.mark.parametrize("mel_count", [112, 126])
def test_a_sound_equals_kaldis_formulas(mel_count):
    samples = sweep(16_123)
    expected = (reference(samples, mel_count) - MEAN) / TWO_STD
    found = to_fbanks(samples, mel_count)
    assert found.shape == (3, mel_count, 1036)
    assert found.dtype == np.float32
    assert np.abs(found[0, :, : len(expected)].T - expected).max() < TOLERANCE


def test_a_short_sound_is_repeated_in_all_channels_alike():
    found = to_fbanks(sweep(16_000), 112)
    frames = 1 + (16_000 - 400) // HOP_SAMPLES
    np.testing.assert_array_equal(found[:, :, frames : 2 * frames], found[:, :, :frames])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_the_channels_of_a_long_sound_are_its_beginning_middle_and_end():
    # Silence, then a quiet tone, then a loud one: a third each.
    times_s = np.arange(WINDOW_SAMPLES) / SAMPLE_RATE_HZ
    thirds = [level * np.sin(2 * np.pi * 1000 * times_s) for level in (0.0, 0.01, 0.5)]
    first, middle, last = to_fbanks(np.concatenate(thirds).astype(np.float32), 112)
    assert first.shape == (112, FRAME_COUNT)
    assert first.max() < middle.max() < last.max()
    expected = (np.log(1.1920929e-07) - MEAN) / TWO_STD
    np.testing.assert_allclose(first[:, : FRAME_COUNT - 10], expected, atol=1e-5)


def test_a_window_is_as_long_as_it_takes_for_its_frames():
    exact = to_fbanks(sweep(WINDOW_SAMPLES), 112)
    np.testing.assert_array_equal(exact[0], exact[2])
    longer = to_fbanks(sweep(WINDOW_SAMPLES + HOP_SAMPLES), 112)
    assert np.abs(longer[0] - longer[2]).max() > 0.1


@pytest.mark.parametrize("sample_count", [0, 1, 399])
def test_less_than_a_frame_is_one_frame(sample_count):
    assert np.isfinite(to_fbanks(np.zeros(sample_count, np.float32), 112)).all()


@pytest.mark.shared
@pytest.mark.parametrize("mel_count", [112, 126])
@pytest.mark.parametrize(("row", "name"), list(enumerate(GOLDEN_SOUNDS)))
def test_real_sounds_equal_the_golden_tensor(shared, row, name, mel_count):
    samples = read_golden_sound(shared, name, SAMPLE_RATE_HZ)
    with np.load(shared / "golden/audio_golden.npz") as golden:
        expected = golden[f"lb_fbank_{mel_count}"][row]
    assert np.abs(to_fbanks(samples, mel_count)[0] - expected).max() < TOLERANCE
