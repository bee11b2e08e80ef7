"""Sound to the log-mel spectrogram that CLAP's ears want.

Equal to ``ClapFeatureExtractor`` with ``truncation: rand_trunc`` and ``padding: repeatpad`` within
1e-3 dB (tests/unit/test_model_mels.py). The filters of that setting are Slaney's, with Slaney's
norm; the HTK filters of its other setting, ``fusion``, are 9 dB off.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import librosa
import numpy as np
import numpy.typing as npt
import scipy

from service.domain import Float32

SAMPLE_RATE_HZ = 48_000
WINDOW_SAMPLES = 480_000
FFT_SAMPLES = 1024
HOP_SAMPLES = 480
MEL_COUNT = 64
FRAME_COUNT = 1 + WINDOW_SAMPLES // HOP_SAMPLES
LOWEST_HZ, HIGHEST_HZ = 50, 14_000
"""All of ``preprocessor_config.json`` of laion/clap-htsat-unfused."""
FLOOR = 1e-10
"""Of the power, before the logarithm: -100 dB."""

Float64 = npt.NDArray[np.float64]


def to_log_mels(windows: Sequence[Float32]) -> Float32:
    """Log-mel spectrograms, ``(N, 1, 1001, 64)`` in dB, of mono 48 kHz samples in [-1, 1].

    A window that is shorter than 10 s is repeated as often as it fits, then filled with silence.
    """
    mels = np.empty((len(windows), 1, FRAME_COUNT, MEL_COUNT), dtype=np.float32)
    for index, window in enumerate(windows):
        mels[index, 0] = _log_mel(_fill(window))
    return mels


def _fill(samples: Float32) -> Float32:
    if not len(samples):
        return np.zeros(WINDOW_SAMPLES, dtype=np.float32)
    repeated = np.tile(samples, WINDOW_SAMPLES // len(samples))
    return np.pad(repeated, (0, WINDOW_SAMPLES - len(repeated)))


def _log_mel(samples: Float32) -> Float32:
    """One spectrogram, ``(1001, 64)``."""
    # In double precision: what is all but silent beside something loud is 0.01 dB off otherwise.
    padded = np.pad(samples.astype(np.float64), FFT_SAMPLES // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT_SAMPLES)[::HOP_SAMPLES]
    spectrum = scipy.fft.rfft(frames * _hann(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    levels = 10 * np.log10(np.maximum(power @ _filters(), FLOOR))
    single: Float32 = levels.astype(np.float32)
    return single


@cache
def _hann() -> Float64:
    """Periodic, as spectra want it."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT_SAMPLES) / FFT_SAMPLES)


@cache
def _filters() -> Float64:
    """``(513, 64)``."""
    filters = librosa.filters.mel(
        sr=SAMPLE_RATE_HZ,
        n_fft=FFT_SAMPLES,
        n_mels=MEL_COUNT,
        fmin=LOWEST_HZ,
        fmax=HIGHEST_HZ,
        htk=False,
        norm="slaney",
        dtype=np.float64,
    )
    transposed: Float64 = np.ascontiguousarray(filters.T)
    return transposed
