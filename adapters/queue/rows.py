"""Jobs as rows of procrastinate's table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.domain import AnalyzeJob, ItemRef, Job, Json, PublishJob
from service.errors import PermanentError

ANALYZE = "analyze"
PUBLISH = "publish"
KINDS = (ANALYZE, PUBLISH)
FLAGS = ("announce", "even_history", "force")
"""Of an analysis: when equal jobs are merged, what either asks for is done."""
KEY_LENGTH = 200
"""Longer keys are hashed: a row of a btree index holds about 2,700 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """What is written of a job."""

    kind: str
    priority: int
    lock: str
    """No two jobs with the same lock run at once.

    Kept apart by kind (and channel): procrastinate holds back every job behind a waiting one of the
    same lock, even where that one's time has not come, so a card that Discord refused for an hour
    would hold back the item's next analysis.
    """
    equality: str
    """No two jobs with the same equality wait at once."""
    args: Json

    def merge(self, other: JobRow) -> JobRow:
        """Ask for all that two equal jobs ask for: the higher priority, either's flags."""
        return replace(
            self,
            priority=max(self.priority, other.priority),
            args=merge_flags(self.args, other.args),
        )


def merge_flags(ours: Json, theirs: Json) -> Json:
    """Keep our arguments, but set each flag that either has set."""
    flags = {
        name: value or theirs.get(name, False)
        for name, value in ours.items()
        if isinstance(value, bool)
    }
    return {**ours, **flags}


def to_row(job: Job) -> JobRow:
    ref = {"server": job.ref.server, "item_id": job.ref.item_id}
    identity = (job.ref.server, job.ref.item_id)
    match job:
        case AnalyzeJob():
            return JobRow(
                kind=ANALYZE,
                priority=job.priority,
                lock=_key(ANALYZE, *identity),
                equality=_key(ANALYZE, *identity),
                args={**ref, **{flag: getattr(job, flag) for flag in FLAGS}},
            )
        case PublishJob():
            return JobRow(
                kind=PUBLISH,
                priority=job.priority,
                lock=_key(PUBLISH, *identity, job.channel),
                equality=_key(PUBLISH, *identity, job.channel, job.event_id),
                args={**ref, "channel": job.channel, "event_id": job.event_id},
            )


def to_rows(jobs: Iterable[Job]) -> list[JobRow]:
    """Rows in the order of the jobs, equal ones merged into the first of them."""
    rows: dict[str, JobRow] = {}
    for row in map(to_row, jobs):
        known = rows.get(row.equality)
        rows[row.equality] = known.merge(row) if known else row
    return list(rows.values())


def to_job(kind: str, priority: int, args: Mapping[str, Any]) -> Job:
    """Read a job back. Arguments that this version does not know are left alone.

    Raises:
        PermanentError: It is no job of this version's.
    """
    try:
        ref = ItemRef(server=args["server"], item_id=args["item_id"])
        if kind == ANALYZE:
            flags = {flag: args[flag] for flag in FLAGS}
            return AnalyzeJob(ref=ref, priority=priority, **flags)
        return PublishJob(
            ref=ref, priority=priority, channel=args["channel"], event_id=args["event_id"]
        )
    except KeyError as error:
        raise PermanentError(f"a waiting {kind} job lacks {error}: who wrote it?") from error


def _key(*parts: str) -> str:
    key = json.dumps(parts)
    if len(key) <= KEY_LENGTH:
        return key
    return f"{parts[0]} {hashlib.sha256(key.encode()).hexdigest()}"
