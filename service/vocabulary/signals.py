"""The words by which a query tells what it is after, as editable YAML: one file per language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from service.errors import ConfigurationError
from service.vocabulary.loader import read_yaml

BUILT_IN = Path(__file__).parent / "search"
VISUAL = ("people", "things", "places", "lights", "doings", "looks", "seen", "shows")
"""Sections of what can be seen."""
SECTIONS = frozenset(
    {*VISUAL, "says", "talks", "about", "hears", "sounds", "asks", "reasons", "negations", "breaks"}
    | {"plain"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A word or a phrase."""

    text: str
    """As it stands in the file."""
    further: tuple[str, ...] = ()
    """Irregular forms."""


Signals = Mapping[str, Mapping[str, tuple[Entry, ...]]]
"""Language (the file's name), section, entries."""


def load_signals(directory: Path | None = None) -> Signals:
    """Read the words that come with Moodreel, and those of a user's ``search/*.yaml`` over them.

    A user's words are added; a word that he files elsewhere, such as under ``plain``, leaves our
    section. A file of another name adds a language.

    Raises:
        ConfigurationError: A file cannot be understood; the message names it and the section.
    """
    signals = dict(_built_in())
    for path in sorted((directory / "search").glob("*.yaml")) if directory else ():
        signals[path.stem] = _merge(signals.get(path.stem, {}), _read(path))
    return signals


@cache
def _built_in() -> Signals:
    return {path.stem: _read(path) for path in sorted(BUILT_IN.glob("*.yaml"))}


def _merge(
    ours: Mapping[str, tuple[Entry, ...]], theirs: Mapping[str, tuple[Entry, ...]]
) -> dict[str, tuple[Entry, ...]]:
    filed = {entry.text for entries in theirs.values() for entry in entries}
    kept = {
        section: tuple(entry for entry in entries if entry.text not in filed)
        for section, entries in ours.items()
    }
    return {name: kept.get(name, ()) + theirs.get(name, ()) for name in {*kept, *theirs}}


def _read(path: Path) -> dict[str, tuple[Entry, ...]]:
    document = read_yaml(path)
    if unknown := set(document) - SECTIONS:
        known = ", ".join(sorted(SECTIONS))
        raise ConfigurationError(f"{path}: unknown section {min(unknown)!r} (known: {known})")
    for section, text in document.items():
        if not isinstance(text, str):
            raise ConfigurationError(f"{path}: {section}: expected words, separated by commas")
    return {section: _entries(text) for section, text in document.items()}


def _entries(text: str) -> tuple[Entry, ...]:
    words = dict.fromkeys(" ".join(word.split()) for word in text.split(","))
    forms = ([form.strip() for form in word.split("/")] for word in words if word)
    return tuple(Entry(first, tuple(filter(None, further))) for first, *further in forms if first)
