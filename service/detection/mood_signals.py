"""Where light, colour, movement and sound alone would place an item on the circumplex."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.detection.scoring import ramp
from service.detection.signals import Float64, PictureSignals
from service.detection.sound import SILENCE_DBFS, SoundSignals
from service.domain import Float32, PictureAnalysis, Shot, SoundAnalysis

BRIGHTNESS_PLEASURE, SATURATION_PLEASURE = 0.69, 0.22
BRIGHTNESS_AROUSAL, SATURATION_AROUSAL = -0.31, 0.60
"""Valdez and Mehrabian (1994): emotion from brightness and saturation of colours."""
WARMTH_PLEASURE, MODE_PLEASURE = 0.2, 0.4
"""Ours: weaker than brightness; a key's mode is the strongest single cue of music's valence
(Eerola and Vuoskoski 2013)."""
MODE_VALENCE = 0.4
"""How far major or minor alone leans to one side: there are sad songs in major."""
TEMPO_PLEASURE, SLOW_BPM, FAST_BPM = 0.2, 70.0, 150.0
"""Fast music is heard as happier; after the mode the strongest cue (Eerola and Vuoskoski 2013). It
weighs half as much as the mode."""
HAS_RHYTHM = 4
"""Shots from which on their pace says something."""


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What one modality says over time: strengths of M things at N times."""

    times_s: Float64
    strengths: Float32
    """``(N, M)``."""


def resample(course: Course, grid: Float64) -> Float32:
    """Means over the grid's cells; a cell without samples gets what lies between its neighbours."""
    edges = np.concatenate([[-np.inf], (grid[1:] + grid[:-1]) / 2, [np.inf]])
    cell = np.searchsorted(edges, course.times_s, side="right") - 1
    counts = np.bincount(cell, minlength=len(grid))
    sums = np.zeros((len(grid), course.strengths.shape[1]), np.float64)
    np.add.at(sums, cell, course.strengths)
    filled = np.flatnonzero(counts)
    means = sums[filled] / counts[filled, None]
    columns = [np.interp(grid, grid[filled], column) for column in means.T]
    return np.stack(columns, axis=1).astype(np.float32)


def place_signals(
    grid: Float64,
    *,
    picture: PictureSignals | None = None,
    shots: Sequence[Shot] = (),
    sound: SoundSignals | None = None,
    analysis: SoundAnalysis | None = None,
) -> Float32 | None:
    """Valence and arousal from light, colour, movement, loudness, beats, key and tempo.

    Returns:
        ``(N, 2)`` in [-1, 1] at the grid's times; None when there is neither picture nor sound.
    """
    valence: list[tuple[float, Float32]] = []
    arousal: list[tuple[float, Float32]] = []
    if picture is not None and len(picture):
        _read_picture(grid, picture, shots, valence, arousal)
        if len(shots) >= HAS_RHYTHM:
            arousal.append((0.5, _signed(_cuts_per_minute(grid, shots), 2.0, 30.0)))
    if sound is not None and len(sound) and sound.level_dbfs.max() > SILENCE_DBFS:
        _read_sound(grid, sound, arousal)
        valence += _read_music(grid, analysis)
    if not arousal:
        return None
    columns = [_weigh(valence, grid), _weigh(arousal, grid)]
    return np.stack(columns, axis=1)


def place_remembered(
    grid: Float64,
    *,
    picture: PictureAnalysis | None = None,
    shots: Sequence[Shot] = (),
    sound: SoundAnalysis | None = None,
) -> Float32 | None:
    """As ``place_signals``, of what is kept of them: one number of each for the whole item.

    Only the rhythm of cuts still has a course, for the shots are kept.
    """
    valence: list[tuple[float, Float32]] = []
    arousal: list[tuple[float, Float32]] = []

    def flat(*levels: float) -> list[Float32]:
        return [np.full(len(grid), level, np.float32) for level in levels]

    if picture is not None:
        looks = flat(picture.luma, picture.saturation, picture.warmth, picture.motion)
        _judge_picture(looks, valence, arousal)
        if len(shots) >= HAS_RHYTHM:
            arousal.append((0.5, _signed(_cuts_per_minute(grid, shots), 2.0, 30.0)))
    if sound is not None and sound.loudness_dbfs > SILENCE_DBFS:
        heard = flat(sound.loudness_dbfs, sound.onset_rate_hz, sound.brightness_hz)
        _judge_sound(heard, arousal)
        valence += _read_music(grid, sound)
    if not arousal:
        return None
    return np.stack([_weigh(valence, grid), _weigh(arousal, grid)], axis=1)


def _read_picture(
    grid: Float64,
    picture: PictureSignals,
    shots: Sequence[Shot],
    valence: list[tuple[float, Float32]],
    arousal: list[tuple[float, Float32]],
) -> None:
    moved = picture.motion([shot.start_s for shot in shots])
    looks = (picture.luma, picture.saturation, picture.warmth, moved)
    _judge_picture([_at(grid, picture.times_s, look) for look in looks], valence, arousal)


def _judge_picture(
    looks: Sequence[Float32],
    valence: list[tuple[float, Float32]],
    arousal: list[tuple[float, Float32]],
) -> None:
    """Args: looks: luma, saturation, warmth and motion over the grid."""
    luma, colour, warm, moved = looks
    brightness, saturation = _signed(luma, 0.1, 0.7), _signed(colour, 0.0, 0.4)
    warmth, motion = _signed(warm, -0.2, 0.2), _signed(moved, 0.0, 0.5)
    valence += [
        (BRIGHTNESS_PLEASURE, brightness),
        (SATURATION_PLEASURE, saturation),
        (WARMTH_PLEASURE, warmth),
    ]
    excitement = BRIGHTNESS_AROUSAL * brightness + SATURATION_AROUSAL * saturation
    arousal += [(0.3, np.asarray(excitement, np.float32)), (1.0, motion)]


def _read_sound(grid: Float64, sound: SoundSignals, arousal: list[tuple[float, Float32]]) -> None:
    heard = (sound.level_dbfs, sound.onset_rate_hz, sound.centroid_hz)
    _judge_sound([_at(grid, sound.times_s, part) for part in heard], arousal)


def _judge_sound(heard: Sequence[Float32], arousal: list[tuple[float, Float32]]) -> None:
    """Args: heard: level, onsets a second and spectral centroid over the grid."""
    level, onsets, centroid = heard
    arousal += [
        (1.0, _signed(level, -45.0, -10.0)),
        (0.5, _signed(onsets, 0.0, 5.0)),
        (0.25, _signed(centroid, 300.0, 3000.0)),
    ]


def _read_music(grid: Float64, analysis: SoundAnalysis | None) -> list[tuple[float, Float32]]:
    """What a key and a tempo say of pleasure, where there are any."""
    parts: list[tuple[float, float]] = []
    if analysis is not None and analysis.mode:
        parts.append((MODE_PLEASURE, 1.0 if analysis.mode == "major" else -1.0))
    if analysis is not None and analysis.tempo_bpm is not None:
        pace = ramp(analysis.tempo_bpm, SLOW_BPM, FAST_BPM)
        parts.append((TEMPO_PLEASURE, 2.0 * float(pace) - 1.0))
    return [(weight, np.full(len(grid), MODE_VALENCE * lean, np.float32)) for weight, lean in parts]


def _signed(values: Float32, low: float, high: float) -> Float32:
    return np.asarray(2.0 * ramp(values, low, high) - 1.0, np.float32)


def _at(grid: Float64, times_s: Float64, values: Float32) -> Float32:
    course = Course(times_s=times_s, strengths=values[:, None])
    return resample(course, grid)[:, 0]


def _weigh(parts: list[tuple[float, Float32]], grid: Float64) -> Float32:
    if not parts:
        return np.zeros(len(grid), np.float32)
    total = sum(weight for weight, _ in parts)
    weighted: npt.NDArray[np.float32] = np.sum([weight * part for weight, part in parts], axis=0)
    return np.asarray(weighted / total, np.float32).clip(-1.0, 1.0)


def _cuts_per_minute(grid: Float64, shots: Sequence[Shot]) -> Float32:
    """From the length of the shots around each time, half a minute to either side."""
    cuts = np.array([shot.start_s for shot in shots[1:]])
    end_s = shots[-1].end_s
    low, high = np.maximum(grid - 30.0, 0.0), np.minimum(grid + 30.0, end_s)
    count = np.searchsorted(cuts, high) - np.searchsorted(cuts, low)
    return np.asarray(60.0 * count / np.maximum(high - low, 1.0), np.float32)
