"""Asking servers what they hold, over the real store and queue."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

import pytest

from service.domain import ItemState, MediaItem, Priority, ReconcileJob
from service.errors import ConfigurationError, NotFoundError, TransientError
from service.librarian import MAX_DOUBTS, OVERLAP, Librarian
from service.ports import JobQueue, MediaServer
from tests.support.libraries import GeneratedLibrary, numbers, open_archive
from tests.support.stores import migrated_database

DAY = timedelta(days=1)


class Desk:
    """A librarian, and all that is asked of it; it is a day after the installation."""

    def __init__(self, archive, installed_at: datetime, library: GeneratedLibrary) -> None:
        self.store = archive.store
        self.queue = archive.queue
        self.archive = archive
        self.library = library
        self.installed_at = installed_at
        self.now = installed_at + DAY
        self.librarian = Librarian(
            {library.name: library}, archive.store, archive.queue, lambda: self.now
        )

    async def reconcile(self, *, is_full: bool = False) -> list[tuple[int, int, bool]]:
        """What it enqueues: numbers, priorities, and whether somebody is told."""
        await self.librarian.reconcile(self.library.name, is_full=is_full)
        return await self.enqueued()

    async def enqueued(self) -> list[tuple[int, int, bool]]:
        jobs = await self.archive.taken()
        return [(int(job.ref.item_id, 16), job.priority, job.announce) for job in jobs]

    async def deleted(self, count: int) -> list[int]:
        refs = [self.library.ref(number) for number in range(count)]
        statuses = await self.store.statuses(refs)
        return [
            number
            for number, ref in enumerate(refs)
            if ref in statuses and statuses[ref].state is ItemState.DELETED
        ]

    async def know(self, *which: int) -> None:
        await self.archive.keep(*(self.library.item(number) for number in which))


@pytest.fixture(scope="module")
def dsn(postgres):
    """One database for all these tests; each leaves it empty."""
    with migrated_database("psycopg", postgres) as database:
        yield database.dsn


@pytest.fixture
async def desk(dsn):
    async with open_archive(dsn) as archive:
        yield Desk(archive, await archive.store.installed_at(), GeneratedLibrary(20))


async def test_a_group_is_analysed_item_by_item_as_far_as_it_is_missing(desk):
    desk.library.groups["season"] = range(5, 9)
    desk.library.add(desk.installed_at + DAY)  # number 20
    desk.library.groups["season"] = [*range(5, 9), 20]
    await desk.know(6)
    ref = replace(desk.library.ref(0), item_id="season")
    await desk.librarian.expand(ref)
    assert await desk.enqueued() == [
        (20, Priority.NEW, True),
        (5, Priority.BACKFILL, False),
        (7, Priority.BACKFILL, False),
        (8, Priority.BACKFILL, False),
    ]


async def test_an_episode_without_a_date_in_an_announced_group_is_news(desk):
    desk.library.change(3, desk.now, added_at=None)
    desk.library.groups["season"] = [3]
    await desk.librarian.expand(replace(desk.library.ref(0), item_id="season"))
    assert await desk.enqueued() == [(3, Priority.NEW, True)]


async def test_a_group_that_is_gone_is_not_found(desk):
    with pytest.raises(NotFoundError):
        await desk.librarian.expand(desk.library.ref(0))


async def test_a_server_that_is_not_configured_is_named_with_those_that_are(desk):
    with pytest.raises(ConfigurationError, match=r"attic.*configured: shelf"):
        await desk.librarian.reconcile("attic")


async def test_the_first_look_begins_at_the_installation(desk):
    desk.library.change(3, desk.installed_at - timedelta(seconds=1), revision="2")
    desk.library.change(4, desk.installed_at + timedelta(seconds=1), revision="2")
    desk.library.add(desk.installed_at + timedelta(seconds=1))
    assert await desk.reconcile() == [(20, Priority.NEW, True), (4, Priority.BACKFILL, False)]


async def test_the_next_look_begins_a_little_before_the_last_one(desk):
    await desk.reconcile()
    last, desk.now = desk.now, desk.now + DAY
    desk.library.add(last - OVERLAP - timedelta(seconds=1))
    desk.library.add(last - OVERLAP + timedelta(seconds=1))
    assert await desk.reconcile() == [(21, Priority.NEW, True)]
    assert await desk.store.reconciled_at("shelf") == desk.now


async def test_an_upgraded_file_is_analysed_again_and_an_edited_text_is_not(desk):
    await desk.know(3, 4)
    desk.library.change(3, desk.now, revision="2")
    desk.library.change(4, desk.now, overview="An owner's own words.")
    assert await desk.reconcile() == [(3, Priority.BACKFILL, False)]


async def test_what_has_no_date_is_told_of_to_nobody(desk):
    desk.library.change(3, desk.now, added_at=None)
    assert await desk.reconcile() == [(3, Priority.BACKFILL, False)]


async def test_an_item_that_the_database_cannot_hold_stops_no_other(desk, caplog):
    odd = replace(desk.library.ref(0), item_id="a\x00b")
    desk.library.change(3, desk.now, ref=odd)
    desk.library.add(desk.now)
    assert await desk.reconcile() == [(20, Priority.NEW, True)]
    assert await desk.store.reconciled_at("shelf") == desk.now
    assert "is left out" in caplog.text


async def test_a_look_that_breaks_off_is_repeated_from_where_it_began(desk):
    await desk.reconcile()
    last, desk.now = desk.now, desk.now + DAY
    for _ in range(3):
        desk.library.add(desk.now)
    desk.library.breaks_after = 2
    with pytest.raises(TransientError):
        await desk.reconcile()
    assert await desk.store.reconciled_at("shelf") == last
    desk.library.breaks_after, desk.now = None, desk.now + DAY
    assert [number for number, *_ in await desk.reconcile()] == [20, 21, 22]


async def test_the_mark_is_the_time_before_the_look_began(desk):
    began_at = desk.now

    class SlowLibrary(GeneratedLibrary):
        async def list_changes(self, since):
            desk.now += DAY
            async for entry in super().list_changes(since):
                yield entry

    slow = SlowLibrary(1)
    await Librarian({"shelf": slow}, desk.store, desk.queue, lambda: desk.now).reconcile("shelf")
    assert await desk.store.reconciled_at("shelf") == began_at


async def test_a_clock_that_was_ahead_hides_nothing(desk):
    await desk.store.note_reconciled("shelf", desk.now + 365 * DAY)
    desk.library.add(desk.now)
    assert await desk.reconcile() == [(20, Priority.NEW, True)]
    assert await desk.store.reconciled_at("shelf") == desk.now


async def test_a_full_look_finds_what_was_deleted(desk):
    await desk.know(*range(20))
    desk.library.removed = {3, 8}
    assert await desk.reconcile() == []
    assert await desk.deleted(20) == []
    assert await desk.reconcile(is_full=True) == []
    assert await desk.deleted(20) == [3, 8]
    await desk.reconcile(is_full=True)
    assert await desk.deleted(20) == [3, 8]


async def test_a_full_look_finds_news_and_upgrades_but_leaves_history_to_backfill(desk):
    await desk.know(3, 4)
    desk.library.changed[3] = replace(desk.library.item(3), revision="2")
    desk.library.add(desk.now)
    desk.library.saved_at.clear()  # no list of changes tells of them
    assert await desk.reconcile(is_full=True) == [
        (20, Priority.NEW, True),
        (3, Priority.BACKFILL, False),
    ]


async def test_an_item_that_comes_back_is_analysed_again(desk):
    await desk.know(*range(20))
    desk.library.removed = {3}
    await desk.reconcile(is_full=True)
    desk.library.removed = set()
    assert await desk.reconcile(is_full=True) == [(3, Priority.BACKFILL, False)]


def doubts(caplog) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if getattr(record, "action", "") == "deletions_doubted"
    ]


@pytest.mark.parametrize(
    ("removed", "why"),
    [
        pytest.param(range(20), "its listing is empty", id="all are gone"),
        pytest.param(range(11), "11 of 20 known items", id="most are gone"),
    ],
)
async def test_a_disk_that_is_away_deletes_nothing(desk, caplog, removed: Sequence[int], why):
    await desk.know(*range(20))
    desk.library.removed = set(removed)
    await desk.reconcile(is_full=True)
    assert await desk.deleted(20) == []
    (told,) = doubts(caplog)
    assert why in told
    assert desk.library.asked == []


async def test_a_listing_that_breaks_off_deletes_nothing(desk):
    await desk.know(*range(20))
    desk.library.breaks_after = 15
    with pytest.raises(TransientError):
        await desk.reconcile(is_full=True)
    assert await desk.deleted(20) == []


async def test_what_cannot_be_read_is_there_nevertheless(desk, caplog):
    await desk.know(*range(20))
    desk.library.illegible = {5: "no name"}
    await desk.reconcile(is_full=True)
    assert await desk.deleted(20) == []
    assert doubts(caplog) == []


async def test_an_entry_without_an_id_may_be_any_item(desk, caplog):
    class Muddled(GeneratedLibrary):
        def _entry(self, number):
            entry = super()._entry(number)
            return entry if isinstance(entry, MediaItem) else replace(entry, ref=NAMELESS)

    muddled = Muddled(20)
    muddled.illegible = {5: "no id"}
    muddled.removed = {6}
    await desk.know(*range(20))
    await Librarian({"shelf": muddled}, desk.store, desk.queue).reconcile("shelf", is_full=True)
    assert await desk.deleted(20) == []
    assert "no id that can be read" in doubts(caplog)[0]


NAMELESS = replace(GeneratedLibrary(1).ref(0), item_id="")


async def test_an_item_that_slipped_between_two_pages_is_not_deleted(desk):
    class Slippery(GeneratedLibrary):
        async def list_items(self, **arguments):
            async for entry in super().list_items(**arguments):
                if entry.ref != self.ref(7):
                    yield entry

    slippery = Slippery(20)
    slippery.removed = {8}
    await desk.know(*range(20))
    await Librarian({"shelf": slippery}, desk.store, desk.queue).reconcile("shelf", is_full=True)
    assert sorted(numbers(slippery.asked)) == [7, 8]
    assert await desk.deleted(20) == [8]


async def test_a_server_that_goes_away_meanwhile_is_not_asked_for_ever(desk):
    class Fading(GeneratedLibrary):
        async def get_item(self, ref):
            self.is_away = True
            return await super().get_item(ref)

    fading = Fading(4 * MAX_DOUBTS)
    await desk.archive.keep(*map(fading.item, range(4 * MAX_DOUBTS)))
    fading.removed = set(range(2 * MAX_DOUBTS))
    await Librarian({"shelf": fading}, desk.store, desk.queue).reconcile("shelf", is_full=True)
    assert await desk.deleted(4 * MAX_DOUBTS) == []
    assert MAX_DOUBTS <= len(fading.asked) < 2 * MAX_DOUBTS


class Inbox:
    """A queue of which nobody takes anything."""

    def __init__(self) -> None:
        self.jobs: list[ReconcileJob] = []
        self.errors: list[Exception] = []
        self.wanted_count = 0
        self.is_full = asyncio.Event()

    async def enqueue(self, jobs) -> int:
        if self.errors:
            raise self.errors.pop()
        self.jobs += jobs
        if len(self.jobs) >= self.wanted_count:
            self.is_full.set()
        return len(jobs)

    async def work(self, perform, *, concurrency, stop) -> None:
        raise NotImplementedError

    async def counts(self):
        return {"waiting": len(self.jobs)}

    async def failures(self, *, limit=100):
        return []

    async def aclose(self) -> None: ...


class WatchedLibrary(GeneratedLibrary):
    """It notices by itself what is new."""

    def watch(self):
        raise NotImplementedError


async def look_for(
    desk, inbox: Inbox, count: int, *, every_s: float, **further: MediaServer
) -> list[ReconcileJob]:
    """The first so many jobs of a librarian that looks again and again, fully once a year."""
    inbox.wanted_count = count
    servers = {"attic": GeneratedLibrary(0), "shelf": GeneratedLibrary(0), **further}
    librarian = Librarian(servers, desk.store, cast("JobQueue", inbox))
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(librarian.reconcile_forever(every_s, 3e7))
        await inbox.is_full.wait()
        looking.cancel()
    return inbox.jobs[:count]


async def test_a_directory_that_is_watched_is_walked_for_full_looks_only(desk):
    jobs = await look_for(desk, Inbox(), 7, every_s=0.01, folder=WatchedLibrary(0))
    of_folder = [index for index, job in enumerate(jobs) if job.server == "folder"]
    assert [jobs[index].is_full for index in of_folder] == [True]
    assert of_folder == [4]  # after one look at the others, and with their first full one


async def test_every_server_is_asked_at_once_when_the_service_starts(desk):
    assert await look_for(desk, Inbox(), 2, every_s=1e6) == [
        ReconcileJob(server="attic"),
        ReconcileJob(server="shelf"),
    ]


async def test_looks_are_repeated_and_the_second_one_is_full(desk):
    jobs = await look_for(desk, Inbox(), 8, every_s=0.01)
    assert [job.is_full for job in jobs] == [False, False, True, True, False, False, False, False]


async def test_a_database_that_is_away_is_waited_for(desk, caplog):
    inbox = Inbox()
    inbox.errors = [TransientError("the database is away")] * 3
    assert len(await look_for(desk, inbox, 2, every_s=0.01)) == 2
    assert "the database is away" in caplog.text
