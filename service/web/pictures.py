"""Makes small pictures: of a moment of a medium, or of an item's poster."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Protocol

from PIL import Image, ImageOps

from service.domain import AnalyzeJob, ItemRef, SamplePlan, SampleSpan
from service.errors import NotFoundError, UnreadableMediaError
from service.politeness import Politeness
from service.ports import MediaReader, MediaServer, PosterSource
from service.scans import has_endless_scans

A_MOMENT_S = 0.001
"""A span so short that a plan takes one frame of it."""
POSTER_POINTS_LIMIT = 25_000_000
"""Of a picture that is opened at all, 4,000 x 6,000: to decode a PNG of them takes up to 200 MB."""
WIDEST = 640
"""Pixels of what is decoded: the widest of the steps."""
TALLEST = 2
"""Of a picture, in its widths: posters are upright, 2:3."""
JPEG_QUALITY = 82


class Source(Protocol):
    """Has pictures."""

    async def of_scene(self, ref: ItemRef, time_s: float) -> Image.Image:
        """What is seen at a moment of an item."""

    async def of_item(self, ref: ItemRef) -> bytes:
        """An item's poster, as its server has it."""


class Pictures:
    """Asks media servers where an item is, and has it read.

    Args:
        servers: Media servers by name.
        reader: Opens media, each in a process of its own.
        politeness: Says when the machine belongs to somebody who watches.
    """

    def __init__(
        self, *, servers: Mapping[str, MediaServer], reader: MediaReader, politeness: Politeness
    ) -> None:
        self._servers = servers
        self._reader = reader
        self._politeness = politeness

    async def of_scene(self, ref: ItemRef, time_s: float) -> Image.Image:
        """What is seen at a moment of an item.

        Raises:
            NotFoundError: Its server is not configured, has no such item, or no file of it.
            UnreadableMediaError: Nothing is seen there.
            TransientError: Not now.
        """
        await self._politeness.wait_for_turn(AnalyzeJob(ref=ref))
        item = await self._server(ref).get_item(ref)
        if item.location is None:
            raise NotFoundError(f"{ref}: its server does not say where it is")
        span = SampleSpan(start_s=time_s, end_s=time_s + A_MOMENT_S, rate_hz=1.0)
        async with self._reader.open(item.location) as medium:
            frames = [frame async for frame in medium.read_frames(SamplePlan(spans=(span,)))]
        if frames:
            return Image.fromarray(frames[0].image)
        raise UnreadableMediaError(f"{ref}: no picture at {time_s:g} s")

    async def of_item(self, ref: ItemRef) -> bytes:
        """An item's poster, as its server has it.

        Raises:
            NotFoundError: There is none.
            TransientError: Not now.
        """
        server = self._server(ref)
        poster = await server.read_poster(ref) if isinstance(server, PosterSource) else b""
        if not poster:
            raise NotFoundError(f"{ref}: its server has no poster of it")
        return poster

    def _server(self, ref: ItemRef) -> MediaServer:
        if ref.server not in self._servers:
            raise NotFoundError(f"{ref}: its media server is not configured here")
        return self._servers[ref.server]


def open_poster(data: bytes) -> Image.Image:
    """Decode a poster, upright, without its metadata. Blocking.

    Raises:
        UnreadableMediaError: It is no picture, or one as large as a bomb.
    """
    if has_endless_scans(data):
        raise UnreadableMediaError("a poster of endless scans")
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as picture:
            points = picture.width * picture.height
            if points <= POSTER_POINTS_LIMIT:
                picture.thumbnail((WIDEST, WIDEST * TALLEST))  # a JPEG is not even decoded whole
                return ImageOps.exif_transpose(picture).convert("RGB")
    except Exception as error:  # a decoder of strangers' pictures may raise anything
        kind = type(error).__name__
        raise UnreadableMediaError(f"a poster that cannot be decoded: {kind}") from error
    raise UnreadableMediaError(f"a poster of {points} points, more than {POSTER_POINTS_LIMIT}")


def shrink(picture: Image.Image, widths: Sequence[int]) -> dict[int, bytes]:
    """JPEGs of these widths at most, the same for the same picture. Blocking."""
    made: dict[int, bytes] = {}
    for width in widths:
        small = picture.copy()
        small.thumbnail((width, width * TALLEST))
        kept = io.BytesIO()
        small.save(kept, "JPEG", quality=JPEG_QUALITY, optimize=True)
        made[width] = kept.getvalue()
    return made
