"""The formats: SubRip, WebVTT, SubStation, SBV and LRC, by what they have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from service.domain import TranscriptLine
from service.subtitles.cleaning import LOOKED_AT_CHARS, make_lines
from service.subtitles.encodings import decode_text

MAX_BYTES = 4 * 1024 * 1024
"""Of a text file: twenty times the subtitles of a film of three hours (about 200 kB)."""
LAST_LINE_S = 5.0
"""How long the last line of lyrics counts: they name beginnings only."""
DIALOGUE_FIELDS = 10
"""Of a line of SubStation; the last one is the text, commas and all."""

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_CUE = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_LRC = re.compile(r"\[(\d{1,3}):(\d{1,2}(?:[.:]\d{1,3})?)\]")
_LRC_OFFSET = re.compile(r"^[ \t]*\[offset:\s*([+-]?\d{1,7})\s*\]", re.IGNORECASE | re.MULTILINE)
_SBV = re.compile(rf"^\s*{_TIME}\s*,\s*{_TIME}\s*$")
_DIALOGUE = re.compile(r"^\s*Dialogue\s*:", re.IGNORECASE)


def parse_text(data: bytes, extension: str, language: str = "") -> Sequence[TranscriptLine]:
    """Read a file by its extension: lines in order of time.

    Args:
        data: Of any encoding; what is beyond ``MAX_BYTES`` is left out.
        extension: ``.lrc``, ``.ass``, ``.ssa``, ``.sbv``; all else is SubRip or WebVTT.
        language: Of the text (ISO 639-3), where it is known.
    """
    text = decode_text(data[:MAX_BYTES], language)
    match extension.lower():
        case ".lrc":
            return parse_lyrics(text)
        case ".ass" | ".ssa":
            return make_lines(_dialogues(text.splitlines()))
        case ".sbv":
            return make_lines(_cues(text.splitlines(), _SBV))
    return make_lines(_cues(text.splitlines(), _CUE))


def parse_dialogue(fields: str, *, count: int = DIALOGUE_FIELDS) -> str:
    """The text of a line of SubStation: what comes after the other fields."""
    return fields.split(",", count - 1)[-1] if fields.count(",") >= count - 1 else ""


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


def _dialogues(lines: Sequence[str]) -> Iterator[tuple[float, float, str]]:
    """Beginning and end are the second and third field in all versions of the format."""
    for line in lines:
        parts = line.split(",", 3)
        if not _DIALOGUE.match(line) or len(parts) < 4:  # noqa: PLR2004  layer, start, end, the rest
            continue
        times = _SBV.match(f"{parts[1]},{parts[2]}")
        if times is not None:
            yield _seconds(times, 1), _seconds(times, 5), parse_dialogue(line)


def _cues(lines: Sequence[str], pattern: re.Pattern[str]) -> Iterator[tuple[float, float, str]]:
    """Each time line with the rows below it, up to an empty row or the next time line."""
    times: tuple[float, float] | None = None
    rows: list[str] = []
    for line in [*lines, ""]:
        match = pattern.match(line)
        if times is not None and (match is not None or not line.strip()):
            yield (*times, "\n".join(rows))
            times = None
        if match is not None:
            times, rows = (_seconds(match, 1), _seconds(match, 5)), []
        elif times is not None:
            rows.append(line[:LOOKED_AT_CHARS])


def _seconds(match: re.Match[str], first: int) -> float:
    hours, minutes, seconds, fraction = (match[first + index] or "0" for index in range(4))
    whole_s = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole_s + int(fraction.ljust(3, "0")) / 1000
