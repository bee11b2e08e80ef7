"""The most characteristic stretch of a song: what returns, at full strength."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy

from service.detection.moments import unit
from service.detection.scoring import ramp
from service.detection.sound import CELL_S, SILENCE_DBFS, SoundSignals
from service.domain import Float32, Highlight

Float64 = npt.NDArray[np.float64]

STRETCH_S = 30.0
MAX_CELLS = 2400
"""Twenty minutes; of longer recordings the first: the comparison grows with the square."""
PHRASE_S = 5.0
"""Two bars or three, in which a tune is told from another over the same chords."""
LEAST_LAG_S, APART_S = 12.0, 4.0
"""Nearer is the same section going on; neighbouring lags are one return."""
RETURNS = 2
"""A chorus is heard three times, as a rule."""
EXACTNESS = 4
"""Power of likeness: a chorus returns as it was, a verse with another tune."""
RETURN_SHARE, STRENGTH_SHARE, EDGE_SHARE = 0.65, 0.3, 0.05
"""Of the worth of a moment how often it returns, how strong it is beside the rest, and of a stretch
that it begins where a section does: the last only decides between equals."""
SOFT_DB, STRONG_DB = -6.0, 3.0
"""Beside the song's usual level: choruses are about 3 dB louder than verses."""


def find_song_highlight(sound: SoundSignals, duration_s: float) -> tuple[Highlight, ...]:
    """The stretch of 30 s that returns most in the song and is not its quiet part.

    A chorus returns with its tune, and is louder than what is around it (the idea of music
    thumbnailing: Bartsch and Wakefield 2005; of lags: Goto 2006). Nothing for silence.
    """
    level = sound.level_dbfs[:MAX_CELLS]
    if not len(level) or level.max() <= SILENCE_DBFS:
        return ()
    size = min(len(level), round(STRETCH_S / CELL_S))
    usual = float(np.median(level[level > SILENCE_DBFS]))
    strength = ramp(level, usual + SOFT_DB, usual + STRONG_DB)
    tones = _centre(sound.chroma[:MAX_CELLS])
    worth = RETURN_SHARE * _returns(tones) + STRENGTH_SHARE * strength
    means = np.convolve(worth, np.ones(size), "valid") / size
    means += EDGE_SHARE * _edges(tones)[: len(means)]
    first = int(np.argmax(means))
    start_s = float(max(0.0, sound.times_s[first] - CELL_S / 2))
    end_s = float(min(duration_s, start_s + size * CELL_S))
    peak = first + int(np.argmax(worth[first : first + size]))
    return (
        Highlight(
            start_s=round(start_s, 3),
            end_s=round(end_s, 3),
            peak_s=round(float(min(max(sound.times_s[peak], start_s), end_s)), 3),
            score=round(float(np.clip(means[first], 0.0, 1.0)), 4),
            reasons=("most characteristic stretch",),
        ),
    )


def _centre(chroma: Float32) -> Float32:
    """Unit vectors of what sounds beyond the song's usual tones: its key is in every moment."""
    tones = unit(chroma)
    return unit(tones - tones.mean(axis=0))


def _returns(tones: Float32) -> Float32:
    """``(N,)`` 0 to 1: how exactly each moment's phrase is heard at two other times."""
    count, phrase = len(tones), min(_cells(PHRASE_S), len(tones))
    likeness = tones @ tones.T
    later, earlier = np.zeros((2, count, count), np.float32)
    for lag in range(_cells(LEAST_LAG_S), count - phrase // 2):
        along = scipy.ndimage.uniform_filter1d(np.diagonal(likeness, lag), phrase, mode="constant")
        later[lag, : count - lag] = earlier[lag, lag:] = along
    best = np.sort(np.concatenate([_strongest(later), _strongest(earlier)]), axis=0)[-RETURNS:]
    return np.asarray(best.mean(axis=0) ** EXACTNESS, np.float32)


def _strongest(by_lag: Float32) -> Float32:
    """The largest values of each column; lags beside a larger one are the same return."""
    is_peak = by_lag == scipy.ndimage.maximum_filter1d(by_lag, 2 * _cells(APART_S) + 1, axis=0)
    by_lag[~is_peak] = 0.0
    return np.partition(by_lag, -min(RETURNS, len(by_lag)), axis=0)[-RETURNS:]


def _edges(tones: Float32) -> Float64:
    """``(N,)``, 0 to 1: how much the phrase that begins differs from the one that ends."""
    phrase = _cells(PHRASE_S)
    sums = np.cumsum(np.vstack([np.zeros((1, tones.shape[1])), tones]), axis=0)
    at = np.arange(len(tones))
    after = sums[np.minimum(at + phrase, len(tones))] - sums[at]
    before = sums[at] - sums[np.maximum(at - phrase, 0)]
    return np.asarray((1.0 - (unit(after) * unit(before)).sum(axis=1)) / 2.0, np.float64)


def _cells(length_s: float) -> int:
    return max(1, round(length_s / CELL_S))
