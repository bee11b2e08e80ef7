"""The Discord card of an item or a group: an embed that holds every limit for any input.

Limits count UTF-16 code units (see ``publisher.text.units``). Each part has Discord's own limit or
the layout's smaller one: title 256 + author 256 + footer 300 + description 4096 = 4908 of the 6000
that Discord allows in total. The fields share the rest, and the first ones go first.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from publisher.findings import describe, top_moods
from publisher.layout import (
    FIELD_COUNT_LIMIT,
    TITLE_LIMIT,
    VALUE_LIMIT,
    CardLayout,
    Colours,
    Look,
    default_look,
)
from publisher.links import public_url
from publisher.payload import format_timestamp
from publisher.template import Values
from publisher.text import units
from service.domain import Announcement, Json, Mood

TOTAL_LIMIT = 6000
"""Of all texts of all embeds of a message (Discord's documentation, as those below)."""
AUTHOR_LIMIT = 256
FIELD_NAME_LIMIT = 256
FOOTER_LIMIT = 300
"""Discord would take 2048, of which nobody reads the end."""

POSTER = "poster.jpg"
MOOD_CURVE = "moods.png"
"""Names of the pictures that travel with a card."""

NO_NAME = "\u200b"
"""Of a field: Discord wants one, and shows nothing of this."""
_NEUTRAL = 0.15
"""Below this distance from the circumplex's middle a mood has no colour of its own."""


def build_card(
    announcement: Announcement, look: Look | None = None, *, pictures: Collection[str] = ()
) -> Json:
    """Lay an item, or a group, out as an embed; what was not found has no line.

    Args:
        announcement: What to tell.
        look: The layout and the language; None for ours.
        pictures: Names of those that travel with the card.
    """
    look = look or default_look()
    layout = look.layout.group if announcement.members else look.layout.item
    analyses = announcement.members or (announcement.analysis,)
    values = describe(announcement, look)
    title = layout.title.fill(values, TITLE_LIMIT) or look.words.untitled
    author = layout.author.fill(values, AUTHOR_LIMIT, is_markdown=False)
    footer = layout.footer.fill(values, FOOTER_LIMIT, is_markdown=False)
    description = layout.description.fill(values, layout.description_limit)
    room = TOTAL_LIMIT - sum(map(units, (title, author, footer, description)))
    link = _link(announcement.feedback_url, look.words.feedback, room)
    fields = list(_fields(layout, values, room - sum(map(_size, link))))
    url = public_url(announcement.analysis.item.url)
    card: Json = {
        "author": {"name": author} if author else {},
        "title": title,
        "url": url,
        "color": _colour(top_moods(analyses), look.layout.colours),
        "description": description,
        "fields": [*fields, *link][:FIELD_COUNT_LIMIT],
        "thumbnail": {"url": f"attachment://{POSTER}"} if POSTER in pictures else {},
        "image": {"url": f"attachment://{MOOD_CURVE}"} if MOOD_CURVE in pictures else {},
        "footer": {"text": footer} if footer else {},
        "timestamp": format_timestamp(announcement.created_at),
    }
    return {key: value for key, value in card.items() if value not in ("", {}, [])}


def _link(url: str, words: str, room: int) -> Sequence[Json]:
    """One line below all else, or none: what is shortened is no link."""
    shown = public_url(url).replace("(", "%28").replace(")", "%29")
    field: Json = {"name": NO_NAME, "value": f"[{words}]({shown})", "inline": False}
    fits = units(field["value"]) <= VALUE_LIMIT and _size(field) <= room
    return [field] if shown and fits else []


def _size(field: Json) -> int:
    return units(field["name"]) + units(field["value"])


def _fields(layout: CardLayout, values: Values, room: int) -> Iterator[Json]:
    for field in layout.fields_:
        name = field.name.fill(values, FIELD_NAME_LIMIT)
        limit = min(field.limit, room - units(name))
        if name and limit > 0 and (value := field.value.fill(values, limit)):
            room -= units(name) + units(value)
            yield {"name": name, "value": value, "inline": field.inline}


def _colour(moods: Sequence[Mood], colours: Colours) -> int:
    if not moods:
        return colours.plain
    valence, arousal = moods[0].valence, moods[0].arousal
    if not math.hypot(valence, arousal) >= _NEUTRAL:  # so that NaN is neutral too
        return colours.plain
    if valence >= 0:
        return colours.exciting if arousal >= 0 else colours.calm
    return colours.tense if arousal >= 0 else colours.sad
