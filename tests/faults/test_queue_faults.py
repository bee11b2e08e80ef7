"""Workers that die, hang or lose the database: nothing is lost, and nothing is settled twice."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from adapters.database.embedded import EmbeddedPostgres
from adapters.queue import ProcrastinateQueue
from service.domain import AnalyzeJob, ItemRef, Job, Priority, PublishJob
from service.errors import TransientError
from tests.support.postgres import FAST, copy_cluster, reachable_directory
from tests.support.queue_worker import (
    DIE_AT_ONCE,
    Notebook,
    child_worker,
    counts_become,
    opened,
    until,
    work_through,
    working,
)

JOB = AnalyzeJob(ref=ItemRef(server="folder", item_id="film"))
ALL_DONE = {"waiting": 0, "running": 0, "failed": 0, "done": 1}

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
async def queue(database_dsn: str) -> AsyncIterator[ProcrastinateQueue]:
    async with opened(database_dsn) as queue:
        yield queue


@pytest.fixture
def database(queue: ProcrastinateQueue, database_dsn: str) -> Iterator[Database]:
    with psycopg.connect(database_dsn, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("set search_path to procrastinate")
        yield connection


def look(database: Database, query: Any) -> Any:
    row = database.execute(query).fetchone()
    assert row is not None
    return next(iter(row.values()))


async def becomes(database: Database, query: Any, value: object) -> None:
    async def is_so() -> bool:
        return bool(look(database, query) == value)

    await until(is_so)


# Killed workers ---------------------------------------------------------------------------------


async def test_a_worker_killed_before_it_began_a_job_costs_an_attempt_and_no_more(
    queue: ProcrastinateQueue, database_dsn: str
):
    await queue.enqueue([JOB])
    async with child_worker(database_dsn, DIE_AT_ONCE) as child:
        assert await child.join() == -signal.SIGKILL
        assert (await queue.counts())["running"] == 1

    assert (await work_through(queue, 1)).performed == [(JOB, 2)]
    assert await queue.counts() == ALL_DONE


async def test_a_worker_killed_in_the_midst_of_a_job_costs_an_attempt_and_no_more(
    queue: ProcrastinateQueue, database_dsn: str
):
    await queue.enqueue([JOB])
    async with child_worker(database_dsn) as child:
        await child.expect("begun film 1")
        await child.end(signal.SIGKILL)

    assert (await work_through(queue, 1)).performed == [(JOB, 2)]
    assert await queue.counts() == ALL_DONE


@pytest.mark.parametrize("command", ["return", "retry"])
async def test_a_worker_killed_before_it_settled_a_job_has_not_settled_it(
    queue: ProcrastinateQueue, database: Database, database_dsn: str, command: str
):
    await queue.enqueue([JOB])
    async with child_worker(database_dsn) as child:
        await child.expect("begun film 1")
        with psycopg.connect(database_dsn) as holder:
            holder.execute("select from procrastinate.procrastinate_jobs for update")
            await child.tell(command)
            await becomes(database, WAITS_FOR_THE_ROW, value=1)
            await child.end(signal.SIGKILL)
            database.execute(END_WHO_WAITS)  # a server that sees no end of it would settle the job

    assert (await work_through(queue, 1)).performed == [(JOB, 2)]
    assert await queue.counts() == ALL_DONE


WAITS_FOR_THE_ROW = """
select count(*) from pg_stat_activity
 where wait_event_type = 'Lock' and query ilike '%procrastinate_jobs%'
"""
END_WHO_WAITS = """
select pg_terminate_backend(pid, 10000) from pg_stat_activity
 where wait_event_type = 'Lock' and query ilike '%procrastinate_jobs%'
"""


async def test_a_job_whose_workers_die_again_and_again_counts_each_of_them(
    queue: ProcrastinateQueue, database_dsn: str
):
    await queue.enqueue([JOB])
    for attempt in (1, 2):
        async with child_worker(database_dsn) as child:
            await child.expect(f"begun film {attempt}")
            await child.end(signal.SIGKILL)

    assert (await work_through(queue, 1)).performed == [(JOB, 3)]


async def test_a_rescued_job_takes_up_an_equal_one_that_came_in_meanwhile(
    queue: ProcrastinateQueue, database_dsn: str
):
    background = AnalyzeJob(ref=JOB.ref, priority=Priority.BACKFILL, announce=False)
    await queue.enqueue([background])
    async with child_worker(database_dsn) as child:
        await child.expect("begun film 1")
        assert await queue.enqueue([JOB]) == 1
        await child.end(signal.SIGKILL)

    assert (await work_through(queue, 1)).performed == [(JOB, 2)]
    assert await queue.counts() == ALL_DONE


async def test_a_rescued_message_of_a_group_takes_up_what_was_gathered_for_later(
    queue: ProcrastinateQueue, database_dsn: str
):
    """It is about all that is gathered by then: there is nothing left to wait for."""
    message = PublishJob(ref=JOB.ref, channel="discord", event_id="e1", group="season#1")
    more = PublishJob(
        ref=ItemRef(server="folder", item_id="next"),
        channel="discord",
        event_id="e2",
        group="season#1",
        after_s=3600.0,
    )
    await queue.enqueue([message])
    async with child_worker(database_dsn) as child:
        await child.expect("begun film 1")
        assert await queue.enqueue([more]) == 1
        await child.end(signal.SIGKILL)

    assert (await work_through(queue, 1)).performed == [(message, 2)]
    assert await queue.counts() == ALL_DONE


async def test_many_workers_rescue_a_job_only_once(
    queue: ProcrastinateQueue, database_dsn: str, database: Database
):
    await queue.enqueue([JOB])
    async with child_worker(database_dsn) as child:
        await child.expect("begun film 1")
        await child.end(signal.SIGKILL)

    notebook = Notebook(9)
    async with working(queue, notebook), working(queue, notebook), working(queue, notebook):
        await counts_become(queue, done=1)
    assert notebook.performed == [(JOB, 2)]


async def test_a_worker_that_is_asked_to_stop_hands_its_job_back(
    queue: ProcrastinateQueue, database_dsn: str
):
    await queue.enqueue([JOB])
    async with child_worker(database_dsn) as child:
        await child.expect("begun film 1")
        assert await child.end(signal.SIGTERM) == 0

    assert (await queue.counts())["waiting"] == 1
    assert (await work_through(queue, 1)).performed == [(JOB, 1)]


# Hanging workers --------------------------------------------------------------------------------


async def test_a_late_finish_of_a_worker_that_hung_does_not_end_the_next_run(
    queue: ProcrastinateQueue, database: Database, database_dsn: str
):
    second_may_end = asyncio.Event()

    async def wait(job: Job, attempt: int) -> None:
        await second_may_end.wait()

    await queue.enqueue([JOB])
    async with child_worker(database_dsn) as hung:
        await hung.expect("begun film 1")
        await hung.tell("block 2.5")
        notebook = Notebook(2, wait)
        async with working(queue, notebook):
            await until(lambda: has_begun(notebook))
            await hung.expect("awake")
            assert await hung.end(signal.SIGTERM) == 0  # it has settled, so it thinks
            assert await queue.counts() == {**ALL_DONE, "running": 1, "done": 0}
            second_may_end.set()
            await counts_become(queue, done=1)

    assert notebook.performed == [(JOB, 2)]
    assert look(database, "select attempts from procrastinate_jobs") == 2


async def has_begun(notebook: Notebook) -> bool:
    return bool(notebook.performed)


async def test_a_worker_that_was_forgotten_while_it_slept_goes_on(
    queue: ProcrastinateQueue, database: Database
):
    notebook = Notebook(9)
    async with working(queue, notebook):
        await becomes(database, "select count(*) from procrastinate_workers", value=1)
        database.execute("delete from procrastinate_workers")
        await queue.enqueue([JOB])
        await counts_become(queue, done=1)

    assert notebook.performed == [(JOB, 1)]


async def test_a_job_that_was_taken_but_never_arrived_is_not_lost(
    queue: ProcrastinateQueue, database: Database
):
    notebook = Notebook(9)
    async with working(queue, notebook):
        await becomes(database, "select count(*) from procrastinate_workers", value=1)
        database.execute(TAKEN_BUT_LOST)
        await counts_become(queue, done=1)

    assert notebook.performed == [(JOB, 2)]


TAKEN_BUT_LOST = """
insert into procrastinate_jobs (queue_name, task_name, args, status, priority, worker_id)
select 'moodreel', 'analyze',
       '{"server": "folder", "item_id": "film",
         "announce": true, "even_history": false, "force": false}', 'doing', 10, id
  from procrastinate_workers
"""


# A database that goes away ----------------------------------------------------------------------


async def test_work_outlives_a_restart_of_the_database(used_cluster):
    with reachable_directory() as directory:
        copy_cluster(used_cluster, directory)
        cluster = EmbeddedPostgres(directory, parameters=FAST)
        dsn = cluster.start()
        try:
            async with opened(dsn) as queue:
                await restart_during_a_job(queue, cluster, dsn)
        finally:
            cluster.stop()


BEATS_SINCE_THE_START = """
select count(*) from procrastinate.procrastinate_workers
 where last_heartbeat > pg_postmaster_start_time() + interval '0.2 seconds'
"""


async def restart_during_a_job(
    queue: ProcrastinateQueue, cluster: EmbeddedPostgres, dsn: str
) -> None:
    may_end = asyncio.Event()
    later = AnalyzeJob(ref=ItemRef(server="folder", item_id="later"))

    async def wait(job: Job, attempt: int) -> None:
        await may_end.wait()

    notebook = Notebook(9, wait)
    await queue.enqueue([JOB])
    async with working(queue, notebook):
        await counts_become(queue, running=1)

        cluster.stop()
        async with working(queue, notebook):  # another worker starts without a database
            with pytest.raises(TransientError):
                await queue.enqueue([later])
            may_end.set()  # the job ends while nobody can be told
            cluster.start()

            async def is_back() -> bool:
                try:
                    return await queue.enqueue([later]) == 1
                except TransientError:
                    return False

            await until(is_back)
            await counts_become(queue, done=2)
            with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as database:
                await becomes(database, BEATS_SINCE_THE_START, value=2)

    assert notebook.performed == [(JOB, 1), (later, 1)]
