"""The most characteristic stretch of a song: what returns most often, at full strength."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from service.detection.moments import unit
from service.detection.scoring import ramp
from service.detection.sound import CELL_S, SILENCE_DBFS, SoundSignals
from service.domain import Highlight

STRETCH_S = 30.0
MAX_CELLS = 2400
"""Twenty minutes; of longer recordings the first: the comparison grows with the square."""
PHRASE_S = 4.0
"""Tones are compared phrase by phrase, about two bars."""


def find_song_highlight(sound: SoundSignals, duration_s: float) -> tuple[Highlight, ...]:
    """The stretch of 30 s that is most like the rest of the song and not its quiet part.

    A chorus returns, so its tones resemble more of the song than a verse's or a solo's do
    (the idea of music thumbnailing: Bartsch and Wakefield 2005). Nothing for silence.
    """
    level = sound.level_dbfs[:MAX_CELLS]
    if not len(level) or level.max() <= SILENCE_DBFS:
        return ()
    tones = sound.chroma[:MAX_CELLS]
    phrases = unit(uniform_filter1d(tones, max(1, round(PHRASE_S / CELL_S)), axis=0))
    likeness = (phrases @ phrases.T).mean(axis=1)
    loudness = ramp(level, float(np.median(level)) - 15.0, float(np.median(level)) + 5.0)
    worth = 0.7 * likeness + 0.3 * loudness
    size = min(len(worth), round(STRETCH_S / CELL_S))
    sums = np.convolve(worth, np.ones(size), "valid") / size
    first = int(np.argmax(sums))
    start_s = float(max(0.0, sound.times_s[first] - CELL_S / 2))
    end_s = float(min(duration_s, start_s + size * CELL_S))
    peak = first + int(np.argmax(worth[first : first + size]))
    return (
        Highlight(
            start_s=round(start_s, 3),
            end_s=round(end_s, 3),
            peak_s=round(float(min(max(sound.times_s[peak], start_s), end_s)), 3),
            score=round(float(np.clip(sums[first], 0.0, 1.0)), 4),
            reasons=("most characteristic stretch",),
        ),
    )
