"""Cutting a sheet of small pictures up. Runs in the decoding process: sheets are not trusted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from service.domain import UInt8
from service.errors import UnreadableMediaError
from service.scans import has_endless_scans

SHEET_PIXELS = 1 << 26
"""200 MB as RGB. Jellyfin's usual sheet, 10 by 10 pictures of 320 by 180, has 5.8 million."""
SHAPE_TOLERANCE = 0.25
"""Servers differ in what they do with sample aspect ratios (4:3 to 16:9 is a third) and black bars;
twice the lines are far beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How pictures lie in a sheet, line by line."""

    columns: int
    rows: int
    """Lines of a full sheet; a last one may end earlier."""
    aspect: float
    """Width of a picture over its height, about."""


def cut_sheet(jpeg: bytes, layout: Layout, *, count: int, short_side_px: int) -> Iterator[UInt8]:
    """The first pictures of a sheet, scaled down as frames are.

    Args:
        jpeg: The sheet.
        layout: Of its pictures.
        count: How many are wanted.
        short_side_px: Larger pictures are scaled down to it.

    Yields:
        ``(H, W, 3)`` RGB.

    Raises:
        UnreadableMediaError: It is no JPEG, too large, broken, or has fewer pictures.
    """
    sheet = _decode(jpeg)
    width, height = _picture_size(sheet, layout, count)
    factor = min(1.0, short_side_px / min(width, height))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    for index in range(count):
        left, top = index % layout.columns * width, index // layout.columns * height
        picture = sheet.crop((left, top, left + width, top + height))
        if size != picture.size:
            picture = picture.resize(size, Image.Resampling.BOX)
        yield np.ascontiguousarray(np.asarray(picture, dtype=np.uint8))


def _picture_size(sheet: Image.Image, layout: Layout, count: int) -> tuple[int, int]:
    """Width and height of one picture.

    Some servers pad the last sheet, others end it: what fits the film's own shape is right.
    """
    width = sheet.width // layout.columns
    lines = {layout.rows, -(-count // layout.columns)}
    heights = [sheet.height // rows for rows in lines if sheet.height % rows == 0]
    height = min(heights, key=lambda height: abs(width - layout.aspect * height), default=0)
    fits = sheet.width == width * layout.columns and abs(width - layout.aspect * height) <= (
        SHAPE_TOLERANCE * width
    )
    if not width or not height or not fits:
        raise UnreadableMediaError(
            f"a sheet of {sheet.width}x{sheet.height} pixels does not hold {count} pictures in "
            f"{layout.columns} columns"
        )
    return width, height


def _decode(jpeg: bytes) -> Image.Image:
    if has_endless_scans(jpeg):
        raise UnreadableMediaError("a sheet of endless scans")
    try:
        sheet = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
        if sheet.width * sheet.height > SHEET_PIXELS:
            raise UnreadableMediaError(f"a sheet of {sheet.width}x{sheet.height} pixels")
        return sheet.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableMediaError("a sheet that is no whole JPEG") from error
