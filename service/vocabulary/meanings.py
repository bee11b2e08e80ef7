"""By which words people ask for tags and moods, in several languages, as editable YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from service.errors import ConfigurationError
from service.vocabulary.loader import read_yaml

NAME = "meanings.yaml"
BUILT_IN = Path(__file__).parent / NAME

AskedWords = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Label, language, words and phrases."""


def load_meanings(directory: Path | None = None) -> AskedWords:
    """Read the built-in words, and a user's ``meanings.yaml`` over them, label by label.

    Raises:
        ConfigurationError: A file cannot be understood; the message names it and the label.
    """
    words = dict(_read(BUILT_IN))
    if directory is not None and (directory / NAME).exists():
        words |= _read(directory / NAME)
    return words


def _read(path: Path) -> AskedWords:
    words: dict[str, dict[str, tuple[str, ...]]] = {}
    for label, entry in read_yaml(path).items():
        if not isinstance(entry, dict) or not all(isinstance(t, str) for t in entry.values()):
            raise ConfigurationError(
                f"{path}: {label}: expected words of a language, separated by commas"
            )
        words[str(label)] = {
            str(language): tuple(filter(None, (word.strip() for word in text.split(","))))
            for language, text in entry.items()
        }
    return words
