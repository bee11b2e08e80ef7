"""The page that a card's link leads to, as HTML: made of texts from strangers, all of them escaped.

It works without a script and loads nothing. What is found in an item stands there as it stands on
the card; times of highlights only behind a click, and nothing of what happens in them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Self

from service.domain import Analysis, Highlight, MediaItem
from service.feedback import highlight_label
from service.query import VoteSubject

PATH_OF_FORM = "feedback"
"""Beside the page itself, whatever a proxy put before it."""
LINK, SAY, SAID = "link", "say", "said"
"""Fields of the form; of the address: what a browser said last."""
RIGHT, WRONG, NOTHING = "right", "wrong", "nothing"
TITLE_LENGTH = 300
LABEL_LENGTH = 200
"""Characters that are shown; titles come from files, of any length."""
STYLE = Path(__file__).with_name("guests.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
"""No script runs, nothing is loaded, kept, framed or indexed, and nobody learns of the address."""

Said = Mapping[tuple[VoteSubject, str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Something to judge."""

    subject: VoteSubject
    label: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``tag/beach`` back.

        Raises:
            ValueError: It is no such thing.
        """
        subject, slash, label = text.partition("/")
        if not slash or not label or subject == VoteSubject.RESULT:
            raise ValueError("nothing that can be judged on this page")
        return cls(subject=VoteSubject(subject), label=label)

    def __str__(self) -> str:
        return f"{self.subject}/{self.label}"


def render(analysis: Analysis, said: Said, *, token: str, last: Thing | None = None) -> str:
    """The page of an item.

    Args:
        analysis: What was found in it.
        said: What this guest said of it.
        token: Of the link.
        last: What he judged just now.
    """
    tags = dict.fromkeys(tag.label for tag in analysis.tags)
    tags |= dict.fromkeys(label for subject, label in said if subject is VoteSubject.TAG)
    body = [
        '<p class="kicker">Is this right?</p>',
        f"<h1><bdi>{_shown(_title(analysis.item), TITLE_LENGTH)}</bdi></h1>",
        '<p class="quiet">Moodreel found this by watching and listening. Say what is right and '
        "what is wrong, so that it finds better. Nobody learns who you are.</p>",
        f'<form method="post" action="{PATH_OF_FORM}">'
        f'<input type="hidden" name="{LINK}" value="{_attribute(token)}">',
        *_thank(said, last),
        *_list_tags(tags, said),
        *_list_highlights(analysis.highlights, said, last),
        "</form>",
    ]
    if not tags and not analysis.highlights:
        body.append("<p>Nothing was found that could be judged.</p>")
    return _document("".join(body))


def render_refusal(heading: str, why: str) -> str:
    """A page that says what cannot be done, and why."""
    return _document(f"<h1>{escape(heading)}</h1><p>{escape(why)}</p>")


def _document(body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex, nofollow">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>Is this right?</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )


def _thank(said: Said, last: Thing | None) -> Iterator[str]:
    if last is None:
        return
    is_right = said.get((last.subject, last.label))
    what = "that highlight" if last.subject is VoteSubject.HIGHLIGHT else f"“{last.label}”"
    shown = f"<bdi>{_shown(what, LABEL_LENGTH)}</bdi>"
    if is_right is None:
        yield '<p class="told" role="status"><span>Taken back.</span></p>'
        return
    word = "right" if is_right else "wrong"
    yield (
        f'<p class="told" role="status"><span>Thank you, noted: {shown} is {word}.</span>'
        f"{_button(NOTHING, last, 'undo', 'Undo')}</p>"  # also where its row is out of sight
    )


def _list_tags(tags: Iterable[str], said: Said) -> Iterator[str]:
    rows = "".join(_row(Thing(subject=VoteSubject.TAG, label=label), label, said) for label in tags)
    if rows:
        yield f"<section><h2>In it</h2><ul>{rows}</ul></section>"


def _list_highlights(
    highlights: Iterable[Highlight], said: Said, last: Thing | None
) -> Iterator[str]:
    rows = "".join(
        _row(
            Thing(subject=VoteSubject.HIGHLIGHT, label=highlight_label(found)),
            f"{_clock(found.start_s)} to {_clock(found.end_s)}",
            said,
        )
        for found in sorted(highlights, key=lambda found: found.start_s)
    )
    if rows:
        is_open = " open" if last and last.subject is VoteSubject.HIGHLIGHT else ""
        yield (
            f"<details{is_open}><summary>Its best moments</summary>"
            '<p class="quiet">Times alone, and nothing of what happens. Is it worth jumping there?'
            f"</p><ul>{rows}</ul></details>"
        )


def _row(thing: Thing, shown: str, said: Said) -> str:
    is_right = said.get((thing.subject, thing.label))
    buttons = [
        _button(RIGHT, thing, "yes", "✓ Right", of=shown, is_pressed=is_right is True),
        _button(WRONG, thing, "no", "✗ Wrong", of=shown, is_pressed=is_right is False),
    ]
    if is_right is not None:
        buttons.append(_button(NOTHING, thing, "undo", "Undo", of=shown))
    return (
        f'<li><bdi class="what">{_shown(shown, LABEL_LENGTH)}</bdi>'
        f'<span class="say">{"".join(buttons)}</span></li>'
    )


def _button(
    word: str, thing: Thing, kind: str, text: str, *, of: str = "", is_pressed: bool | None = None
) -> str:
    pressed = "" if is_pressed is None else f' aria-pressed="{str(is_pressed).lower()}"'
    label = f' aria-label="{_attribute(f"{of[:LABEL_LENGTH]}: {word}")}"' if of else ""
    return (
        f'<button class="{kind}" name="{SAY}" value="{_attribute(f"{word}/{thing}")}"'
        f"{pressed}{label}>{text}</button>"
    )


def _title(item: MediaItem) -> str:
    """As much as tells it from others."""
    season = "" if item.season_number is None else f"S{item.season_number:02}"
    episode = "" if item.episode_number is None else f"E{item.episode_number:02}"
    parts = (item.series, season + episode if item.series else "", item.artist, item.title)
    year = f" ({item.year})" if item.year and not item.series else ""
    return (" · ".join(filter(None, parts)) or "Untitled") + year


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(round(time_s), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _shown(text: str, length: int) -> str:
    return escape(text if len(text) <= length else f"{text[: length - 1]}…")


def _attribute(text: str) -> str:
    return escape(text, quote=True)
