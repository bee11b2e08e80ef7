"""What a search sees and hears with: the models of this machine, and uploaded examples."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol, cast

from service.detection.views import make_views
from service.domain import Float32, LocalFile, Modality
from service.errors import TransientError, UnreadableMediaError
from service.ports import Encoder, MediaReader, ModelShelf, SoundEncoder, TextEncoder
from service.query import Example, SearchChannel, VectorKind
from service.search.examples import average, decode_picture
from service.text_vectors import Shared

SOUND_BYTES_LIMIT = 50 << 20
"""Five minutes of CD sound."""
SOUND_WINDOW_S, SOUND_WINDOWS = 10.0, 6
"""The first minute: what somebody wants to find again is heard in it."""
EXAMPLE_TIMEOUT_S = 30.0
"""For opening a model, decoding, and encoding each; a cold tower loads within a few seconds."""


class QuerySense(Protocol):
    """One of the two, with a model that takes texts as well."""

    @property
    def channel(self) -> SearchChannel: ...

    @property
    def kind(self) -> VectorKind:
        """Of the vectors that it compares with."""

    @property
    def modality(self) -> Modality: ...

    async def open(self) -> TextEncoder:
        """The model. Several may wait for it; it goes on opening when they stop.

        Raises:
            MissingModelError: Its files are neither here nor to be had.
        """

    def flat_range(self) -> float | None:
        """Of the opened model's cosines, if it was measured."""

    def takes(self, example: Example) -> bool:
        """Whether it can perceive what was uploaded."""

    async def encode(self, example: Example) -> Float32:
        """The vector of what was uploaded, ``(D,)``; the model is open.

        Raises:
            UnreadableMediaError: It cannot be decoded, or is too large.
            TransientError: It took too long.
        """


class Sight:
    """Pictures. Parameters as of ``QueryVectors``."""

    channel = SearchChannel.VISUAL
    kind = VectorKind.SCENE
    modality = Modality.PICTURE

    def __init__(self, shelf: ModelShelf, pool: Executor) -> None:
        self._shelf = shelf
        self._pool = pool
        self._opening: Shared[Encoder] = Shared()
        self._encoder: Encoder | None = None

    async def open(self) -> Encoder:
        self._encoder = await self._opening.get("", self._shelf.open_encoder)
        return self._encoder

    def flat_range(self) -> float | None:
        return self._encoder.calibration.flat_range if self._encoder else None

    def takes(self, example: Example) -> bool:
        return bool(example.picture)

    async def encode(self, example: Example) -> Float32:
        encoder = cast("Encoder", self._encoder)

        def look() -> Float32:
            return average(encoder.encode_images(make_views(decode_picture(example.picture))))

        return await _compute(self._pool, look)


class Hearing:
    """Sounds. Parameters as of ``QueryVectors``."""

    channel = SearchChannel.AUDIO
    kind = VectorKind.SOUND
    modality = Modality.SOUND

    def __init__(self, shelf: ModelShelf, reader: MediaReader, pool: Executor) -> None:
        self._shelf = shelf
        self._reader = reader
        self._pool = pool
        self._opening: Shared[SoundEncoder] = Shared()
        self._encoder: SoundEncoder | None = None

    async def open(self) -> SoundEncoder:
        self._encoder = await self._opening.get("", self._shelf.open_sound_encoder)
        return self._encoder

    def flat_range(self) -> float | None:
        return self._encoder.sound_calibration.flat_range if self._encoder else None

    def takes(self, example: Example) -> bool:
        return bool(example.sound)

    async def encode(self, example: Example) -> Float32:
        encoder = cast("SoundEncoder", self._encoder)
        if len(example.sound) > SOUND_BYTES_LIMIT:
            raise UnreadableMediaError(
                f"the sound has {len(example.sound)} bytes; at most {SOUND_BYTES_LIMIT} are read"
            )
        try:
            async with asyncio.timeout(EXAMPLE_TIMEOUT_S):
                windows = await self._decode(example.sound, encoder.sample_rate_hz)
        except TimeoutError as error:
            raise TransientError(
                f"a sound was not decoded within {EXAMPLE_TIMEOUT_S:g} s"
            ) from error
        if not windows:
            raise UnreadableMediaError("the file has no sound")
        return await _compute(self._pool, lambda: average(encoder.encode_sounds(windows)))

    async def _decode(self, sound: bytes, sample_rate_hz: int) -> list[Float32]:
        windows: list[Float32] = []
        with tempfile.TemporaryDirectory(prefix="moodreel-") as directory:
            path = Path(directory) / "example"
            await asyncio.to_thread(path.write_bytes, sound)
            async with self._reader.open(LocalFile(path=path)) as media:
                if not media.info.audio:
                    return windows
                heard = media.read_audio(
                    sample_rate_hz=sample_rate_hz, window_s=SOUND_WINDOW_S, hop_s=SOUND_WINDOW_S
                )
                async for window in heard:
                    windows.append(window.samples)
                    if len(windows) == SOUND_WINDOWS:
                        break
        return [samples for samples in windows if samples.size]


async def _compute(pool: Executor, work: Callable[[], Float32]) -> Float32:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(EXAMPLE_TIMEOUT_S):
            return await loop.run_in_executor(pool, work)
    except TimeoutError as error:
        raise TransientError(
            f"an example was not encoded within {EXAMPLE_TIMEOUT_S:g} s"
        ) from error
