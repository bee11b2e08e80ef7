"""Makes pictures of cards, as Discord shows them, and of a mood curve, for docs/pictures/.

``discord-card.svg`` shows what ``build_card`` and ``draw_mood_curve`` make of a made-up film,
``smoke-card.svg`` the card that docs/evidence/ holds. What surrounds them is drawn after Discord's
dark theme. Run ``python -m tests.support.card_picture``.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
import re
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from publisher.card import MOOD_CURVE, POSTER, build_card
from publisher.pictures import HEIGHT, WIDTH, draw_mood_curve
from service.domain import Analysis, Json, MoodPoint
from tests.support.announcements import make_announcement

DOCS = Path(__file__).resolve().parents[2] / "docs"
CARD, CURVE = DOCS / "pictures" / "discord-card.svg", DOCS / "pictures" / "mood-curve.png"
SMOKE_CARD = DOCS / "pictures" / "smoke-card.svg"
EVIDENCE = DOCS / "evidence" / "discord-card.json"
"""What Discord got in the smoke that docs/CLIP_QWEN_SMOKE.md tells of."""

TEXT_X, EDGE_X, INNER_X, OUTER_X = 72, 72, 88, 520
COLUMN, COLUMN_LETTERS = 118, 17
LINE, LETTER = 19, 6.7
"""Pixels of a line, and of a letter of 14 pixels in any sans serif, near enough."""
GROUND, CARD_GROUND, WORDS, FAINT, LINK = "#313338", "#2b2d31", "#dbdee1", "#949ba4", "#00a8fc"
FONT = "gg sans,Noto Sans,Helvetica,Arial,sans-serif"
PARTS = re.compile(r"\|\|(?P<spoiler>.+?)\|\||`(?P<code>[^`]+)`|(?P<plain>[^|`]+)")


def example() -> Analysis:
    """The example of docs/howto/, with a course of moods: calm, a chase, and calm again."""
    analysis = make_announcement().analysis
    hours = np.linspace(0, 1, 120)
    chase = np.exp(-(((hours - 0.62) / 0.12) ** 2))
    curve = tuple(
        MoodPoint(
            time_s=float(hour) * 6130,
            valence=float(0.45 - 0.9 * bump + 0.12 * math.sin(23 * hour)),
            arousal=float(-0.45 + 1.2 * bump + 0.1 * math.sin(31 * hour)),
        )
        for hour, bump in zip(hours, chase, strict=True)
    )
    return replace(analysis, mood_curve=curve)


def example_card() -> Json:
    announcement = replace(make_announcement(), analysis=example())
    return build_card(announcement, pictures=(POSTER, MOOD_CURVE))


def render(card: Json, *, curve: bytes = b"", poster: bytes = b"") -> str:
    """A card as an SVG that needs nothing else.

    Args:
        card: What Discord gets.
        curve: The PNG of the mood curve that travels with it.
        poster: Likewise; 80x120.
    """
    shapes = list(_message(card))
    y = 60
    for block in (_head(card), _fields(card["fields"])):
        drawn, y = _stack(block, y)
        shapes += drawn
    if curve:
        width = OUTER_X - 2 * (INNER_X - EDGE_X) - EDGE_X
        height = width * HEIGHT / WIDTH
        shapes.append(_image(INNER_X, y - 6, width, height, curve))
        y += int(height) - 6
    if poster:
        shapes.append(_image(OUTER_X - 76, 60, 60, 90, poster))
    y += 24
    footer = f"{card['footer']['text']} • {card['timestamp'][:10]}"
    shapes.append(_text(INNER_X, y, footer, size=12, fill=WORDS))
    bottom = y + 16
    edge = f"#{card['color']:06x}"
    frame = [
        f'<rect width="100%" height="100%" fill="{GROUND}"/>',
        f'<rect x="{EDGE_X}" y="44" width="{OUTER_X - EDGE_X}" height="{bottom - 44}" rx="4" '
        f'fill="{CARD_GROUND}"/>',
        f'<rect x="{EDGE_X}" y="44" width="4" height="{bottom - 44}" rx="2" fill="{edge}"/>',
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 560 {bottom + 16}" width="560" '
        f'font-family="{FONT}" font-size="14"><title>{escape(card["title"])}: a Discord card'
        "</title>"
    )
    return "\n".join([head, *frame, *shapes, "</svg>\n"])


def _message(card: Json) -> Iterator[str]:
    yield f'<circle cx="36" cy="34" r="20" fill="#5865f2"/>{_text(30, 40, "M", size=18)}'
    yield _text(TEXT_X, 30, "Moodreel", size=16, fill="#f2f3f5")
    yield '<rect x="146" y="17" width="34" height="16" rx="4" fill="#5865f2"/>'
    yield _text(151, 29, "APP", size=11, fill="#ffffff")
    yield _text(188, 30, f"{card['timestamp'][11:16]}", size=12, fill=FAINT)


Block = Iterator[tuple[int, float, str]]
"""Lines: how much lower than the one before, from where, and as what."""


def _stack(block: Block, y: int) -> tuple[list[str], int]:
    shapes = []
    for down, x, shape in block:
        y += down
        shapes.append(f'<g transform="translate({x:g} {y})">{shape}</g>')
    return shapes, y + 12


def _head(card: Json) -> Block:
    yield 12, INNER_X, _text(0, 0, card["author"]["name"], size=13, fill="#f2f3f5")
    yield 26, INNER_X, _text(0, 0, card["title"], size=16, fill=LINK, weight=600)
    for number, line in enumerate(textwrap.wrap(card.get("description", ""), 44)):
        yield (LINE if number else 24), INNER_X, _text(0, 0, line)


def _fields(fields: list[Json]) -> Block:
    """Up to three of those that may stand beside each other in a row."""
    for inline, group in itertools.groupby(fields, key=lambda field: field["inline"]):
        for row in _batched(list(group), 3 if inline else 1):
            names = [_text(0, 0, field["name"], fill="#f2f3f5", weight=600) for field in row]
            yield from _across(26, names)
            values = [
                textwrap.wrap(field["value"], COLUMN_LETTERS)
                if inline
                else field["value"].split("\n")
                for field in row
            ]
            for lines in itertools.zip_longest(*values, fillvalue=""):
                yield from _across(LINE, list(map(_marked, lines)))


def _batched(fields: list[Json], size: int) -> Iterator[list[Json]]:
    """``itertools.batched`` of Python 3.12."""
    return (fields[start : start + size] for start in range(0, len(fields), size))


def _across(down: int, shapes: list[str]) -> Block:
    for column, shape in enumerate(shapes):
        yield 0 if column else down, INNER_X + COLUMN * column, shape


def _marked(line: str) -> str:
    """A line of Discord's Markdown: spoilers as they are once they were clicked."""
    if not {"|", "`"} & set(line):
        return _text(0, 0, _unescape(line))
    x, shapes = 0.0, list[str]()
    for part in PARTS.finditer(line):
        kind, text = part.lastgroup, _unescape(part[part.lastgroup or 0])
        width = len(text) * LETTER
        if kind != "plain":
            fill = "#4e5058" if kind == "spoiler" else "#1e1f22"
            box = f'<rect x="{x:g}" y="-14" width="{width + 8:g}" height="18" rx="3"'
            shapes.append(f'{box} fill="{fill}"/>')
            x += 4
        shapes.append(_text(round(x, 1), 0, text, length=width))
        x += width + (4 if kind != "plain" else 0)
    return "".join(shapes)


def _unescape(text: str) -> str:
    """Without the backslashes that keep Discord from reading a text as Markdown."""
    return re.sub(r"\\(.)", r"\1", text)


def _text(
    x: float, y: float, text: str, *, size: int = 14, fill: str = WORDS, weight: int = 400,
    length: float = 0,
) -> str:  # fmt: skip
    fixed = f' textLength="{length:g}" lengthAdjust="spacingAndGlyphs"' if length else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}" font-weight="{weight}" '
        f'xml:space="preserve"{fixed}>{escape(text)}</text>'
    )


def _image(x: float, y: float, width: float, height: float, data: bytes) -> str:
    inside = base64.b64encode(data).decode()
    return (
        f'<image x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
        f'href="data:image/png;base64,{inside}"/>'
    )


def make_poster() -> bytes:
    """A road at dusk, in a few colours."""
    rows = np.linspace(0, 1, 120)[:, None]
    sky = np.array([40, 46, 92]) * (1 - rows) + np.array([236, 146, 84]) * rows
    picture = np.repeat(sky[:, None, :], 80, axis=1)
    picture[78:] = (38, 42, 38)
    for row in range(78, 120):
        half = 3 + (row - 78) * 0.75
        picture[row, int(40 - half) : int(40 + half)] = (70, 70, 76)
        if row // 6 % 2:
            picture[row, 39:41] = (240, 220, 150)
    file = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).quantize(48).save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    drawn = draw_mood_curve([example()])
    CURVE.write_bytes(drawn)
    picture = render(example_card(), curve=drawn, poster=make_poster())
    CARD.write_text(picture, encoding="utf-8")
    SMOKE_CARD.write_text(render(json.loads(EVIDENCE.read_text())), encoding="utf-8")
