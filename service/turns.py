"""Turns at something that serves few at once: who comes first is served first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.errors import CrowdedError, TransientError

AT_ONCE = 4
"""Searches: as many as keep two cores busy, and fewer than the database has connections for, so
that a page is shown while many search."""
CROWD = 2 * AT_ONCE
"""Waiting: from so many on, what can be left out of an answer is."""
WAIT_S, WORK_S = 5.0, 30.0
"""For a turn, and for an answer then: nobody in a browser waits longer."""


class Turns:
    """A queue before a few places.

    Args:
        what: What is waited for, in the words of an error.
        at_once: Places.
        wait_s: For a place; who has none by then is told to come again.
        work_s: In a place.
    """

    def __init__(
        self,
        what: str,
        *,
        at_once: int = AT_ONCE,
        wait_s: float = WAIT_S,
        work_s: float = WORK_S,
    ) -> None:
        self._what = what
        self._wait_s = wait_s
        self._work_s = work_s
        self._places = asyncio.Semaphore(at_once)
        self._waiting = 0

    @property
    def is_crowded(self) -> bool:
        """Whether more wait than will be served soon."""
        return self._waiting >= CROWD

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Work in a place, in the order of coming.

        Raises:
            CrowdedError: None was free in time.
            TransientError: The work took too long.
        """
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise CrowdedError(
                f"{self._what}: no turn within {self._wait_s:g} s", retry_after_s=self._wait_s
            ) from error
        finally:
            self._waiting -= 1
        try:
            async with asyncio.timeout(self._work_s) as work:
                yield
        except TimeoutError as error:
            if not work.expired():
                raise
            raise TransientError(
                f"{self._what}: no answer within {self._work_s:g} s", retry_after_s=self._wait_s
            ) from error
        finally:
            self._places.release()
