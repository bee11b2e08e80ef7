"""Text from strangers, made fit to be shown: titles, overviews and captions are never trusted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

ELLIPSIS = "…"
_SEEN_PER_SHOWN = 8
"""Characters looked at for each that may be shown: white space and invisible ones fall out."""
_JOINERS = "\u200c\u200d"
"""Invisible, but Persian words and composed emoji need them."""
_MARKUP = re.compile(r"([\\`*_~|<\[\]:])")
"""What Discord reads as markup anywhere in a text; the colon breaks bare links and ``:emoji:``."""
_LINE_MARKUP = re.compile(r"^([-+#>])")
"""What Discord reads as a list, a heading or a quotation at the start of a line."""


def is_visible(char: str) -> bool:
    """Whether a character may stay in a text: no control character, no invisible mark."""
    # Unassigned ones (Cn) stay: they are this year's emoji to a Unicode table of last year.
    return unicodedata.category(char) not in {"Cc", "Cf", "Cs"} or char in _JOINERS


def clean(text: str) -> str:
    """Make one line of it, without control characters, lone surrogates and invisible marks.

    Text of which nothing could be seen becomes empty. NUL in particular must not reach a
    database, and marks that turn the writing direction must not reach a reader.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    line = " ".join(
        "".join(c if is_visible(c) else " " if c.isspace() else "" for c in text).split()
    )
    return line if any(char.isprintable() and not char.isspace() for char in line) else ""


def units(text: str) -> int:
    """Length in UTF-16 code units, the strictest of the ways in which receivers count.

    Discord documents "characters" and does not say which. Code points are never more than these.
    """
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def escape_markdown(text: str) -> str:
    """Show a clean text as it is written: no formatting, no links, no mentions, no emoji codes."""
    escaped = _LINE_MARKUP.sub(r"\\\1", _MARKUP.sub(r"\\\1", text))
    return escaped.replace("@", "@\u200b")


def shorten(text: str, limit: int, *, escape: Callable[[str], str] = str) -> str:
    """Clean a text, and cut it at a word so that it has at most ``limit`` UTF-16 code units.

    Args:
        text: Not yet escaped, so that no escape is cut in two.
        limit: Of the escaped text, at least 1.
        escape: Applied to what is left; it works character by character or by line start.
    """
    # Cleaning takes a while: of an endless text only the beginning is looked at.
    window = _SEEN_PER_SHOWN * limit
    line = clean(text[:window])
    if not line or (len(text) <= window and units(escape(line)) <= limit):
        return escape(line)
    line = line[:limit]
    while line and (excess := units(escape(line)) + len(ELLIPSIS) - limit) > 0:
        # Escapes at most double a character, and a character has at most two units.
        line = line[: -max(1, excess // 2)]
    at_word = line.rpartition(" ")[0]
    kept = at_word if len(at_word) > len(line) // 2 else line
    return escape(kept.rstrip(" ,;:-.")) + ELLIPSIS


def first_lines(texts: Iterable[str], count: int, limit: int) -> list[str]:
    """The first different texts in which there is something to see, each shortened."""
    lines: dict[str, None] = {}
    for text in texts:
        if len(lines) == count:
            break
        if line := shorten(text, limit):
            lines[line] = None
    return list(lines)
