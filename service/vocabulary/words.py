"""The entries of a vocabulary, as detection sees them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TagWord:
    """A tag and how it may be found; every way is optional, one at least is there."""

    label: str
    kind: str
    prompts: tuple[str, ...] = ()
    """Captions of pictures that show it."""
    sounds: tuple[str, ...] = ()
    """AudioSet classes that mean it."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class HighlightCue:
    """Something worth jumping to, or something that is not."""

    label: str
    prompts: tuple[str, ...] = ()
    sounds: tuple[str, ...] = ()


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
    picture_templates: tuple[str, ...]
    """Sentences with one ``{}``."""
    sound_templates: tuple[str, ...]
    fingerprint: str
    """Changes with any of the above."""
