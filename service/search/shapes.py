"""Understands the course of a mood in words, and compares stored mood curves with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from service.domain import MoodPoint
from service.search.inflection import inflect, plain_letters
from service.vocabulary import MoodWord, load_vocabulary
from service.vocabulary.shapes import MoodPart, ShapeWord, load_shape_words

TOKEN = re.compile(r"[^\W_]+|[,;.:/>→+-]")
MARKS = frozenset(",;.:/")
ARROWS = frozenset(">→")
LETTERS_READ = 400
GRID = 64
"""Moments at which a curve is read: stored ones have at most 240."""
NARROWING = 0.5
"""How much of the difference that words name a curve must show: curves are means over seconds and
over witnesses, and stay well inside the circumplex that words span."""
CONTRAST_SHARE = 0.6
"""Of the score, where two parts shall differ: a shape is a change first, and a level second."""
TOLERANCE = 1.0
"""Distance on one axis, half of its length, at which a level does not fit at all."""
Axis = Literal["valence", "arousal"]
AXES: tuple[Axis, ...] = ("valence", "arousal")
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How the mood shall go."""

    parts: tuple[MoodPart, ...]
    """In order of time."""
    rest: tuple[str, ...] = ()
    """Words of the query that say nothing about the course: with many of them it is about something
    else ("the end of the happy factory")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeMatch:
    """How well a curve goes so."""

    score: float
    reasons: tuple[str, ...]
    """What was asked of each part, and what the curve is there."""


@dataclass(frozen=True, slots=True)
class _Word:
    meaning: str
    parts: tuple[MoodPart, ...] = ()


Phrases = Mapping[tuple[str, ...], _Word]


@dataclass(slots=True)
class _Clause:
    """One part, as it is read."""

    when: MoodPart | None = None
    feels: list[MoodPart] | None = None
    follows: bool = False
    """A "then" stands before it."""


def compile_shapes(words: Sequence[ShapeWord], moods: Sequence[MoodWord] = ()) -> Phrases:
    """All forms of the words; ``moods`` are known by their labels."""
    phrases: dict[tuple[str, ...], _Word] = {
        (plain_letters(mood.label),): _Word(
            "feels", (MoodPart(valence=mood.valence, arousal=mood.arousal),)
        )
        for mood in moods
    }
    for word in words:
        entry = _Word(word.meaning, word.parts)
        if word.meaning == "feels":
            phrases[(plain_letters(word.label),)] = entry
        for language, texts in word.words.items():
            for text in texts:
                for key in _forms(language, word.meaning, text):
                    if word.meaning != "plain" or key not in phrases:
                        phrases[key] = entry
    return phrases


@cache
def default_phrases() -> Phrases:
    """Of the words that come with Moodreel."""
    return compile_shapes(load_shape_words(), load_vocabulary().moods)


def parse_shape(text: str, phrases: Phrases | None = None) -> Shape | None:
    """Understand a course: what begins how and ends how, or how it changes.

    English, German, Spanish and French. A mood alone ("sad", "calm, tense") is no course.

    Args:
        text: As it was asked.
        phrases: Of other words than those that come with Moodreel.
    """
    words, rest = _read(text[:LETTERS_READ], default_phrases() if phrases is None else phrases)
    courses = [word for word in words if word.meaning == "courses"]
    clauses = list(_clauses([word for word in words if word.meaning != "courses"]))
    told = [clause for clause in clauses if clause.feels]
    is_course = (
        any(clause.when for clause in told)
        or courses
        or (len(told) > 1 and any(clause.follows for clause in told[1:]))
    )
    if not is_course:
        return None
    if courses:  # beside a course, a mood without a time is of the whole: "sad film that builds up"
        told = [clause for clause in told if clause.when]
    parts = list(_place(told))
    for course in courses:
        parts += [part for part in course.parts if not any(_overlap(part, own) for own in parts)]
    if not parts:
        return None
    ordered = sorted(parts, key=lambda part: (part.start + part.end, part.start))
    return Shape(parts=tuple(ordered), rest=tuple(rest))


def score_shape(
    curve: Sequence[MoodPoint], shape: Shape, duration_s: float | None = None
) -> ShapeMatch:
    """Say how well a curve fits, in [0, 1].

    The level of each part counts by its distance from what is asked; the differences between parts
    count by their direction, up to half of the difference that the words name. Without any of them
    nothing fits, however near the levels are.

    Args:
        curve: In order of time; one without points fits nothing.
        shape: From ``parse_shape``.
        duration_s: Of the item; None: the curve's last moment ends it.
    """
    if not curve:
        return ShapeMatch(score=0.0, reasons=("no mood curve is stored",))
    grid = _resample(curve, duration_s)
    pairs = {
        axis: [
            (_mean(grid[axis], part), wanted)
            for part in shape.parts
            if (wanted := _of(part, axis)) is not None
        ]
        for axis in AXES
    }
    levels = [
        max(0.0, 1.0 - _shortfall(mean, wanted) / TOLERANCE)
        for axis in AXES
        for mean, wanted in pairs[axis]
    ]
    contrasts = [
        min(1.0, max(0.0, (other - mean) / (NARROWING * (wanted_other - wanted))))
        for axis in AXES
        for (mean, wanted), (other, wanted_other) in combinations(pairs[axis], 2)
        if wanted != wanted_other
    ]
    score = sum(levels) / len(levels)
    if contrasts:
        contrast = sum(contrasts) / len(contrasts)
        score = contrast * (CONTRAST_SHARE + (1.0 - CONTRAST_SHARE) * score)
    return ShapeMatch(score=score, reasons=tuple(_explain(shape, grid)))


def _forms(language: str, meaning: str, text: str) -> Iterator[tuple[str, ...]]:
    for form in text.split("/"):
        first, *further = [plain_letters(word) for word in TOKEN.findall(form)] or [""]
        is_adjective = meaning == "feels" and not further
        for inflected in inflect(language, "looks", first) if is_adjective else {first}:
            yield (inflected, *further)


def _read(text: str, phrases: Phrases) -> tuple[list[_Word], list[str]]:
    """The known words in order, the longest phrases first, and the others."""
    tokens = TOKEN.findall(text)
    keys = [plain_letters(token) for token in tokens]
    longest = max((len(key) for key in phrases), default=1)
    words: list[_Word] = []
    rest: list[str] = []
    index = 0
    while index < len(keys):
        length = next(
            (n for n in range(longest, 0, -1) if tuple(keys[index : index + n]) in phrases), 0
        )
        if length:
            word = phrases[tuple(keys[index : index + length])]
            words += [word] if word.meaning != "plain" else []
        elif keys[index] in ARROWS:
            words.append(_Word("then"))
        elif keys[index] in MARKS:
            words.append(_Word("and"))
        elif keys[index] not in {"-", "+"}:
            rest.append(tokens[index])
        index += length or 1
    return words, rest


def _clauses(words: Sequence[_Word]) -> Iterator[_Clause]:
    """One for each part: it ends at "then" or "and", or where it has all and more comes."""
    clause = _Clause()
    for word in words:
        is_full = clause.feels is not None and clause.when is not None
        if word.meaning in {"then", "and"}:
            if clause.feels or word.meaning == "and":
                if clause.feels:
                    yield clause
                clause = _Clause(when=None if clause.feels else clause.when)
            clause.follows = clause.follows or word.meaning == "then"
            continue
        if is_full or (word.meaning == "when" and clause.when is not None):
            yield clause
            clause = _Clause(follows=clause.follows and not clause.feels)
        if word.meaning == "when":
            clause.when = word.parts[0]
        else:
            clause.feels = [*(clause.feels or []), *word.parts]
    yield clause


def _place(clauses: Sequence[_Clause]) -> Iterator[MoodPart]:
    """Give each part its time: that which is named, or else its share of the order."""
    count = len(clauses)
    for index, clause in enumerate(clauses):
        share = MoodPart(start=index / count, end=(index + 1) / count)
        when = clause.when or share
        feels = clause.feels or []
        yield replace(
            when,
            valence=_average([feel.valence for feel in feels]),
            arousal=_average([feel.arousal for feel in feels]),
        )


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _overlap(part: MoodPart, other: MoodPart) -> bool:
    return part.start < other.end and other.start < part.end


def _of(part: MoodPart, axis: Axis) -> float | None:
    return part.valence if axis == "valence" else part.arousal


def _shortfall(mean: float, wanted: float) -> float:
    """Distance from what is asked; more of it is no fault."""
    if wanted == 0.0:
        return abs(mean)
    return max(0.0, wanted - mean) if wanted > 0.0 else max(0.0, mean - wanted)


def _resample(curve: Sequence[MoodPoint], duration_s: float | None) -> dict[Axis, Float64]:
    times = np.array([point.time_s for point in curve], np.float64)
    end = max(duration_s or 0.0, float(times[-1]))
    moments = (np.arange(GRID) + 0.5) / GRID * end
    return {axis: np.interp(moments, times, [getattr(p, axis) for p in curve]) for axis in AXES}


def _mean(values: Float64, part: MoodPart) -> float:
    first = int(part.start * GRID)
    return float(values[first : max(first + 1, round(part.end * GRID))].mean())


def _explain(shape: Shape, grid: Mapping[Axis, Float64]) -> Iterator[str]:
    for part in shape.parts:
        for axis in AXES:
            if (wanted := _of(part, axis)) is not None:
                yield (
                    f"{part.start:.0%} to {part.end:.0%}: {axis} {_mean(grid[axis], part):+.2f}"
                    f" (asked {wanted:+.2f})"
                )
