"""The port ``JobQueue``, over a real Postgres."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from procrastinate.schema import SchemaManager
from psycopg.rows import dict_row

from adapters.queue import ProcrastinateQueue, QueueSettings
from service.domain import (
    AnalyzeJob,
    ExpandJob,
    Failure,
    ItemRef,
    Job,
    Priority,
    PublishJob,
    ReconcileJob,
)
from service.errors import ConfigurationError, PermanentError, TransientError
from tests.support.queue_worker import (
    QUICK,
    Notebook,
    counts_become,
    opened,
    until,
    work_through,
    working,
)

Database = psycopg.Connection[dict[str, Any]]


def analyze(item_id: str = "abc", **changes: Any) -> AnalyzeJob:
    return AnalyzeJob(ref=ItemRef(server="folder", item_id=item_id), **changes)


def from_backfill(item_id: str = "abc", **changes: Any) -> AnalyzeJob:
    return analyze(item_id, priority=Priority.BACKFILL, announce=False, **changes)


def publish(
    item_id: str = "abc", channel: str = "discord", event_id: str = "e1", **changes: Any
) -> PublishJob:
    ref = ItemRef(server="folder", item_id=item_id)
    return PublishJob(ref=ref, channel=channel, event_id=event_id, **changes)


def expand(item_id: str = "show", **changes: Any) -> ExpandJob:
    return ExpandJob(ref=ItemRef(server="folder", item_id=item_id), **changes)


def reconcile(server: str = "folder", **changes: Any) -> ReconcileJob:
    return ReconcileJob(server=server, **changes)


@pytest.fixture
async def queue(database_dsn: str) -> AsyncIterator[ProcrastinateQueue]:
    async with opened(database_dsn) as queue:
        yield queue


@pytest.fixture
def database(queue: ProcrastinateQueue, database_dsn: str) -> Iterator[Database]:
    """The table itself, for what the port does not show."""
    with psycopg.connect(database_dsn, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("set search_path to procrastinate")
        yield connection


# Enqueueing -------------------------------------------------------------------------------------


async def test_jobs_wait_once_they_are_enqueued(queue: ProcrastinateQueue):
    assert await queue.enqueue([analyze("a"), analyze("b"), publish("a")]) == 3
    assert await queue.counts() == {"waiting": 3, "running": 0, "failed": 0, "done": 0}


async def test_no_jobs_are_no_work(queue: ProcrastinateQueue):
    assert await queue.enqueue([]) == 0


async def test_an_equal_job_waits_only_once(queue: ProcrastinateQueue):
    await queue.enqueue([analyze("a"), publish("a")])

    new = await queue.enqueue([analyze("a"), analyze("b"), analyze("b"), publish("a")])

    assert new == 1
    assert (await queue.counts())["waiting"] == 3


async def test_jobs_for_other_channels_and_events_are_other_jobs(queue: ProcrastinateQueue):
    jobs: list[Job] = [publish(), publish(channel="nats"), publish(event_id="e2"), analyze()]

    assert await queue.enqueue(jobs) == 4


async def test_jobs_of_other_kinds_servers_and_shows_are_other_jobs(queue: ProcrastinateQueue):
    jobs: list[Job] = [
        *(analyze("x"), expand("x"), expand("y"), publish("x")),
        *(reconcile("folder"), reconcile("plex")),
    ]

    assert await queue.enqueue(jobs) == 6


async def test_a_group_waits_once_for_each_channel_and_an_item_by_itself(
    queue: ProcrastinateQueue,
):
    jobs: list[Job] = [
        publish("1", group="season 1", event_id="e1"),
        publish("2", group="season 1", event_id="e2"),
        publish("2", group="season 2", event_id="e2"),
        publish("2", channel="forum", group="season 1", event_id="e2"),
        publish("2", event_id="e2"),
        publish("2", channel="discord", event_id="e3", failure=BROKEN),
        publish("2", channel="discord", event_id="e3", failure=BROKEN),
    ]

    assert await queue.enqueue(jobs) == 5
    assert await queue.enqueue(jobs[:2]) == 0


BROKEN = Failure(stage="analyze", reason="no video stream", is_retryable=True)


async def test_enqueueing_at_the_same_time_doubles_nothing(queue: ProcrastinateQueue):
    there = [analyze(str(number)) for number in range(300)]
    back = there[::-1]

    new = await asyncio.gather(*(queue.enqueue(jobs) for jobs in (there, back, there, back)))

    assert sum(new) == 300
    assert (await queue.counts())["waiting"] == 300


@pytest.mark.parametrize("together", [True, False], ids=["in one call", "one after the other"])
@pytest.mark.parametrize(
    ("waiting", "arriving", "performed"),
    [
        (from_backfill(), analyze(), analyze()),
        (from_backfill(force=True), analyze(), analyze(force=True)),
        (analyze(), from_backfill(), analyze()),
        (analyze(), from_backfill(force=True), analyze(force=True)),
        (from_backfill(), from_backfill(force=True), from_backfill(force=True)),
        (from_backfill(), from_backfill(even_history=True), from_backfill(even_history=True)),
        (reconcile(), reconcile(is_full=True), reconcile(is_full=True)),
        (reconcile(is_full=True), reconcile(), reconcile(is_full=True)),
        (reconcile(after_s=3600), reconcile(), reconcile()),
        (reconcile(), reconcile(after_s=3600), reconcile()),
        (expand(priority=Priority.BACKFILL), expand(), expand()),
        (publish(group="g"), publish("2", event_id="e2", group="g"), publish(group="g")),
    ],
    ids=[
        "lifted",
        "lifted and still forced",
        "not lowered",
        "forced",
        "forced in the background",
        "told although it is old",
        *("asked in full", "still in full", "asked at once", "not put off", "shows lifted"),
        "told of together",
    ],
)
async def test_a_waiting_job_takes_over_what_an_equal_one_asks_for(
    queue: ProcrastinateQueue,
    waiting: Job,
    arriving: Job,
    performed: Job,
    together: bool,
):
    if together:
        assert await queue.enqueue([waiting, arriving]) == 1
    else:
        assert await queue.enqueue([waiting]) == 1
        assert await queue.enqueue([arriving]) == 0

    assert (await work_through(queue, 1)).performed == [(performed, 1)]


async def test_a_long_backlog_is_committed_in_one_call(queue: ProcrastinateQueue):
    backlog = [from_backfill(str(number)) for number in range(3000)]

    assert await queue.enqueue(backlog) == 3000
    assert (await queue.counts())["waiting"] == 3000


async def test_what_the_table_cannot_hold_is_refused_for_good(queue: ProcrastinateQueue):
    with pytest.raises(PermanentError):
        await queue.enqueue([analyze("no\x00body")])


# In time ----------------------------------------------------------------------------------------


WAITS_S = """
select extract(epoch from scheduled_at - now())::float8 as waits_s from procrastinate_jobs
 where status = 'todo'
"""


def waits_s(database: Database) -> float:
    """How long the only job that waits will do so."""
    row = database.execute(WAITS_S).fetchone()
    assert row is not None
    return float(row["waits_s"] or 0.0)


@pytest.mark.parametrize("together", [True, False], ids=["in one call", "one after the other"])
@pytest.mark.parametrize(
    ("first_s", "second_s"), [(60.0, 600.0), (600.0, 60.0), (60.0, 0.0), (0.0, 60.0)]
)
async def test_of_two_equal_jobs_the_earlier_time_counts(
    queue: ProcrastinateQueue,
    database: Database,
    first_s: float,
    second_s: float,
    together: bool,
):
    first = publish("1", group="season", event_id="e1", after_s=first_s)
    second = publish("2", group="season", event_id="e2", after_s=second_s, priority=99)
    if together:
        await queue.enqueue([first, second])
    else:
        await queue.enqueue([first])
        await queue.enqueue([second])

    earlier_s = min(first_s, second_s)
    assert earlier_s - 30 < waits_s(database) <= earlier_s


async def test_a_job_is_not_performed_before_its_time(
    queue: ProcrastinateQueue, database: Database
):
    await queue.enqueue([expand(after_s=3600), reconcile(after_s=3600), analyze()])

    assert (await work_through(queue, 1)).jobs == [analyze()]
    assert (await queue.counts())["waiting"] == 2
    database.execute("update procrastinate_jobs set scheduled_at = now() where status = 'todo'")
    assert set((await work_through(queue, 2)).jobs) == {expand(), reconcile()}


async def test_an_equal_job_does_not_end_the_pause_before_the_next_attempt(
    queue: ProcrastinateQueue, database: Database
):
    async def refuse(job: Job, attempt: int) -> None:
        raise TransientError("too many requests", retry_after_s=600.0)

    await queue.enqueue([publish(group="season")])
    await work_through(queue, 1, refuse)
    await queue.enqueue([publish("2", group="season", priority=99)])

    assert 570 < waits_s(database) <= 600


async def test_what_is_gathered_while_a_groups_message_goes_out_waits_for_the_next(
    queue: ProcrastinateQueue,
):
    """Two jobs of one group never run at once, and the second is not lost in the first."""
    more = publish("2", group="season", event_id="e2")

    async def gather_more(job: Job, attempt: int) -> None:
        if job.ref.item_id == "1":
            assert await queue.enqueue([more]) == 1

    await queue.enqueue([publish("1", group="season")])

    assert (await work_through(queue, 2, gather_more, concurrency=2)).performed == [
        (publish("1", group="season"), 1),
        (more, 1),
    ]


# Performing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "job",
    [
        analyze(),
        from_backfill(force=True),
        publish(),
        expand(priority=3),
        reconcile(is_full=True),
        publish(group="season 1", priority=4),
        publish(event_id="e5", failure=BROKEN),
        analyze('Ünïcode/ "Öl" \\ % 100 🎬'),
        publish("x" * 4000, channel="nats:" + "y" * 4000),
    ],
    ids=[
        *("analyze", "backfill", "publish", "expand", "reconcile", "group", "failure"),
        *("odd characters", "very long"),
    ],
)
async def test_a_job_is_performed_as_it_was_enqueued(queue: ProcrastinateQueue, job: Job):
    await queue.enqueue([job])

    assert (await work_through(queue, 1)).performed == [(job, 1)]
    assert await queue.counts() == {"waiting": 0, "running": 0, "failed": 0, "done": 1}


async def test_new_items_go_before_old_ones_and_channels_before_both(queue: ProcrastinateQueue):
    await queue.enqueue([from_backfill("old 1"), from_backfill("old 2")])
    await queue.enqueue([analyze("new 1"), analyze("new 2"), publish("told")])

    performed = (await work_through(queue, 5)).jobs

    assert [job.ref.item_id for job in performed] == ["told", "new 1", "new 2", "old 1", "old 2"]


async def test_every_new_job_wakes_a_worker(database_dsn: str):
    """Also one that comes in while the worker finds that there is none."""
    never_looks = QueueSettings(poll_s=3600, heartbeat_s=20)
    begun = asyncio.Queue[Job]()

    async def perform(job: Job, attempt: int) -> None:
        begun.put_nowait(job)

    expected: list[Job] = [analyze(str(number)) for number in range(50)]
    async with opened(database_dsn, never_looks) as queue, working(queue, perform):
        for job in expected:
            await queue.enqueue([job])
            assert await begun.get() == job


async def test_jobs_run_side_by_side_but_never_two_of_one_item(queue: ProcrastinateQueue):
    story: list[str] = []
    other_is_done = asyncio.Event()

    async def perform(job: Job, attempt: int) -> None:
        name = job.ref.item_id
        story.append(f"{name} begins")
        if name == "other":
            other_is_done.set()
        elif not other_is_done.is_set():
            assert await queue.enqueue([analyze("one")]) == 1
            assert await queue.enqueue([from_backfill("other")]) == 1
            await other_is_done.wait()
        story.append(f"{name} ends")

    await queue.enqueue([analyze("one")])
    await work_through(queue, 3, perform, concurrency=3)

    assert story == [
        *("one begins", "other begins", "other ends", "one ends"),
        *("one begins", "one ends"),
    ]
    assert (await queue.counts())["done"] == 3


async def test_a_long_job_is_nobody_elses_while_its_worker_lives(
    queue: ProcrastinateQueue, database: Database
):
    async def take_longer_than_a_dead_worker(job: Job, attempt: int) -> None:
        await until(lambda: holds(database, LONG_RUNNING))

    notebook = Notebook(9, take_longer_than_a_dead_worker)
    async with working(queue, notebook), working(queue, notebook):
        await queue.enqueue([analyze()])
        await counts_become(queue, done=1)

    assert notebook.performed == [(analyze(), 1)]


LONG_RUNNING = """
select count(*) > 0 as holds from procrastinate_events
 where type = 'started' and at < now() - interval '1.5 seconds'
"""


async def holds(database: Database, condition: Any) -> bool:
    row = database.execute(condition).fetchone()
    assert row is not None
    return bool(row["holds"])


# Trying again -----------------------------------------------------------------------------------


async def test_a_transient_error_is_tried_again_with_the_next_attempt(queue: ProcrastinateQueue):
    async def fail_twice(job: Job, attempt: int) -> None:
        if attempt < 3:
            raise TransientError("the server restarts")

    await queue.enqueue([analyze()])
    notebook = await work_through(queue, 3, fail_twice)

    assert notebook.performed == [(analyze(), 1), (analyze(), 2), (analyze(), 3)]
    assert await queue.counts() == {"waiting": 0, "running": 0, "failed": 0, "done": 1}


async def test_waiting_for_a_source_that_is_away_costs_no_attempt(queue: ProcrastinateQueue):
    answers = iter([False, False, True])

    async def wait_for_it(job: Job, attempt: int) -> None:
        if not next(answers):
            raise TransientError("not mounted", retry_after_s=0.01, costs_attempt=False)

    await queue.enqueue([analyze()])
    notebook = await work_through(queue, 3, wait_for_it)

    assert notebook.performed == [(analyze(), 1)] * 3


async def test_a_job_that_cancels_itself_is_tried_again_at_a_cost(queue: ProcrastinateQueue):
    async def cancel_once(job: Job, attempt: int) -> None:
        if attempt == 1:
            raise asyncio.CancelledError

    await queue.enqueue([analyze()])

    assert (await work_through(queue, 2, cancel_once)).performed == [(analyze(), 1), (analyze(), 2)]


PAUSE = """
select extract(epoch from max(scheduled_at) - max(event.at))::float as pause_s
  from procrastinate_jobs job join procrastinate_events event on event.job_id = job.id
 where event.type = 'deferred_for_retry'
"""


@pytest.mark.parametrize(
    ("asked_s", "least_s", "most_s"),
    [(600.0, 600.0, 600.0), (None, 80.0, 120.0), (-5.0, 0.0, 0.0), (1e12, 86400.0, 86400.0)],
    ids=["as asked", "with jitter", "never in the past", "never for ever"],
)
async def test_the_pause_before_the_next_attempt(
    database_dsn: str, database: Database, asked_s: float | None, least_s: float, most_s: float
):
    patient = QueueSettings(poll_s=0.05, retry_base_s=100)

    async def fail(job: Job, attempt: int) -> None:
        raise TransientError("too many requests", retry_after_s=asked_s)

    async with opened(database_dsn, patient) as queue:
        await queue.enqueue([analyze()])
        await work_through(queue, 1, fail)
        assert (await queue.counts())["waiting"] == 1

    assert least_s - 0.01 <= pause_s(database) <= most_s + 0.01


def pause_s(database: Database) -> float:
    row = database.execute(PAUSE).fetchone()
    assert row is not None
    return float(row["pause_s"])


async def test_pauses_double_up_to_a_limit(database_dsn: str, database: Database):
    settings = QueueSettings(poll_s=0.05, retry_base_s=100, retry_max_s=300)

    async def fail(job: Job, attempt: int) -> None:
        raise TransientError("away")

    async with opened(database_dsn, settings) as queue:
        await queue.enqueue([analyze()])
        for expected_s in (100, 200, 300, 300):
            database.execute("update procrastinate_jobs set scheduled_at = null")
            await work_through(queue, 1, fail)
            assert 0.8 * expected_s - 0.1 <= pause_s(database) <= 1.2 * expected_s + 0.1


async def test_an_equal_job_that_came_in_meanwhile_is_merged_into_the_next_attempt(
    queue: ProcrastinateQueue,
):
    async def fail_once(job: Job, attempt: int) -> None:
        if attempt == 1:
            assert await queue.enqueue([analyze()]) == 1
            raise TransientError("the file still grows")

    await queue.enqueue([from_backfill(force=True)])
    notebook = await work_through(queue, 2, fail_once)

    assert notebook.performed == [(from_backfill(force=True), 1), (analyze(force=True), 2)]
    assert await queue.counts() == {"waiting": 0, "running": 0, "failed": 0, "done": 1}


async def test_any_other_error_ends_the_job_with_its_reason_kept(queue: ProcrastinateQueue):
    async def fail(job: Job, attempt: int) -> None:
        raise PermanentError("no stream in caf\udce9\x00.mkv")

    await queue.enqueue([analyze()])
    await work_through(queue, 1, fail)

    (failed,) = await queue.failures()
    assert (failed.kind, failed.ref, failed.attempts) == ("analyze", "folder/abc", 1)
    assert (failed.error, failed.message) == ("PermanentError", "no stream in caf?.mkv")
    assert await queue.counts() == {"waiting": 0, "running": 0, "failed": 1, "done": 0}


async def test_a_failed_job_may_be_enqueued_again(queue: ProcrastinateQueue):
    async def fail(job: Job, attempt: int) -> None:
        raise PermanentError("no media")

    await queue.enqueue([analyze()])
    await work_through(queue, 1, fail)

    assert await queue.enqueue([analyze()]) == 1
    assert (await work_through(queue, 1)).performed == [(analyze(), 1)]


# Stopping ---------------------------------------------------------------------------------------


async def test_a_job_that_is_nearly_done_is_finished_before_the_worker_stops(
    queue: ProcrastinateQueue,
):
    async def linger(job: Job, attempt: int) -> None:
        await asyncio.sleep(0.05)

    await queue.enqueue([analyze("a"), analyze("b")])
    notebook = await work_through(queue, 1, linger)

    assert notebook.jobs == [analyze("a")]
    assert await queue.counts() == {"waiting": 1, "running": 0, "failed": 0, "done": 1}


async def test_a_job_that_takes_too_long_is_handed_back_and_loses_no_attempt(
    queue: ProcrastinateQueue,
):
    async def never_end(job: Job, attempt: int) -> None:
        await asyncio.Event().wait()

    await queue.enqueue([analyze()])
    await work_through(queue, 1, never_end)

    assert await queue.counts() == {"waiting": 1, "running": 0, "failed": 0, "done": 0}
    assert (await work_through(queue, 1)).performed == [(analyze(), 1)]


async def test_a_worker_whose_task_is_cancelled_hands_back_too(queue: ProcrastinateQueue):
    begun = asyncio.Event()

    async def never_end(job: Job, attempt: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    await queue.enqueue([analyze()])
    task = asyncio.create_task(queue.work(never_end, concurrency=1, stop=asyncio.Event()))
    await asyncio.wait_for(begun.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)

    assert await queue.counts() == {"waiting": 1, "running": 0, "failed": 0, "done": 0}


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20])
async def test_a_worker_that_is_cancelled_while_it_starts_ends(
    queue: ProcrastinateQueue, turns: int
):
    async def nothing(job: Job, attempt: int) -> None: ...

    working = asyncio.create_task(queue.work(nothing, concurrency=1, stop=asyncio.Event()))
    for _ in range(turns + 1):
        await asyncio.sleep(0)
    working.cancel()
    done, _ = await asyncio.wait({working}, timeout=10)
    assert done == {working}
    assert working.cancelled()


async def test_a_worker_that_was_told_to_stop_takes_nothing(queue: ProcrastinateQueue):
    await queue.enqueue([analyze()])
    notebook = Notebook(1)
    notebook.stop.set()

    await asyncio.wait_for(queue.work(notebook, concurrency=1, stop=notebook.stop), 10)

    assert notebook.jobs == []


# What others left behind ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "args", "error"),
    [
        ("transcode", '{"bitrate": 3}', "UnknownJobError: this .* has no job 'transcode'"),
        ("analyze", '{"server": "folder"}', "PermanentError: .* lacks 'item_id'"),
        (
            "publish",
            '{"server": "a", "item_id": "b", "channel": "c", "event_id": "d", "failure": {}}',
            "PermanentError: .* publish job cannot be read",
        ),
    ],
    ids=["an unknown kind", "an argument is missing", "an argument of another shape"],
)
async def test_a_job_that_is_not_understood_fails_clearly_and_the_work_goes_on(
    queue: ProcrastinateQueue, database: Database, kind: str, args: str, error: str
):
    database.execute(
        "insert into procrastinate_jobs (queue_name, task_name, priority, args) "
        "values ('moodreel', %s, 99, %s)",
        (kind, args),
    )
    await queue.enqueue([analyze()])

    assert (await work_through(queue, 1)).jobs == [analyze()]

    (failed,) = await queue.failures()
    assert failed.kind == kind
    assert re.match(error, f"{failed.error}: {failed.message}")


RELEASED_ROWS = """
insert into procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args) values
('moodreel', 'analyze', 5, '["analyze", "folder", "abc"]', '["analyze", "folder", "abc"]',
 '{"server": "folder", "item_id": "abc", "announce": true, "even_history": false, "force": false}'),
('moodreel', 'publish', 5, '["publish", "folder", "abc", "discord"]',
 '["publish", "folder", "abc", "discord", "e1"]',
 '{"server": "folder", "item_id": "abc", "channel": "discord", "event_id": "e1"}')
"""
"""As 0.1.0 wrote them."""


async def test_jobs_that_the_released_version_left_behind_are_performed_once(
    queue: ProcrastinateQueue, database: Database
):
    database.execute(RELEASED_ROWS)

    assert await queue.enqueue([analyze(priority=3), publish(priority=3)]) == 0
    assert (await work_through(queue, 2)).jobs == [analyze(priority=5), publish(priority=5)]


async def test_a_server_is_named_where_asking_it_failed(queue: ProcrastinateQueue):
    async def fail(job: Job, attempt: int) -> None:
        raise PermanentError("the key is refused")

    await queue.enqueue([reconcile()])
    await work_through(queue, 1, fail)

    (failed,) = await queue.failures()
    assert (failed.kind, failed.ref) == ("reconcile", "folder/*")


async def test_arguments_of_a_newer_version_are_left_alone(
    queue: ProcrastinateQueue, database: Database
):
    await queue.enqueue([analyze()])
    database.execute("""update procrastinate_jobs set args = args || '{"newer": 1}'""")

    assert (await work_through(queue, 1)).performed == [(analyze(), 1)]


async def test_jobs_that_ended_long_ago_are_forgotten(
    database_dsn: str, queue: ProcrastinateQueue, database: Database
):
    async def perform(job: Job, attempt: int) -> None:
        if job.ref.item_id.startswith("bad"):
            raise PermanentError("no media")

    await queue.enqueue([analyze(name) for name in ("good", "bad", "good too", "bad too")])
    await work_through(queue, 4, perform)
    database.execute(
        "update procrastinate_events set at = at - interval '31 days' where job_id <= 2"
    )
    await queue.enqueue([analyze("waits")])
    database.execute(
        "update procrastinate_events set at = at - interval '99 days' where job_id > 4"
    )

    async with working(queue, Notebook(9)):
        await counts_become(queue, done=2, failed=1, waiting=0)


# The schema -------------------------------------------------------------------------------------


async def test_processes_that_start_together_make_one_schema(database_dsn: str):
    async def process() -> None:
        async with opened(database_dsn) as queue:
            await queue.enqueue([analyze()])
            assert (await queue.counts())["waiting"] == 1

    await asyncio.gather(*(process() for _process in range(4)))


def shipped_migrations() -> list[tuple[str, str]]:
    paths = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    return [(path.name, path.read_text()) for path in paths]


async def test_tables_of_an_older_version_are_migrated(database_dsn: str):
    old = [entry for entry in shipped_migrations() if entry[0] < "03.01"]
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        connection.execute("create schema procrastinate")
        connection.execute("set search_path to procrastinate")
        connection.execute(
            "create table applied_migrations (name text primary key, applied_at timestamptz "
            "not null default now())"
        )
        for name, statements in old:
            connection.execute(statements.encode())
            connection.execute("insert into applied_migrations (name) values (%s)", (name,))

    async with opened(database_dsn) as queue:
        await queue.enqueue([analyze()])
        assert (await work_through(queue, 1)).performed == [(analyze(), 1)]


async def test_tables_of_a_newer_version_are_refused(
    queue: ProcrastinateQueue, database: Database, database_dsn: str
):
    database.execute("insert into applied_migrations (name) values ('99.00.00_01_pre_news.sql')")

    with pytest.raises(ConfigurationError, match="newer than this version"):
        await ProcrastinateQueue.open(database_dsn, QUICK)


async def test_tables_of_somebody_else_are_refused(database_dsn: str):
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        connection.execute("create schema procrastinate")
        connection.execute("create table procrastinate.procrastinate_jobs (id bigint)")

    with pytest.raises(ConfigurationError, match="a database of its own"):
        await ProcrastinateQueue.open(database_dsn, QUICK)


async def test_a_database_that_does_not_answer_may_answer_later(database_dsn: str):
    with pytest.raises(TransientError):
        await ProcrastinateQueue.open("host=/nowhere dbname=moodreel", QUICK)


async def test_an_address_that_is_none_is_named_without_its_password():
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as caught:
        await ProcrastinateQueue.open("postgres:/me:sesame@host", QUICK)
    assert "sesame" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_heartbeats_must_fit_into_the_time_after_which_a_worker_is_given_up():
    with pytest.raises(ValueError, match="HEARTBEAT"):
        QueueSettings(heartbeat_s=10, stalled_after_s=15)
