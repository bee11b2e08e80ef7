"""``moodreel status --watch``, and which failures ``moodreel status`` counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from adapters.database import migrate
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.store import DatabaseStore
from adapters.queue import ProcrastinateQueue
from service.cli.looking import Look, Watch
from service.cli.watch import draw, say, to_json
from service.domain import AnalyzeJob, Backlog, FailedJob, Pace, PublishJob, RunningJob
from service.errors import PermanentError
from service.failures import Failures, find_failures
from tests.support.cli import invoke, invoke_json
from tests.support.queue_worker import opened, until, work_through, working
from tests.support.service import ROOT, environment
from tests.support.stores import analyzed, make_item

DEADLINE_S = 60.0
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
async def queue(database_dsn) -> AsyncIterator[ProcrastinateQueue]:
    async with opened(database_dsn) as made:
        yield made


@pytest.fixture
async def store(database_dsn) -> AsyncIterator[DatabaseStore]:
    await migrate.apply(database_dsn)
    async with aclosing(DatabaseStore(await PsycopgTransport.open(database_dsn))) as made:
        yield made


async def refuse(_job, _attempt) -> None:
    raise PermanentError("no picture and no sound")


def publish(item_id: str, event_id: str) -> PublishJob:
    return PublishJob(ref=make_item(item_id).ref, channel="discord", event_id=event_id)


async def test_running_jobs_are_told_with_their_items_title(queue, store):
    await store.begin(make_item("1"))
    await queue.enqueue([AnalyzeJob(ref=make_item(number).ref) for number in "12"])
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def linger(_job, _attempt) -> None:
        begun.set()
        await may_end.wait()

    async with working(queue, linger):
        await begun.wait()
        look = await Watch(queue, store).look()
        may_end.set()
    [job] = look.running
    assert (job.kind, job.ref, job.attempt) == ("analyze", "jellyfin/1", 1)
    assert 0.0 <= job.since_s < DEADLINE_S
    assert look.titles == {"jellyfin/1": "Film 1"}
    assert look.left_count == 2


async def test_the_pace_counts_what_ended_by_kind(queue, store):
    await queue.enqueue([AnalyzeJob(ref=make_item(number).ref) for number in "123"])
    await work_through(queue, 3)
    [pace] = await queue.pace(over_s=600.0)
    assert (pace.kind, pace.count) == ("analyze", 3)
    assert 0.0 < pace.over_s < DEADLINE_S, "since the first of them began, not ten minutes"
    assert await queue.running() == []


async def test_a_failure_that_was_made_good_is_no_longer_counted(queue, store):
    again = publish("1", "e2")
    await queue.enqueue([publish("1", "e1"), publish("2", "e1")])
    await work_through(queue, 2, refuse)
    assert len((await find_failures(queue, store)).open) == 2
    await queue.enqueue([again])
    await work_through(queue, 1)
    failures = await find_failures(queue, store)
    assert len(failures.all) == 2
    assert [failure.ref for failure in failures.open] == ["jellyfin/2"]


async def test_what_the_store_has_since_is_no_failure_either(queue, store):
    """The queue forgets after a day that it was done."""
    await queue.enqueue([AnalyzeJob(ref=make_item(number).ref) for number in "12"])
    await work_through(queue, 2, refuse)
    await analyzed(store, "1")
    assert [failure.ref for failure in (await find_failures(queue, store)).open] == ["jellyfin/2"]
    await queue.enqueue([AnalyzeJob(ref=make_item("1").ref)])
    await work_through(queue, 1, refuse)
    refs = [failure.ref for failure in (await find_failures(queue, store)).open]
    assert refs == ["jellyfin/1", "jellyfin/2"], "it failed after it was saved"


async def test_a_film_that_fails_again_is_one_failure(queue, store):
    for _ in range(2):
        await queue.enqueue([AnalyzeJob(ref=make_item("1").ref), publish("1", "event")])
        await work_through(queue, 2, refuse)
    failures = await find_failures(queue, store)
    assert failures.all == failures.open
    assert sorted(failure.kind for failure in failures.open) == ["analyze", "publish", "publish"]


async def test_status_says_which_failures_were_made_good(queue, store, database_dsn, tmp_path):
    await queue.enqueue([AnalyzeJob(ref=make_item(number).ref) for number in "12"])
    await work_through(queue, 2, refuse)
    await analyzed(store, "1")
    env = environment(tmp_path, DATABASE_URL=database_dsn)
    answer = await asyncio.to_thread(invoke_json, "status", env=env)
    assert answer["jobs"]["failed"] == 2
    assert answer["failed_open"] == 1
    assert {job["ref"]: job["made_good"] for job in answer["failed_jobs"]} == {
        "jellyfin/1": True,
        "jellyfin/2": False,
    }
    _, out, _ = await asyncio.to_thread(invoke, "status", env=env)
    assert "1 of the failed were done since" in " ".join(out.split())


def a_look(**changes) -> Look:
    failure = FailedJob(
        kind="analyze",
        ref="jellyfin/9",
        attempts=5,
        error="UnreadableMediaError",
        message="jellyfin/9: \x1b]0;no\x07 picture",
        failed_at=NOW,
    )
    values: dict[str, Any] = {
        "at": NOW,
        "backlog": [
            Backlog(kind="analyze", waiting=9, later=2, running=1, failed=4),
            Backlog(kind="publish"),
        ],
        "running": [RunningJob(kind="analyze", ref="jellyfin/1", attempt=2, since_s=125.0)],
        "pace": {"analyze": Pace(kind="analyze", count=5, over_s=600.0)},
        "failures": Failures(all=(failure,) * 4, open=(failure,)),
        "titles": {"jellyfin/1": "A [red]Film[/]\x1b[31m"},
    }
    return Look(**(values | changes))


def drawn(look: Look) -> str:
    console = Console(width=80, height=40, force_terminal=False)
    with console.capture() as captured:
        console.print(draw(look))
    return captured.get()


def test_a_look_is_drawn_with_title_time_pace_and_what_is_left():
    text = drawn(a_look())
    assert "A [red]Film[/] [31m  jellyfin/1" in text
    assert "2:05" in text
    assert "0.5/min" in text
    assert "about 20:00 left" in text, "ten jobs, two minutes each"
    assert "failed, and not done since" in text
    assert "\x1b" not in text


def test_a_line_says_the_same_in_short():
    line = say(a_look())
    assert line.startswith("9 waiting, 2 later, 1 running, 1 failed; analyze 0.5/min; 20:00 left;")


@pytest.mark.parametrize(
    ("pace", "left_s"),
    [
        ({}, None),
        ({"publish": Pace(kind="publish", count=5, over_s=60.0)}, None),
        ({"analyze": Pace(kind="analyze", count=1, over_s=60.0)}, 600.0),
    ],
    ids=["nothing ended yet", "nothing of this kind did", "one did"],
)
def test_time_is_left_by_the_pace_of_each_kind(pace, left_s):
    assert a_look(pace=pace).left_s == left_s


def test_a_look_is_json_for_scripts():
    found = json.loads(json.dumps(to_json(a_look())))
    assert found["backlog"]["analyze"]["waiting"] == 9
    assert (found["failed"], found["failed_open"], found["left_s"]) == (4, 1, 1200.0)
    assert found["running"][0]["since_s"] == 125.0


@asynccontextmanager
async def watching(
    env: dict[str, str], *, stdout: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli", "status", "--watch"),
        cwd=ROOT,
        env=env | {"TERM": "xterm", "COLUMNS": "80"},
        stdout=stdout,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_is_drawn_in_a_terminal_until_ctrl_c(queue, store, database_dsn, tmp_path):
    await store.begin(make_item("1"))
    await queue.enqueue([AnalyzeJob(ref=make_item("1").ref)])
    terminal, theirs = os.openpty()
    env = environment(tmp_path, DATABASE_URL=database_dsn)
    async with watching(env, stdout=theirs) as process:
        os.close(theirs)
        shown: list[bytes] = []
        reading = asyncio.create_task(asyncio.to_thread(_read, terminal, shown))

        async def is_shown() -> bool:
            return b"Ctrl-C" in b"".join(shown)

        await until(is_shown)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE_S):
            assert await process.wait() == 0
        await reading
    text = b"".join(shown).decode()
    assert "analyze" in text
    assert "time left unknown" in text
    assert "Traceback" not in text


def _read(terminal: int, parts: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # how Linux says that nobody writes any more
        while part := os.read(terminal, 4096):
            parts.append(part)
    os.close(terminal)


async def test_it_is_a_line_in_a_log(queue, store, database_dsn, tmp_path):
    await queue.enqueue([AnalyzeJob(ref=make_item("1").ref)])
    env = environment(tmp_path, DATABASE_URL=database_dsn)
    async with watching(env, stdout=asyncio.subprocess.PIPE) as process:
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            line = (await process.stdout.readline()).decode()
            process.send_signal(signal.SIGINT)
            rest, _ = await process.communicate()
    assert "1 waiting, 0 later, 0 running, 0 failed" in line
    assert (process.returncode, rest) == (0, b"")
