"""A few pictures in order to the tensor that a tower for clips wants.

LanguageBind resizes normalised values bilinearly and without antialiasing, as PyTorch's
``interpolate`` does; equal to it within 1e-4 (tests/unit/test_model_clips.py). Averages of
neighbours commute with normalising, so that only the square's own pixels are normalised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from adapters.models.preprocess import WHITE
from adapters.models.spec import ImageInput
from service.domain import Float32, UInt8

Indices = npt.NDArray[np.intp]


def to_clip(pictures: Sequence[UInt8], wanted: ImageInput, frame_count: int) -> Float32:
    """Resize and normalise ``(H, W, 3)`` RGB pictures: ``(3, frame_count, size, size)``.

    Of more pictures as many as are wanted are taken, evenly spread and with both ends; of fewer
    some are repeated.
    """
    chosen = np.linspace(0, len(pictures) - 1, frame_count).astype(int)
    squares = {index: _to_square(pictures[index], wanted.size) for index in set(chosen.tolist())}
    frames = np.stack([squares[index] for index in chosen.tolist()])
    mean, std = (np.asarray(values, dtype=np.float32) for values in (wanted.mean, wanted.std))
    normalised = (frames / np.float32(WHITE) - mean) / std
    return np.ascontiguousarray(normalised.transpose(3, 0, 1, 2))


def _to_square(picture: UInt8, size: int) -> Float32:
    """The shorter edge to the size, then the centre: ``(size, size, 3)`` in [0, 255]."""
    height, width = picture.shape[:2]
    shorter = min(height, width)
    rows = _neighbours(height, size * height // shorter, size)
    columns = _neighbours(width, size * width // shorter, size)
    return _blend(_blend(picture, *rows, axis=0), *columns, axis=1)


def _neighbours(edge: int, scaled: int, size: int) -> tuple[Indices, Indices, Float32]:
    """For the centre of an edge that is scaled: both neighbours, and the share of the second."""
    first = round((scaled - size) / 2)
    # In single precision, as the reference does: in double it would be twice as far off.
    centres = np.arange(first, first + size, dtype=np.float32) + np.float32(0.5)
    positions = np.clip(centres * np.float32(edge / scaled) - np.float32(0.5), 0, edge - 1)
    left = np.floor(positions).astype(np.intp)
    return left, np.minimum(left + 1, edge - 1), (positions - left).astype(np.float32)


def _blend(
    picture: UInt8 | Float32, left: Indices, right: Indices, share: Float32, *, axis: int
) -> Float32:
    weights = share[:, None, None] if axis == 0 else share[None, :, None]
    first = np.take(picture, left, axis).astype(np.float32, copy=False)
    second = np.take(picture, right, axis).astype(np.float32, copy=False)
    blended: Float32 = first * (1 - weights) + second * weights
    return blended
