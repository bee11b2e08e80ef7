"""Walking a library, over the real store and queue."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.backfill import (
    PAGE_SIZE,
    BackfillReport,
    Follower,
    Reprocess,
    backfill,
    needs_analysis,
)
from service.domain import (
    Change,
    ItemRef,
    ItemState,
    ItemStatus,
    LibraryEvent,
    MediaItem,
    MediaKind,
    Priority,
)
from service.errors import NotFoundError, TransientError
from tests.integration.conftest import drain

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def make_item(number: int = 1, **changes) -> MediaItem:
    ref = ItemRef(server="shelf", item_id=str(number))
    item = MediaItem(ref=ref, kind=MediaKind.MOVIE, title=f"Film {number}", revision="1")
    return replace(item, **changes)


class Shelf:
    """A media server of so many films, which says what happens to them."""

    name = "shelf"

    def __init__(self, count: int, events: list[LibraryEvent] | None = None) -> None:
        self.items = {item.ref: item for item in map(make_item, range(count))}
        self.events = events or []
        self.errors: dict[ItemRef, Exception] = {}

    def parse_webhook(self, body: bytes, content_type: str) -> LibraryEvent | None:
        raise NotImplementedError

    async def get_item(self, ref: ItemRef) -> MediaItem:
        if ref in self.errors:
            raise self.errors[ref]
        if ref not in self.items:
            raise NotFoundError(str(ref))
        return self.items[ref]

    async def list_items(self, *, since: datetime | None = None) -> AsyncIterator[MediaItem]:
        for item in self.items.values():
            if since is None or (item.added_at or NOW) >= since:
                yield item

    async def watch(self) -> AsyncIterator[LibraryEvent]:
        for event in self.events:
            yield event

    async def check(self):
        return []

    async def aclose(self) -> None:
        pass


async def test_a_second_walk_enqueues_nothing(house):
    shelf = Shelf(PAGE_SIZE + 20)
    reports: list[BackfillReport] = []

    async def walk() -> BackfillReport:
        return await backfill(
            shelf,
            store=house.moodreel.store,
            queue=house.moodreel.queue,
            version="1",
            on_page=reports.append,
        )

    first = await walk()
    assert (first.seen_count, first.wanted_count, first.enqueued_count) == (520, 520, 520)
    assert [report.seen_count for report in reports] == [500, 520]
    assert (await walk()).enqueued_count == 0
    assert (await house.moodreel.queue.counts())["waiting"] == 520


async def test_a_dry_run_and_a_limit_are_kept(house):
    walk = {"store": house.moodreel.store, "queue": house.moodreel.queue, "version": "1"}
    dry = await backfill(Shelf(30), **walk, dry_run=True)
    assert (dry.wanted_count, dry.enqueued_count) == (30, 0)
    assert (await house.moodreel.queue.counts())["waiting"] == 0
    limited = await backfill(Shelf(30), **walk, limit=7)
    assert limited.enqueued_count == 7


async def test_since_is_asked_of_the_server(house):
    shelf = Shelf(3)
    old = make_item(0, added_at=NOW - timedelta(days=9))
    shelf.items[old.ref] = old
    report = await backfill(
        shelf,
        store=house.moodreel.store,
        queue=house.moodreel.queue,
        version="1",
        since=NOW - timedelta(days=1),
    )
    assert report.seen_count == 2


@pytest.mark.parametrize(
    ("state", "revision", "pipeline", "wanted"),
    [
        pytest.param(None, "", "", {"missing", "outdated", "all"}, id="never seen"),
        pytest.param("analyzed", "1", "v", {"all"}, id="current"),
        pytest.param("analyzed", "0", "v", {"missing", "outdated", "all"}, id="another content"),
        pytest.param("analyzed", "1", "u", {"outdated", "all"}, id="another version"),
        pytest.param("failed", "1", "", {"outdated", "all"}, id="failed as it is"),
        pytest.param("failed", "0", "", {"missing", "outdated", "all"}, id="failed before"),
        pytest.param("pending", "1", "", {"missing", "outdated", "all"}, id="begun"),
        pytest.param("deleted", "1", "v", {"missing", "outdated", "all"}, id="came back"),
    ],
)
def test_what_needs_an_analysis(state, revision, pipeline, wanted):
    item = make_item()
    status = state and ItemStatus(
        ref=item.ref, title="", state=ItemState(state), revision=revision, pipeline=pipeline
    )
    chosen = {mode.value for mode in Reprocess if needs_analysis(item, status, "v", mode)}
    assert chosen == wanted


async def test_a_follower_enqueues_news_before_history(house):
    shelf = Shelf(4)
    for number, days in ((0, -9), (1, 1)):
        item = make_item(number, added_at=datetime.now(UTC) + timedelta(days=days))
        shelf.items[item.ref] = item
    gone, growing = ItemRef(server="shelf", item_id="9"), make_item(2).ref
    shelf.errors[growing] = TransientError("it still grows")
    refs = [make_item(0).ref, make_item(1).ref, growing, gone]
    shelf.events = [LibraryEvent(change=Change.ADDED, ref=ref) for ref in refs]
    await house.moodreel.store.begin(make_item(3))
    shelf.events.append(LibraryEvent(change=Change.DELETED, ref=make_item(3).ref))

    await Follower(
        server=shelf,
        watcher=shelf,
        store=house.moodreel.store,
        queue=house.moodreel.queue,
    ).follow()

    taken = await drain(house)
    assert [(job.ref.item_id, job.priority) for job in taken] == [
        ("1", Priority.NEW),
        ("2", Priority.NEW),
        ("0", Priority.BACKFILL),
    ]
    (status,) = (await house.moodreel.store.statuses([make_item(3).ref])).values()
    assert status.state is ItemState.DELETED
