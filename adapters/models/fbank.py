"""Sound to the filter bank energies that LanguageBind's ears want.

Kaldi's ``fbank`` as ``torchaudio.compliance.kaldi`` computes it for LanguageBind's settings, equal
to it within 1e-3 after normalisation (tests/unit/test_model_fbank.py). LanguageBind stacks three
random chunks of what is longer than its window; here they are the first, the middle and the last,
which is always the same and leaves as little out as three chunks can.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import scipy

from service.domain import Float32

SAMPLE_RATE_HZ = 16_000
FRAME_SAMPLES = 400
HOP_SAMPLES = 160
FFT_SAMPLES = 512
"""25 ms every 10 ms, filled up to a power of two."""
FRAME_COUNT = 1036
"""LanguageBind's ``target_length``."""
WINDOW_SAMPLES = FRAME_SAMPLES + (FRAME_COUNT - 1) * HOP_SAMPLES
"""10.375 s: what makes that many whole frames."""
CHANNEL_COUNT = 3
DEFAULT_MEL_COUNT = 112
"""Of LanguageBind_Audio_FT; the ears before the fine-tuning have 126."""
PREEMPHASIS = 0.97
LOWEST_HZ, HIGHEST_HZ = 20.0, 8_000.0
FLOOR = float(np.finfo(np.float32).eps)
"""Of the power, before the logarithm. All Kaldi's defaults."""
MEAN, TWO_STD = -4.2677393, 2 * 4.5689974
"""``audio_mean`` and ``audio_std`` of LanguageBind's configuration."""

Float64 = npt.NDArray[np.float64]


def to_fbanks(samples: Float32, mel_count: int) -> Float32:
    """Normalised energies, ``(3, mel_count, 1036)``, of mono 16 kHz samples in [-1, 1].

    Shorter sound is repeated, in all three channels alike; of longer sound the channels are three
    stretches, evenly spread.
    """
    energies = (_fbank(samples, mel_count) - MEAN) / TWO_STD
    beyond = len(energies) - FRAME_COUNT
    if beyond <= 0:
        repeated = np.resize(energies, (FRAME_COUNT, mel_count))
        return np.repeat(repeated.T[None], CHANNEL_COUNT, axis=0)
    starts = (0, beyond // 2, beyond)
    return np.stack([energies[start : start + FRAME_COUNT].T for start in starts])


def _fbank(samples: Float32, mel_count: int) -> Float32:
    """Natural logarithms of energies, ``(frames, mel_count)``: whole frames only, at least one."""
    centred = samples - samples.mean(dtype=np.float64) if len(samples) else samples
    filled = np.pad(centred, (0, max(0, FRAME_SAMPLES - len(centred)))).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(filled, FRAME_SAMPLES)[::HOP_SAMPLES]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    emphasised = (frames - np.float32(PREEMPHASIS) * before) * _hanning()
    spectrum = scipy.fft.rfft(emphasised, FFT_SAMPLES, axis=1)[:, :-1]
    power = spectrum.real**2 + spectrum.imag**2
    energies: Float32 = np.log(np.maximum(power @ _filters(mel_count), np.float32(FLOOR)))
    return energies


@cache
def _hanning() -> Float32:
    """Symmetric, unlike the one that CLAP wants."""
    return np.hanning(FRAME_SAMPLES).astype(np.float32)


@cache
def _filters(mel_count: int) -> Float32:
    """Triangles that are equally wide in mel, ``(256, mel_count)``: Kaldi leaves out Nyquist."""
    edges = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), mel_count + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    bins = _mel(np.arange(FFT_SAMPLES // 2) * SAMPLE_RATE_HZ / FFT_SAMPLES)[:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def _mel(hz: float | Float64) -> Float64:
    return np.asarray(1127.0 * np.log1p(np.asarray(hz) / 700.0))
