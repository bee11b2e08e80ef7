"""Short-time spectra of sound, and the few numbers that are kept of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import librosa
import numpy as np
import scipy

from service.detection.tonality import measure_tones, pitch_classes
from service.domain import Float32

FRAME_S, HOP_S = 0.064, 1 / 32
"""Spectra over 64 ms, 32 a second: sixteen fill half a second, and an onset is known to 30 ms."""
TONE_FRAME_S, TONE_HOPS = 0.256, 8
"""Tones need longer, to tell semitones apart from 130 Hz up, and change more slowly."""
MEL_BANDS = 40
LEAST_POWER = 1e-10
"""Guards divisions and logarithms."""
LEAST_BAND = 6e-8
"""What a mel band has of white noise at -60 dBFS (measured): quieter is silence, whose changes are
no onsets."""
FRAMES_AT_ONCE = 320
"""Ten seconds: bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectra:
    """What N frames leave."""

    onset_db: Float32
    """Mean rise of the mel bands since the frame before."""
    centroid_hz: Float32
    flatness: Float32
    tones: Float32
    """``(ceil(N / 8), 12)`` strength of the pitch classes from C, 1 the strongest of each; 0 where
    nothing has a pitch."""


class Spectrograph:
    """Measures frames of one run of sound in order.

    Args:
        rate_hz: Of the samples.
    """

    def __init__(self, rate_hz: int) -> None:
        self.hop = max(1, round(HOP_S * rate_hz))
        """Samples between frames."""
        self._rate_hz = rate_hz
        self._size = _power_of_two(FRAME_S * rate_hz)
        self._tone_size = _power_of_two(TONE_FRAME_S * rate_hz)
        self._last_mel: Float32 | None = None

    def reach(self, count: int) -> int:
        """How many samples ``count`` frames look at."""
        tones = (count - 1) // TONE_HOPS * TONE_HOPS * self.hop + self._tone_size
        return max((count - 1) * self.hop + self._size, tones)

    def measure(self, samples: Float32, count: int, *, keep: bool = True) -> Spectra:
        """Measure the first ``count`` frames, which follow on those of the last call.

        Args:
            samples: As many at least as they reach.
            count: How many.
            keep: Go on from here the next time.
        """
        parts = [
            self._measure_frames(samples[start * self.hop :], min(FRAMES_AT_ONCE, count - start))
            for start in range(0, count, FRAMES_AT_ONCE)
        ]
        mel, centroid, flatness = (np.concatenate(part) for part in zip(*parts, strict=True))
        before = mel[:1] if self._last_mel is None else self._last_mel
        rise = np.maximum(np.diff(mel, axis=0, prepend=before), 0.0).mean(axis=1)
        if keep:
            self._last_mel = mel[-1:]
        return Spectra(
            onset_db=rise,
            centroid_hz=centroid,
            flatness=flatness,
            tones=self._measure_tones(samples, -(-count // TONE_HOPS)),
        )

    def _measure_frames(self, samples: Float32, count: int) -> tuple[Float32, Float32, Float32]:
        power = _powers(samples, count, self._size, self.hop)
        bands, frequencies = _mel_bands(self._rate_hz, self._size)
        mel = 10.0 * np.log10(np.maximum((bands @ power.T).T, LEAST_BAND))
        # einsum and sparse products stay on one thread: for matrices this small, the threads of
        # BLAS cost seven times the work, more on a busy machine.
        magnitude = np.sqrt(power)
        centroid = np.einsum("tf,f->t", magnitude, frequencies)
        centroid /= np.maximum(magnitude.sum(axis=1), LEAST_POWER)
        mean = np.maximum(power.mean(axis=1), LEAST_POWER)
        flatness = np.exp(np.log(np.maximum(power, LEAST_POWER)).mean(axis=1)) / mean
        return mel, centroid, flatness

    def _measure_tones(self, samples: Float32, count: int) -> Float32:
        power = _powers(samples, count, self._tone_size, TONE_HOPS * self.hop)
        tones = measure_tones(power, pitch_classes(self._rate_hz, self._tone_size))
        strongest = tones.max(axis=1, keepdims=True)
        return np.asarray(tones / np.maximum(strongest, LEAST_POWER), np.float32)


def _powers(samples: Float32, count: int, size: int, hop: int) -> Float32:
    """``(count, size / 2 + 1)`` power spectra."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[: count * hop : hop]
    spectrum = scipy.fft.rfft(frames * _hann(size), axis=1, workers=1)
    return np.asarray(spectrum.real**2 + spectrum.imag**2, np.float32)


@lru_cache(maxsize=8)
def _hann(size: int) -> Float32:
    """Of unit energy, so that noise of one level has one spectrum whatever the size."""
    window = np.hanning(size + 1)[:-1]
    return np.asarray(window / np.sqrt((window**2).sum()), np.float32)


@lru_cache(maxsize=4)
def _mel_bands(rate_hz: int, size: int) -> tuple[scipy.sparse.csr_array, Float32]:
    """Slaney's mel bands, ``(40, F)``, and the frequency of each bin."""
    bands = librosa.filters.mel(sr=rate_hz, n_fft=size, n_mels=MEL_BANDS)
    return scipy.sparse.csr_array(bands), np.fft.rfftfreq(size, 1.0 / rate_hz).astype(np.float32)


def _power_of_two(count: float) -> int:
    return 1 << max(1, round(math.log2(count)))
