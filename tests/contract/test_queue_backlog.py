"""What the queue says of its backlog, over a real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import LiteralString

import psycopg
import pytest

from adapters.queue import ProcrastinateQueue
from service.domain import AnalyzeJob, Backlog, ItemRef, Job, PublishJob, ReconcileJob
from service.errors import PermanentError, TransientError
from service.metrics import KINDS
from tests.support.queue_worker import counts_become, opened, work_through, working


@pytest.fixture
async def queue(database_dsn: str) -> AsyncIterator[ProcrastinateQueue]:
    async with opened(database_dsn) as queue:
        yield queue


def analyze(item_id: str) -> AnalyzeJob:
    return AnalyzeJob(ref=ItemRef(server="folder", item_id=item_id))


def publish(item_id: str, after_s: float = 0.0) -> PublishJob:
    ref = ItemRef(server="folder", item_id=item_id)
    return PublishJob(ref=ref, channel="discord", event_id="e", after_s=after_s)


async def of_kind(queue: ProcrastinateQueue, kind: str) -> Backlog:
    (found,) = [held for held in await queue.backlog() if held.kind == kind]
    return found


async def change(dsn: str, statement: LiteralString) -> None:
    """Change the table itself: time passes slowly."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        await admin.execute("set search_path to procrastinate")
        await admin.execute(statement)


async def age(dsn: str) -> None:
    """Let all that was enqueued have come 1,000 s ago."""
    await change(dsn, "update procrastinate_events set at = at - interval '1000 s'")


async def test_an_empty_queue_holds_nothing_of_any_kind(queue):
    found = await queue.backlog()

    assert found == [Backlog(kind=kind) for kind in sorted(KINDS)]


async def test_each_kind_is_counted_by_itself_and_what_waits_for_its_time_apart(queue):
    jobs: list[Job] = [analyze("a"), analyze("b"), publish("a"), publish("b", after_s=3600.0)]
    await queue.enqueue([*jobs, ReconcileJob(server="folder", after_s=3600.0)])

    found = {held.kind: replace(held, oldest_s=0.0) for held in await queue.backlog()}

    assert found == {
        "analyze": Backlog(kind="analyze", waiting=2),
        "publish": Backlog(kind="publish", waiting=1, later=1),
        "reconcile": Backlog(kind="reconcile", later=1),
        "expand": Backlog(kind="expand"),
    }


async def test_the_oldest_job_is_as_old_as_its_enqueueing(queue, database_dsn):
    await queue.enqueue([analyze("old")])
    await age(database_dsn)
    await queue.enqueue([analyze("new"), publish("new")])

    assert 1000.0 <= (await of_kind(queue, "analyze")).oldest_s < 1100.0
    assert (await of_kind(queue, "publish")).oldest_s < 100.0


async def test_what_waited_for_its_time_is_as_old_as_that_time_is_past(queue, database_dsn):
    await queue.enqueue([publish("a", after_s=3600.0)])
    await age(database_dsn)
    assert (await of_kind(queue, "publish")).oldest_s == 0.0

    await change(
        database_dsn, "update procrastinate_jobs set scheduled_at = now() - interval '50 s'"
    )

    found = await of_kind(queue, "publish")
    assert (found.waiting, found.later) == (1, 0)
    assert 50.0 <= found.oldest_s < 150.0


async def test_what_is_running_waits_no_more_and_holds_back_its_equal(queue, database_dsn):
    is_running, may_end = asyncio.Event(), asyncio.Event()

    async def perform(job: Job, attempt: int) -> None:
        is_running.set()
        await may_end.wait()

    await queue.enqueue([analyze("a")])
    async with working(queue, perform):
        await is_running.wait()
        await queue.enqueue([analyze("a")])  # its lock is held: it may not start
        await age(database_dsn)
        found = await of_kind(queue, "analyze")
        may_end.set()
        await counts_become(queue, done=2)
    assert found == Backlog(kind="analyze", waiting=1, running=1)


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (TransientError("later", retry_after_s=600.0), Backlog(kind="analyze", later=1)),
        (PermanentError("never"), Backlog(kind="analyze", failed=1)),
    ],
    ids=["tried again", "failed"],
)
async def test_what_went_wrong_waits_for_another_attempt_or_has_failed(queue, error, left):
    async def fail(job: Job, attempt: int) -> None:
        raise error

    await queue.enqueue([analyze("a"), publish("a")])
    await work_through(queue, 2, fail)

    assert await of_kind(queue, "analyze") == left
