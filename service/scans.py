"""The one thing that every edge must know of a JPEG before it is decoded."""

from __future__ import annotations

SCANS_LIMIT = 500
"""Of a JPEG. Each may be 64 bytes and cost a pass of 18 ms over 25 million pixels; an honest
picture has fifteen, and 10 MB of anything have the mark of one 160 times by chance."""


def has_endless_scans(data: bytes) -> bool:
    """Whether a file is a JPEG that goes over the same pixels again and again."""
    return data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > SCANS_LIMIT
