"""Jobs as rows of procrastinate's table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from service.domain import (
    AnalyzeJob,
    ExpandJob,
    Failure,
    ItemRef,
    Job,
    Json,
    PublishJob,
    ReconcileJob,
)
from service.errors import PermanentError
from service.query import COLLECTIONS

ANALYZE = "analyze"
EXPAND = "expand"
RECONCILE = "reconcile"
PUBLISH = "publish"
KINDS = (ANALYZE, EXPAND, RECONCILE, PUBLISH)
FLAGS = ("announce", "even_history", "force")
"""Of an analysis."""
_FAILURE = TypeAdapter(Failure | None)
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
    after_s: float = 0.0
    """Not before so many seconds from now."""

    def merge(self, other: JobRow) -> JobRow:
        """Ask for all that two equal jobs ask for: higher priority, earlier time, any flag."""
        return replace(
            self,
            priority=max(self.priority, other.priority),
            after_s=min(self.after_s, other.after_s),
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
    kind, lock, equality, args = _describe(job)
    return JobRow(
        kind=kind,
        priority=job.priority,
        lock=_key(kind, *lock),
        equality=_key(kind, *equality),
        args={"server": job.ref.server, "item_id": job.ref.item_id, **args},
        after_s=0.0 if isinstance(job, AnalyzeJob) else max(job.after_s, 0.0),
    )


def _describe(job: Job) -> tuple[str, Sequence[str], Sequence[str], Json]:
    """A job's kind, what it is locked by, what it is equal by, and its arguments."""
    identity = (job.ref.server, job.ref.item_id)
    match job:
        case AnalyzeJob():
            return ANALYZE, identity, identity, {flag: getattr(job, flag) for flag in FLAGS}
        case ExpandJob():
            return EXPAND, identity, identity, {}
        case ReconcileJob():
            return RECONCILE, [job.server], [job.server], {"is_full": job.is_full}
        case PublishJob():
            args: Json = {"channel": job.channel, "event_id": job.event_id}
            if job.failure is not None:
                args["failure"] = asdict(job.failure)
            elif job.channel.partition("#")[0] == COLLECTIONS:
                # One at a time on a server: what two create at once would be there twice.
                equality = (*identity, job.channel, job.event_id, job.group)
                server = (job.ref.server, COLLECTIONS)
                return PUBLISH, server, equality, {**args, "group": job.group}
            elif job.group:
                group = (job.channel, job.group)
                return PUBLISH, group, group, {**args, "group": job.group}
            lock = (*identity, job.channel)
            return PUBLISH, lock, (*lock, job.event_id), args


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
        if kind == EXPAND:
            return ExpandJob(ref=ref, priority=priority)
        if kind == RECONCILE:
            return ReconcileJob(server=ref.server, is_full=args["is_full"], priority=priority)
        # What the versions before this one wrote knows neither groups nor failures.
        return PublishJob(
            ref=ref,
            priority=priority,
            channel=args["channel"],
            event_id=args["event_id"],
            group=args.get("group", ""),
            failure=_FAILURE.validate_python(args.get("failure")),
        )
    except KeyError as error:
        raise PermanentError(f"a waiting {kind} job lacks {error}: who wrote it?") from error
    except ValidationError as error:
        raise PermanentError(f"a waiting {kind} job cannot be read: {error}") from error


def _key(*parts: str) -> str:
    key = json.dumps(parts)
    if len(key) <= KEY_LENGTH:
        return key
    return f"{parts[0]} {hashlib.sha256(key.encode()).hexdigest()}"
