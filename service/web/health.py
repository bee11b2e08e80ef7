"""Whether the service lives, and whether it can do its work."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from service.errors import ConfigurationError, TransientError

logger = logging.getLogger(__name__)

CHECK_TIMEOUT_S = 5.0
KEEP_S = 1.0
"""How long an answer is good: anybody may ask, and each look costs the database a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check came to, in words for anybody: no path, no address, no secret."""

    is_ok: bool
    why: str
    fix: str = ""
    """The exact next step, where there is one to take."""


Check = Callable[[], Awaitable[Verdict]]
AWAY = Verdict(is_ok=False, why="it cannot be reached", fix="moodreel doctor")


class Health:
    """``/healthz`` and ``/readyz``.

    Args:
        checks: What has to be well, by name.
        timeout_s: How long each may take.
    """

    def __init__(self, checks: Mapping[str, Check], *, timeout_s: float = CHECK_TIMEOUT_S) -> None:
        self._checks = checks
        self._timeout_s = timeout_s
        self._lock = asyncio.Lock()
        self._found: dict[str, Verdict] = {}
        self._checked_at = float("-inf")

    async def alive(self, _request: web.Request) -> web.Response:
        """200 for as long as the event loop turns."""
        return web.json_response({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """200 when nothing is known to be broken, else 503; says of each check why."""
        async with self._lock:
            if time.monotonic() - self._checked_at > KEEP_S:
                verdicts = await asyncio.gather(*map(self._look, self._checks))
                self._found = dict(zip(self._checks, verdicts, strict=True))
                self._checked_at = time.monotonic()
        is_ready = all(verdict.is_ok for verdict in self._found.values())
        return web.json_response(
            {
                "status": "ready" if is_ready else "not ready",
                "checks": {name: _describe(verdict) for name, verdict in self._found.items()},
            },
            status=200 if is_ready else web.HTTPServiceUnavailable.status_code,
        )

    async def _look(self, name: str) -> Verdict:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._checks[name]()
        except TimeoutError:
            return Verdict(is_ok=False, why=f"no answer within {self._timeout_s:g} s")
        except TransientError:
            return AWAY
        except ConfigurationError:
            return Verdict(is_ok=False, why="it refuses us", fix="moodreel doctor")
        except Exception:  # a monitor gets an answer, whatever goes wrong
            logger.exception("a check failed", extra={"action": "check_failed", "check": name})
            return Verdict(is_ok=False, why="it could not be looked at", fix="see the log")


def _describe(verdict: Verdict) -> dict[str, object]:
    described: dict[str, object] = {"ok": verdict.is_ok, "why": verdict.why}
    return described | {"fix": verdict.fix} if verdict.fix else described
