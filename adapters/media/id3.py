"""Lyrics with times in the tags of MP3 (ID3's SYLT), which FFmpeg passes over.

Runs in the decoding process. By the ID3v2.3 and 2.4 specifications, section 4.9 of the frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

HEADER_BYTES = 10
"""Of a tag, and of each of its frames."""
TAG_BYTES = 32 << 20
"""A tag holds pictures, too."""
FRAME_BYTES = 1 << 20
"""Of lyrics; a long song has 10 kB."""
SYNCSAFE_VERSION = 4
"""From which on a frame's size leaves out the highest bits, too."""
UNSYNCHRONISED, EXTENDED = 0x80, 0x40
IN_MILLISECONDS = 2
ENCODINGS = {0: ("latin-1", 1), 1: ("utf-16", 2), 2: ("utf-16-be", 2), 3: ("utf-8", 1)}
"""Python's names, and bytes of a terminator."""
LYRICS_HEAD_BYTES = 6
"""Encoding, language, form of times, kind of content."""

TimedLyrics = tuple[str, tuple[tuple[float, str], ...]]


def read_timed_lyrics(path: Path) -> Iterator[TimedLyrics]:
    """The language, beginnings and texts of each SYLT frame; nothing where there is none."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
            if head[:3] != b"ID3" or len(head) < HEADER_BYTES:
                return
            tag = file.read(min(_syncsafe(head[6:10]), TAG_BYTES))
    except OSError:
        return
    version, flags = head[3], head[5]
    if flags & UNSYNCHRONISED and version < SYNCSAFE_VERSION:
        tag = tag.replace(b"\xff\x00", b"\xff")
    if flags & EXTENDED:
        return  # rare, and differs by version
    for body in _frames(tag, version, b"SYLT"):
        if (found := _lyrics(body[:FRAME_BYTES])) is not None:
            yield found


def _frames(tag: bytes, version: int, name: bytes) -> Iterator[bytes]:
    place = 0
    while tag[place : place + 1].isalnum():
        size = tag[place + 4 : place + 8]
        length = _syncsafe(size) if version >= SYNCSAFE_VERSION else int.from_bytes(size, "big")
        body = tag[place + HEADER_BYTES : place + HEADER_BYTES + length]
        if tag[place : place + 4] == name:
            yield body
        place += HEADER_BYTES + length


def _lyrics(body: bytes) -> TimedLyrics | None:
    if len(body) <= LYRICS_HEAD_BYTES or body[0] not in ENCODINGS or body[4] != IN_MILLISECONDS:
        return None
    encoding, width = ENCODINGS[body[0]]
    language = body[1:4].decode("ascii", "replace").strip("\0 \ufffd")
    _, place = _text(body, LYRICS_HEAD_BYTES, encoding, width)  # what the writer calls them
    lines: list[tuple[float, str]] = []
    while place + width + 4 <= len(body):
        words, place = _text(body, place, encoding, width)
        lines.append((int.from_bytes(body[place : place + 4], "big") / 1000, words))
        place += 4
    return language, tuple(lines)


def _text(body: bytes, start: int, encoding: str, width: int) -> tuple[str, int]:
    """A text up to its terminator, and where what follows begins."""
    end = start
    while end + width <= len(body) and body[end : end + width] != b"\0" * width:
        end += width
    return body[start:end].decode(encoding, "replace"), end + width


def _syncsafe(size: bytes) -> int:
    """A number of which each byte has seven bits."""
    number = 0
    for byte in size:
        number = number << 7 | byte & 0x7F
    return number
