"""Walking a library, over the real store and queue."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from service.backfill import NAMED, BackfillReport, Follower, backfill
from service.cli.backfill import Manner, walk_library
from service.cli.following import Following, Progressed, reason_of
from service.domain import (
    AnalyzeJob,
    Change,
    FailedJob,
    ItemRef,
    ItemState,
    LibraryEvent,
    MediaKind,
    Order,
    Priority,
    SoundAnalysis,
)
from service.errors import PermanentError, TransientError
from service.wanted import PAGE_SIZE, Choice, Reprocess
from tests.support.libraries import EVERY, FIRST_ADDED_AT, GeneratedLibrary, numbers, open_archive
from tests.support.libraries import PAGE_SIZE as LISTING_PAGE_SIZE
from tests.support.media import RED, SceneSpec, write_film
from tests.support.service import call, environment, running
from tests.support.stores import migrated_database

SOUND = SoundAnalysis(loudness_dbfs=-20.0, dynamic_range_db=9.0)


@pytest.fixture(scope="module")
def dsn(postgres):
    """One database for all these tests; each leaves it empty."""
    with migrated_database("psycopg", postgres) as database:
        yield database.dsn


@pytest.fixture
async def archive(dsn):
    async with open_archive(dsn) as archive:
        yield archive


@pytest.fixture
def walk(archive):
    """Walk a library as the command does."""

    async def walk(library: GeneratedLibrary, choice=None, **options) -> BackfillReport:
        walked = {"store": archive.store, "queue": archive.queue, "version": "v"}
        return await backfill(library, choice, **walked, **options)

    return walk


async def waiting(archive) -> list[int]:
    return numbers([job.ref for job in await archive.taken()])


async def test_a_second_walk_enqueues_nothing(archive, walk):
    library = GeneratedLibrary(PAGE_SIZE + 20)
    reports: list[BackfillReport] = []
    count = library.count
    first = await walk(library, on_page=reports.append)
    assert (first.seen_count, first.wanted_count, first.enqueued_count) == (count, count, count)
    assert [report.seen_count for report in reports] == [PAGE_SIZE, count]
    second = await walk(library)
    assert (second.wanted_count, second.enqueued_count) == (count, 0)
    assert (await archive.queue.counts())["waiting"] == count


async def test_a_dry_run_and_a_limit_are_kept(archive, walk):
    dry = await walk(GeneratedLibrary(30), dry_run=True)
    assert (dry.wanted_count, dry.enqueued_count) == (30, 0)
    assert (await archive.queue.counts())["waiting"] == 0
    limited = await walk(GeneratedLibrary(30), limit=7)
    assert limited.enqueued_count == 7
    assert await waiting(archive) == [*range(7)]


async def test_since_is_asked_of_the_server(walk):
    choice = Choice(since=FIRST_ADDED_AT + EVERY)
    assert (await walk(GeneratedLibrary(3), choice)).seen_count == 2


@pytest.mark.parametrize("order", Order)
async def test_items_are_analysed_in_the_order_that_was_asked_for(archive, walk, order):
    await walk(GeneratedLibrary(5), Choice(order=order))
    expected = [0, 1, 2, 3, 4] if order is Order.OLDEST_FIRST else [4, 3, 2, 1, 0]
    assert await waiting(archive) == expected


async def test_libraries_and_kinds_are_chosen_from(archive, walk):
    chosen = Choice(libraries=frozenset({"shows", "Music"}), kinds=frozenset({MediaKind.EPISODE}))
    report = await walk(GeneratedLibrary(8), chosen)
    assert (report.seen_count, report.chosen_count, report.enqueued_count) == (8, 2, 2)
    assert report.libraries == {"Films", "Shows", "Music", "Home videos"}
    assert await waiting(archive) == [1, 5]


@pytest.mark.parametrize(
    ("reprocess", "is_forced", "expected"),
    [
        pytest.param(Reprocess.MISSING, False, [2, 3], id="missing"),
        pytest.param(Reprocess.OUTDATED, True, [1, 2, 3], id="outdated"),
        pytest.param(Reprocess.ALL, True, [0, 1, 2, 3], id="all"),
    ],
)
async def test_what_is_analysed_again_is_forced(archive, walk, reprocess, is_forced, expected):
    library = GeneratedLibrary(4)
    await archive.keep(library.item(0))
    await archive.keep(library.item(1), pipeline="an earlier version")
    await archive.keep(replace(library.item(2), revision="before the upgrade"))
    await walk(library, Choice(reprocess=reprocess))
    jobs = await archive.taken()
    assert numbers([job.ref for job in jobs]) == expected
    assert {job.force for job in jobs} == {is_forced}


async def test_only_what_has_sound_and_no_summary_is_described_anew(archive, walk):
    library = GeneratedLibrary(5)
    await archive.keep(library.item(0), audio=SOUND)
    await archive.keep(library.item(1), audio=replace(SOUND, summary="Waves."))
    await archive.keep(library.item(2), audio=None)
    await archive.keep(replace(library.item(3), revision="0"), audio=SOUND)  # missing: not ours
    report = await walk(library, Choice(only_unheard=True))
    assert report.wanted_count == 1
    (job,) = await archive.taken()
    assert (numbers([job.ref]), job.force) == ([0], True)


@pytest.mark.parametrize("announce", [False, True])
async def test_history_is_told_only_when_that_is_asked_for(archive, walk, announce):
    await walk(GeneratedLibrary(1), announce=announce)
    (job,) = await archive.taken()
    assert (job.announce, job.even_history) == (announce, announce)
    assert job.priority == Priority.BACKFILL


async def test_an_entry_that_cannot_be_read_is_counted_and_named(archive, walk):
    library = GeneratedLibrary(60)
    library.illegible = dict.fromkeys(range(10, 40), "its id is no id")
    report = await walk(library)
    assert (report.seen_count, report.enqueued_count, report.skipped_count) == (60, 30, 30)
    assert len(report.skipped) == NAMED
    assert (report.skipped[0].title, report.skipped[0].reason) == ("Item 10", "its id is no id")


async def test_entries_are_named_across_pages_up_to_a_bound(walk):
    library = GeneratedLibrary(PAGE_SIZE + NAMED)
    library.illegible = dict.fromkeys(range(PAGE_SIZE - 5, library.count), "odd")
    report = await walk(library, dry_run=True)
    assert [entry.title for entry in report.skipped] == [
        f"Item {number}" for number in range(PAGE_SIZE - 5, PAGE_SIZE - 5 + NAMED)
    ]


async def test_an_item_that_the_database_cannot_hold_stops_no_other(archive, walk):
    library = GeneratedLibrary(20)
    odd = ItemRef(server="shelf", item_id="a\x00b")
    library.changed[13] = replace(library.item(13), ref=odd)
    report = await walk(library)
    assert (report.wanted_count, report.enqueued_count, report.skipped_count) == (19, 19, 1)
    assert report.skipped[0].ref == odd
    assert report.skipped[0].reason


async def test_a_walk_that_breaks_off_leaves_what_it_reported(archive, walk):
    library = GeneratedLibrary(3 * PAGE_SIZE)
    library.breaks_after = 2 * PAGE_SIZE + 7
    reports: list[BackfillReport] = []
    with pytest.raises(TransientError, match="reset"):
        await walk(library, on_page=reports.append)
    assert reports[-1].enqueued_count == 2 * PAGE_SIZE
    assert (await archive.queue.counts())["waiting"] == 2 * PAGE_SIZE
    library.breaks_after = None
    assert (await walk(library)).enqueued_count == PAGE_SIZE


async def test_a_walk_that_is_interrupted_leaves_what_it_reported(archive, walk):
    library = GeneratedLibrary(4 * PAGE_SIZE)
    reports: list[BackfillReport] = []

    def interrupt(report: BackfillReport) -> None:
        reports.append(report)
        if len(reports) == 2:
            task.cancel()

    task = asyncio.ensure_future(walk(library, on_page=interrupt))
    with pytest.raises(asyncio.CancelledError):
        await task
    enqueued_count = (await archive.queue.counts())["waiting"]
    assert reports[-1].enqueued_count == enqueued_count == 2 * PAGE_SIZE
    assert (await walk(library)).enqueued_count == 2 * PAGE_SIZE


class Shelf(GeneratedLibrary):
    """A library that says what happens to it."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.events: list[LibraryEvent] = []
        self.growing: set[ItemRef] = set()

    async def get_item(self, ref):
        if ref in self.growing:
            raise TransientError("it still grows")
        return await super().get_item(ref)

    async def watch(self) -> AsyncIterator[LibraryEvent]:
        for event in self.events:
            yield event


async def test_a_follower_enqueues_news_before_history(archive):
    shelf = Shelf(3)
    new = shelf.add(datetime.now(UTC) + timedelta(days=1))
    shelf.growing = {shelf.ref(2)}
    refs = [shelf.ref(0), new, shelf.ref(2), shelf.ref(99)]
    shelf.events = [LibraryEvent(change=Change.ADDED, ref=ref) for ref in refs]
    await archive.keep(shelf.item(1))
    shelf.events.append(LibraryEvent(change=Change.DELETED, ref=shelf.ref(1)))

    await Follower(server=shelf, watcher=shelf, store=archive.store, queue=archive.queue).follow()

    assert [(job.ref, job.priority) for job in await archive.taken()] == [
        (new, Priority.NEW),
        (shelf.ref(2), Priority.NEW),
        (shelf.ref(0), Priority.BACKFILL),
    ]
    (status,) = (await archive.store.statuses([shelf.ref(1)])).values()
    assert status.state is ItemState.DELETED


async def test_the_queue_is_followed_until_it_is_empty(archive, walk):
    async def perform(job: AnalyzeJob, _attempt: int) -> None:
        if job.ref.item_id.endswith(("3", "4")):
            raise PermanentError(f"{job.ref}: no sound and no picture")

    await archive.queue.enqueue([AnalyzeJob(ref=ItemRef(server="old", item_id="3"))])
    await archive.taken_with(perform)
    following = Following(archive.queue, look_every_s=0.02)
    await following.begin()
    await walk(GeneratedLibrary(6))
    shown: list[Progressed] = []
    stop = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(archive.queue.work(perform, concurrency=1, stop=stop))
        last = await following.until_empty(shown.append)
        stop.set()
    assert (last.finished_count, last.failed_count, last.left_count) == (6, 2, 0)
    assert all(seen.finished_count + seen.left_count == 6 for seen in shown)
    failures = await following.failures()
    assert sorted(failure.ref[-1] for failure in failures) == ["3", "4"]
    assert {reason_of(failure) for failure in failures} == {"no sound and no picture"}


async def test_who_follows_an_idle_queue_is_told_once(archive, walk):
    await walk(GeneratedLibrary(1))
    following = Following(archive.queue, look_every_s=0.01, idle_s=0.05)
    await following.begin()
    said: list[str] = []
    looks: list[Progressed] = []
    long_idle = asyncio.Event()

    def show(progressed: Progressed) -> None:
        looks.append(progressed)
        if said and len(looks) > 20:
            long_idle.set()

    watching = asyncio.ensure_future(following.until_empty(show, lambda: said.append("idle")))
    async with asyncio.timeout(30):
        await long_idle.wait()
        await archive.taken()
        await watching
    assert said == ["idle"]


async def test_an_interrupted_command_says_what_is_enqueued(archive, capsys):
    library = GeneratedLibrary(3 * PAGE_SIZE)
    pages: list[int] = []

    def interrupt_later() -> None:
        pages.append(1)
        if len(pages) * LISTING_PAGE_SIZE > 2 * PAGE_SIZE:
            task.cancel()

    library.on_page = interrupt_later
    house: Any = SimpleNamespace(
        server=lambda _name: library,
        store=archive.store,
        queue=archive.queue,
        pipeline=SimpleNamespace(version="v"),
    )
    manner = Manner(limit=None, announce=False, dry_run=False, as_json=False)
    task = asyncio.ensure_future(walk_library(house, "shelf", Choice(), manner, None))
    with pytest.raises(asyncio.CancelledError):
        await task
    waiting_count = (await archive.queue.counts())["waiting"]
    told = capsys.readouterr()
    assert f"shelf: {waiting_count} items, {waiting_count} enqueued" in told.out
    assert waiting_count == 2 * PAGE_SIZE
    assert "interrupted" in told.err
    assert "goes on where this one ended" in told.err


async def test_a_command_names_what_it_left_out_and_why_it_broke_off(archive, capsys):
    library = GeneratedLibrary(PAGE_SIZE + 10)
    library.illegible = {7: "its id is [bold]no id"}
    library.breaks_after = PAGE_SIZE + 5
    house: Any = SimpleNamespace(
        server=lambda _name: library,
        store=archive.store,
        queue=archive.queue,
        pipeline=SimpleNamespace(version="v"),
    )
    manner = Manner(limit=None, announce=False, dry_run=False, as_json=True)
    _, error = await walk_library(house, "shelf", Choice(), manner, None)
    assert isinstance(error, TransientError)
    told = capsys.readouterr()
    answer = json.loads(told.out)
    assert (answer["enqueued"], answer["skipped"]) == (PAGE_SIZE - 1, 1)
    assert answer["skipped_items"][0]["reason"] == "its id is [bold]no id"
    assert "the connection was reset" in answer["error"]
    assert "the connection was reset" in told.err.replace("\n", " ")


async def test_the_command_follows_a_worker_and_sums_up_what_failed(tmp_path, dsn, archive):
    library = tmp_path / "library"
    library.mkdir()
    write_film(library / "Colours (2026).mp4", [SceneSpec(duration_s=2, colour=RED)])
    for name in ("Broken (2001).mkv", "Torn (2002).mkv"):
        (library / name).write_bytes(b"no film at all")
    env = environment(
        tmp_path / "data",
        DATABASE_URL=dsn,
        MOODREEL_MEDIA_DIRS=str(library),
        MOODREEL_VISUAL_MODEL="none",
        MOODREEL_SOUND_MODEL="none",
        MOODREEL_SOUND_TEXT_MODEL="none",
    )
    async with running("work", env=env):
        status, out, err = await call("backfill", "--follow", "--json", env=env)
    assert (status, err) == (0, "")
    walked, ended = map(json.loads, out.splitlines())
    assert (walked["enqueued"], ended["failed"]) == (3, 2)
    assert {failure["kind"] for failure in ended["failures"]} == {"analyze"}
    assert all(failure["reason"] for failure in ended["failures"])
    assert (await archive.store.counts())["items_analyzed"] == 1


def test_a_reason_is_told_without_the_items_name():
    failure = FailedJob(
        kind="analyze",
        ref="shelf/1",
        attempts=1,
        error="PermanentError",
        message="shelf/1: no picture",
        failed_at=FIRST_ADDED_AT,
    )
    assert reason_of(failure) == "no picture"
    assert reason_of(replace(failure, message="shelf/1")) == "PermanentError"
