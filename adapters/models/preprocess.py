"""Pictures of any size to the tensor that a picture tower wants.

Resizes with Pillow on 8 bit values, as ``CLIPImageProcessor`` and ``SiglipImageProcessor`` do:
equal to their output bit by bit on the golden tensors (tests/unit/test_model_preprocess.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from adapters.models.spec import ImageInput, Interpolation, Resize
from service.domain import Float32, UInt8

FILTERS = {
    Interpolation.BICUBIC: Image.Resampling.BICUBIC,
    Interpolation.BILINEAR: Image.Resampling.BILINEAR,
}
MAX_ASPECT = 8
"""A picture more oblong than this loses its ends before it is scaled: the centre stays the same,
and a strip of 1 x 20,000 pixels does not become one of 224 x 4,480,000."""
WHITE = 255.0
"""Full scale of 8 bit values."""


def to_pixels(images: Sequence[UInt8], wanted: ImageInput) -> Float32:
    """Resize and normalise ``(H, W, 3)`` RGB pictures: ``(N, 3, size, size)``."""
    values = _normalised_values(wanted)
    pixels = np.empty((len(images), 3, wanted.size, wanted.size), dtype=np.float32)
    for index, image in enumerate(images):
        square = _to_square(image, wanted)
        for channel in range(3):
            np.take(values[channel], square[:, :, channel], out=pixels[index, channel])
    return pixels


def _normalised_values(wanted: ImageInput) -> Float32:
    """What each 8 bit value becomes, by channel: ``(3, 256)``."""
    levels = np.arange(256, dtype=np.float32) / np.float32(WHITE)
    mean = np.asarray(wanted.mean, dtype=np.float32)[:, None]
    std = np.asarray(wanted.std, dtype=np.float32)[:, None]
    values: Float32 = (levels - mean) / std
    return values


def _to_square(image: UInt8, wanted: ImageInput) -> UInt8:
    picture = Image.fromarray(np.ascontiguousarray(_shorten(image, wanted)))
    width, height = _scaled_size(picture.width, picture.height, wanted)
    left, top = (width - wanted.size) // 2, (height - wanted.size) // 2
    # Pillow could scale the crop alone (box=), but rounds its edges to other pixels: 0.06 off.
    scaled = picture.resize((width, height), FILTERS[wanted.interpolation])
    return np.asarray(scaled.crop((left, top, left + wanted.size, top + wanted.size)))


def _shorten(image: UInt8, wanted: ImageInput) -> UInt8:
    height, width = image.shape[:2]
    longest = MAX_ASPECT * min(height, width)
    if wanted.resize is Resize.SQUASH or max(height, width) <= longest:
        return image
    top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
    return image[top : top + longest, left : left + longest]


def _scaled_size(width: int, height: int, wanted: ImageInput) -> tuple[int, int]:
    """Both edges after scaling; the longer one is cut off, not rounded, as the references do."""
    if wanted.resize is Resize.SQUASH:
        return wanted.size, wanted.size
    if width <= height:
        return wanted.size, wanted.size * height // width
    return wanted.size * width // height, wanted.size
