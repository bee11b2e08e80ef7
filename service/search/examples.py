"""Arithmetic with vectors: "like this, but at night", "like this one, and unlike that one"."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from service.detection.moments import unit
from service.domain import Float32, UInt8
from service.errors import UnreadableMediaError
from service.scans import SCANS_LIMIT, has_endless_scans

CANCELLED = 1e-3
"""Length below which what is left of unit vectors is rounding."""

PICTURE_BYTES_LIMIT = 10 << 20
"""Heimdex'."""
PICTURE_PIXELS_LIMIT = 25_000_000
"""4,000 x 6,000; to decode a PNG of them takes up to 200 MB, and the file may have but 46 kB."""
PICTURE_SIDE = 1024
"""Pixels; no model looks at more than 512."""
PICTURE_FORMATS = ("JPEG", "PNG", "WEBP")


def mix(vectors: Sequence[Float32], weights: Sequence[float]) -> Float32 | None:
    """The direction of a weighted sum of directions; None where they cancel each other out.

    Args:
        vectors: ``(D,)`` each, of any length: only their direction counts.
        weights: One for each; negative for what shall be avoided.
    """
    if not vectors:
        return None
    total = np.asarray(weights, np.float32) @ unit(np.stack(vectors))
    if float(np.linalg.norm(total)) <= CANCELLED * float(np.abs(weights).max()):
        return None
    return unit(total)


def average(vectors: Sequence[Float32] | Float32) -> Float32:
    """The direction of several scenes, or sentences, together: ``(D,)``, zero without any."""
    return unit(unit(np.stack(list(vectors))).mean(axis=0))


def decode_picture(data: bytes) -> UInt8:
    """Read a stranger's picture: ``(H, W, 3)`` RGB, upright, of at most 1024 pixels a side.

    CPU work: up to half a second.

    Raises:
        UnreadableMediaError: It is too large, or no picture of a kind that we read.
    """
    if len(data) > PICTURE_BYTES_LIMIT:
        raise UnreadableMediaError(
            f"the picture has {len(data)} bytes; at most {PICTURE_BYTES_LIMIT} are read"
        )
    if has_endless_scans(data):
        raise UnreadableMediaError(f"the picture has more than {SCANS_LIMIT} scans")
    try:
        with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as picture:
            _refuse_large(picture)
            picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))  # a JPEG is not even decoded whole
            return np.asarray(_in_eight_bits(ImageOps.exif_transpose(picture)).convert("RGB"))
    except UnreadableMediaError:
        raise
    except UnidentifiedImageError as error:  # it names an object of ours
        raise UnreadableMediaError(
            f"the picture is none of {', '.join(PICTURE_FORMATS)}"
        ) from error
    except Exception as error:  # a decoder of strangers' pictures may raise anything
        raise UnreadableMediaError(f"the picture cannot be decoded: {error}") from error


def _in_eight_bits(picture: Image.Image) -> Image.Image:
    """Pillow takes the greys of 16 bits for those of 8, and all but the darkest for white."""
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray((np.asarray(picture).clip(0, 0xFFFF) >> 8).astype(np.uint8))


def _refuse_large(picture: Image.Image) -> None:
    pixel_count = picture.width * picture.height
    if pixel_count > PICTURE_PIXELS_LIMIT:
        raise UnreadableMediaError(
            f"the picture has {pixel_count} pixels; at most {PICTURE_PIXELS_LIMIT} are read"
        )
