"""From what a subtitle track holds to what is said: plain text, a line each."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from service.domain import TranscriptLine

MAX_LINES = 20_000
"""Ten times the lines of a long film."""
MAX_LINE_CHARS = 500
"""A subtitle of two rows has 84 (Netflix's timed text guide); the rest is an accident."""
LOOKED_AT_CHARS = 4 * MAX_LINE_CHARS
"""Of a line before it is cleaned: it may be endless, and come thousands of times."""
BRIEF_S = 0.5
"""A line that comes again so soon, and for so short, is still the same: SubStation's effects are
drawn picture by picture. The shortest subtitle lasts 5/6 s (Netflix's timed text guide)."""
LONGEST_S = 24 * 3600.0
"""Whatever begins later is a broken clock's."""

_DRAWING = re.compile(r"\{[^{}]{0,500}\\p[1-9][^{}]{0,500}\}[^{]{0,2000}")
"""SubStation draws shapes by text: ``{\\p1}m 0 0 l 100 0``."""
_TAG = re.compile(r"<[^<>]{0,200}>|\{\\[^{}]{0,2000}(?:\}|$)")
"""HTML, WebVTT's own (``<c.red>``, ``<00:01.000>``) and SubStation's (``{\\an8}``, ``{\\k20}``)."""
_BREAK = re.compile(r"\\[Nn]|[\r\n\u2028\u2029\x0b\x0c\x85]+")
_NOISE = re.compile(r"\[[^\[\]]{0,300}\]|【[^【】]{0,300}】|[\u2669-\u266f]")
"""What is heard and not said, as it is written for the deaf, and notes of music."""
_ASIDE = re.compile(r"^\s*(?:[-\u2013\u2014]\s*)?[(\uff08][^()\uff08\uff09]{0,300}[)\uff09]")
"""Brackets at the beginning of a row name who speaks, or how; elsewhere they are said."""
_DASH = re.compile(r"^\s*(?:[-\u2010-\u2015\u2212]+(?!\d)|>{2,3})\s*")
"""Another one speaks."""
_SPEAKER = re.compile(r"^\s*([^\s:][^:]{0,30}):(?=\s|$)")
"""``MRS. WHITE: Come in.``, where it is in capitals."""
_UNSEEN = re.compile("[\0\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""A database refuses the first; the others turn the writing's direction, or show nothing."""


def make_lines(cues: Iterable[tuple[float, float, str]]) -> Sequence[TranscriptLine]:
    """Clean and bound ``(start_s, end_s, text)``: in order of time, without markup, and without
    a line that only goes on with the one before it.
    """
    found: list[TranscriptLine] = []
    cleaned: dict[str, str] = {}  # lyrics may give one endless line half a million times
    for start_s, end_s, raw in cues:
        if len(found) == MAX_LINES:
            break
        is_time = math.isfinite(start_s) and math.isfinite(end_s)
        if not is_time or start_s > min(end_s, LONGEST_S):
            continue
        if raw not in cleaned:
            cleaned[raw] = clean_text(raw)
        if words := cleaned[raw]:
            found.append(TranscriptLine(start_s=start_s, end_s=end_s, text=words))
    found.sort(key=lambda line: (line.start_s, line.end_s))
    return tuple(_without_repeats(found))


def clean_text(raw: str) -> str:
    """One line of plain text: what is said, without markup and what a database refuses.

    Of an endless line only the beginning is looked at: ``html.unescape`` raises at a character
    whose number has more than 4,300 digits.
    """
    plain = _TAG.sub("", _DRAWING.sub("", raw[:LOOKED_AT_CHARS]))
    plain = _UNSEEN.sub("", html.unescape(plain)).replace("\\h", " ")
    plain = plain.encode("utf-8", "replace").decode()
    rows = (_clean_row(row) for row in _BREAK.split(_NOISE.sub(" ", plain)))
    return " ".join(" ".join(rows).split())[:MAX_LINE_CHARS].rstrip()


def _clean_row(row: str) -> str:
    row = _DASH.sub("", _ASIDE.sub("", row, count=1), count=1)
    speaker = _SPEAKER.match(row)
    if speaker is not None and speaker[1].isupper():
        row = row[speaker.end() :]
    return row if any(map(str.isalnum, row)) else ""


def _without_repeats(lines: Sequence[TranscriptLine]) -> Iterable[TranscriptLine]:
    """Lines that come again before they are over are one, and so are those of an effect."""
    kept: list[TranscriptLine] = []
    places: dict[str, int] = {}
    for line in lines:
        before = kept[places[line.text]] if line.text in places else None
        if before is not None and _goes_on(before, line):
            end_s = max(before.end_s, line.end_s)
            kept[places[line.text]] = replace(before, end_s=end_s)
        else:
            places[line.text] = len(kept)
            kept.append(line)
    return kept


def _goes_on(before: TranscriptLine, line: TranscriptLine) -> bool:
    is_brief = line.end_s - line.start_s < BRIEF_S
    until_s = before.end_s + (BRIEF_S if is_brief else 0.0)
    return line.start_s < until_s or line.start_s == before.start_s
