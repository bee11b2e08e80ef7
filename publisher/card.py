"""The Discord card of an item or a group: an embed that holds every limit for any input.

Limits count UTF-16 code units (see ``publisher.text.units``). Each part has Discord's own limit or
the layout's smaller one, and all share a budget: what comes later in the layout gets what is left.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from publisher.findings import describe, top_moods
from publisher.layout import TITLE_LIMIT, CardLayout, Colours, Look, default_look
from publisher.links import public_url
from publisher.payload import format_timestamp
from publisher.template import Template, Values
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

_NEUTRAL = 0.15
"""Below this distance from the circumplex's middle a mood has no colour of its own."""


@dataclass(slots=True)
class _Budget:
    """What a card may still say."""

    left: int = TOTAL_LIMIT

    def take(
        self, template: Template, values: Values, limit: int, *, is_markdown: bool = True
    ) -> str:
        text = template.fill(values, min(limit, self.left), is_markdown=is_markdown)
        self.left -= units(text)
        return text


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
    values, budget = describe(announcement, look), _Budget()
    title = budget.take(layout.title, values, TITLE_LIMIT)
    author = budget.take(layout.author, values, AUTHOR_LIMIT, is_markdown=False)
    footer = budget.take(layout.footer, values, FOOTER_LIMIT, is_markdown=False)
    description = budget.take(layout.description, values, layout.description_limit)
    url = public_url(announcement.analysis.item.url)
    card: Json = {
        "author": {"name": author} if author else {},
        "title": title or look.words.untitled,
        "url": url,
        "color": _colour(top_moods(analyses), look.layout.colours),
        "description": description,
        "fields": list(_fields(layout, values, budget)),
        "thumbnail": {"url": f"attachment://{POSTER}"} if POSTER in pictures else {},
        "image": {"url": f"attachment://{MOOD_CURVE}"} if MOOD_CURVE in pictures else {},
        "footer": {"text": footer} if footer else {},
        "timestamp": format_timestamp(announcement.created_at),
    }
    return {key: value for key, value in card.items() if value not in ("", {}, [])}


def _fields(layout: CardLayout, values: Values, budget: _Budget) -> Iterator[Json]:
    for field in layout.fields_:
        name = field.name.fill(values, FIELD_NAME_LIMIT)
        room = budget.left - units(name)
        if not name or room <= 0:
            continue
        if value := field.value.fill(values, min(field.limit, room)):
            budget.left -= units(name) + units(value)
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
