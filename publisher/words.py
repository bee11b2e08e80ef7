"""The words that a card brings along, by language: data, one file for each."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from service.errors import ConfigurationError

_FOLDER = Path(__file__).parent / "languages"
LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt", "ko", "ja", "zh")


class Words(BaseModel):
    """``$n`` in one of them stands for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    movie: str
    episode: str
    video: str
    music_video: str
    song: str
    episodes: str
    songs: str
    untitled: str
    season: str
    specials: str
    more: str
    duration: str
    mood: str
    moods: str
    tags: str
    highlights: str
    sound: str
    match: str
    comfort: str
    contents: str
    flashing: str
    sudden_loudness: str
    feedback: str


def count(text: str, number: int) -> str:
    """Put a number into a word."""
    return text.replace("$n", str(number))


@cache
def read_words(language: str) -> Words:
    """Read the words of a language.

    Raises:
        ConfigurationError: We do not speak it.
    """
    if language not in LANGUAGES:
        raise ConfigurationError(
            f"DISCORD_LANGUAGE: no language is called {language!r}; known: {', '.join(LANGUAGES)}"
        )
    text = (_FOLDER / f"{language}.yaml").read_text(encoding="utf-8")
    return Words.model_validate(yaml.safe_load(text))
