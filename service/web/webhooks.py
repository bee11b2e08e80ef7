"""The door that senders knock at: ``POST /webhooks/{name}``, or one address for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeGuard

from aiohttp import web

from service.domain import (
    AnalyzeJob,
    Change,
    ExpandJob,
    FileEvent,
    Job,
    LibraryEvent,
    ReconcileJob,
    WebhookEvent,
)
from service.errors import BadPayloadError, ConfigurationError
from service.ports import JobQueue, Store, WebhookSender
from service.web.arrivals import ANY, Arrivals
from service.web.commits import Commits
from service.web.counting import SENDER
from service.web.token import Token

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 30
CHILDREN_AFTER_S = 30.0
"""A server tells of a show before its episodes are scanned. The queue of Jellyfin's plugin sends
every 30 s: by then what came with it has been told of, or can be listed."""
RESCAN_AFTER_S = 60.0
"""How long Jellyfin waits between noticing a file and scanning it (``LibraryMonitorDelay``)."""


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
    """Turns what senders report into committed jobs, and only then says so.

    Args:
        senders: All whose webhooks are understood, by name.
        servers: Names of the configured media servers that can be asked what changed.
        queue: Where the jobs go.
        store: Where deleted items are marked.
        token: What a sender must know.
        limits: How much and how long a sender may take.
    """

    def __init__(
        self,
        *,
        senders: Mapping[str, WebhookSender],
        servers: Collection[str],
        queue: JobQueue,
        store: Store,
        token: Token,
        limits: Limits,
        arrivals: Arrivals,
    ) -> None:
        self._arrivals = arrivals
        self._senders = senders
        self._servers = servers
        self._commits = Commits(queue)
        self._store = store
        self._token = token
        self._limits = limits

    async def receive(self, request: web.Request) -> web.Response:
        """202 once it is committed, 204 for what is of no interest.

        401 before the body is read, 404 for an unknown sender or one whose server is not
        configured, 408 and 413 for a body too slow or too long, 400 for one that cannot be
        understood, 503 while the database is away: the sender's log then shows what was not taken.
        """
        name = request.match_info["name"]
        with self._noting_refusals(name):
            self._token.require(request)
            sender = self._senders.get(name)
            if sender is None:
                raise web.HTTPNotFound(text=f"no such sender; known: {self._names()}")
            return await self._take(sender, await self._read_body(request), _content_type(request))

    async def receive_any(self, request: web.Request) -> web.Response:
        """As ``receive``, from whoever the body shows to be its sender; else 400."""
        with self._noting_refusals(ANY):
            self._token.require(request)
            body = await self._read_body(request)
            sender = self._recognise(body, _content_type(request))
            request[SENDER] = sender.name
            return await self._take(sender, body, _content_type(request))

    def _recognise(self, body: bytes, content_type: str) -> WebhookSender:
        found = [
            sender for sender in self._senders.values() if sender.recognises(body, content_type)
        ]
        if len(found) == 1:
            return found[0]
        names = " and ".join(sender.name for sender in found) or "none of them"
        raise web.HTTPBadRequest(
            text=f"a body like this is sent by {names}; known: {self._names()}; "
            "each has an address of its own, /webhooks/NAME"
        )

    @contextmanager
    def _noting_refusals(self, name: str) -> Iterator[None]:
        try:
            yield
        except web.HTTPException as error:
            self._arrivals.refuse(name, error.text or error.reason)
            raise

    async def _take(self, sender: WebhookSender, body: bytes, content_type: str) -> web.Response:
        try:
            events = sender.parse_webhook(body, content_type)
        except BadPayloadError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        except ConfigurationError as error:
            raise web.HTTPNotFound(text=str(error)) from error
        async with asyncio.timeout(self._limits.commit_timeout_s):
            return await self._commit(sender.name, events)

    async def _commit(self, sender: str, events: Sequence[WebhookEvent]) -> web.Response:
        self._arrivals.take(sender)
        deleted = [event.ref for event in events if _is_deleted_item(event)]
        jobs = [job for event in events for job in self._plan(event)]
        for ref in deleted:
            await self._store.mark_deleted(ref)
        if jobs:
            await self._commits.commit(jobs)
        elif not deleted:
            return web.Response(status=web.HTTPNoContent.status_code)
        answer = {"jobs": list(map(_describe, jobs)), "deleted": list(map(str, deleted))}
        logger.info(
            "took a webhook",
            extra={
                "action": "webhook_taken",
                "sender": sender,
                "changes": [event.change.value for event in events],
                "titles": [event.title for event in events],
                **answer,
            },
        )
        return web.json_response(answer, status=web.HTTPAccepted.status_code)

    def _plan(self, event: WebhookEvent) -> Sequence[Job]:
        """What has to be done about it. What is believed of an event is its id, nothing else."""
        is_deleted = event.change is Change.DELETED
        if isinstance(event, FileEvent):
            return [
                ReconcileJob(server=name, is_full=is_deleted, after_s=RESCAN_AFTER_S)
                for name in self._servers
            ]
        if event.is_group and is_deleted:
            return [ReconcileJob(server=event.ref.server, is_full=True, after_s=RESCAN_AFTER_S)]
        if event.is_group:
            return [ExpandJob(ref=event.ref, after_s=CHILDREN_AFTER_S)]
        return [] if is_deleted else [AnalyzeJob(ref=event.ref)]

    def _names(self) -> str:
        return ", ".join(sorted(self._senders)) or "none"

    async def _read_body(self, request: web.Request) -> bytes:
        length = request.content_length or 0
        if length > self._limits.body_bytes:
            raise web.HTTPRequestEntityTooLarge(self._limits.body_bytes, length)
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                return await request.read()
        except TimeoutError as error:
            raise web.HTTPRequestTimeout(text="the body came too slowly") from error
        except web.RequestPayloadError as error:
            raise web.HTTPBadRequest(text="the body is not encoded as its headers say") from error


def _content_type(request: web.Request) -> str:
    """With its parameters: a form's boundary is one."""
    return request.headers.get("Content-Type", "")


def _is_deleted_item(event: WebhookEvent) -> TypeGuard[LibraryEvent]:
    """Whether there is one item to mark; a group's are found by comparing."""
    is_item = isinstance(event, LibraryEvent) and not event.is_group
    return is_item and event.change is Change.DELETED


def _describe(job: Job) -> str:
    return f"{type(job).__name__.removesuffix('Job').lower()} {job.ref}"
