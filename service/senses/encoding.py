"""Encoding while other things are read and measured: in full batches, within limits of time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeGuard, TypeVar

import numpy as np

from service.domain import Float32
from service.errors import ModelTimeoutError, TransientError
from service.metrics import FRAMES
from service.ports import Encoder, MotionEncoder

T = TypeVar("T")

PICTURES_AT_ONCE = 16
"""Beyond it no CPU gains (ViT-B/32, 2 busy cores: 53 ms a picture alone, 45 at 4, 46 at 16 and 32),
and the encoder cuts it to what its own memory allows."""
PICTURES_TO_START = 4
"""So many are worth a run of their own when the model is idle: waiting for more only ends later."""
PICTURES_WAITING = 64
"""Views that may wait for the model, 200 KB each: so many are read ahead while it works."""
SCENES_IN_A_ROW = 3
"""That could not be encoded, after which the model is not asked again for this item."""
BATCH_SHARE = 0.25
"""Of a scene's limit, that a batch may be expected to take: a slow model gets smaller ones."""


@dataclass(slots=True, kw_only=True, eq=False)
class Sight:
    """One frame's views on their way to a vector."""

    time_s: float
    scene_s: float
    """Start of the stretch between two cuts that it lies in: its frames share a limit of time."""
    views: Sequence[Any] = ()
    """``(H, W, 3)`` pictures, or sequences of them for an encoder of movement; none when done."""
    vectors: Float32 | None = None
    """``(V, D)``."""
    encode_ms: float = 0.0
    error: str = ""

    @property
    def picture_count(self) -> int:
        return sum(1 if isinstance(view, np.ndarray) else len(view) for view in self.views)


@dataclass(slots=True)
class _Spent:
    """What was spent so far, by scene and on the whole."""

    seconds: dict[float, float] = field(default_factory=lambda: defaultdict(float))
    pictures: int = 0
    failed_in_a_row: set[float] = field(default_factory=set)
    """Scenes."""

    def per_picture_s(self) -> float:
        return sum(self.seconds.values()) / self.pictures if self.pictures else 0.0


class EncodingLine:
    """Sights wait in line, are encoded in full batches, and come out with vectors or an error.

    Each batch runs in a thread of its own, one at a time. A model that does not stop within its
    limit is left behind with its thread, and not asked again.

    Args:
        encoder: Its limit of time is enforced by itself, and from here.
        scene_timeout_s: For all frames between two cuts together; None for as long as it takes.
        grace_s: How much later than its limit the encoder may come back.
    """

    def __init__(self, encoder: Encoder, *, scene_timeout_s: float | None, grace_s: float) -> None:
        self._encoder = encoder
        self._scene_timeout_s = scene_timeout_s
        self._grace_s = grace_s
        self._waiting: deque[Sight] = deque()
        self._spent = _Spent()
        self._given_up = ""
        self._running: asyncio.Task[None] | None = None
        self.device = ""

    def put(self, sight: Sight) -> None:
        """Let a sight wait. From any thread."""
        self._waiting.append(sight)

    async def go_on(self) -> None:
        """Start on what waits if it is worth it; hold the caller back while too many wait.

        Raises:
            MissingModelError: The model's files are broken or gone.
            ConfigurationError: The model does not take what it is given.
            TransientError: It is away as a whole: what costs no attempt.
        """
        while True:
            await self._collect()
            worth_it = min(PICTURES_TO_START, self._batch_limit())
            if self._running is None and self._pictures_waiting() >= worth_it:
                self._running = asyncio.create_task(self._encode_next())
            if self._running is None or self._pictures_waiting() < PICTURES_WAITING:
                await asyncio.sleep(0)  # a task begins at the next turn of the loop
                return
            await asyncio.wait([self._running])

    async def finish(self) -> None:
        """Encode all that still waits. Raises as ``go_on`` does."""
        while self._running is not None or self._waiting:
            if self._running is None:
                self._running = asyncio.create_task(self._encode_next())
            await asyncio.wait([self._running])
            await self._collect()

    async def _collect(self) -> None:
        """Let go of a batch that is done. Raises as ``go_on`` does."""
        if self._running is not None and self._running.done():
            running, self._running = self._running, None
            await running

    async def abandon(self) -> None:
        """Drop what waits; wait for what runs, for as long as it may take."""
        self._waiting.clear()
        if self._running is not None:
            with suppress(Exception):  # whatever ended the watching is what is told
                await self._running

    def _pictures_waiting(self) -> int:
        return sum(sight.picture_count for sight in tuple(self._waiting))

    def _batch_limit(self) -> int:
        """Pictures of one batch."""
        per_picture_s = self._spent.per_picture_s()
        if self._scene_timeout_s is None or per_picture_s == 0.0:
            return PICTURES_AT_ONCE
        affordable = int(BATCH_SHARE * self._scene_timeout_s / per_picture_s)
        return max(1, min(PICTURES_AT_ONCE, affordable))

    async def _encode_next(self) -> None:
        batch: list[Sight] = []
        limit, count = self._batch_limit(), 0
        while self._waiting and (not batch or count + self._waiting[0].picture_count <= limit):
            batch.append(self._waiting.popleft())
            count += batch[-1].picture_count
        if not self.device:
            self.device = await _run_apart(lambda: self._encoder.device, None)
        await self._encode(batch)

    async def _encode(self, batch: Sequence[Sight]) -> None:
        """Encode a batch, and take it apart by scenes if it fails: one must not cost another."""
        batch = self._fail_exhausted(batch)
        if not batch:
            return
        scenes = list(dict.fromkeys(sight.scene_s for sight in batch))
        began_at = time.perf_counter()
        try:
            vectors = await self._run(batch, self._left_s(scenes))
        except (ModelTimeoutError, TransientError) as error:
            if isinstance(error, TransientError) and not error.costs_attempt:
                raise  # the model is on another machine, which is away: no scene is to blame
            if len(scenes) > 1 and not self._given_up:
                for scene in scenes:
                    await self._encode([sight for sight in batch if sight.scene_s == scene])
                return
            self._note_failure(batch, time.perf_counter() - began_at, error)
        else:
            self._note_vectors(batch, time.perf_counter() - began_at, vectors)

    def _fail_exhausted(self, batch: Sequence[Sight]) -> Sequence[Sight]:
        """Those of whose scenes something of the limit is left; all others have failed."""
        if self._given_up:
            _fail(batch, self._given_up)
            return ()
        limit_s = self._scene_timeout_s
        if limit_s is None:
            return batch
        over = [sight for sight in batch if self._spent.seconds[sight.scene_s] >= limit_s]
        _fail(over, f"{self._encoder.name}: the {limit_s:g} s for a scene were used up")
        return [sight for sight in batch if not sight.error]

    async def _run(self, batch: Sequence[Sight], timeout_s: float | None) -> Float32:
        views = [view for sight in batch for view in sight.views]
        encoder = self._encoder

        def encode() -> Float32:
            if sees_movement(encoder):
                return encoder.encode_clips(views, timeout_s=timeout_s)
            return encoder.encode_images(views, timeout_s=timeout_s)

        try:
            return await _run_apart(encode, timeout_s and timeout_s + self._grace_s)
        except TimeoutError as error:
            self._given_up = f"{encoder.name} did not stop within {timeout_s:.3g} s"
            raise ModelTimeoutError(self._given_up) from error

    def _left_s(self, scenes: Sequence[float]) -> float | None:
        """What the scene with most of its limit left may still take."""
        if self._scene_timeout_s is None:
            return None
        return self._scene_timeout_s - min(self._spent.seconds[scene] for scene in scenes)

    def _note_vectors(self, batch: Sequence[Sight], seconds: float, vectors: Float32) -> None:
        FRAMES.labels("embedded").inc(len(batch))
        self._spent.failed_in_a_row.clear()
        per_view_s, start = seconds / len(vectors), 0
        for sight in batch:
            count = len(sight.views)
            self._spent.pictures += sight.picture_count
            self._spent.seconds[sight.scene_s] += count * per_view_s
            sight.encode_ms = 1000 * count * per_view_s
            sight.vectors, sight.views = vectors[start : start + count], ()
            start += count

    def _note_failure(self, batch: Sequence[Sight], seconds: float, error: Exception) -> None:
        self._spent.seconds[batch[0].scene_s] += seconds
        self._spent.pictures += sum(sight.picture_count for sight in batch)
        self._spent.failed_in_a_row.add(batch[0].scene_s)
        _fail(batch, str(error))
        if len(self._spent.failed_in_a_row) >= SCENES_IN_A_ROW and not self._given_up:
            self._given_up = f"given up after {SCENES_IN_A_ROW} scenes in a row: {error}"


def sees_movement(encoder: Encoder) -> TypeGuard[MotionEncoder]:
    """Whether it takes clips. ``isinstance`` would read every property, and so load the model."""
    return hasattr(encoder, "encode_clips")


def _fail(batch: Sequence[Sight], error: str) -> None:
    FRAMES.labels("lost").inc(len(batch))
    for sight in batch:
        sight.error, sight.views = error, ()


async def _run_apart(function: Callable[[], T], timeout_s: float | None) -> T:
    """Run in a thread of its own, which keeps nobody: neither the caller nor the process's end.

    A pool's thread would be lost to all others when it hangs, and be waited for at exit.

    Raises:
        TimeoutError: It is not back yet, and left behind.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]  # None only where T allows it

    def run() -> None:
        result, problem = None, None
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001  carried to whoever waits for the outcome
            problem = error
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
            loop.call_soon_threadsafe(settle, result, problem)

    threading.Thread(target=run, name="encode", daemon=True).start()
    async with asyncio.timeout(timeout_s):
        return await outcome
