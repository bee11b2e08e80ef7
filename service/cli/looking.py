"""A look at what is being done: for ``moodreel status`` and its ``--watch``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.cli.following import SPEED_OVER_S
from service.domain import Backlog, FailedJob, ItemRef, ItemState, ItemStatus, Pace, RunningJob
from service.ports import JobQueue, Store

ALL_FAILURES = 1_000
"""Who has more failed jobs need not know how many exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """What failed, and what of it was not done since."""

    all: tuple[FailedJob, ...]
    open: tuple[FailedJob, ...]


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


async def find_failures(queue: JobQueue, store: Store) -> Failures:
    """Failed jobs, of each item's analyses the last, and those of them that matter still.

    The queue forgets after a day what was done; the store knows which items were analysed since.
    """
    failures = tuple(_latest(await queue.failures(limit=ALL_FAILURES)))
    doubtful = [failure for failure in failures if not failure.is_made_good]
    refs = {ref for failure in doubtful if failure.kind == "analyze" and (ref := _ref_of(failure))}
    statuses = await store.statuses(refs) if refs else {}
    return Failures(
        all=failures,
        open=tuple(failure for failure in doubtful if not _is_analyzed_since(failure, statuses)),
    )


def _latest(failures: Sequence[FailedJob]) -> Iterator[FailedJob]:
    """Each analysis that failed once, however often it was begun anew; others as they are."""
    refs = set()
    for failure in failures:
        if failure.kind != "analyze" or not failure.ref or failure.ref not in refs:
            yield failure
        if failure.kind == "analyze":
            refs.add(failure.ref)


def _is_analyzed_since(failure: FailedJob, statuses: Mapping[ItemRef, ItemStatus]) -> bool:
    ref = _ref_of(failure)
    status = statuses.get(ref) if ref and failure.kind == "analyze" else None
    if status is None or status.updated_at is None:
        return False
    is_settled = status.state in (ItemState.ANALYZED, ItemState.DELETED)
    return is_settled and status.updated_at > failure.failed_at


def _ref_of(failure: FailedJob) -> ItemRef | None:
    return read_ref(failure.ref)


def read_ref(text: str) -> ItemRef | None:
    """An item's ref; None where a job is of none, such as the reconciliation of a server."""
    try:
        return ItemRef.parse(text)
    except ValueError:
        return None
