"""Reads media in a process of their own each: a file that crashes a decoder costs one attempt."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from adapters.media import wire
from adapters.media.limits import Limits
from adapters.media.process import Decoder, run_decoder
from adapters.media.settings import ReaderSettings
from adapters.media.storyboard import counts, fetch_sheets, is_wanted, why_not
from adapters.media.tracks import read_tracks
from adapters.media.wire import ProtocolError, Source
from service.domain import (
    AudioWindow,
    Frame,
    Json,
    LocalFile,
    MediaInfo,
    MediaLocation,
    SamplePlan,
    Storyboard,
    TextTrack,
)
from service.errors import MoodreelError
from service.ports import NO_LOOKS, OpenMedia

Found = TypeVar("Found")

MEDIA_INFO = TypeAdapter(MediaInfo)

CLIP_BYTES = 4 << 30
"""The largest stretch of a stream that is copied: three minutes at 150 Mbit/s, more than any disc
has."""

logger = logging.getLogger(__name__)


class ProcessReader:
    """Opens each medium in a process of its own, which ends with the context."""

    def __init__(self, settings: ReaderSettings) -> None:
        self._settings = settings

    @contextlib.asynccontextmanager
    async def open(
        self, location: MediaLocation, *, storyboard: Storyboard | None = None
    ) -> AsyncIterator[OpenMedia]:
        async with self.open_process(location) as medium:
            if storyboard is not None and is_wanted(
                storyboard, location, self._settings.storyboards
            ):
                yield StoryboardMedia(medium, storyboard, self._settings)
            else:
                yield medium

    @contextlib.asynccontextmanager
    async def open_process(
        self, location: MediaLocation, *, kept_in: Path | None = None
    ) -> AsyncIterator[ProcessMedia]:
        """Open a medium as it is, with a directory for clips of it. Raises as ``open`` does."""
        settings = self._settings
        source = _source(location, settings)
        async with run_decoder(
            label=source.label,
            limits=decoder_limits(settings, written_bytes=CLIP_BYTES if kept_in else 0),
            stall_timeout_s=settings.stall_timeout_s,
        ) as decoder:
            request = {
                "do": "open",
                "source": asdict(source),
                "threads": settings.threads,
                "short_side_px": settings.short_side_px,
                "kept_in": str(kept_in) if kept_in else "",
                "languages": settings.text_languages,
            }
            opened = await decoder.ask(request)
            if settings.sandbox and not opened.get("is_confined"):
                _tell_unconfined()
            yield ProcessMedia(decoder, opened)


class ProcessMedia:
    """A medium that is open in a decoding process.

    It does one reading at a time: a second one waits until the first is finished or closed.
    """

    def __init__(self, decoder: Decoder, opened: Json) -> None:
        self._decoder = decoder
        self._reading = asyncio.Lock()
        try:
            self._info = MEDIA_INFO.validate_python(opened.get("info"))
        except ValidationError as error:
            raise decoder.nonsense(ProtocolError("no media info")) from error

    @property
    def info(self) -> MediaInfo:
        return self._info

    @property
    def warnings(self) -> Sequence[str]:
        return self._decoder.warnings

    @property
    def pid(self) -> int:
        """The decoding process."""
        return self._decoder.pid

    @property
    def has_storyboard(self) -> bool:
        return False

    async def list_keyframes(self) -> Sequence[float]:
        listed = [times_s async for times_s in self._read({"do": "list"}, wire.read_times)]
        return listed[0] if listed else ()

    def read_keyframes(
        self, *, max_gap_s: float = 12.0, looks: SamplePlan = NO_LOOKS
    ) -> AsyncGenerator[Frame, None]:
        spans = [asdict(span) for span in looks.spans]
        request = {"do": "keyframes", "max_gap_s": max_gap_s, "spans": spans}
        return self._read(request, wire.read_frame)

    def read_frames(self, plan: SamplePlan) -> AsyncIterator[Frame]:
        spans = [asdict(span) for span in plan.spans]
        return self._read({"do": "frames", "spans": spans}, wire.read_frame)

    def read_audio(
        self, *, sample_rate_hz: int, window_s: float, hop_s: float
    ) -> AsyncIterator[AudioWindow]:
        request = {
            "do": "audio",
            "sample_rate_hz": sample_rate_hz,
            "window_s": window_s,
            "hop_s": hop_s,
        }
        return self._read(request, wire.read_window)

    def read_sheet(
        self, jpeg: bytes, storyboard: Storyboard, *, count: int
    ) -> AsyncGenerator[Frame, None]:
        """The first pictures of a sheet, upright and scaled; their times count from the sheet."""
        request = {
            "do": "sheet",
            "jpeg": base64.b64encode(jpeg).decode(),
            "columns": storyboard.columns,
            "rows": storyboard.rows,
            "count": count,
            "interval_s": storyboard.interval_s,
        }
        return self._read(request, wire.read_frame)

    async def read_texts(self) -> Sequence[TextTrack]:
        found = [tracks async for tracks in self._read({"do": "texts"}, read_tracks)]
        return found[0] if found else ()

    async def copy_clip(self, path: Path, *, start_s: float, end_s: float) -> float:
        """Copy a stretch into a file (Matroska) as it is encoded, from the keyframe before it on.

        Returns:
            What to add to a time of the medium to have it on the copy's clock.
        """
        request = {"do": "clip", "path": str(path), "start_s": start_s, "end_s": end_s}
        async with self._reading:
            return float((await self._decoder.ask(request))["shift_s"])

    async def _read(
        self, request: Json, unpack: Callable[[Json, bytes], Found]
    ) -> AsyncGenerator[Found, None]:
        async with self._reading, contextlib.aclosing(self._decoder.stream(request)) as messages:
            async for header, payload in messages:
                try:
                    found = unpack(header, payload)
                except ProtocolError as error:
                    raise self._decoder.nonsense(error) from error
                yield found


class StoryboardMedia:
    """A medium whose coarse pass is made of pictures that its server keeps.

    They are large enough for a model, so the stream is read only where something happens.
    """

    def __init__(
        self, medium: ProcessMedia, storyboard: Storyboard, settings: ReaderSettings
    ) -> None:
        self.medium = medium
        self._storyboard = storyboard
        self._settings = settings
        self._warnings: list[str] = []

    @property
    def info(self) -> MediaInfo:
        return self.medium.info

    @property
    def warnings(self) -> Sequence[str]:
        return (*self.medium.warnings, *self._warnings)

    @property
    def has_storyboard(self) -> bool:
        return not self._warnings

    async def list_keyframes(self) -> Sequence[float]:
        return ()

    async def read_keyframes(
        self, *, max_gap_s: float = 12.0, looks: SamplePlan = NO_LOOKS
    ) -> AsyncGenerator[Frame, None]:
        """The storyboard's pictures; from where it cannot be read on, the stream's keyframes."""
        last_s = -math.inf
        try:
            async with contextlib.aclosing(self._read_storyboard(max_gap_s)) as pictures:
                async for picture in pictures:
                    last_s = picture.time_s
                    yield picture
        except UnusableError as error:
            self._warnings.append(f"the server's storyboard is not used: {error}")
            keyframes = self.medium.read_keyframes(max_gap_s=max_gap_s, looks=looks)
            async with contextlib.aclosing(keyframes):
                async for frame in keyframes:
                    if frame.time_s > last_s:
                        yield frame

    def read_frames(self, plan: SamplePlan) -> AsyncIterator[Frame]:
        return self.medium.read_frames(plan)

    def read_audio(
        self, *, sample_rate_hz: int, window_s: float, hop_s: float
    ) -> AsyncIterator[AudioWindow]:
        return self.medium.read_audio(sample_rate_hz=sample_rate_hz, window_s=window_s, hop_s=hop_s)

    async def read_texts(self) -> Sequence[TextTrack]:
        return await self.medium.read_texts()

    async def _read_storyboard(self, max_gap_s: float) -> AsyncGenerator[Frame, None]:
        storyboard = self._storyboard
        if reason := why_not(storyboard, self.info, max_gap_s=max_gap_s):
            raise UnusableError(reason)
        parts = counts(storyboard, self.info.duration_s)
        try:
            sheets = await fetch_sheets(storyboard.sheets[: len(parts)], self._settings)
            start_s = 0.0
            for jpeg, count in zip(sheets, parts, strict=True):
                pictures = self.medium.read_sheet(jpeg, storyboard, count=count)
                async with contextlib.aclosing(pictures):
                    async for picture in pictures:
                        yield replace(picture, time_s=start_s + picture.time_s)
                start_s += count * storyboard.interval_s
        except MoodreelError as error:
            raise UnusableError(str(error)) from error


class UnusableError(Exception):
    """A storyboard that cannot be read, or not to its end."""


def decoder_limits(settings: ReaderSettings, *, written_bytes: int = 0) -> Limits:
    """What a decoder may use, as the owner wants it."""
    return Limits(
        niceness=settings.niceness,
        memory_bytes=settings.memory_mb << 20,
        written_bytes=written_bytes,
        cpu_ratio=settings.cpu_ratio,
        is_confined=settings.sandbox,
    ).with_threads(settings.threads)


@cache
def _tell_unconfined() -> None:
    """Once: it is so for all decoders of this kernel."""
    logger.info(
        "Decoders are not confined to their media: this kernel has no Landlock, or lets us not",
        extra={"action": "decoders_unconfined"},
    )


def _source(location: MediaLocation, settings: ReaderSettings) -> Source:
    if isinstance(location, LocalFile):
        return Source(path=str(location.path.absolute()))
    return Source(
        url=location.url,
        headers=dict(location.headers),
        network_timeout_s=settings.network_timeout_s,
    )
