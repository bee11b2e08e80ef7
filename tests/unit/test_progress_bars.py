"""Following a queue on a terminal of 80 columns, and what is told when nobody waits longer."""

from __future__ import annotations

import asyncio
import io
import re
from datetime import UTC, datetime
from typing import cast

import pytest
from rich.console import Console

from service.cli.backfill import follow_queue
from service.cli.following import Following, Progressed, queue_bar
from service.domain import FailedJob
from service.ports import JobQueue

COLUMNS = 80


class Terminal:
    """Eighty columns, and a clock that the test turns."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.screen = io.StringIO()
        self.console = Console(
            file=self.screen,
            force_terminal=True,
            width=COLUMNS,
            color_system=None,
            get_time=lambda: self.now_s,
        )

    def follow(self, looks: list[Progressed], *, every_s: float) -> list[str]:
        """All lines that were drawn; the last is how the bar stood at its end."""
        with queue_bar(self.console) as show:
            for progressed in looks:
                self.now_s += every_s
                show(progressed)
        drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.screen.getvalue())
        return [line for line in re.split(r"[\r\n]+", drawn) if line.strip()]


def look(finished: int, waiting: int, *, running: int = 1, failed: int = 0) -> Progressed:
    return Progressed(
        finished_count=finished,
        failed_count=failed,
        waiting_count=waiting,
        running_count=running,
    )


def test_the_rate_and_the_time_left_are_known_although_new_jobs_come():
    # Each analysis that ends has channels told: jobs that were not there before.
    looks = [look(done, 40 - done + done % 3) for done in range(21)]
    line = Terminal().follow(looks, every_s=6.0)[-1]
    assert "10.0 jobs/min" in line
    assert "-:--:--" not in line


@pytest.mark.parametrize("every_s", [0.1, 60.0, 20_000.0])
def test_the_bar_stays_on_one_line_of_eighty_columns(every_s):
    looks = [look(done, 99_984 - done, running=16, failed=12_345) for done in (0, 40_000, 51_234)]
    lines = Terminal().follow(looks, every_s=every_s)
    assert max(map(len, lines)) <= COLUMNS
    assert all(line.startswith("queue") for line in lines)
    assert "51234/100000" in lines[-1]


class BusyQueue:
    """Never done; one of its jobs fails after it was looked at first."""

    def __init__(self) -> None:
        self.look_count = 0
        self.is_looked_at = asyncio.Event()

    async def counts(self) -> dict[str, int]:
        self.look_count += 1
        if self.look_count > 2:
            self.is_looked_at.set()
        return {"waiting": 3, "running": 1, "failed": 0, "done": 0}

    async def failures(self, *, limit: int) -> list[FailedJob]:
        failure = FailedJob(
            kind="analyze",
            ref="jellyfin/1",
            attempts=5,
            error="UnreadableMediaError",
            message="jellyfin/1: no picture and no sound",
            failed_at=datetime.now(UTC),
        )
        return [failure][:limit] if self.look_count > 1 else []


async def test_who_waits_no_longer_is_told_what_failed_so_far(capsys):
    queue = BusyQueue()
    following = Following(cast("JobQueue", queue), look_every_s=0.01)
    await following.begin()
    waiting = asyncio.create_task(follow_queue(following, as_json=False))
    async with asyncio.timeout(10):
        await queue.is_looked_at.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    told = capsys.readouterr()
    assert "the queue goes on without this command" in told.err
    assert "1 x analyze: no picture and no sound" in told.out
    assert "the queue is empty" not in told.out
