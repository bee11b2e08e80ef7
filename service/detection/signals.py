"""What the picture says by itself: light, colour, sharpness and movement, frame by frame.

No model is needed. Memory is flat: of each frame a few numbers, a histogram and a thumbnail stay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.detection.novelty import Look, Novelty, Worth, histogram_distance
from service.domain import Float32, Frame, UInt8

__all__ = ["Float64", "PictureMeter", "PictureSignals", "histogram_distance"]

Float64 = npt.NDArray[np.float64]
Int16 = npt.NDArray[np.int16]
UInt16 = npt.NDArray[np.uint16]

THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT = 32, 18
"""Small enough that a hand-held camera hardly changes it, large enough to tell two places apart."""
MEASURED_HEIGHT = 144
"""Rows at which sharpness is measured, so that it does not depend on the medium's resolution."""
KERNEL = 3
"""Side of the Laplacian."""
BAND_ROWS = 48
"""Rows that are measured together. What is made of a whole picture on the way is so large that the
allocator hands it back to the system each time, and having it back costs as much as the measuring:
1.05 ms a frame instead of 0.55 at 455x256."""
HISTOGRAM_BINS = 16
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 96, 54
"""Enough pixels for shares to a tenth of a percent."""
FLAT_CONTRAST = 0.02
"""Standard deviation of luma below which there is nothing in a picture: 5 of 255 steps."""
LUMA_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""ITU-R BT.709."""
LUMA_PARTS = np.array([54, 183, 19], np.uint16)
"""The same, of 256."""
PICTURES_AT_ONCE = 2048
"""Bounds memory where all thumbnails are looked at."""
MIN_STEP_S, MAX_STEP_S = 0.04, 1.0
"""Time steps between which a difference is taken as movement per second: below a frame of 25 Hz
it would be noise blown up, beyond a second pictures have nothing more to lose in common."""
SAME_TIME_S = 1e-3
"""A frame and the start of its shot may differ by rounding."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureSignals:
    """Measurements of N frames in order of time; all arrays have N rows."""

    times_s: Float64
    luma: Float32
    """Mean, 0 black to 1 white."""
    contrast: Float32
    """Standard deviation of luma, 0 to 0.5."""
    saturation: Float32
    """Mean distance between the largest and the smallest channel, 0 grey to 1."""
    warmth: Float32
    """Mean of red minus blue, -1 to 1."""
    sharpness: Float32
    """Variance of the Laplacian of luma in 0..255 at 144 rows; blurred below about 50."""
    histograms: Float32
    """``(N, 3, 16)``, shares of pixels in luma, red minus luma, blue minus luma."""
    thumbnails: UInt8
    """``(N, 18, 32, 3)`` RGB."""
    is_keyframe: npt.NDArray[np.bool_]
    """Whether the encoder let a frame stand alone."""

    def __len__(self) -> int:
        return len(self.times_s)

    def select(self, chosen: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> PictureSignals:
        """The same measurements of some of the frames."""
        return PictureSignals(**{name: getattr(self, name)[chosen] for name in _FIELDS})

    def steps_s(self) -> Float64:
        """Seconds since the frame before; 0 for the first."""
        return np.diff(self.times_s, prepend=self.times_s[:1])

    def motion(self, cuts_s: Sequence[float] = ()) -> Float32:
        """Movement per second, 0 still to 1: mean change of the thumbnail, its light levelled.

        The first frame's is its successor's, so that a beginning is not mistaken for a still.

        Args:
            cuts_s: Starts of shots, rising. What changes at a cut is no movement: the next step
                inside a shot stands for it, where there is one.
        """
        if len(self) <= 1:
            return np.zeros(len(self), np.float32)
        starts = range(0, len(self) - 1, PICTURES_AT_ONCE)
        change = np.concatenate(
            [_changes(self.thumbnails[start : start + PICTURES_AT_ONCE + 1]) for start in starts]
        )
        per_second = change / np.clip(np.diff(self.times_s), MIN_STEP_S, MAX_STEP_S)
        shot = np.searchsorted(np.array(cuts_s, np.float64), self.times_s + SAME_TIME_S)
        inside = np.flatnonzero(np.diff(shot) == 0)
        if not len(inside):
            inside = np.arange(len(per_second))
        after = np.searchsorted(inside, np.arange(-1, len(per_second)))
        moved = per_second[inside[after.clip(max=len(inside) - 1)]]
        return np.asarray(moved.clip(0.0, 1.0), np.float32)

    def quality(self) -> Float32:
        """How well each frame would stand for its scene, in [0, 1]; 0 for black, white and blur.

        Weights and limits are those of Heimdex's frame quality: luma below 15/255 is black, a
        Laplacian variance of 1000 is as sharp as it gets. White mirrors black.
        """
        exposure = 1.0 - np.abs(self.luma - 0.5) * 2.0
        score = 0.4 * exposure + 0.6 * np.minimum(self.sharpness / 1000.0, 1.0)
        flat = (self.luma < 15 / 255) | (self.luma > 240 / 255) | (self.contrast < FLAT_CONTRAST)
        return np.where(flat, 0.0, score).astype(np.float32)


_FIELDS = tuple(PictureSignals.__dataclass_fields__)


class PictureMeter:
    """Measures frames one at a time and forgets the pictures.

    Args:
        min_gap_s: Frames nearer than this to the last one are skipped (media that consist of
            keyframes alone).
        encode_gap_s: A frame is worth a model's time when it is this far from the last that was,
            or when it looks quite different.
    """

    def __init__(self, *, min_gap_s: float = 0.02, encode_gap_s: float = 0.25) -> None:
        self._min_gap_s = min_gap_s
        self._encode_gap_s = encode_gap_s
        self._novelty = Novelty(encode_gap_s=encode_gap_s)
        self._last_s: float | None = None
        self._rows: list[tuple[float, Float32, Float32, UInt8, bool]] = []
        self.worth = Worth.NOTHING
        """Of the latest frame."""

    def add(self, frame: Frame, *, is_candidate: bool = True) -> bool:
        """Measure a frame; say whether it is worth encoding, if that is a question at all."""
        if self._last_s is not None and 0.0 <= frame.time_s - self._last_s < self._min_gap_s:
            self.worth = Worth.NOTHING
            return False
        self._last_s = frame.time_s
        picture, small = _shrink(frame.image)
        histogram = _histogram(_resize(picture, HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT))
        thumbnail = _resize(picture, THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT)
        numbers = _measure(small)
        self._rows.append((frame.time_s, numbers, histogram, thumbnail, frame.is_keyframe))
        self.worth = Worth.NOTHING
        if is_candidate:
            look = Look(time_s=frame.time_s, histogram=histogram, thumbnail=thumbnail)
            self.worth = self._novelty.judge(look)
        return self.worth is not Worth.NOTHING

    def begin_pass(self) -> None:
        """Judge the next frame as if it were the first."""
        self._novelty = Novelty(encode_gap_s=self._encode_gap_s)
        self._last_s = None

    def signals(self) -> PictureSignals:
        """All that was measured so far, in order of time; a frame of two passes counts once."""
        times, numbers, histograms, thumbnails, keys = (
            zip(*self._rows, strict=True) if self._rows else ((), (), (), (), ())
        )
        columns = np.array(numbers, np.float32).reshape(len(times), 5)
        _, order = np.unique(np.round(np.array(times, np.float64), 3), return_index=True)
        luma, contrast, saturation, warmth, sharpness = columns[order].T
        return PictureSignals(
            times_s=np.array(times, np.float64)[order],
            luma=luma,
            contrast=contrast,
            saturation=saturation,
            warmth=warmth,
            sharpness=sharpness,
            histograms=np.array(histograms, np.float32).reshape(-1, 3, HISTOGRAM_BINS)[order],
            thumbnails=np.array(thumbnails, np.uint8).reshape(
                -1, THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH, 3
            )[order],
            is_keyframe=np.array(keys, np.bool_)[order],
        )


def _changes(thumbnails: UInt8) -> Float32:
    """``(N - 1,)`` mean change of luma from each thumbnail to the next, its light levelled."""
    luma = thumbnails.astype(np.float32) @ LUMA_WEIGHTS / 255.0
    level = luma - luma.mean(axis=(1, 2), keepdims=True)
    return np.asarray(np.abs(np.diff(level, axis=0)).mean(axis=(1, 2)), np.float32)


def _shrink(image: UInt8) -> tuple[Image.Image, UInt8]:
    """The picture at which everything is measured: for Pillow, and its pixels."""
    factor = image.shape[0] // MEASURED_HEIGHT
    picture = Image.fromarray(image)
    if factor <= 1:
        return picture, image
    reduced = picture.reduce(factor)
    return reduced, np.asarray(reduced)


def _resize(picture: Image.Image, width: int, height: int) -> UInt8:
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX))


def _measure(image: UInt8) -> Float32:
    height, width, _ = image.shape
    bands = range(0, height, BAND_ROWS)
    sums = np.sum([_sums(image[start : start + BAND_ROWS + KERNEL - 1]) for start in bands], axis=0)
    light, squares, chroma, warmth = sums[:4] / (height * width)
    edge, edge_squares = sums[4:] / max(1, (height - KERNEL + 1) * (width - KERNEL + 1))
    contrast = math.sqrt(max(0.0, squares - light**2))
    sharpness = max(0.0, edge_squares - edge**2)
    shares = [light / 255, contrast / 255, chroma / 255, warmth / 255]
    return np.array([*shares, sharpness], np.float32)


def _sums(band: UInt8) -> Float64:
    """Of one band: luma, its square, chroma, warmth; of its inner pixels Laplacian and its square.

    The band's last two rows belong to the next one, and are here as neighbours only.
    """
    planes = _planes(band)
    luma = _luma(planes)
    laplacian = _laplacian(luma.view(np.int16)).astype(np.float32)
    own = luma[:BAND_ROWS]
    red, green, blue = planes[:, :BAND_ROWS]
    chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    numbers = [
        _total(own),
        (own * own).sum(dtype=np.uint64),  # 255 squared just fits 16 bits
        _total(chroma),
        _total(red) - _total(blue),
        laplacian.sum(axis=1).sum(dtype=np.float64),
        np.vecdot(laplacian, laplacian).sum(dtype=np.float64),
    ]
    return np.array(numbers, np.float64)


def _planes(image: UInt8) -> UInt8:
    """``(3, H, W)``. NumPy takes neighbours ten times as fast as every third byte."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def _luma(planes: UInt8) -> UInt16:
    """Luma of ``(3, H, W)`` in 0..255, in whole numbers: this runs for every frame."""
    luma: UInt16 = np.einsum("c,chw->hw", LUMA_PARTS, planes)
    luma >>= 8
    return luma


def _total(values: UInt8 | UInt16) -> int:
    """32 bits are quicker than 64, and hold 16 million white pixels."""
    return int(values.sum(dtype=np.uint32))


def _laplacian(luma: Int16) -> Int16:
    """Of the pixels that have four neighbours: ``(H - 2, W - 2)``, none of smaller pictures."""
    edges = luma[:-2, 1:-1] + luma[2:, 1:-1]
    edges += luma[1:-1, :-2]
    edges += luma[1:-1, 2:]
    edges -= 4 * luma[1:-1, 1:-1]
    return edges


def _histogram(image: UInt8) -> Float32:
    """``(3, 16)``, all channels counted at once."""
    planes = _planes(image)
    luma = _luma(planes).view(np.int16)
    values = np.stack((2 * luma, planes[0] - luma + 255, planes[2] - luma + 255))  # to 510
    bins = values // (512 // HISTOGRAM_BINS)
    bins += np.arange(0, 3 * HISTOGRAM_BINS, HISTOGRAM_BINS, dtype=np.int16)[:, None, None]
    counts = np.bincount(bins.ravel(), minlength=3 * HISTOGRAM_BINS)
    return (counts.reshape(3, HISTOGRAM_BINS) / luma.size).astype(np.float32)
