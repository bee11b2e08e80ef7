"""The words for the course of a mood, as editable YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.errors import ConfigurationError
from service.vocabulary.loader import read_yaml

NAME = "shapes.yaml"
BUILT_IN = Path(__file__).parent / NAME
SECTIONS = ("when", "then", "and", "plain", "courses", "feels")
UNNAMED = ("then", "and", "plain")
"""Of one meaning each: they have languages, and no labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoodPart:
    """How a part of the time shall feel; 0 is its beginning and 1 its end."""

    start: float = 0.0
    end: float = 1.0
    valence: float | None = None
    """In [-1, 1]; None: it does not matter."""
    arousal: float | None = None
    """Likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeWord:
    """Words of one meaning."""

    meaning: str
    """One of ``SECTIONS``."""
    label: str
    parts: tuple[MoodPart, ...] = ()
    """Of ``when`` and ``feels`` one; of courses several."""
    words: Mapping[str, tuple[str, ...]]
    """By language; forms of a word are further words."""


def load_shape_words(directory: Path | None = None) -> tuple[ShapeWord, ...]:
    """Read the built-in words, and a user's ``shapes.yaml`` over them, label by label.

    Raises:
        ConfigurationError: A file cannot be understood; the message names it and the entry.
    """
    documents = [(BUILT_IN, read_yaml(BUILT_IN))]
    if directory is not None and (directory / NAME).exists():
        documents.append((directory / NAME, read_yaml(directory / NAME)))
    words: dict[tuple[str, str], ShapeWord] = {}
    for path, document in documents:
        for meaning, entries in document.items():
            if meaning not in SECTIONS or not isinstance(entries, dict):
                known = ", ".join(SECTIONS)
                raise ConfigurationError(f"{path}: {meaning}: expected entries of {known}")
            named = {"": entries} if meaning in UNNAMED else entries
            for label, entry in named.items():
                words[meaning, label] = _word(f"{path}: {meaning}: {label}", meaning, label, entry)
    return tuple(words.values())


def _word(where: str, meaning: str, label: str, entry: object) -> ShapeWord:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{where}: expected keys, found {entry!r}")
    own = {"from", "to", "valence", "arousal", "parts"}
    texts = {language: text for language, text in entry.items() if language not in own}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ConfigurationError(f"{where}: expected words of a language, separated by commas")
    try:
        parts = tuple(_part(part) for part in entry.get("parts", [entry]))
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{where}: {error}") from error
    words = {name: tuple(w.strip() for w in text.split(",")) for name, text in texts.items()}
    return ShapeWord(meaning=meaning, label=label, parts=parts, words=words)


def _part(entry: Mapping[str, Any]) -> MoodPart:
    start, end = float(entry.get("from", 0.0)), float(entry.get("to", 1.0))
    if not 0.0 <= start < end <= 1.0:
        raise ValueError(f"from {start} to {end} is no part of the time from 0 to 1")
    return MoodPart(
        start=start,
        end=end,
        valence=_coordinate(entry, "valence"),
        arousal=_coordinate(entry, "arousal"),
    )


def _coordinate(entry: Mapping[str, Any], name: str) -> float | None:
    value = entry.get(name)
    if value is None:
        return None
    if not -1.0 <= float(value) <= 1.0:
        raise ValueError(f"{name} must be a number from -1 to 1, found {value!r}")
    return float(value)
