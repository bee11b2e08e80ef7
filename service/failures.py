"""Which failures matter still: of an item's analyses the last, unless it was made good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.domain import FailedJob, ItemRef, ItemState, ItemStatus
from service.ports import JobQueue, Store

ALL_FAILURES = 1_000
"""Who has more failed jobs need not know how many exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """What failed, and what of it was not done since."""

    all: tuple[FailedJob, ...]
    open: tuple[FailedJob, ...]


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
