"""How fast a large library is enqueued and compared, and how much memory that takes."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import psutil

from adapters.database.embedded import EmbeddedPostgres
from service.backfill import BackfillReport, backfill
from service.domain import AnalyzeJob, ItemRef, ListedItem, Order, Priority
from service.librarian import Librarian
from service.wanted import Choice
from tests.support.libraries import Archive, GeneratedLibrary, open_archive
from tests.support.postgres import reachable_directory
from tests.support.stores import migrated_database

ITEMS = 100_000
SMALL = 2_000
"""What memory is compared with. It is one page, and walked first: the memory that a page takes is
in its row, and only what grows with the library is in the other."""
ODD = 20
"""Entries of the listing that cannot be read."""

Row = dict[str, Any]


def run() -> list[Row]:
    """Walk a generated library twice, then look at all of it, on a cluster as users have it."""
    with reachable_directory(in_memory=False) as directory:
        cluster = EmbeddedPostgres(directory)
        dsn = cluster.start()
        try:
            with migrated_database("psycopg", dsn) as database:
                small = asyncio.run(measure(database.dsn, SMALL))
            with migrated_database("psycopg", dsn) as database:
                large = asyncio.run(measure(database.dsn, ITEMS))
        finally:
            cluster.stop()
    return [
        {**row, "baseline": f"{SMALL} items: {base['value']}", "ratio": _ratio(row, base)}
        for row, base in zip(large, small, strict=True)
    ]


def _ratio(row: Row, base: Row) -> float | None:
    return round(row["value"] / base["value"], 2) if base["value"] else None


async def measure(dsn: str, count: int) -> list[Row]:
    """Rows of one library in a fresh database."""
    library = GeneratedLibrary(count)
    library.illegible = {number * (count // ODD): "no id" for number in range(ODD)}
    async with open_archive(dsn) as archive:
        listing_s, listing_bytes = await timed(lambda _: exhaust(library.list_items()))
        first, first_s, first_bytes = await walk(archive, library)
        second, second_s, second_bytes = await walk(archive, library)
        newest, newest_s, _ = await walk(archive, library, Choice(order=Order.NEWEST_FIRST))
        look_s, look_bytes = await look(archive, library)
        front_ms = await front(archive)
    assert first.skipped_count == ODD
    assert (second.wanted_count, newest.enqueued_count) == (first.enqueued_count, 0)
    return [
        row("items enqueued", first.enqueued_count, "items"),
        row("enqueued by the second walk", second.enqueued_count, "items"),
        row("first walk", count / first_s, "items/s"),
        row("second walk", count / second_s, "items/s"),
        row("walk, newest first", count / newest_s, "items/s"),
        row("listing alone", count / listing_s, "items/s"),
        row("peak growth of memory, first walk", first_bytes / 1e6, "MB"),
        row("peak growth of memory, second walk", second_bytes / 1e6, "MB"),
        row("peak growth of memory, listing alone", listing_bytes / 1e6, "MB"),
        row("full look at the library", count / look_s, "items/s"),
        row("peak growth of memory, full look", look_bytes / 1e6, "MB"),
        row("a new item to the front of that queue", front_ms, "ms"),
    ]


def row(name: str, value: float, unit: str) -> Row:
    return {"name": name, "value": round(value, 1), "unit": unit}


async def walk(
    archive: Archive, library: GeneratedLibrary, choice: Choice | None = None
) -> tuple[BackfillReport, float, int]:
    """Its report, its seconds, and the bytes by which the process grew at its peak."""
    reports = [BackfillReport()]

    async def walk(weigh: Callable[[], None]) -> None:
        def keep(report: BackfillReport) -> None:
            reports[0] = report
            weigh()

        await backfill(
            library, choice, store=archive.store, queue=archive.queue, version="v", on_page=keep
        )

    seconds, grown_bytes = await timed(walk)
    return reports[0], seconds, grown_bytes


async def look(archive: Archive, library: GeneratedLibrary) -> tuple[float, int]:
    """A full look, with every item in the listing and none known: all of them are history."""
    librarian = Librarian({library.name: library}, archive.store, archive.queue)
    await archive.store.note_reconciled(library.name, datetime.now(UTC))

    async def look(weigh: Callable[[], None]) -> None:
        library.on_page = weigh
        await librarian.reconcile(library.name, is_full=True)

    return await timed(look)


async def timed(work: Callable[[Callable[[], None]], Awaitable[None]]) -> tuple[float, int]:
    """Seconds, and the growth in bytes at the peak of what ``work`` had weighed."""
    process = psutil.Process()
    gc.collect()
    before = peak = process.memory_info().rss

    def weigh() -> None:
        nonlocal peak
        peak = max(peak, process.memory_info().rss)

    began_at = time.perf_counter()
    await work(weigh)
    seconds = time.perf_counter() - began_at
    weigh()
    return seconds, peak - before


async def exhaust(listing: AsyncIterator[ListedItem]) -> None:
    async for _entry in listing:
        pass


async def front(archive: Archive) -> float:
    """Milliseconds until a worker that has the backlog before it begins a new item."""
    stop, began_at = asyncio.Event(), time.perf_counter()
    new = ItemRef(server="shelf", item_id="new")

    async def perform(job: object, _attempt: int) -> None:
        assert getattr(job, "ref", None) == new, "the back catalogue went before a new item"
        stop.set()

    await archive.queue.enqueue([AnalyzeJob(ref=new, priority=Priority.NEW)])
    await archive.queue.work(perform, concurrency=1, stop=stop)
    return 1000 * (time.perf_counter() - began_at)


if __name__ == "__main__":
    for line in run():
        print(line)
