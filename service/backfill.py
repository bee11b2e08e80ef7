"""Walk a library and enqueue what is not analysed yet; then listen for what comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential

from service.domain import (
    AnalyzeJob,
    Change,
    ItemRef,
    ItemStatus,
    LibraryEvent,
    MediaItem,
    Priority,
)
from service.errors import NotFoundError, PermanentError, TransientError
from service.ports import JobQueue, MediaServer, Store, Watcher
from service.wanted import Reprocess, needs_analysis

logger = logging.getLogger(__name__)

PAGE_SIZE = 500
"""Items per look into the store: one round trip each, and flat memory for any library."""

GATHER_S = 0.25
"""How long a watcher's events are gathered before they are looked up together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillReport:
    """What a walk through a library came to."""

    seen_count: int = 0
    wanted_count: int = 0
    """Items that need an analysis."""
    enqueued_count: int = 0
    """Jobs that are new; the others of the wanted waited already. Zero in a dry run."""


async def backfill(
    server: MediaServer,
    *,
    store: Store,
    queue: JobQueue,
    version: str,
    since: datetime | None = None,
    limit: int | None = None,
    reprocess: Reprocess = Reprocess.MISSING,
    announce: bool = False,
    dry_run: bool = False,
    on_page: Callable[[BackfillReport], None] = lambda _: None,
) -> BackfillReport:
    """Enqueue what a library holds and the store does not.

    Safe to interrupt and to run twice: each page is committed, and an equal waiting job is not
    doubled.

    Args:
        server: Whose library.
        store: Says what is analysed already.
        queue: Takes the jobs, behind everything that is new.
        version: The pipeline's version, see ``Pipeline.version``.
        since: Only items added at or after this moment.
        limit: At most so many jobs.
        reprocess: Which items.
        announce: Whether channels are told of each. History is quiet by default.
        dry_run: Count, but enqueue nothing.
        on_page: Called with the report so far after each page.
    """
    report = BackfillReport()
    async for page in _pages(server.list_items(since=since)):
        statuses = await store.statuses([item.ref for item in page])
        wanted = [
            item
            for item in page
            if needs_analysis(item, statuses.get(item.ref), version, reprocess)
        ]
        if limit is not None:
            wanted = wanted[: limit - report.wanted_count]
        jobs = [
            AnalyzeJob(
                ref=item.ref,
                priority=Priority.BACKFILL,
                announce=announce,
                even_history=announce,
                force=reprocess is not Reprocess.MISSING,
            )
            for item in wanted
        ]
        enqueued_count = 0 if dry_run else await queue.enqueue(jobs)
        report = replace(
            report,
            seen_count=report.seen_count + len(page),
            wanted_count=report.wanted_count + len(wanted),
            enqueued_count=report.enqueued_count + enqueued_count,
        )
        on_page(report)
        if limit is not None and report.wanted_count >= limit:
            break
    return report


async def _pages(items: AsyncIterator[MediaItem]) -> AsyncIterator[list[MediaItem]]:
    page: list[MediaItem] = []
    async for item in items:
        page.append(item)
        if len(page) == PAGE_SIZE:
            yield page
            page = []
    if page:
        yield page


class Follower:
    """Listens to a server that notices by itself what is new, and enqueues it.

    Args:
        server: What to ask about an item.
        watcher: What to listen to: the same server.
        store: Says what is analysed already, and is told what was deleted.
        queue: Takes the jobs.
    """

    def __init__(
        self,
        *,
        server: MediaServer,
        watcher: Watcher,
        store: Store,
        queue: JobQueue,
    ) -> None:
        self._server = server
        self._watcher = watcher
        self._store = store
        self._queue = queue
        self._installed_at: datetime | None = None

    async def follow(self) -> None:
        """Listen until cancelled. A database that is away is waited for."""
        waiting: asyncio.Queue[LibraryEvent | None] = asyncio.Queue(maxsize=PAGE_SIZE)
        patiently = AsyncRetrying(
            retry=retry_if_exception_type(TransientError), wait=wait_exponential(max=30)
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(waiting))
            while events := await _gather(waiting):
                await patiently(self._take, events)

    async def _listen(self, waiting: asyncio.Queue[LibraryEvent | None]) -> None:
        async for event in self._watcher.watch():
            await waiting.put(event)
        await waiting.put(None)

    async def _take(self, events: Sequence[LibraryEvent]) -> None:
        if self._installed_at is None:
            self._installed_at = await self._store.installed_at()
        latest = {event.ref: event for event in events}
        statuses = await self._store.statuses(list(latest))
        jobs: list[AnalyzeJob] = []
        for ref, event in latest.items():
            if event.change is Change.DELETED:
                await self._store.mark_deleted(ref)
            elif job := await self._job(ref, statuses.get(ref)):
                jobs.append(job)
        if jobs:
            new_count = await self._queue.enqueue(jobs)
            logger.info(
                "found items to analyse",
                extra={
                    "action": "items_found",
                    "server": self._server.name,
                    "item_count": len(jobs),
                    "new_count": new_count,
                },
            )

    async def _job(self, ref: ItemRef, status: ItemStatus | None) -> AnalyzeJob | None:
        try:
            item = await self._server.get_item(ref)
        except NotFoundError:
            return None
        except (TransientError, PermanentError):
            # Still growing, or unreadable: the worker waits for it, or keeps its reason.
            return AnalyzeJob(ref=ref)
        if not needs_analysis(item, status, "", Reprocess.MISSING):
            return None
        is_old = item.added_at and self._installed_at and item.added_at < self._installed_at
        return AnalyzeJob(ref=ref, priority=Priority.BACKFILL if is_old else Priority.NEW)


async def _gather(waiting: asyncio.Queue[LibraryEvent | None]) -> list[LibraryEvent]:
    """Take what comes within a moment, to be looked up together; empty at the end."""
    events: list[LibraryEvent] = []
    event = await waiting.get()
    try:
        async with asyncio.timeout(GATHER_S):
            while event is not None:
                events.append(event)
                if len(events) == PAGE_SIZE:
                    return events
                event = await waiting.get()
    except TimeoutError:
        return events
    if events:
        await waiting.put(None)  # the end is for the next call to see
    return events
