"""How many may have something done at once, and how many may wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from service.web.encode_auth import busy

T = TypeVar("T")


class Gate:
    """Lets a few through at once, has some wait, and sends the others away.

    Args:
        name: What its threads are called.
        width: Pieces of work at once; each has a thread.
        waiting: Requests that may wait.
        patience_s: How long: who asked has given up after it.
    """

    def __init__(self, name: str, *, width: int, waiting: int, patience_s: float) -> None:
        self._slots = asyncio.Semaphore(width)
        self._left = width + waiting
        self._patience_s = patience_s
        self._pool = ThreadPoolExecutor(width, thread_name_prefix=name)

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Be one of the few for the length of the block.

        Raises:
            RefusedError: 429, nobody may wait any more, or it took too long.
        """
        if self._left <= 0:
            raise busy("too many requests at once")
        self._left -= 1
        try:
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._slots.acquire()
            except TimeoutError as error:
                raise busy(f"others took longer than {self._patience_s:g} s") from error
            try:
                yield
            finally:
                self._slots.release()
        finally:
            self._left += 1

    async def run(self, work: Callable[[], T]) -> T:
        """Do a piece of work on a thread. Raises as ``enter`` does."""
        async with self.enter():
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Take nothing any more; what runs may end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
