"""A look at what is being done: for ``moodreel status`` and its ``--watch``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.cli.following import SPEED_OVER_S
from service.domain import Backlog, Pace, RunningJob
from service.failures import Failures, find_failures, read_ref
from service.ports import JobQueue, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The queue at a moment."""

    at: datetime
    backlog: Sequence[Backlog]
    running: Sequence[RunningJob]
    pace: Mapping[str, Pace]
    failures: Failures
    titles: Mapping[str, str]
    """By ref, of what runs."""

    @property
    def left_count(self) -> int:
        return sum(kind.waiting + kind.running for kind in self.backlog)

    @property
    def left_s(self) -> float | None:
        """Seconds until the backlog is done at the pace of each kind; None where that is unknown.

        What waits for its time is not in it.
        """
        seconds = 0.0
        for kind in self.backlog:
            if not (left := kind.waiting + kind.running):
                continue
            pace = self.pace.get(kind.kind)
            if pace is None or not pace.count:
                return None
            seconds += left * pace.over_s / pace.count
        return seconds


class Watch:
    """Looks at queue and store, and remembers titles."""

    def __init__(self, queue: JobQueue, store: Store) -> None:
        self._queue = queue
        self._store = store
        self._titles: dict[str, str] = {}

    async def look(self) -> Look:
        """Ask both.

        Raises:
            TransientError: One of them does not answer.
        """
        running = await self._queue.running()
        await self._learn_titles({job.ref for job in running})
        pace = await self._queue.pace(over_s=SPEED_OVER_S)
        return Look(
            at=datetime.now().astimezone(),
            backlog=await self._queue.backlog(),
            running=running,
            pace={entry.kind: entry for entry in pace},
            failures=await find_failures(self._queue, self._store),
            titles=self._titles,
        )

    async def _learn_titles(self, refs: set[str]) -> None:
        self._titles = {ref: title for ref, title in self._titles.items() if ref in refs}
        unknown = [ref for ref in map(read_ref, refs - self._titles.keys()) if ref]
        if unknown:
            statuses = await self._store.statuses(unknown)
            self._titles |= {str(ref): status.title for ref, status in statuses.items()}
