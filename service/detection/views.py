"""Several looks at one picture, encoded together; of each concept the best look counts."""

from __future__ import annotations

import numpy as np
from PIL import Image

from service.domain import UInt8

CENTRE_SHARE = 0.6
"""Side of the centre view as a share of the picture's shorter side: a subject in the middle fills
about twice the pixels, and the rest of the picture is still to be seen in the other view."""


def make_views(image: UInt8) -> tuple[UInt8, UInt8]:
    """The full frame squeezed to a square, then a square of its centre.

    Models that crop to a square by themselves (CLIP) would never see the sides of a wide film;
    squeezed, they lose nothing. Measured on car-detection.mp4, per-moment AUC of the margin with
    the stand-in: 0.86 squeezed, 0.69 cropped.

    Args:
        image: ``(H, W, 3)`` RGB.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    full = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    inner = max(1, round(side * CENTRE_SHARE))
    top, left = (height - inner) // 2, (width - inner) // 2
    return np.asarray(full), np.ascontiguousarray(image[top : top + inner, left : left + inner])
