"""What counts as a picture that may be passed on. Pure."""

from __future__ import annotations

MAX_POSTER_BYTES = 2 * 1024 * 1024
"""The port's bound."""
POSTER_WIDTH = 480
"""Pixels to ask servers for: what Discord shows of a thumbnail, on a dense screen."""


def accept_picture(data: bytes) -> bytes:
    """A JPEG, PNG or WebP of bounded size as it is; anything else becomes nothing.

    By its first bytes: a server's content type, or a file's name, may claim anything.
    """
    is_picture = (
        data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        or data[:4] + data[8:12] == b"RIFFWEBP"
    )
    return data if is_picture and len(data) <= MAX_POSTER_BYTES else b""
