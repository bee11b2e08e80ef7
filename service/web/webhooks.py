"""The door that media servers knock at: ``POST /webhooks/{server}``."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from service.domain import AnalyzeJob, Change, LibraryEvent
from service.errors import BadPayloadError, ConfigurationError
from service.ports import JobQueue, MediaServer, Store

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much and how long a sender may take."""

    body_bytes: int = 1024 * 1024
    """A body of Jellyfin's plugin has 2 to 20 KB; Plex adds a small picture."""
    body_timeout_s: float = 10.0
    """Senders are on the same network; who takes longer holds a connection open on purpose."""
    commit_timeout_s: float = 10.0
    """jellyfin-plugin-webhook sends one after another and waits for each answer."""


class Webhooks:
    """Turns what servers report into committed jobs, and only then says so.

    Args:
        servers: Configured media servers by name.
        queue: Where new and changed items go.
        store: Where deleted items are marked.
        token: What a sender must know; never empty.
        limits: How much and how long a sender may take.
    """

    def __init__(
        self,
        servers: Mapping[str, MediaServer],
        queue: JobQueue,
        store: Store,
        token: str,
        limits: Limits,
    ) -> None:
        if not token.strip():
            raise ConfigurationError("the webhook token is empty: anybody could send webhooks")
        self._servers = servers
        self._queue = queue
        self._store = store
        self._token = token.strip().encode()
        self._limits = limits

    async def receive(self, request: web.Request) -> web.Response:
        """202 once it is committed, 204 for what is of no interest.

        401 before the body is read, 404 for an unknown server, 408 and 413 for a body too slow
        or too long, 400 for one that cannot be understood, 503 while the database is away: the
        sender's log then shows what was not taken.
        """
        self._require_token(request)
        server = self._servers.get(request.match_info["server"])
        if server is None:
            known = ", ".join(sorted(self._servers)) or "none"
            raise web.HTTPNotFound(text=f"no such media server; configured: {known}")
        body = await self._read_body(request)
        try:
            event = server.parse_webhook(body, request.content_type)
        except BadPayloadError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        if event is None:
            return web.Response(status=web.HTTPNoContent.status_code)
        async with asyncio.timeout(self._limits.commit_timeout_s):
            return await self._commit(event)

    async def _commit(self, event: LibraryEvent) -> web.Response:
        if event.change is Change.DELETED:
            await self._store.mark_deleted(event.ref)
            answer: dict[str, object] = {"deleted": str(event.ref)}
        else:
            added = await self._queue.enqueue([AnalyzeJob(ref=event.ref)])
            answer = {"job": f"analyze {event.ref}", "is_new": bool(added)}
        logger.info(
            "took a webhook",
            extra={
                "action": "webhook_taken",
                "change": event.change.value,
                "item": str(event.ref),
                "title": event.title,
            },
        )
        return web.json_response(answer, status=web.HTTPAccepted.status_code)

    def _require_token(self, request: web.Request) -> None:
        """Compare in constant time whatever was offered, by header or, where a server can send
        none (Plex), in the address.
        """
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        offered = (
            credentials.strip() if scheme.lower() == "bearer" else "",
            request.headers.get("X-Moodreel-Token", "").strip(),
            request.query.get("token", ""),
        )
        matches = [
            hmac.compare_digest(token.encode(errors="replace"), self._token) for token in offered
        ]
        if not any(matches):
            raise web.HTTPUnauthorized(
                text="wrong or missing token; `moodreel doctor` shows the whole address",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def _read_body(self, request: web.Request) -> bytes:
        length = request.content_length or 0
        if length > self._limits.body_bytes:
            raise web.HTTPRequestEntityTooLarge(self._limits.body_bytes, length)
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                return await request.read()
        except TimeoutError as error:
            raise web.HTTPRequestTimeout(text="the body came too slowly") from error
