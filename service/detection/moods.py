"""How an item feels: words with valence and arousal, and their course over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.detection.concepts import Concepts
from service.detection.context import let_silence_be
from service.detection.heard import HeardSounds
from service.detection.moments import Moments
from service.detection.scoring import ramp, score_concepts
from service.detection.signals import Float64, PictureSignals
from service.detection.sound import SILENCE_DBFS, SoundSignals
from service.domain import Float32, Mood, MoodPoint, Shot, SoundAnalysis
from service.vocabulary import MoodWord, Vocabulary

MIN_SCORE = 0.15
MAX_MOODS = 5
MAX_POINTS = 240
POINT_S = 1.0
TRUST_PICTURE, TRUST_SOUND, TRUST_SIGNALS = 0.9, 0.7, 0.4
"""How far each alone can settle a mood: colours and loudness set a tone, but tell no story."""
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
NEARBY = 0.5
"""Distance on the circumplex at which a mood is still plausible: a quarter of its width."""
DECIDED = 0.3
"""Nearer to the middle of the circumplex, signals say that there is little mood at all; the moods
that happen to lie there (mysterious) would else win everything that is average."""
UNMOVED = 1e-3
"""Weight of no mood at all: that of one that fits to three hundredths."""
HAS_RHYTHM = 4
"""Shots from which on their pace says something."""


@dataclass(frozen=True, slots=True, eq=False)
class _Course:
    """What one modality says over time: strengths of M moods at N times."""

    times_s: Float64
    strengths: Float32
    """``(N, M)``."""


def find_moods(
    vocabulary: Vocabulary,
    duration_s: float,
    *,
    picture: PictureSignals | None = None,
    shots: Sequence[Shot] = (),
    sound: SoundSignals | None = None,
    analysis: SoundAnalysis | None = None,
    context: Moments | None = None,
    concepts: Concepts | None = None,
    heard: HeardSounds | None = None,
    listened: Moments | None = None,
    sound_concepts: Concepts | None = None,
) -> tuple[tuple[Mood, ...], tuple[MoodPoint, ...]]:
    """The item's moods, the strongest first, and the curve of valence and arousal.

    Picture, sound and signals are independent witnesses; a tagger and a sound-text model are one,
    and the surer of them counts. Whatever is absent drops out; with signals alone confidences stay
    below their trust.
    """
    words = vocabulary.moods
    grid = _grid(duration_s)
    if not words or not len(grid):
        return (), ()
    plane = np.array([[word.valence, word.arousal] for word in words], np.float32)
    signals = _from_signals(
        plane, grid, picture=picture, shots=shots, sound=sound, analysis=analysis
    )
    listening = _from_vectors(words, listened, sound_concepts)
    witnesses = [
        (TRUST_PICTURE, [_from_vectors(words, context, concepts)]),
        (TRUST_SOUND, [_from_sounds(words, heard), _end_at_silence(listening)]),
        (TRUST_SIGNALS, [signals]),
    ]
    doubts = []
    for trust, courses in witnesses:
        said = [_resample(course, grid) for course in courses if course is not None]
        if said:
            doubts.append(1.0 - trust * np.max(said, axis=0))
    if not doubts:
        return (), ()
    doubt: Float32 = np.prod(doubts, axis=0)
    strength = 1.0 - doubt
    return _choose(words, strength.mean(axis=0)), _curve(grid, strength, plane)


def _grid(duration_s: float) -> Float64:
    if duration_s <= 0.0:
        return np.zeros(0)
    count = int(np.clip(np.ceil(duration_s / POINT_S), 1, MAX_POINTS))
    return np.asarray((np.arange(count) + 0.5) * (duration_s / count), np.float64)


def _resample(course: _Course, grid: Float64) -> Float32:
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


def _choose(words: Sequence[MoodWord], scores: Float32) -> tuple[Mood, ...]:
    order = np.argsort(-scores, kind="stable")[:MAX_MOODS]
    return tuple(
        Mood(
            label=words[index].label,
            score=round(float(scores[index]), 4),
            valence=words[index].valence,
            arousal=words[index].arousal,
        )
        for index in order
        if scores[index] >= MIN_SCORE
    )


def _curve(grid: Float64, strength: Float32, plane: Float32) -> tuple[MoodPoint, ...]:
    """The strengths' centre of mass on the circumplex.

    Squared, so that the moods that fit outweigh the many that fit a little. Where nothing is said,
    the mood is in the middle.
    """
    weight = strength**2
    points = weight @ plane / (weight.sum(axis=1, keepdims=True) + UNMOVED)
    return tuple(
        MoodPoint(
            time_s=round(float(time_s), 3),
            valence=round(float(valence), 4),
            arousal=round(float(arousal), 4),
        )
        for time_s, (valence, arousal) in zip(grid, points, strict=True)
    )


def _from_vectors(
    words: Sequence[MoodWord], context: Moments | None, concepts: Concepts | None
) -> _Course | None:
    if context is None or concepts is None or not len(context) or not concepts.moods:
        return None
    scores = score_concepts(
        context.vectors,
        concepts.mood_vectors,
        concepts.background_vectors,
        concepts.calibration,
    )
    columns = {word.label: column for column, word in enumerate(concepts.moods)}
    strengths = np.zeros((len(context), len(words)), np.float32)
    for index, word in enumerate(words):
        if word.label in columns:
            strengths[:, index] = scores[:, columns[word.label]]
    return _Course(times_s=context.times_s, strengths=strengths)


def _end_at_silence(course: _Course | None) -> _Course | None:
    return course and _Course(*let_silence_be(course.times_s, course.strengths))


def _from_sounds(words: Sequence[MoodWord], heard: HeardSounds | None) -> _Course | None:
    if heard is None or not len(heard.times_s):
        return None
    strengths = np.stack([heard.score(word.sounds) for word in words], axis=1)
    return _Course(times_s=heard.times_s, strengths=strengths)


def _from_signals(
    plane: Float32,
    grid: Float64,
    *,
    picture: PictureSignals | None,
    shots: Sequence[Shot],
    sound: SoundSignals | None,
    analysis: SoundAnalysis | None,
) -> _Course | None:
    place = place_signals(grid, picture=picture, shots=shots, sound=sound, analysis=analysis)
    if place is None:
        return None
    distance = np.linalg.norm(place[:, None, :] - plane[None, :, :], axis=2)
    decided = np.minimum(np.linalg.norm(place, axis=1, keepdims=True) / DECIDED, 1.0)
    strengths = (decided * np.exp(-0.5 * (distance / NEARBY) ** 2)).astype(np.float32)
    return _Course(times_s=grid, strengths=strengths)


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


def _read_picture(
    grid: Float64,
    picture: PictureSignals,
    shots: Sequence[Shot],
    valence: list[tuple[float, Float32]],
    arousal: list[tuple[float, Float32]],
) -> None:
    brightness = _signed(_at(grid, picture.times_s, picture.luma), 0.1, 0.7)
    saturation = _signed(_at(grid, picture.times_s, picture.saturation), 0.0, 0.4)
    warmth = _signed(_at(grid, picture.times_s, picture.warmth), -0.2, 0.2)
    moved = picture.motion([shot.start_s for shot in shots])
    motion = _signed(_at(grid, picture.times_s, moved), 0.0, 0.5)
    valence += [
        (BRIGHTNESS_PLEASURE, brightness),
        (SATURATION_PLEASURE, saturation),
        (WARMTH_PLEASURE, warmth),
    ]
    colour = BRIGHTNESS_AROUSAL * brightness + SATURATION_AROUSAL * saturation
    arousal += [(0.3, np.asarray(colour, np.float32)), (1.0, motion)]


def _read_sound(grid: Float64, sound: SoundSignals, arousal: list[tuple[float, Float32]]) -> None:
    level = _at(grid, sound.times_s, sound.level_dbfs)
    onsets = _at(grid, sound.times_s, sound.onset_rate_hz)
    centroid = _at(grid, sound.times_s, sound.centroid_hz)
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
    course = _Course(times_s=times_s, strengths=values[:, None])
    return _resample(course, grid)[:, 0]


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
