"""Vectors of what people search for: made once, kept, and never waited for too long."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import unicodedata
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from service.domain import Float32
from service.errors import MoodreelError, TransientError
from service.metrics import CACHE
from service.ports import SceneIndex, TextEncoder
from service.search.examples import average

logger = logging.getLogger(__name__)

T = TypeVar("T")

KEPT_COUNT = 2048
"""Vectors in memory: 9 MB at 1,152 dimensions."""
KEPT_S = 86_400.0
"""In memory; how long in the database, its own setting says."""
UNDERWAY_LIMIT = 32
"""Texts that may be encoded or wait for it: each takes CLIP's tower some 10 ms on a small box, so
the last one waits a third of a second. Beyond it a query goes on without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How a model is asked about a text."""

    encoder: TextEncoder
    templates: tuple[str, ...]
    """Sentences with one ``{}``; the vector is their average."""

    @property
    def space(self) -> str:
        """Names the model and its sentences: vectors of other sentences are other vectors."""
        digest = hashlib.sha256(repr(self.templates).encode()).hexdigest()[:8]
        return f"{self.encoder.name}/{digest}"

    def encode(self, text: str) -> Float32:
        """CPU work: ``(D,)``, of unit length.

        Raises:
            TransientError: What came out is no vector.
        """
        sentences = [template.replace("{}", text) for template in self.templates]
        vector = average(self.encoder.encode_texts(sentences))
        if not np.isfinite(vector).all() or not vector.any():
            raise TransientError(f"{self.encoder.name}: its vector of a text is not a direction")
        return vector


def normalise(text: str) -> str:
    """One form for what means the same to a model: NFKC, lower case, single blanks."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


class Shared(Generic[T]):
    """Work that several wait for is done once, and goes on when they stop waiting."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._underway: dict[str, asyncio.Task[T]] = {}

    async def get(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """What the work returns; it may be somebody else's of the same key.

        Raises:
            TransientError: Too much is underway.
        """
        return await asyncio.shield(self.start(key, work))

    def start(self, key: str, work: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        """Begin with the work, unless it is underway. Raises as ``get`` does."""
        task = self._underway.get(key)
        if task is None:
            if self._limit is not None and len(self._underway) >= self._limit:
                raise TransientError(f"{self._limit} texts wait to be encoded already")
            task = asyncio.create_task(_await(work))
            self._underway[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return task

    async def aclose(self) -> None:
        """Let go of what is underway."""
        tasks = list(self._underway.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, key: str, done: asyncio.Task[T]) -> None:
        self._underway.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever still waits has it; nobody else needs to be told


async def _await(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


class TextVectors:
    """Remembers vectors of texts in memory and in the database. On the event loop only.

    Equal texts that are asked for at once are encoded once. When nobody waits any more, an encoding
    that has begun goes on, and the next one finds its vector. One that has not is dropped, or a
    slow model would make later texts wait for it.

    Args:
        index: Keeps vectors in the database.
        pool: A bounded pool for CPU work.
        kept_count: Vectors in memory at most; the longest unused go first.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        index: SceneIndex,
        pool: Executor,
        *,
        kept_count: int = KEPT_COUNT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._index = index
        self._pool = pool
        self._kept_count = kept_count
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], tuple[float, Float32]] = OrderedDict()
        self._making: Shared[Float32] = Shared(UNDERWAY_LIMIT)
        self._writing: Shared[None] = Shared()
        self._waiting: Counter[str] = Counter()

    async def get(self, wording: Wording, text: str) -> Float32:
        """The vector of a text, ``(D,)``. May be cancelled; an encoding that has begun goes on.

        Raises:
            MissingModelError: The model's files are neither here nor to be had.
            TransientError: Too many texts wait already, or the encoder failed.
        """
        space, text = wording.space, normalise(text)
        kept = self._recall((space, text))
        if kept is not None:
            CACHE.labels("queries", "hit").inc()
            return kept
        key = f"{space} {text}"
        self._waiting[key] += 1
        try:
            return await self._making.get(key, lambda: self._make(wording, space, text))
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]

    async def aclose(self) -> None:
        """Let go of what is underway."""
        await self._making.aclose()
        await self._writing.aclose()

    def _recall(self, key: tuple[str, str]) -> Float32 | None:
        made_at, vector = self._kept.get(key, (0.0, None))
        if vector is None:
            return None
        if self._clock() - made_at > KEPT_S:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return vector

    def _keep(self, key: tuple[str, str], vector: Float32) -> None:
        self._kept[key] = (self._clock(), vector)
        while len(self._kept) > self._kept_count:
            self._kept.popitem(last=False)

    async def _make(self, wording: Wording, space: str, text: str) -> Float32:
        vector = await self._read(space, text)
        CACHE.labels("queries", "miss" if vector is None else "hit").inc()
        if vector is None:
            loop = asyncio.get_running_loop()
            encode = partial(self._encode, wording, space, text)
            vector = await loop.run_in_executor(self._pool, encode)
            self._writing.start(f"{space} {text}", partial(self._write, space, text, vector))
        self._keep((space, text), vector)
        return vector

    def _encode(self, wording: Wording, space: str, text: str) -> Float32:
        """CPU work. A slow model does not work off what nobody waits for any more."""
        if f"{space} {text}" not in self._waiting:
            raise TransientError("nobody waits for its vector any more")
        return wording.encode(text)

    async def _read(self, space: str, text: str) -> Float32 | None:
        try:
            return await self._index.recall_text(space, text)
        except MoodreelError as error:
            _tell_lost(error)
            return None

    async def _write(self, space: str, text: str, vector: Float32) -> None:
        try:
            await self._index.remember_text(space, text, vector)
        except MoodreelError as error:
            _tell_lost(error)


def _tell_lost(error: MoodreelError) -> None:
    """The vector is made anew when it is needed: that costs time, and no answer."""
    logger.warning(
        "The database keeps no vectors of texts",
        extra={"action": "text_vector_lost", "reason": str(error)},
    )
