"""Things that are read on the event loop and worked on in a pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")


async def each_batch(
    pool: Executor,
    things: AsyncIterator[T],
    take: Callable[[Sequence[T]], None],
    *,
    size: int,
    hold: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Hand things over in batches, in order, while the next ones are being read.

    Args:
        pool: Where they are worked on.
        things: Being read.
        take: Works on one batch.
        size: Of a batch.
        hold: Awaited before the next batch, by whoever has work left over from the last ones.
    """
    loop = asyncio.get_running_loop()
    busy: asyncio.Future[None] | None = None
    batch: list[T] = []
    try:
        async for thing in things:
            batch.append(thing)
            if len(batch) == size:
                if busy is not None:
                    await busy
                if hold is not None:
                    await hold()
                busy, batch = loop.run_in_executor(pool, take, batch), []
    finally:
        try:
            # The pool must be done with the numbers before anybody reads or drops them.
            if busy is not None:
                await busy
        finally:
            if isinstance(things, AsyncGenerator):
                await things.aclose()  # a reader keeps its decoder until then
    if batch:
        await loop.run_in_executor(pool, take, batch)
    if hold is not None:
        await hold()
