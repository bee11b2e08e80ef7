"""What monitors ask: whether the service lives and works, and what it has done so far."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic import Field, SecretStr

from service.configuration import Configuration
from service.domain import Backlog
from service.errors import MoodreelError
from service.metrics import DATABASE_UP, QUEUE_JOBS, QUEUE_OLDEST
from service.ports import JobQueue
from service.web.health import Health
from service.web.token import Token

QUEUE_TIMEOUT_S = 2.0
"""Of the ten seconds that Prometheus waits by default."""
KEEP_S = 3.0
"""How long what was asked and measured is good: several may scrape, and every worker
is scraped, while a look at 100,000 jobs costs the database 0.1 s."""
KEEP_TEXT_S = 1.0
"""Writing it costs 8 ms, and anybody may ask, as often as they like."""


class MonitorSettings(Configuration):
    """Who may watch the service, and where."""

    metrics_token: SecretStr | None = Field(
        default=None,
        alias="MOODREEL_METRICS_TOKEN",
        description="What a scraper of `/metrics` must send as a Bearer token. Without it whoever "
        "reaches the port may read how much was done, and what servers and channels are called.",
    )
    worker_port: int | None = Field(
        default=None,
        alias="MOODREEL_WORKER_PORT",
        ge=0,
        le=65535,
        description="Port at which `moodreel work` answers `/healthz`, `/readyz` and `/metrics`; "
        "0: any free one. None by default: several workers may run on one machine.",
    )


class Exposition:
    """``/metrics``.

    Args:
        queue: Asked for its backlog.
        survey: Measures what is measured only when somebody asks: disk and memory. Blocking; it
            raises nothing.
        token: What a scraper must know; None lets everybody read.
        registry: Where all metrics are.
        keep_s: How long what the queue said, and what was measured, is good; the text at most for
            ``KEEP_TEXT_S`` of that.
    """

    def __init__(
        self,
        queue: JobQueue,
        survey: Callable[[], None],
        token: Token | None = None,
        *,
        registry: CollectorRegistry = REGISTRY,
        keep_s: float = KEEP_S,
    ) -> None:
        self._queue = queue
        self._survey = survey
        self._token = token
        self._registry = registry
        self._keep_s = keep_s
        self._keep_text_s = min(keep_s, KEEP_TEXT_S)
        self._lock = asyncio.Lock()
        self._asked_at = float("-inf")
        self._kept: dict[str, bytes] = {}
        self._rendered_at = float("-inf")

    async def expose(self, request: web.Request) -> web.Response:
        """All metrics, as text or as OpenMetrics, whatever the scraper prefers."""
        if self._token is not None:
            self._token.require_bearer(request)
        encode, content_type = _choose(request.headers.get("Accept", ""))
        async with self._lock:
            if time.monotonic() - self._asked_at > self._keep_s:
                _show(await self._ask())
                await asyncio.to_thread(self._survey)  # reads all processes: 10 ms and more
                self._asked_at = time.monotonic()
            if time.monotonic() - self._rendered_at > self._keep_text_s:
                self._kept.clear()
                self._rendered_at = time.monotonic()
            if content_type not in self._kept:
                # 2 ms to 8 ms; a thread would take turns with the loop for them.
                self._kept[content_type] = encode(self._registry)
            body = self._kept[content_type]
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _ask(self) -> Sequence[Backlog] | None:
        """The backlog; None when it cannot be asked at present."""
        try:
            async with asyncio.timeout(QUEUE_TIMEOUT_S):
                return await self._queue.backlog()
        except (MoodreelError, TimeoutError):
            return None


def _choose(accepted: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """The library reads versions that a scraper names as numbers, and fails where one is none."""
    try:
        return choose_encoder(accepted)
    except (TypeError, ValueError):
        return choose_encoder("")


def _show(backlog: Sequence[Backlog] | None) -> None:
    """Nothing is better than what was true a while ago."""
    DATABASE_UP.set(backlog is not None)
    QUEUE_JOBS.clear()
    QUEUE_OLDEST.clear()
    for held in backlog or ():
        QUEUE_OLDEST.labels(held.kind).set(held.oldest_s)
        for state in ("waiting", "later", "running", "failed"):
            QUEUE_JOBS.labels(held.kind, state).set(getattr(held, state))


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """All that is answered to monitors."""

    health: Health
    exposition: Exposition

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/healthz", self.health.alive),
            web.get("/readyz", self.health.ready),
            web.get("/metrics", self.exposition.expose),
        ]
