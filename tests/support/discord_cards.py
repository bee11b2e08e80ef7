"""Writes the example cards of docs/howto/ from the code, so that they cannot lie.

Run ``python -m tests.support.discord_cards`` after changing what a card shows.
"""

from __future__ import annotations

import json
from pathlib import Path

from publisher.card import MOOD_CURVE, POSTER, build_card
from service.domain import Announcement
from tests.support.announcements import make_announcement, make_group

HOWTO = Path(__file__).resolve().parents[2] / "docs" / "howto"
EXAMPLES: dict[str, Announcement] = {
    "discord-card-of-a-film.json": make_announcement(),
    "discord-card-of-a-season.json": make_group(10),
}


def render(announcement: Announcement) -> str:
    """A card as Discord gets it, for reading."""
    card = build_card(announcement, pictures=(POSTER, MOOD_CURVE))
    return json.dumps(card, ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    for name, announcement in EXAMPLES.items():
        (HOWTO / name).write_text(render(announcement), encoding="utf-8")
