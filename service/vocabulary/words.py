"""The entries of a vocabulary, as detection sees them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from service.domain import Modality


@dataclass(frozen=True, slots=True, kw_only=True)
class TagWord:
    """A tag and how it may be found; every way is optional, one at least is there."""

    label: str
    kind: str
    prompts: tuple[str, ...] = ()
    """Captions of pictures that show it."""
    sounds: tuple[str, ...] = ()
    """AudioSet classes that mean it."""
    hears: tuple[str, ...] = ()
    """Captions of sounds that mean it; the classes' names stand in."""
    words: tuple[str, ...] = ()
    """Whole words, lower case, in title, genres or keywords."""
    signals: tuple[str, ...] = ()
    """Names of measured properties (``service.detection.properties``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoodWord:
    """A mood and its place on the circumplex (Russell 1980), both in [-1, 1]."""

    label: str
    valence: float
    arousal: float
    prompts: tuple[str, ...] = ()
    sounds: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HighlightCue:
    """Something worth jumping to, or something that is not."""

    label: str
    prompts: tuple[str, ...] = ()
    sounds: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """All that is looked and listened for."""

    tags: tuple[TagWord, ...]
    moods: tuple[MoodWord, ...]
    positive: tuple[HighlightCue, ...]
    """What makes a highlight."""
    negative: tuple[HighlightCue, ...]
    """What speaks against one."""
    background: tuple[str, ...]
    """Prompts that fit any picture."""
    sound_background: tuple[str, ...]
    """Prompts that fit any sound."""
    templates: Mapping[str, tuple[str, ...]]
    """Sentences with one ``{}``, by ``picture`` and ``sound``, and by ``picture/<family>`` and
    ``sound/<family>`` for families of models that were trained with other sentences."""
    fingerprint: str
    """Changes with any of the above."""

    def templates_for(self, modality: Modality, model: str) -> tuple[str, ...]:
        """The sentences for a model: those of the longest family name with which its name, or a
        part of its name, begins; else those for all models.
        """
        parts = "-" + re.sub(r"[^a-z0-9]+", "-", model.casefold())
        families = [
            name
            for name in self.templates
            if name.startswith(f"{modality}/") and "-" + name.partition("/")[2].casefold() in parts
        ]
        name = max(families, key=len, default=str(modality))
        return self.templates.get(name, ()) or ("{}",)


def name_sounds(sounds: tuple[str, ...]) -> tuple[str, ...]:
    """AudioSet's class names as a caption would say them: ``Frying (food)`` is ``frying food``."""
    plain = (re.sub(r"[()]|, etc\.", "", name).strip().lower() for name in sounds)
    return tuple(dict.fromkeys(plain))
