"""Asks servers what they hold, and has analysed what is missing: nothing is left to webhooks."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from service.domain import AnalyzeJob, ItemRef, ListedItem, MediaItem, Priority, ReconcileJob
from service.errors import ConfigurationError, NotFoundError, PermanentError, TransientError
from service.ports import JobQueue, MediaServer, Store, Watcher
from service.wanted import Page, enqueue_each, read_pages

logger = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=10)
"""Looks overlap: a server's clock may differ from ours, and an item that it is just scanning bears
a time before that at which it can be seen."""
JITTER = 0.1
"""Of the time between looks: several services do not ask one server in step."""
ASKED_AT_ONCE = 16
"""Requests to a server that is asked about single items."""
MAX_DOUBTS = 50
"""A server that so often does not know whether an item is gone is asked no further."""


class Librarian:
    """Expands groups, and finds out what changed.

    Args:
        servers: Media servers by name.
        store: Says what is analysed already, and is told what was deleted.
        queue: Takes the jobs.
        clock: The present moment.
    """

    def __init__(
        self,
        servers: Mapping[str, MediaServer],
        store: Store,
        queue: JobQueue,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._servers = servers
        self._store = store
        self._queue = queue
        self._clock = clock
        self._installed_at: datetime | None = None

    async def expand(self, ref: ItemRef) -> None:
        """Enqueue what a show, a season or an album holds and the store does not.

        Raises:
            NotFoundError: The server has no such thing.
            TransientError: It did not answer.
        """
        counts = await self._take(self._server(ref.server).list_group(ref), undated_is_new=True)
        _log("group_expanded", ref.server, group=str(ref), **counts)

    async def reconcile(self, server: str, *, is_full: bool = False) -> None:
        """Enqueue what changed since the server was asked last; when full, find deletions too.

        What was there before the installation and never changed since is left to ``backfill``.

        Raises:
            TransientError: The server did not answer to the end. The next look begins again where
                this one did.
        """
        source = self._server(server)
        began_at = self._clock()
        since = await self._store.reconciled_at(server)
        if since is None:
            since = await self._installation()
        else:
            since = min(since, began_at) - OVERLAP  # a clock that was ahead hides nothing
        counts = await self._take(source.list_changes(since))
        await self._store.note_reconciled(server, began_at)
        _log("library_reconciled", server, since=since.isoformat(), **counts)
        if is_full:
            await self._compare(source)

    async def reconcile_forever(self, every_s: float, full_every_s: float) -> NoReturn:
        """Have every server asked at once, and then again and again, until cancelled.

        The first full look comes with the second one: a service that starts anew every evening
        has one, and one that starts anew every minute does not begin with the heaviest. A server
        that notices by itself what is new is asked for full looks only.

        Args:
            every_s: Seconds between two looks.
            full_every_s: Seconds between two full ones.
        """
        loop = asyncio.get_running_loop()
        full_at = loop.time() + every_s * (1 - JITTER)
        while True:
            is_full = loop.time() >= full_at
            if await self._enqueue_looks(is_full=is_full) and is_full:
                full_at = loop.time() + full_every_s
            pause_s = every_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  no secret
            await asyncio.sleep(pause_s)

    async def _enqueue_looks(self, *, is_full: bool) -> bool:
        jobs = [
            ReconcileJob(server=name, is_full=is_full)
            for name, server in self._servers.items()
            if is_full or not isinstance(server, Watcher)
        ]
        try:
            await self._queue.enqueue(jobs)
        except TransientError as error:
            logger.warning(
                "no look at the libraries now: %s", error, extra={"action": "reconcile_missed"}
            )
            return False
        return True

    async def _take(
        self, listing: AsyncIterator[ListedItem], *, undated_is_new: bool = False
    ) -> dict[str, int]:
        """Enqueue what is missing of a listing; say how much there was."""
        counts = {"seen_count": 0, "wanted_count": 0, "new_count": 0, "illegible_count": 0}
        async for page in read_pages(listing, self._store):
            wanted = page.missing()
            counts["seen_count"] += len(page.items)
            counts["illegible_count"] += len(page.illegible)
            counts["wanted_count"] += len(wanted)
            counts["new_count"] += await self._enqueue(wanted, undated_is_new=undated_is_new)
        return counts

    async def _enqueue(self, items: Iterable[MediaItem], *, undated_is_new: bool = False) -> int:
        """Enqueue news before, and louder than, history."""
        installed_at = await self._installation()
        jobs = []
        for item in items:
            is_new = item.added_at >= installed_at if item.added_at else undated_is_new
            priority = Priority.NEW if is_new else Priority.BACKFILL
            jobs.append(AnalyzeJob(ref=item.ref, priority=priority, announce=is_new))
        new_count, refused = await enqueue_each(jobs, self._queue)
        for entry in refused:
            logger.warning(
                "%s is left out: %s",
                entry.ref,
                entry.reason,
                extra={"action": "item_refused", "server": entry.ref.server},
            )
        return new_count

    async def _compare(self, server: MediaServer) -> None:
        """Walk a whole library beside what the store knows of it, and mark what is gone.

        An empty listing, or one without most of what is known, is a disk that is away, and no
        library that somebody emptied. What vanished from a listing is asked for by itself: items
        slip from one page to another while the pages are turned.
        """
        census = Census()
        async for page in read_pages(server.list_items(), self._store):
            census.count(page)
            await self._enqueue(await self._known_or_new(page))
        known_count, gone = 0, []
        async for ref in self._store.list_refs(server.name):
            known_count += 1
            if census.size and not census.has(ref):
                gone.append(ref)
        if why := census.objection(known_count=known_count, gone_count=len(gone)):
            logger.warning(
                "%s: nothing is marked deleted: %s",
                server.name,
                why,
                extra={"action": "deletions_doubted", "server": server.name},
            )
            return
        deleted_count = await self._mark_gone(server, gone)
        _log(
            "library_compared",
            server.name,
            listed_count=census.size,
            known_count=known_count,
            deleted_count=deleted_count,
        )

    async def _known_or_new(self, page: Page) -> list[MediaItem]:
        """What is missing, without the history that nobody has asked for yet."""
        installed_at = await self._installation()
        return [
            item
            for item in page.missing()
            if item.ref in page.statuses or (item.added_at and item.added_at >= installed_at)
        ]

    async def _mark_gone(self, server: MediaServer, refs: Sequence[ItemRef]) -> int:
        """Mark deleted what the server, asked for each, knows no more. Returns how many."""
        deleted_count = doubt_count = 0
        for start in range(0, len(refs), ASKED_AT_ONCE):
            asked = refs[start : start + ASKED_AT_ONCE]
            answers = await asyncio.gather(*(_is_gone(server, ref) for ref in asked))
            for ref, is_gone in zip(asked, answers, strict=True):
                if is_gone:
                    await self._store.mark_deleted(ref)
                    deleted_count += 1
            doubt_count += answers.count(None)
            if doubt_count >= MAX_DOUBTS:
                break
        return deleted_count

    async def _installation(self) -> datetime:
        if self._installed_at is None:
            self._installed_at = await self._store.installed_at()
        return self._installed_at

    def _server(self, name: str) -> MediaServer:
        if name in self._servers:
            return self._servers[name]
        known = ", ".join(self._servers) or "none"
        raise ConfigurationError(f"{name}: no such media server; configured: {known}")


class Census:
    """Who is in a listing, by hashes of 64 bits: 7.4 MB for 100,000 items, not 14 with their ids.

    Where as many are known as are listed, 100,000 each, one run in two billion takes an item that
    is gone for another one that is not: it stays until the next run, whose hashes are others.
    """

    def __init__(self) -> None:
        self._hashes: set[int] = set()
        self._nameless_count = 0

    @property
    def size(self) -> int:
        return len(self._hashes)

    def count(self, page: Page) -> None:
        """Take a page in. What cannot be read is there nevertheless."""
        self._hashes.update(hash(item.ref.item_id) for item in page.items)
        for entry in page.illegible:
            if entry.ref.item_id:
                self._hashes.add(hash(entry.ref.item_id))
            else:
                self._nameless_count += 1

    def has(self, ref: ItemRef) -> bool:
        return hash(ref.item_id) in self._hashes

    def objection(self, *, known_count: int, gone_count: int) -> str:
        """Why what was not listed may be there all the same; empty: it may not."""
        if not self._hashes:
            return "its listing is empty"
        if self._nameless_count:
            return f"{self._nameless_count} entries of its listing have no id that can be read"
        if 2 * gone_count > known_count:
            return (
                f"{gone_count} of {known_count} known items are not in its listing of {self.size}; "
                "is a disk away?"
            )
        return ""


async def _is_gone(server: MediaServer, ref: ItemRef) -> bool | None:
    """Whether a server knows an item no more; None where it does not say."""
    try:
        await server.get_item(ref)
    except NotFoundError:
        return True
    except PermanentError:
        return False  # there, if not to be read
    except TransientError:
        return None
    return False


def _log(action: str, server: str, **values: object) -> None:
    logger.info(
        "%s: %s",
        server,
        action.replace("_", " "),
        extra={"action": action, "server": server} | values,
    )
