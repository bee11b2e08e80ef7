"""Walk a library and enqueue what is not analysed yet; then listen for what comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential

from service.domain import (
    AnalyzeJob,
    Change,
    IllegibleItem,
    ItemRef,
    ItemStatus,
    LibraryEvent,
    MediaItem,
    Priority,
)
from service.errors import NotFoundError, PermanentError, TransientError
from service.metrics import EVENTS, begin_at_zero
from service.ports import JobQueue, MediaServer, Store, Watcher
from service.wanted import (
    PAGE_SIZE,
    Choice,
    Page,
    Reprocess,
    enqueue_each,
    is_unheard,
    needs_analysis,
    read_pages,
)

logger = logging.getLogger(__name__)

GATHER_S = 0.25
"""How long a watcher's events are gathered before they are looked up together."""
NAMED = 20
"""Items that a report names of those that were left out: enough to see what is wrong with them."""
LOADED_AT_ONCE = 8
"""Analyses in memory while it is found out what they lack; half a megabyte each, of a long film."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillReport:
    """What a walk through a library came to."""

    seen_count: int = 0
    """Items that were listed."""
    chosen_count: int = 0
    """Of those, items in the chosen libraries and of the chosen kinds."""
    wanted_count: int = 0
    """Of those, items that need an analysis."""
    enqueued_count: int = 0
    """Jobs that are new; the others of the wanted waited already. Zero in a dry run."""
    skipped_count: int = 0
    """Items that could not be read, or not be enqueued; the others were."""
    skipped: tuple[IllegibleItem, ...] = ()
    """The first ``NAMED`` of them."""
    libraries: frozenset[str] = frozenset()
    """Names of the libraries that were seen."""


async def backfill(
    server: MediaServer,
    choice: Choice | None = None,
    *,
    store: Store,
    queue: JobQueue,
    version: str,
    limit: int | None = None,
    announce: bool = False,
    dry_run: bool = False,
    on_page: Callable[[BackfillReport], None] = lambda _: None,
) -> BackfillReport:
    """Enqueue what a library holds and the store does not.

    Safe to interrupt and to run twice: each page is committed, and an equal waiting job is not
    doubled. An item that cannot be read or enqueued is reported, and left out.

    Args:
        server: Whose library.
        choice: Which of its items; all that were never analysed by default.
        store: Says what is analysed already.
        queue: Takes the jobs, behind everything that is new.
        version: The pipeline's version, see ``Pipeline.version``.
        limit: At most so many jobs.
        announce: Whether channels are told of each. History is quiet by default.
        dry_run: Count, but enqueue nothing.
        on_page: Called with the report so far after each page.

    Raises:
        TransientError: The server, or the database, went away on the way. What was reported by
            then is enqueued.
    """
    choice = choice or Choice()
    report = BackfillReport()
    listing = server.list_items(since=choice.since, order=choice.order)
    async for page in read_pages(listing, store):
        chosen = [item for item in page.items if choice.includes(item)]
        wanted = await _choose(chosen, page, choice, store, version)
        if limit is not None:
            wanted = wanted[: limit - report.wanted_count]
        jobs = [_job(item, choice, announce=announce) for item in wanted]
        enqueued_count, refused = (0, []) if dry_run else await enqueue_each(jobs, queue)
        skipped = [*page.illegible, *refused]
        report = replace(
            report,
            seen_count=report.seen_count + len(page.items) + len(page.illegible),
            chosen_count=report.chosen_count + len(chosen),
            wanted_count=report.wanted_count + len(wanted) - len(refused),
            enqueued_count=report.enqueued_count + enqueued_count,
            skipped_count=report.skipped_count + len(skipped),
            skipped=(*report.skipped, *skipped)[:NAMED],
            libraries=report.libraries | {item.library for item in page.items if item.library},
        )
        on_page(report)
        if limit is not None and report.wanted_count >= limit:
            break
    return report


async def _choose(
    items: Sequence[MediaItem], page: Page, choice: Choice, store: Store, version: str
) -> list[MediaItem]:
    if choice.only_unheard:
        analyzed = [
            item
            for item in items
            if not needs_analysis(item, page.statuses.get(item.ref), version, Reprocess.MISSING)
        ]
        return await _unheard(analyzed, store)
    return [
        item
        for item in items
        if needs_analysis(item, page.statuses.get(item.ref), version, choice.reprocess)
    ]


async def _unheard(items: Sequence[MediaItem], store: Store) -> list[MediaItem]:
    """Those with sound of which no captioner wrote a summary. Loads the analysis of each."""
    found: list[MediaItem] = []
    for start in range(0, len(items), LOADED_AT_ONCE):
        asked = items[start : start + LOADED_AT_ONCE]
        analyses = await asyncio.gather(*(store.load(item.ref) for item in asked))
        found += [item for item, known in zip(asked, analyses, strict=True) if is_unheard(known)]
    return found


def _job(item: MediaItem, choice: Choice, *, announce: bool) -> AnalyzeJob:
    return AnalyzeJob(
        ref=item.ref,
        priority=Priority.BACKFILL,
        announce=announce,
        even_history=announce,
        force=choice.is_anew,
    )


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
        begin_at_zero(EVENTS, [server.name], ["taken"])

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
            EVENTS.labels(self._server.name, "taken").inc()
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
