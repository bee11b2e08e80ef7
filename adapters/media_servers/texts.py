"""Subtitles and lyrics as lines of text: SubRip, WebVTT and LRC. Pure, tolerant and bounded.

Files in the wild mix the formats' rules (commas and points, missing numbers, any encoding), so
what looks like a time is believed, and what does not is skipped. Nothing here raises.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from service.domain import TranscriptLine

MAX_BYTES = 4 * 1024 * 1024
"""Of a text file: twenty times the subtitles of a film of three hours (about 200 kB)."""
MAX_LINES = 20_000
"""Ten times the lines of a long film."""
MAX_LINE_CHARS = 500
"""A subtitle of two rows has 84 (Netflix's timed text guide); the rest is an accident."""
LAST_LINE_S = 5.0
"""How long the last line of lyrics counts: they name beginnings only."""

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_CUE = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_LRC = re.compile(r"\[(\d{1,3}):(\d{1,2}(?:[.:]\d{1,3})?)\]")
_LRC_OFFSET = re.compile(r"^[ \t]*\[offset:\s*([+-]?\d{1,7})\s*\]", re.IGNORECASE | re.MULTILINE)
_TAG = re.compile(r"<[^<>]{0,200}>|\{\\[^{}]{0,200}\}")
"""HTML, WebVTT's own (``<c.red>``, ``<00:01.000>``) and SubStation's (``{\\an8}``)."""


def decode_text(data: bytes) -> str:
    """Decode a file of unknown encoding: what its mark says, else UTF-8, else Windows-1252."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def parse_text(data: bytes, extension: str) -> Sequence[TranscriptLine]:
    """Read a file by its extension, ``.srt``, ``.vtt`` or ``.lrc``: lines in order of time."""
    text = decode_text(data[:MAX_BYTES])
    return parse_lyrics(text) if extension.lower() == ".lrc" else parse_subtitles(text)


def parse_subtitles(text: str) -> Sequence[TranscriptLine]:
    """Read SubRip or WebVTT: cues without text and cues that end before they begin are left out."""
    return make_lines(_cues(text.splitlines()))


def parse_lyrics(text: str) -> Sequence[TranscriptLine]:
    """Read LRC: a line lasts until the next begins; several times may stand before one text."""
    offset = _LRC_OFFSET.search(text)
    shift_s = int(offset[1]) / 1000 if offset else 0.0  # positive: lyrics come earlier
    starts = [
        (max(int(time[1]) * 60 + float(time[2].replace(":", ".")) - shift_s, 0.0), words)
        for line in text.splitlines()
        for words in [_LRC.sub("", line)]
        for time in _LRC.finditer(line)
    ]
    return lines_until_next(starts)


def lines_until_next(starts: Iterable[tuple[float, str]]) -> Sequence[TranscriptLine]:
    """Lines of which only the beginnings are known: each lasts until the next one begins."""
    ordered = sorted(starts, key=lambda start: start[0])
    if not ordered:
        return ()
    final = (ordered[-1][0] + LAST_LINE_S, "")
    return make_lines(
        (start_s, max(end_s, start_s), words)
        for (start_s, words), (end_s, _) in pairwise([*ordered, final])
    )


def make_lines(cues: Iterable[tuple[float, float, str]]) -> Sequence[TranscriptLine]:
    """Clean and bound ``(start_s, end_s, text)``: in order of time, without tags and without
    a line that only repeats the one before it at the same time.
    """
    found: list[TranscriptLine] = []
    for start_s, end_s, raw in cues:
        if len(found) == MAX_LINES:
            break
        if start_s <= end_s and (words := clean_text(raw)):
            found.append(TranscriptLine(start_s=start_s, end_s=end_s, text=words))
    return tuple(dict.fromkeys(sorted(found, key=lambda line: (line.start_s, line.end_s))))


def clean_text(raw: str) -> str:
    """One line of plain text, without tags and without what a database refuses.

    Of an endless line only the beginning is looked at: it may come thousands of times, and
    ``html.unescape`` raises at a character whose number has more than 4,300 digits.
    """
    raw = raw[: 4 * MAX_LINE_CHARS]
    plain = html.unescape(_TAG.sub("", raw)).replace("\0", "")
    plain = plain.encode("utf-8", "replace").decode()
    return " ".join(plain.split())[:MAX_LINE_CHARS]


def _cues(lines: Sequence[str]) -> Iterator[tuple[float, float, str]]:
    """Each time line with the rows below it, up to an empty row or the next time line."""
    times: tuple[float, float] | None = None
    rows: list[str] = []
    for line in [*lines, ""]:
        match = _CUE.match(line)
        if times is not None and (match is not None or not line.strip()):
            yield (*times, "\n".join(rows))
            times = None
        if match is not None:
            times, rows = (_seconds(match, 1), _seconds(match, 5)), []
        elif times is not None:
            rows.append(line[: 4 * MAX_LINE_CHARS])


def _seconds(match: re.Match[str], first: int) -> float:
    hours, minutes, seconds, fraction = (match[first + index] or "0" for index in range(4))
    whole_s = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole_s + int(fraction.ljust(3, "0")) / 1000
