"""Understands the course of a mood in words: "calm start, tense end"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from service.search.inflection import inflect, plain_letters
from service.vocabulary import MoodWord, load_vocabulary
from service.vocabulary.shapes import MoodPart, ShapeWord, load_shape_words

TOKEN = re.compile(r"[^\W_]+|[,;.:/>→+-]")
MARKS = frozenset(",;.:/")
ARROWS = frozenset(">→")
LETTERS_READ = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How the mood shall go."""

    parts: tuple[MoodPart, ...]
    """In order of time."""
    rest: tuple[str, ...] = ()
    """Words of the query that say nothing about the course: with many of them it is about something
    else ("the end of the happy factory")."""


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
