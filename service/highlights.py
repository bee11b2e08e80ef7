"""Highlights as lists that players understand, and the choice of those that make a reel. Pure.

Reasons come from a vocabulary that users may change, captions and titles from models and media:
all of it is untrusted text, and ends up in files with a syntax.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import replace

from service.domain import Highlight

TEXT_LIMIT = 200
"""Kodi reads lines of 1,024 bytes: the rest of a longer comment would be read as an edit."""
LEAST_S = 2.0
"""A shorter piece of a highlight shows nothing."""


def in_order(highlights: Sequence[Highlight]) -> list[Highlight]:
    """By time, as they are watched."""
    return sorted(highlights, key=lambda highlight: (highlight.start_s, highlight.end_s))


def best(highlights: Sequence[Highlight]) -> Highlight:
    """The one with the highest score; the earlier of two.

    Raises:
        ValueError: There are none.
    """
    return min(highlights, key=lambda highlight: (-highlight.score, highlight.start_s))


def plan_reel(
    highlights: Sequence[Highlight], *, max_s: float, duration_s: float
) -> list[Highlight]:
    """The best highlights that fit into a reel, in order of time, without overlaps.

    What does not fit whole is cut down around its peak, where enough of it remains.

    Args:
        highlights: In any order.
        max_s: Of the reel.
        duration_s: Of the medium; nothing lies beyond.
    """
    left_s, chosen = max_s, list[Highlight]()
    for highlight in sorted(highlights, key=lambda found: (-found.score, found.start_s)):
        for piece in _uncovered(_within(highlight, duration_s), chosen):
            kept = _shortened(piece, left_s)
            length_s = kept.end_s - kept.start_s
            if length_s >= min(LEAST_S, highlight.end_s - highlight.start_s) > 0.0:
                chosen.append(kept)
                left_s -= length_s
    return _joined(in_order(chosen))


def _joined(ordered: Sequence[Highlight]) -> list[Highlight]:
    """Those that follow each other at once become one, called as the better of them."""
    joined: list[Highlight] = []
    for highlight in ordered:
        if joined and highlight.start_s <= joined[-1].end_s:
            former = joined.pop()
            named = best([former, highlight])
            joined.append(replace(named, start_s=former.start_s, end_s=highlight.end_s))
        else:
            joined.append(highlight)
    return joined


def _within(highlight: Highlight, duration_s: float) -> Highlight:
    return replace(
        highlight,
        start_s=min(max(0.0, highlight.start_s), duration_s),
        end_s=min(max(0.0, highlight.end_s), duration_s),
    )


def _uncovered(highlight: Highlight, taken: Sequence[Highlight]) -> Iterator[Highlight]:
    """What is left of a highlight beside those that were taken before it."""
    start_s = highlight.start_s
    for other in in_order(taken):
        if other.start_s >= highlight.end_s or other.end_s <= start_s:
            continue
        if other.start_s > start_s:
            yield replace(highlight, start_s=start_s, end_s=other.start_s)
        start_s = other.end_s
    if highlight.end_s > start_s:
        yield replace(highlight, start_s=start_s)


def _shortened(highlight: Highlight, length_s: float) -> Highlight:
    """At most so long, with its peak in the middle where it can be."""
    if highlight.end_s - highlight.start_s <= length_s:
        return highlight
    latest_s = highlight.end_s - length_s
    start_s = min(max(highlight.start_s, highlight.peak_s - length_s / 2), latest_s)
    return replace(highlight, start_s=start_s, end_s=start_s + max(0.0, length_s))


def render_edl(highlights: Sequence[Highlight]) -> str:
    """An edit decision list for Kodi: a scene marker (action 2) where each highlight begins.

    Nothing is cut or muted (0 and 1), nor skipped as an advertisement (3): those would hide the
    highlights or all else. Kodi takes a marker's second time; both are the same, for whoever takes
    the first. The file belongs beside the film, under its name with ``.edl``.
    """
    lines = []
    for highlight in in_order(highlights):
        start = f"{highlight.start_s:.3f}"
        lines += [f"## {describe(highlight)}".rstrip(), f"{start}\t{start}\t2"]
    return _text(lines)


def render_m3u(highlights: Sequence[Highlight], *, title: str, address: str) -> str:
    """A playlist for VLC that plays the highlights alone.

    Args:
        highlights: In any order.
        title: Of the item.
        address: ``file:`` or ``http:``, without a key.
    """
    lines = ["#EXTM3U"]
    for highlight in in_order(highlights):
        length_s = max(1, round(highlight.end_s - highlight.start_s))
        told = " - ".join(part for part in (line_of(title), describe(highlight)) if part)
        lines += [
            f"#EXTINF:{length_s},{told}",
            f"#EXTVLCOPT:start-time={highlight.start_s:.3f}",
            f"#EXTVLCOPT:stop-time={highlight.end_s:.3f}",
            address,
        ]
    return _text(lines)


def render_webvtt(highlights: Sequence[Highlight]) -> str:
    """WebVTT chapters (``<track kind="chapters">``): they may not overlap, and do not."""
    ordered = in_order(highlights)
    lines = ["WEBVTT"]
    for number, highlight in enumerate(ordered, 1):
        next_s = ordered[number].start_s if number < len(ordered) else highlight.end_s
        end_s = min(highlight.end_s, next_s)
        if end_s > highlight.start_s:
            told = html.escape(describe(highlight) or f"Highlight {number}", quote=False)
            span = f"{_vtt_time(highlight.start_s)} --> {_vtt_time(end_s)}"
            lines += ["", str(number), span, told]
    return _text(lines)


def render_links(highlights: Sequence[Highlight], *, url: str) -> str:
    """A line for each highlight: when, what, and the item's page.

    Pages of media servers take no time to start at: the link leads to the item.
    """
    return _text(
        f"{clock_span(highlight)}  {url}  {describe(highlight)}".rstrip()
        for highlight in in_order(highlights)
    )


def clock_span(highlight: Highlight) -> str:
    """From when to when, to the second: ``00:01:02-00:01:10``."""
    return f"{_clock(highlight.start_s)}-{_clock(highlight.end_s)}"


def describe(highlight: Highlight) -> str:
    """Why it is one, and what is seen there, on one bounded line."""
    return line_of("; ".join(filter(None, (", ".join(highlight.reasons), highlight.caption))))


def line_of(text: str) -> str:
    """One bounded line of printable characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= TEXT_LIMIT else line[: TEXT_LIMIT - 1].rstrip() + "…"


def _text(lines: Sequence[str] | Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _vtt_time(time_s: float) -> str:
    milliseconds = round(max(0.0, time_s) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"


def _clock(time_s: float) -> str:
    return _vtt_time(time_s).partition(".")[0]
