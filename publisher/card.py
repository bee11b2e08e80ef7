"""The Discord card of one item: an embed that holds every limit for any input.

Limits count UTF-16 code units (see ``publisher.text.units``). Each part has its own, smaller than
Discord's; together they stay below the 6000 that Discord allows an embed in total, so nothing has
to be dropped afterwards:

    title 256 + description 600 + names of 6 fields 60 + values 150 + 400 + 1024 + 700 + 500 + 300
    + author 40 + footer 300 = 4330
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from publisher.links import public_url
from publisher.payload import UNTITLED, format_timestamp
from publisher.text import clean, escape_markdown, first_lines, shorten, units
from service.domain import (
    Analysis,
    Announcement,
    Highlight,
    ItemMatch,
    Json,
    MediaItem,
    MediaKind,
    Mood,
    SoundAnalysis,
    Tag,
)

TITLE_LIMIT = 256
DESCRIPTION_LIMIT = 600
"""An overview, not the whole plot; Discord would take 4096."""
MOODS_LIMIT = 400
SOUND_LIMIT = 500
MATCH_LIMIT = 300
FOOTER_LIMIT = 300

MOOD_COUNT = 3
TAG_COUNT = 12
"""As in the cards of PMOVES, so that a channel's readers find what they know."""
HIGHLIGHT_COUNT = 5
TAG_LIMIT = 60
REASON_LIMIT = 60

DEFAULT_COLOUR = 0x22C55E
"""That of PMOVES' cards."""
_MOOD_COLOURS = {
    (True, True): 0xF59E0B,  # joyful, exciting: amber
    (True, False): 0x38BDF8,  # calm, tender: sky
    (False, True): 0xEF4444,  # tense, angry: red
    (False, False): 0x6366F1,  # sad, gloomy: indigo
}
_NEUTRAL = 0.15
"""Below this distance from the circumplex's middle a mood has no colour of its own."""

_LAST_YEAR = 9999
_LONGEST_S = 1e9
"""Thirty years: no medium is longer, and no number that is gets into a card."""

_EVENTS = {
    MediaKind.MOVIE: "New film",
    MediaKind.EPISODE: "New episode",
    MediaKind.VIDEO: "New video",
    MediaKind.MUSIC_VIDEO: "New music video",
    MediaKind.SONG: "New song",
}


def build_card(announcement: Announcement) -> Json:
    """Lay an item out as an embed; what was not found has no line."""
    analysis = announcement.analysis
    item = analysis.item
    card: Json = {
        "author": {"name": _EVENTS[item.kind]},
        "title": _title(item),
        "color": _colour(analysis.moods),
        "fields": list(_fields(analysis)),
        "footer": {"text": _footer(item, announcement.namespace)},
        "timestamp": format_timestamp(announcement.created_at),
    }
    if url := public_url(item.url):
        card["url"] = url
    if overview := shorten(item.overview, DESCRIPTION_LIMIT, escape=escape_markdown):
        card["description"] = overview
    return card


def format_time(time_s: float) -> str:
    """``H:MM:SS``, or ``M:SS`` within the first hour."""
    minutes, seconds = divmod(round(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _title(item: MediaItem) -> str:
    """``Name (Year)``, ``Series S01E02 - Title`` or ``Artist - Title``.

    The number and the year are never cut off: whoever reads a long title needs them most.
    """
    lead, tail = "", ""
    if item.kind is MediaKind.EPISODE and clean(item.series):
        number = _episode_number(item)
        series = shorten(item.series, TITLE_LIMIT // 2, escape=escape_markdown)
        lead = f"{series} {number} - " if number else f"{series} - "
    elif item.artist and item.kind in {MediaKind.SONG, MediaKind.MUSIC_VIDEO}:
        artist = shorten(item.artist, TITLE_LIMIT // 2, escape=escape_markdown)
        lead = f"{artist} - " if artist else ""
    if item.kind is not MediaKind.EPISODE and item.year and 0 < item.year <= _LAST_YEAR:
        year = f"({item.year})"
        tail = "" if item.title.rstrip().endswith(year) else f" {year}"
    room = TITLE_LIMIT - units(lead) - units(tail)
    return lead + (shorten(item.title, room, escape=escape_markdown) or UNTITLED) + tail


def _episode_number(item: MediaItem) -> str:
    numbers = (("S", item.season_number), ("E", item.episode_number))
    return "".join(f"{letter}{n:02}" for letter, n in numbers if n is not None and 0 <= n < 10**6)


def _colour(moods: Sequence[Mood]) -> int:
    if not moods:
        return DEFAULT_COLOUR
    valence, arousal = moods[0].valence, moods[0].arousal
    if not math.hypot(valence, arousal) >= _NEUTRAL:  # so that NaN is neutral too
        return DEFAULT_COLOUR
    return _MOOD_COLOURS[valence >= 0, arousal >= 0]


def _footer(item: MediaItem, namespace: str) -> str:
    parts = (shorten(item.ref.server, FOOTER_LIMIT // 2 - 2), shorten(namespace, FOOTER_LIMIT // 2))
    return " · ".join(part for part in parts if part) or "moodreel"


def _fields(analysis: Analysis) -> Iterator[Json]:
    for name, value, is_inline in (
        ("Duration", _duration(analysis.duration_s), True),
        ("Mood", _moods(analysis.moods), True),
        ("Best match", _match(analysis.best_match), True),
        ("Tags", _tags(analysis.tags), False),
        ("Highlights", _highlights(analysis.highlights), False),
        ("Sound", _sound(analysis.audio), False),
    ):
        if value:
            yield {"name": name, "value": value, "inline": is_inline}


def _duration(duration_s: float) -> str:
    if not 0 < duration_s < _LONGEST_S:  # also NaN
        return ""
    minutes, seconds = divmod(max(1, round(duration_s)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _moods(moods: Sequence[Mood]) -> str:
    each = MOODS_LIMIT // MOOD_COUNT - 2
    labels = [shorten(m.label, each, escape=escape_markdown) for m in moods[:MOOD_COUNT]]
    return ", ".join(label for label in labels if label)


def _tags(tags: Iterable[Tag]) -> str:
    """The first twelve in code spans, in which nothing is markup but the backtick itself."""
    labels = first_lines((tag.label.replace("`", "'") for tag in tags), TAG_COUNT, TAG_LIMIT)
    return " ".join(f"`{label}`" for label in labels)


def _highlights(highlights: Sequence[Highlight]) -> str:
    """The best few in order of time, a line each: when, and a word on why."""
    shown = [h for h in highlights if 0 <= h.start_s <= h.end_s < _LONGEST_S]
    best = sorted(shown, key=lambda h: -h.score if math.isfinite(h.score) else 0.0)
    in_order = sorted(best[:HIGHLIGHT_COUNT], key=lambda h: h.start_s)
    return "\n".join(_highlight_line(highlight) for highlight in in_order)


def _highlight_line(highlight: Highlight) -> str:
    span = f"`{format_time(highlight.start_s)}-{format_time(highlight.end_s)}`"
    reason = shorten(next(iter(highlight.reasons), ""), REASON_LIMIT, escape=escape_markdown)
    return f"{span} {reason}".rstrip()


def _sound(audio: SoundAnalysis | None) -> str:
    """What a captioner wrote; without one, the sounds that were recognised."""
    if audio is None:
        return ""
    heard = audio.summary if clean(audio.summary) else ", ".join(audio.tags[:TAG_COUNT])
    text = shorten(heard, SOUND_LIMIT - 100, escape=escape_markdown)
    mood = shorten(audio.mood, 80, escape=escape_markdown)
    return " · ".join(part for part in (mood, text) if part)


def _match(match: ItemMatch | None) -> str:
    if match is None or not math.isfinite(match.score):
        return ""
    title = shorten(match.title, MATCH_LIMIT - 20, escape=escape_markdown)
    return f"{title} ({min(1.0, max(-1.0, match.score)):.2f})" if title else ""
