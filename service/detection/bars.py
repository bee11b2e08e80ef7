"""Black bars around a picture: letterbox and pillarbox, found without eating a dark scene."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from service.domain import UInt8

Area = tuple[float, float, float, float]
"""Left, top, right and bottom, as shares of the frame."""

Shares = npt.NDArray[np.float64]
"""Of lit pixels, line by line."""

WHOLE: Area = (0.0, 0.0, 1.0, 1.0)
LIT = 24
"""Of 255, in the brightest channel. Black is 0 when it has been expanded to full range; ringing and
noise of compression next to a picture's edge reach about 16."""
LIT_SHARE = 0.01
"""Of a line: fewer lit pixels are noise. A subtitle inside a bar lights more, and ends the bar."""
EDGE_SHARE = 0.5
"""Of the line next to a bar is lit where the picture really ends there. The edges of a face in the
dark, or of white letters on black, are lit in few places."""
EDGE_LINES = 0.02
"""Of the height or width, within which that line is looked for: scaling blurs an edge."""
NARROWEST = 0.02
"""Of the height or width: narrower bars are an encoder's rounding, and hide nothing."""
WIDEST = 0.36
"""Upright video on a wide canvas has bars of 34 % on both sides; more is no picture any more."""
ASYMMETRY = 0.02
"""By which two bars may differ. A dark half of a scene lies on one side."""
WITNESSES = 3
"""Frames with clear edges, before anything is cut off."""


class BarWatch:
    """Keeps a running estimate of where the picture is, and never takes away what was lit once.

    The area only grows, but for its first estimate: that one waits for a few frames whose edges
    next to the bars are lit along at least half of their length.
    """

    def __init__(self) -> None:
        self._lit: Area | None = None
        """The smallest area that holds all that was ever lit."""
        self._witnesses = 0

    def add(self, image: UInt8) -> None:
        """Look at one more frame, ``(H, W, 3)``, unless bars are out of the question."""
        if self._lit is not None and _fills(self._lit):
            return
        rows, columns = _lit_shares(image)
        tall, wide = _extent(rows), _extent(columns)
        if tall is None or wide is None:
            return
        found = (wide[0], tall[0], wide[1], tall[1])
        self._lit = found if self._lit is None else _join(self._lit, found)
        if _ends_clearly(rows, tall) and _ends_clearly(columns, wide):
            self._witnesses += 1

    @property
    def area(self) -> Area:
        """Where the picture is; the whole frame until there is no doubt."""
        if self._lit is None or self._witnesses < WITNESSES:
            return WHOLE
        left, top, right, bottom = self._lit
        left, right = _even(left, right)
        top, bottom = _even(top, bottom)
        return left, top, right, bottom


def crop(image: UInt8, area: Area) -> UInt8:
    """The part of a picture inside an area; the picture itself where that is all of it."""
    if area == WHOLE:
        return image
    height, width = image.shape[:2]
    left, top, right, bottom = area
    columns = slice(round(left * width), max(round(right * width), round(left * width) + 1))
    rows = slice(round(top * height), max(round(bottom * height), round(top * height) + 1))
    return image[rows, columns]


def _fills(area: Area) -> bool:
    """Whether an area leaves no room for bars; it only grows, so it never will."""
    left, top, right, bottom = area
    return min(left, 1.0 - right) < NARROWEST and min(top, 1.0 - bottom) < NARROWEST


def _lit_shares(image: UInt8) -> tuple[Shares, Shares]:
    """How much of each row and of each column is lit."""
    red, green, blue = image.transpose(2, 0, 1)
    lit = (np.maximum(np.maximum(red, green), blue) > LIT).view(np.uint8)
    height, width = lit.shape
    return lit.sum(axis=1, dtype=np.uint32) / width, lit.sum(axis=0, dtype=np.uint32) / height


def _extent(shares: Shares) -> tuple[float, float] | None:
    """The first and the last lit line, as shares of all lines."""
    lines = np.flatnonzero(shares > LIT_SHARE)
    if not len(lines):
        return None
    return float(lines[0]) / len(shares), float(lines[-1] + 1) / len(shares)


def _ends_clearly(shares: Shares, extent: tuple[float, float]) -> bool:
    """Whether the lines at both ends are lit along at least half of their length."""
    count = len(shares)
    first, last = round(extent[0] * count), round(extent[1] * count)
    near = max(1, round(EDGE_LINES * count))
    ends = shares[first : first + near], shares[max(0, last - near) : last]
    return all(bool(end.max() >= EDGE_SHARE) for end in ends)


def _join(first: Area, second: Area) -> Area:
    return (
        min(first[0], second[0]),
        min(first[1], second[1]),
        max(first[2], second[2]),
        max(first[3], second[3]),
    )


def _even(low: float, high: float) -> tuple[float, float]:
    """Two bars of about the same width, or none."""
    before, after = low, 1.0 - high
    is_pair = abs(before - after) <= ASYMMETRY and min(before, after) >= NARROWEST
    return (low, high) if is_pair and max(before, after) <= WIDEST else (0.0, 1.0)
