"""How an item feels: words with valence and arousal, and their course over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.detection.concepts import Concepts
from service.detection.context import let_silence_be
from service.detection.heard import HeardSounds
from service.detection.moments import Moments
from service.detection.mood_signals import Course, place_signals, resample
from service.detection.scoring import score_concepts
from service.detection.signals import Float64, PictureSignals
from service.detection.sound import SoundSignals
from service.domain import Float32, Mood, MoodPoint, Shot, SoundAnalysis
from service.vocabulary import MoodWord, Vocabulary

MIN_SCORE = 0.15
MAX_MOODS = 5
MAX_POINTS = 240
POINT_S = 1.0
TRUST_PICTURE, TRUST_SOUND, TRUST_SIGNALS = 0.9, 0.7, 0.4
"""How far each alone can settle a mood: colours and loudness set a tone, but tell no story."""
NEARBY = 0.5
"""Distance on the circumplex at which a mood is still plausible: a quarter of its width."""
DECIDED = 0.3
"""Nearer to the middle of the circumplex, signals say that there is little mood at all; the moods
that happen to lie there (mysterious) would else win everything that is average."""
UNMOVED = 1e-3
"""Weight of no mood at all: that of one that fits to three hundredths."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Felt:
    """How strongly the moods of a vocabulary are felt over time."""

    words: tuple[MoodWord, ...]
    grid: Float64
    """``(N,)`` seconds."""
    strengths: Float32
    """``(N, M)`` in [0, 1]."""

    def scores(self) -> Float32:
        """``(M,)``: of each mood, over the whole item."""
        return np.asarray(self.strengths.mean(axis=0), np.float32)

    def curve(self) -> tuple[MoodPoint, ...]:
        """Valence and arousal over time."""
        return _curve(self.grid, self.strengths, _plane(self.words))


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
    """The item's moods, the strongest first, and the curve of valence and arousal."""
    grid = mood_grid(duration_s)
    if not len(grid):
        return (), ()
    felt = weigh_moods(
        vocabulary,
        grid,
        place=place_signals(grid, picture=picture, shots=shots, sound=sound, analysis=analysis),
        context=context,
        concepts=concepts,
        heard=heard,
        listened=listened,
        sound_concepts=sound_concepts,
    )
    return (choose_moods(felt.words, felt.scores()), felt.curve()) if felt else ((), ())


def weigh_moods(
    vocabulary: Vocabulary,
    grid: Float64,
    *,
    place: Float32 | None = None,
    context: Moments | None = None,
    concepts: Concepts | None = None,
    heard: HeardSounds | None = None,
    listened: Moments | None = None,
    sound_concepts: Concepts | None = None,
) -> Felt | None:
    """How strongly each mood is felt at each time; None where nothing says so.

    Picture, sound and signals are independent witnesses; a tagger and a sound-text model are one,
    and the surer of them counts. Whatever is absent drops out; with signals alone confidences stay
    below their trust.

    Args:
        vocabulary: Its moods.
        grid: ``mood_grid``.
        place: ``(N, 2)`` valence and arousal by signals alone, over the grid.
        context: Encoded pictures, and ``concepts`` in their space.
        concepts: See ``context``.
        heard: What a tagger heard.
        listened: Encoded sounds, and ``sound_concepts`` in their space.
        sound_concepts: See ``listened``.
    """
    words = vocabulary.moods
    if not words or not len(grid):
        return None
    listening = _from_vectors(words, listened, sound_concepts)
    witnesses = [
        (TRUST_PICTURE, [_from_vectors(words, context, concepts)]),
        (TRUST_SOUND, [_from_sounds(words, heard), _end_at_silence(listening)]),
        (TRUST_SIGNALS, [_from_signals(words, grid, place)]),
    ]
    doubts = []
    for trust, courses in witnesses:
        said = [resample(course, grid) for course in courses if course is not None]
        if said:
            doubts.append(1.0 - trust * np.max(said, axis=0))
    if not doubts:
        return None
    doubt: Float32 = np.prod(doubts, axis=0)
    return Felt(words=words, grid=grid, strengths=1.0 - doubt)


def _plane(words: Sequence[MoodWord]) -> Float32:
    return np.array([[word.valence, word.arousal] for word in words], np.float32)


def mood_grid(duration_s: float) -> Float64:
    """The times at which moods are told: each second, at most 240."""
    if duration_s <= 0.0:
        return np.zeros(0)
    count = int(np.clip(np.ceil(duration_s / POINT_S), 1, MAX_POINTS))
    return np.asarray((np.arange(count) + 0.5) * (duration_s / count), np.float64)


def choose_moods(words: Sequence[MoodWord], scores: Float32) -> tuple[Mood, ...]:
    """The strongest of M moods, by ``(M,)`` scores."""
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
) -> Course | None:
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
    return Course(times_s=context.times_s, strengths=strengths)


def _end_at_silence(course: Course | None) -> Course | None:
    return course and Course(*let_silence_be(course.times_s, course.strengths))


def _from_sounds(words: Sequence[MoodWord], heard: HeardSounds | None) -> Course | None:
    if heard is None or not len(heard.times_s):
        return None
    strengths = np.stack([heard.score(word.sounds) for word in words], axis=1)
    return Course(times_s=heard.times_s, strengths=strengths)


def _from_signals(words: Sequence[MoodWord], grid: Float64, place: Float32 | None) -> Course | None:
    if place is None:
        return None
    distance = np.linalg.norm(place[:, None, :] - _plane(words)[None, :, :], axis=2)
    decided = np.minimum(np.linalg.norm(place, axis=1, keepdims=True) / DECIDED, 1.0)
    strengths = (decided * np.exp(-0.5 * (distance / NEARBY) ** 2)).astype(np.float32)
    return Course(times_s=grid, strengths=strengths)
