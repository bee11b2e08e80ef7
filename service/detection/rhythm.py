"""The beat: how regularly sounds begin, and how fast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy

from service.domain import Float32

SLOWEST_BPM, FASTEST_BPM, STEP_BPM = 40.0, 240.0, 0.25
USUAL_BPM, SPREAD_OCTAVES = 120.0, 0.8
"""People tap near two beats a second (Moelants 2002): of a tempo, its half and its double the one
nearest to that is meant."""
PULSE_CLARITY, PULSE_RATE_HZ = 0.3, 0.8
"""Autocorrelation of onsets, of its maximum, and onsets a second below which no beat is heard.
A reader reaches 0.1, a crying baby 0.2, clocks 0.33 to 0.8, music 0.4 to 0.6 (reference clips);
waves and most helicopters pulse clearly, but have an onset in five seconds."""
SHORTEST_RHYTHM_S, TEMPO_STRETCH_S = 8.0, 120.0
"""A few barks have no tempo; of a long medium the liveliest stretch of two minutes gives it."""


def find_tempo(envelope: Float32, rate_hz: float, onset_rate_hz: float) -> float | None:
    """Beats per minute of the liveliest stretch; None where no beat is heard.

    Args:
        envelope: Onset strength over time.
        rate_hz: Its values a second.
        onset_rate_hz: Onsets a second, on average.
    """
    envelope = _liveliest(envelope, round(TEMPO_STRETCH_S * rate_hz))
    if envelope.size < SHORTEST_RHYTHM_S * rate_hz or onset_rate_hz < PULSE_RATE_HZ:
        return None
    likeness = _autocorrelate(envelope - envelope.mean())
    fastest = int(rate_hz * 60.0 / FASTEST_BPM)
    beats = likeness[fastest : int(2.0 * rate_hz)]
    if beats.size == 0 or likeness[0] <= 0.0 or beats.max() < PULSE_CLARITY * likeness[0]:
        return None
    tempi = np.arange(SLOWEST_BPM, FASTEST_BPM, STEP_BPM)
    lags = rate_hz * 60.0 / tempi
    # A beat returns after one beat, and after two, three and four: these find it between samples.
    at = np.arange(len(likeness))
    returns = np.stack([np.interp(n * lags, at, likeness, right=0.0) for n in (1, 2, 3, 4)])
    strength = np.maximum(returns[0], 0.0) * np.maximum(returns.mean(axis=0), 0.0)
    usual = np.exp(-0.5 * (np.log2(tempi / USUAL_BPM) / SPREAD_OCTAVES) ** 2)
    return round(float(tempi[np.argmax(strength * usual**2)]), 1)


def _liveliest(envelope: Float32, size: int) -> Float32:
    if envelope.size <= size:
        return envelope
    sums = np.concatenate([[0.0], np.cumsum(envelope, dtype=np.float64)])
    start = int(np.argmax(sums[size:] - sums[:-size]))
    return envelope[start : start + size]


def _autocorrelate(values: Float32) -> npt.NDArray[np.float64]:
    size = scipy.fft.next_fast_len(2 * len(values), real=True)
    spectrum = scipy.fft.rfft(values.astype(np.float64), size, workers=1)
    return np.asarray(
        scipy.fft.irfft(np.abs(spectrum) ** 2, size, workers=1)[: len(values)], np.float64
    )
