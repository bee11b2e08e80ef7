"""A media server whose library is made while it is listed: of any size, and it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import psycopg

from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.store import DatabaseStore
from adapters.queue import ProcrastinateQueue, QueueSettings
from service.domain import (
    Analysis,
    Finding,
    IllegibleItem,
    ItemRef,
    Job,
    ListedItem,
    MediaItem,
    MediaKind,
    Order,
    WebhookEvent,
)
from service.errors import BadPayloadError, NotFoundError, TransientError
from service.ports import Perform

PAGE_SIZE = 200
"""Of a listing, as Jellyfin's client asks for it."""
FIRST_ADDED_AT = datetime(2020, 1, 1, tzinfo=UTC)
EVERY = timedelta(seconds=10)
KINDS = (MediaKind.MOVIE, MediaKind.EPISODE, MediaKind.SONG, MediaKind.VIDEO)
LIBRARIES = ("Films", "Shows", "Music", "Home videos")


class GeneratedLibrary:
    """A media server of ``count`` items: nothing is kept of any but the changed ones.

    Item number n was added ``n * EVERY`` after ``FIRST_ADDED_AT``; kinds and libraries take turns.
    """

    def __init__(self, count: int, *, name: str = "shelf") -> None:
        self.name = name
        self.count = count
        self.asked: list[ItemRef] = []
        self.changed: dict[int, MediaItem] = {}
        self.saved_at: dict[int, datetime] = {}
        self.removed: set[int] = set()
        self.illegible: dict[int, str] = {}
        """Reasons by number."""
        self.breaks_after: int | None = None
        """Entries after which a listing breaks off."""
        self.on_page: Callable[[], None] = lambda: None
        """Called before each page of a listing."""
        self.is_away = False
        self.groups: dict[str, Sequence[int]] = {}

    def ref(self, number: int) -> ItemRef:
        return ItemRef(server=self.name, item_id=f"{number:032x}")

    def item(self, number: int) -> MediaItem:
        if number in self.changed:
            return self.changed[number]
        return MediaItem(
            ref=self.ref(number),
            kind=KINDS[number % len(KINDS)],
            title=f"Item {number}",
            revision="1",
            library=LIBRARIES[number % len(LIBRARIES)],
            added_at=FIRST_ADDED_AT + number * EVERY,
        )

    def add(self, added_at: datetime, **fields) -> ItemRef:
        """One more, as of now."""
        number = self.count
        self.count += 1
        self.changed[number] = replace(self.item(number), added_at=added_at, **fields)
        self.saved_at[number] = added_at
        return self.ref(number)

    def change(self, number: int, at: datetime, **fields) -> ItemRef:
        """Save an item: its file was upgraded (``revision``), or somebody edited its texts."""
        self.changed[number] = replace(self.item(number), **fields)
        self.saved_at[number] = at
        return self.ref(number)

    def recognises(self, body: bytes, content_type: str) -> bool:
        return False

    def parse_webhook(self, body: bytes, content_type: str) -> Sequence[WebhookEvent]:
        raise BadPayloadError("it sends none")

    async def get_item(self, ref: ItemRef) -> MediaItem:
        self.asked.append(ref)
        if self.is_away:
            raise TransientError(f"{ref}: no answer")
        number = int(ref.item_id, 16)
        if number >= self.count or number in self.removed:
            raise NotFoundError(str(ref))
        return self.item(number)

    async def list_items(
        self, *, since: datetime | None = None, order: Order = Order.OLDEST_FIRST
    ) -> AsyncIterator[ListedItem]:
        numbers: Sequence[int] = range(self.count)
        if order is Order.NEWEST_FIRST:
            numbers = numbers[::-1]
        async for entry in self._listed(numbers):
            added_at = entry.added_at if isinstance(entry, MediaItem) else None
            if since is None or added_at is None or added_at >= since:
                yield entry

    async def list_changes(self, since: datetime) -> AsyncIterator[ListedItem]:
        numbers = [number for number, saved_at in self.saved_at.items() if saved_at >= since]
        async for entry in self._listed(numbers):
            yield entry

    async def list_group(self, ref: ItemRef) -> AsyncIterator[ListedItem]:
        if ref.item_id not in self.groups:
            raise NotFoundError(f"{ref}: no such group")
        async for entry in self._listed(self.groups[ref.item_id]):
            yield entry

    async def check(self) -> Sequence[Finding]:
        return []

    async def aclose(self) -> None:
        pass

    async def _listed(self, numbers: Iterable[int]) -> AsyncIterator[ListedItem]:
        if self.is_away:
            raise TransientError(f"{self.name}: no answer")
        listed_count = 0
        for number in numbers:
            if number in self.removed:
                continue
            if listed_count % PAGE_SIZE == 0:
                self.on_page()
                await asyncio.sleep(0)  # as a request would
            if listed_count == self.breaks_after:
                raise TransientError(f"{self.name}: the connection was reset")
            listed_count += 1
            yield self._entry(number)

    def _entry(self, number: int) -> ListedItem:
        if number not in self.illegible:
            return self.item(number)
        return IllegibleItem(
            ref=self.ref(number), title=f"Item {number}", reason=self.illegible[number]
        )


class BusyLibrary(GeneratedLibrary):
    """One that says who plays."""

    plays = ""
    times_asked = 0

    async def who_plays(self) -> str:
        self.times_asked += 1
        if self.is_away:
            raise TransientError("no answer")
        return self.plays


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A real store and a real queue in one database."""

    store: DatabaseStore
    queue: ProcrastinateQueue

    async def keep(self, *items: MediaItem, **fields) -> None:
        """Have it that these were analysed."""
        for item in items:
            analysis = replace(Analysis(item=item, duration_s=60.0, pipeline="v"), **fields)
            await self.store.save(analysis, await self.store.begin(item))

    async def taken(self) -> list[Job]:
        """All waiting jobs, in the order in which one worker takes them."""

        async def do_nothing(_job: Job, _attempt: int) -> None: ...

        return await self.taken_with(do_nothing)

    async def taken_with(self, perform: Perform) -> list[Job]:
        """Do all waiting jobs; the jobs, in the order in which one worker takes them."""
        taken: list[Job] = []
        stop = asyncio.Event()
        waiting_count = (await self.queue.counts())["waiting"]

        async def take(job: Job, attempt: int) -> None:
            taken.append(job)
            if len(taken) == waiting_count:
                stop.set()
            await perform(job, attempt)

        if waiting_count:
            await self.queue.work(take, concurrency=1, stop=stop)
        return taken


@asynccontextmanager
async def open_archive(dsn: str) -> AsyncIterator[Archive]:
    """A store and a queue in a migrated database; it is empty again afterwards."""
    store = DatabaseStore(await PsycopgTransport.open(dsn))
    queue = await ProcrastinateQueue.open(dsn, QueueSettings(MOODREEL_QUEUE_POLL_S=0.1))
    try:
        yield Archive(store=store, queue=queue)
    finally:
        await queue.aclose()
        await store.aclose()
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(
                "truncate media_items, reconciliations, procrastinate.procrastinate_jobs cascade"
            )


def numbers(refs: Collection[ItemRef]) -> list[int]:
    """Of a generated library's items."""
    return [int(ref.item_id, 16) for ref in refs]
