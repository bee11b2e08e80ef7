"""What is worth a model's time: a picture that nobody has looked at, once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from service.domain import Float32, UInt8

NEW_PICTURE_DISTANCE = 0.06
"""Histogram distance from which two pictures are not of one shot, as a rule (bikes.mp4: cuts 0.05
to 0.2, neighbours within a shot below 0.03)."""
OTHER_PICTURE = 0.12
"""Mean difference of two thumbnails' pixels, full scale 1, from which they are not of one shot: the
least between frames of two shots of bikes.mp4. Places may differ and share their colours."""
SAME_DIFFERENCE = 6
"""Steps of 255 by which no pixel of two thumbnails differs when they show the same. Each stands for
some hundred pixels of the picture, over which noise and compression average out (below 3 in still
shots of the reference clips); a subject that enters changes some of them by 20 and more."""


class Worth(StrEnum):
    """What a frame is to a model."""

    NOTHING = "nothing"
    """Too near to the frame before."""
    SAME = "same"
    """It shows what the last encoded one shows: its vector is that one's."""
    NEW = "new"
    """Worth encoding."""
    CUT = "cut"
    """Worth encoding, and the first look at another shot."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """What is kept of a frame to compare others with."""

    time_s: float
    histogram: Float32
    thumbnail: UInt8


class Novelty:
    """Compares each frame with the last one that was worth encoding.

    Args:
        encode_gap_s: A frame is worth a model's time when it is this far from the last that was,
            or when it looks quite different.
    """

    def __init__(self, *, encode_gap_s: float = 0.25) -> None:
        self._encode_gap_s = encode_gap_s
        self._last: Look | None = None
        self._encoded: Look | None = None

    def judge(self, look: Look) -> Worth:
        """Say what a frame is worth. Times may jump back, where another pass begins."""
        last, encoded = self._last, self._encoded
        if last is None or encoded is None:
            self._last = self._encoded = look
            return Worth.CUT
        is_cut = bool(
            is_other_shot(encoded.histogram, look.histogram, encoded.thumbnail, look.thumbnail)
        )
        if not is_cut and abs(look.time_s - last.time_s) < 0.9 * self._encode_gap_s:
            return Worth.NOTHING  # 0.9: frame times jitter
        self._last = look
        if not is_cut and is_same(encoded.thumbnail, look.thumbnail):
            return Worth.SAME
        self._encoded = look
        return Worth.CUT if is_cut else Worth.NEW


def is_other_shot(
    first_histograms: Float32,
    second_histograms: Float32,
    first_thumbnails: UInt8,
    second_thumbnails: UInt8,
) -> npt.NDArray[np.bool_]:
    """Whether pictures look quite different: ``(..., 3, 16)`` shares, ``(..., h, w, 3)`` pixels."""
    recoloured = histogram_distance(first_histograms, second_histograms) >= NEW_PICTURE_DISTANCE
    difference = np.abs(first_thumbnails.astype(np.int16) - second_thumbnails)
    return np.asarray(
        recoloured | (difference.mean(axis=(-3, -2, -1)) >= OTHER_PICTURE * 255), np.bool_
    )


def is_same(first: UInt8, second: UInt8) -> bool:
    """Whether two thumbnails show the same, as far as a model could tell."""
    return bool(np.abs(first.astype(np.int16) - second).max(initial=0) <= SAME_DIFFERENCE)


def histogram_distance(first: Float32, second: Float32) -> Float32:
    """Earth mover's distance of ``(..., 3, 16)`` histograms, mean over channels, in [0, 1].

    Through cumulative shares: a small change of exposure moves pixels by a little, where counting
    differing bins would see another picture.
    """
    moved = np.abs(np.cumsum(first - second, axis=-1)).mean(axis=-1)
    return np.asarray(moved.mean(axis=-1), np.float32)
