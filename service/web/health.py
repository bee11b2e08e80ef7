"""Whether the service lives, and whether it can take work."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from service.domain import Severity
from service.errors import MoodreelError
from service.ports import JobQueue, Store

CHECK_TIMEOUT_S = 5.0
KEEP_S = 1.0
"""How long an answer is good: anybody may ask, and each look costs the database a query."""


class Health:
    """``/healthz`` and ``/readyz``."""

    def __init__(self, queue: JobQueue, store: Store) -> None:
        self._queue = queue
        self._store = store
        self._lock = asyncio.Lock()
        self._checks: dict[str, bool] = {}
        self._checked_at = float("-inf")

    async def alive(self, _request: web.Request) -> web.Response:
        """200 for as long as the event loop turns."""
        return web.json_response({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """200 when database and queue can be reached, else 503; says which of them cannot."""
        async with self._lock:
            if time.monotonic() - self._checked_at > KEEP_S:
                self._checks = await self._look()
                self._checked_at = time.monotonic()
        is_ready = all(self._checks.values())
        return web.json_response(
            {
                "status": "ready" if is_ready else "not ready",
                "checks": {
                    name: "ok" if is_ok else "unreachable" for name, is_ok in self._checks.items()
                },
            },
            status=200 if is_ready else web.HTTPServiceUnavailable.status_code,
        )

    async def _look(self) -> dict[str, bool]:
        database, queue = await asyncio.gather(self._is_database_ok(), self._is_queue_ok())
        return {"database": database, "queue": queue}

    async def _is_database_ok(self) -> bool:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                findings = await self._store.check()
        except (MoodreelError, TimeoutError):
            return False
        return all(finding.severity is not Severity.ERROR for finding in findings)

    async def _is_queue_ok(self) -> bool:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await self._queue.counts()
        except (MoodreelError, TimeoutError):
            return False
        return True
