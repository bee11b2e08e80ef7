"""Several looks at one picture, encoded together; of each concept the best look counts."""

from __future__ import annotations

import numpy as np
from PIL import Image

from service.detection.bars import WHOLE, Area, crop
from service.domain import UInt8

CENTRE_SHARE = 0.6
"""Side of the centre view as a share of the picture's shorter side: a subject in the middle fills
about twice the pixels, and the rest of the picture is still to be seen in the other view."""
VIEW_COUNT = 2


def make_views(image: UInt8, area: Area = WHOLE) -> tuple[UInt8, UInt8]:
    """The full picture squeezed to a square, then a square of its centre.

    Args:
        image: ``(H, W, 3)`` RGB.
        area: The part of it that is no black bar.
    """
    return full_view(image, area), centre_view(image, area)


def full_view(image: UInt8, area: Area = WHOLE) -> UInt8:
    """The full picture without its bars, squeezed to a square.

    Models that crop to a square by themselves (CLIP) would never see the sides of a wide film;
    squeezed, they lose nothing. Measured on car-detection.mp4, per-moment AUC of the margin with
    the stand-in: 0.86 squeezed, 0.69 cropped.
    """
    picture = crop(image, area)
    side = min(picture.shape[:2])
    squeezed = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(squeezed.resize((side, side), Image.Resampling.BICUBIC))


def centre_view(image: UInt8, area: Area = WHOLE) -> UInt8:
    """A square of the picture's centre."""
    picture = crop(image, area)
    height, width = picture.shape[:2]
    inner = max(1, round(min(height, width) * CENTRE_SHARE))
    top, left = (height - inner) // 2, (width - inner) // 2
    return np.ascontiguousarray(picture[top : top + inner, left : left + inner])


class CentreBudget:
    """Says for which frames the centre is looked at as well.

    Each second of film earns a share of a picture, and each encoded picture spends one: where
    keyframes are many, as in fast cutting, the full pictures take it all, and where they are few
    each gets both views. What is granted depends on the film alone, not on the machine's speed.

    Args:
        per_hour: Pictures that an hour of film earns; None grants every frame its centre.
    """

    SAVED = 4.0
    """Pictures that a quiet stretch can put aside: two frames with both views."""

    OWED_S = 60.0
    """What a restless stretch spends beyond its earnings, the next minute has to make up for."""

    def __init__(self, per_hour: float | None) -> None:
        self._per_s = None if per_hour is None else per_hour / 3600.0
        self._saved = self.SAVED
        self._last_s = 0.0

    def grants(self, time_s: float) -> bool:
        """Spend one picture on the full view of a frame; say whether one is left for its centre."""
        if self._per_s is None:
            return True
        earned = max(0.0, time_s - self._last_s) * self._per_s
        self._last_s = time_s
        self._saved = min(self.SAVED, self._saved + earned) - 1.0
        if self._saved < 1.0:
            self._saved = max(self._saved, -self.OWED_S * self._per_s)
            return False
        self._saved -= 1.0
        return True
