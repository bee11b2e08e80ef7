"""The few colours that a film is made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.detection.signals import PictureSignals
from service.domain import Colour, UInt8

Area = tuple[float, float, float, float]
"""Left, top, right and bottom, as shares of the frame."""
WHOLE: Area = (0.0, 0.0, 1.0, 1.0)

COLOURS = 6
MOMENTS = 200
"""Pictures taken, evenly over time: a hundred thousand pixels, enough for shares to half a percent.
"""
ROUNDS = 4
"""Of k-means after the median cut: later ones move nothing by more than a step of 255."""
ALIKE = 24.0
"""Distance in RGB (0 to 255 each) below which two colours are shades of one."""
LEAST_SHARE = 0.02
"""Less is a spot, not a colour of the film."""


def find_palette(picture: PictureSignals, area: Area = WHOLE) -> tuple[Colour, ...]:
    """At most six colours with their shares of all pixels over time, the most frequent first.

    Shares are of the running time, not of the samples, which crowd where much happens. Spots are
    left out, so that the shares may add up to a little less than 1.

    Args:
        picture: Of the pictures to look at; black ones are better left out.
        area: What of each is looked at.
    """
    if not len(picture):
        return ()
    pixels = pick_thumbnails(picture, area).reshape(-1, 1, 3)
    centres, counts = _quantize(pixels)
    merged = _merge(centres, counts)
    return tuple(
        Colour(
            rgb="#{:02x}{:02x}{:02x}".format(*np.rint(centre).astype(int)), share=round(share, 3)
        )
        for centre, share in merged
        if share >= LEAST_SHARE
    )


def pick_thumbnails(picture: PictureSignals, area: Area = WHOLE) -> UInt8:
    """``(200, H, W, 3)`` thumbnails as they are shown at even times, without black bars."""
    grid = np.linspace(picture.times_s[0], picture.times_s[-1], MOMENTS)
    thumbnails = picture.thumbnails[np.searchsorted(picture.times_s, grid, side="right") - 1]
    height, width = thumbnails.shape[1:3]
    left, top = int(np.ceil(area[0] * width)), int(np.ceil(area[1] * height))
    inside = thumbnails[:, top : int(area[3] * height), left : int(area[2] * width)]
    return inside if inside.size else thumbnails


def _quantize(pixels: UInt8) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Centres ``(K, 3)`` and how many pixels belong to each."""
    image = Image.fromarray(pixels).quantize(
        COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=ROUNDS, dither=Image.Dither.NONE
    )
    nearest = np.asarray(image).ravel()
    counts = np.bincount(nearest, minlength=COLOURS)
    flat = pixels.reshape(-1, 3)
    sums = np.stack([np.bincount(nearest, flat[:, c], COLOURS) for c in range(3)], axis=1)
    used = counts > 0
    return sums[used] / counts[used, None], counts[used]


def _merge(
    centres: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> list[tuple[npt.NDArray[np.float64], float]]:
    """Join shades, the nearest two first; the most frequent come first."""
    colours = [(centre, float(count)) for centre, count in zip(centres, counts, strict=True)]
    total = float(counts.sum())
    while len(colours) > 1:
        points = np.stack([centre for centre, _ in colours])
        apart = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag(
            [np.inf] * len(points)
        )
        first, second = sorted(
            int(index) for index in np.unravel_index(apart.argmin(), apart.shape)
        )
        if apart[first, second] >= ALIKE:
            break
        (other, more), (one, some) = colours.pop(second), colours.pop(first)
        colours.append(((one * some + other * more) / (some + more), some + more))
    colours.sort(key=lambda colour: -colour[1])
    return [(centre, count / total) for centre, count in colours]
