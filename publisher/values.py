"""Kinds of things that a placeholder may stand for: each fits itself into the room it gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from publisher.text import clean, escape_markdown, shorten, units
from publisher.words import count
from service.domain import ItemMatch, SoundAnalysis

SOUND_TAG_COUNT = 12
SOUND_WINDOW = 20_000
"""Characters of a caption in which something must be seen."""
SOUND_MOOD_LIMIT = 80


@dataclass(frozen=True, slots=True)
class Text:
    """A stranger's words."""

    raw: str

    def __call__(self, limit: int, *, is_markdown: bool) -> str:
        return shorten(self.raw, limit, escape=escape_markdown if is_markdown else str)


@dataclass(frozen=True, slots=True)
class Ready:
    """Words of ours, safe as they are: shown whole, or not at all."""

    text: str

    def __call__(self, limit: int, *, is_markdown: bool) -> str:  # noqa: ARG002  nothing in it is markup
        return self.text if units(self.text) <= limit else ""


@dataclass(frozen=True, slots=True)
class Listed:
    """As many whole parts as there is room for, and how many more there are."""

    parts: Sequence[str]
    """Without markup in them."""
    mark: Callable[[str], str] = escape_markdown
    """Makes one Markdown."""
    separator: str = ", "
    more: str = ""
    """A word with ``$n``; empty: what finds no room is not mentioned."""

    def __call__(self, limit: int, *, is_markdown: bool) -> str:
        parts = [self.mark(part) for part in self.parts] if is_markdown else self.parts
        if units(whole := self.separator.join(parts)) <= limit:
            return whole
        rest = units(self.separator + count(self.more, len(parts))) if self.more else 0
        kept: list[str] = []
        used = rest - units(self.separator)
        for part in parts:
            used += units(self.separator + part)
            if used > limit:
                break
            kept.append(part)
        if kept and self.more:
            kept.append(count(self.more, len(parts) - len(kept)))
        return self.separator.join(kept)


@dataclass(frozen=True, slots=True)
class Sound:
    """The captioner's mood and words; without them, the sounds that were recognised."""

    audio: SoundAnalysis | None

    def __call__(self, limit: int, *, is_markdown: bool) -> str:
        if self.audio is None:
            return ""
        heard = self.audio.summary
        if not clean(heard[:SOUND_WINDOW]):
            heard = ", ".join(self.audio.tags[:SOUND_TAG_COUNT])
        mood = Text(self.audio.mood)(min(SOUND_MOOD_LIMIT, limit), is_markdown=is_markdown)
        room = limit - units(mood) - len(" · ")
        text = Text(heard)(room, is_markdown=is_markdown) if room > 0 else ""
        return " · ".join(part for part in (mood, text) if part)


@dataclass(frozen=True, slots=True)
class Match:
    """Another item's title and how near it is; the number is never cut off."""

    match: ItemMatch | None

    def __call__(self, limit: int, *, is_markdown: bool) -> str:
        if self.match is None or not math.isfinite(self.match.score):
            return ""
        score = f" ({min(1.0, max(-1.0, self.match.score)):.2f})"
        room = limit - units(score)
        title = Text(self.match.title)(room, is_markdown=is_markdown) if room > 0 else ""
        return title + score if title else ""
