"""Shows how the queue empties, and sums up what failed meanwhile."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from service.cli.console import err, out, shown
from service.domain import FailedJob
from service.errors import TransientError
from service.ports import JobQueue

LOOK_EVERY_S = 1.0
"""Counting 100,000 jobs costs the database 15 ms."""
IDLE_S = 30.0
"""After so long without a job that runs, the operator is told where jobs are done."""
SPEED_OVER_S = 600.0
"""The rate is that of the last ten minutes: a film takes minutes, and films differ."""
LISTED_FAILURES = 1_000
NAMED_REFS = 3
"""Items that are named of those that failed for one reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """How far the queue has come since it was looked at first."""

    finished_count: int
    failed_count: int
    waiting_count: int
    running_count: int

    @property
    def left_count(self) -> int:
        return self.waiting_count + self.running_count


class Following:
    """Looks at the queue until it is empty.

    Args:
        queue: At which.
        look_every_s: Seconds between two looks.
        idle_s: Seconds without a running job after which that is said.
    """

    def __init__(
        self, queue: JobQueue, *, look_every_s: float = LOOK_EVERY_S, idle_s: float = IDLE_S
    ) -> None:
        self._queue = queue
        self._look_every_s = look_every_s
        self._idle_s = idle_s
        self._ended_before = 0
        self._failed_before = 0
        self._last_failure_before: datetime | None = None

    async def begin(self) -> None:
        """Note how things are now: what failed before is none of this walk's failures."""
        counts = await self._queue.counts()
        self._ended_before = counts["done"] + counts["failed"]
        self._failed_before = counts["failed"]
        latest = await self._queue.failures(limit=1)
        self._last_failure_before = latest[0].failed_at if latest else None

    async def until_empty(
        self,
        show: Callable[[Progressed], None],
        on_idle: Callable[[], None] = lambda: None,
    ) -> Progressed:
        """Look until nothing waits and nothing runs. A database that is away is waited for."""
        idle_since: float | None = None
        now = asyncio.get_running_loop().time
        while True:
            progressed = await self._look()
            if progressed is not None:
                show(progressed)
                if not progressed.left_count:
                    return progressed
                if progressed.running_count:
                    idle_since = None
                elif idle_since is None:
                    idle_since = now()
                elif now() - idle_since >= self._idle_s:
                    on_idle()
                    idle_since = float("inf")  # once is enough
            await asyncio.sleep(self._look_every_s)

    async def failures(self) -> list[FailedJob]:
        """What failed since ``begin``, the latest first."""
        before = self._last_failure_before
        failures = await self._queue.failures(limit=LISTED_FAILURES)
        return [failure for failure in failures if before is None or failure.failed_at > before]

    async def _look(self) -> Progressed | None:
        try:
            counts = await self._queue.counts()
        except TransientError:
            return None
        ended_count = counts["done"] + counts["failed"]
        return Progressed(
            # Jobs that were done are forgotten after a day: then there are fewer than before.
            finished_count=max(0, ended_count - self._ended_before),
            failed_count=max(0, counts["failed"] - self._failed_before),
            waiting_count=counts["waiting"],
            running_count=counts["running"],
        )


@contextmanager
def queue_bar(console: Console = err) -> Iterator[Callable[[Progressed], None]]:
    """A bar on standard error, with the rate and the time that is left at that rate."""
    left = TimeRemainingColumn(table_column=whole())
    with work_bar(left, unit="jobs", console=console) as bar:
        number = bar.add_task("queue", total=None)
        (task,) = bar.tasks

        def show(progressed: Progressed) -> None:
            # Not by `update`: that forgets the rate at every new total, and each analysis that
            # ends brings new jobs.
            task.total = progressed.finished_count + progressed.left_count
            bar.update(
                number,
                completed=progressed.finished_count,
                description=f"queue, {progressed.running_count} running, "
                f"{progressed.failed_count} failed",
            )

        yield show


@contextmanager
def work_bar(*columns: ProgressColumn, unit: str, console: Console = err) -> Iterator[Progress]:
    """A progress bar with a rate on standard error: drawn in a terminal, silent in a pipe."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(table_column=whole()),
        RateColumn(unit),
        TimeElapsedColumn(table_column=whole()),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),
        speed_estimate_period=SPEED_OVER_S,
    ) as bar:
        yield bar


def whole() -> Column:
    """A column that is not cut where there is little room: the bar gets shorter instead."""
    return Column(no_wrap=True)


class RateColumn(ProgressColumn):
    """So many a second, or a minute where that is less than one."""

    def __init__(self, unit: str) -> None:
        super().__init__(whole())
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Draw it; nothing before two steps were taken."""
        speed_hz = task.finished_speed or task.speed
        if not speed_hz:
            return Text("")
        if speed_hz >= 1.0:
            return Text(f"{speed_hz:,.0f} {self._unit}/s")
        return Text(f"{60 * speed_hz:.1f} {self._unit}/min")


def print_failures(failures: Sequence[FailedJob], failed_count: int) -> None:
    """What failed, by reason, the most frequent first."""
    if not failures:
        return
    out.print(f"\n[bold]{failed_count} failed[/]")
    by_reason: dict[tuple[str, str], list[str]] = {}
    for failure in failures:
        by_reason.setdefault((failure.kind, reason_of(failure)), []).append(failure.ref)
    for (kind, reason), refs in sorted(by_reason.items(), key=lambda entry: -len(entry[1])):
        out.print(f"  {len(refs)} x {kind}: [red]{escape(shown(reason))}[/]")
        more = f" and {len(refs) - NAMED_REFS} more" if len(refs) > NAMED_REFS else ""
        out.print(f"      [dim]{escape(shown(', '.join(refs[:NAMED_REFS])))}{more}[/]")


def reason_of(failure: FailedJob) -> str:
    """Why, without the item's own name: what failed alike is told together."""
    reason = failure.message.replace(failure.ref, "") if failure.ref else failure.message
    return reason.strip().removeprefix(":").strip() or failure.error
