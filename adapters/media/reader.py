"""Reads media in a process of their own each: a file that crashes a decoder costs one attempt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from adapters.media import wire
from adapters.media.process import Decoder, run_decoder
from adapters.media.settings import ReaderSettings
from adapters.media.wire import ProtocolError, Source
from service.domain import (
    AudioWindow,
    Frame,
    Json,
    LocalFile,
    MediaInfo,
    MediaLocation,
    SamplePlan,
)
from service.ports import NO_LOOKS, OpenMedia

Found = TypeVar("Found")

MEDIA_INFO = TypeAdapter(MediaInfo)


class ProcessReader:
    """Opens each medium in a process of its own, which ends with the context."""

    def __init__(self, settings: ReaderSettings) -> None:
        self._settings = settings

    @contextlib.asynccontextmanager
    async def open(self, location: MediaLocation) -> AsyncIterator[OpenMedia]:
        settings = self._settings
        source = _source(location, settings)
        async with run_decoder(
            label=source.label,
            niceness=settings.niceness,
            stall_timeout_s=settings.stall_timeout_s,
        ) as decoder:
            request = {
                "do": "open",
                "source": asdict(source),
                "threads": settings.threads,
                "short_side_px": settings.short_side_px,
            }
            yield ProcessMedia(decoder, await decoder.ask(request))


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

    async def list_keyframes(self) -> Sequence[float]:
        listed = [times_s async for times_s in self._read({"do": "list"}, wire.read_times)]
        return listed[0] if listed else ()

    def read_keyframes(
        self, *, max_gap_s: float = 12.0, looks: SamplePlan = NO_LOOKS
    ) -> AsyncIterator[Frame]:
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

    async def _read(
        self, request: Json, unpack: Callable[[Json, bytes], Found]
    ) -> AsyncIterator[Found]:
        async with self._reading, contextlib.aclosing(self._decoder.stream(request)) as messages:
            async for header, payload in messages:
                try:
                    found = unpack(header, payload)
                except ProtocolError as error:
                    raise self._decoder.nonsense(error) from error
                yield found


def _source(location: MediaLocation, settings: ReaderSettings) -> Source:
    if isinstance(location, LocalFile):
        return Source(path=str(location.path.absolute()))
    return Source(
        url=location.url,
        headers=dict(location.headers),
        network_timeout_s=settings.network_timeout_s,
    )
