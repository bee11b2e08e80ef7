"""What becomes of a job: done, tried again, or ended with a last word.

The queue performs a job at least once and knows nothing of its meaning. Here is decided how often
it is worth trying, and that whoever asks later finds out why it ended.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import NoReturn, Protocol

from service.domain import AnalyzeJob, ExpandJob, Job, PublishJob, ReconcileJob
from service.errors import (
    MoodreelError,
    NotFoundError,
    PermanentError,
    StaleTokenError,
    TransientError,
)
from service.log_context import bind
from service.metrics import JOBS

logger = logging.getLogger(__name__)


class Pipeline(Protocol):
    """What can be done with a job."""

    async def analyze(self, job: AnalyzeJob) -> None: ...

    async def publish(self, job: PublishJob) -> None: ...

    async def expand(self, job: ExpandJob) -> None: ...

    async def reconcile(self, job: ReconcileJob) -> None: ...

    async def keep_failure(self, job: Job, reason: str) -> None:
        """Keep why a job will not be tried any more, where people look for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLimits:
    """How often a job is tried.

    The pauses double: with the queue's default of 30 s at first, five attempts take 8 minutes and
    eight take an hour.
    """

    analyze: int = 5
    publish: int = 8
    """A channel that is away for an hour misses nothing. As long for a server that is asked."""
    unexpected: int = 3
    """For errors that nobody foresaw: rarely the world's fault."""


class Worker:
    """Performs jobs; its ``perform`` is what a ``JobQueue`` works with."""

    def __init__(self, pipeline: Pipeline, limits: AttemptLimits | None = None) -> None:
        self._pipeline = pipeline
        self._limits = limits or AttemptLimits()

    async def perform(self, job: Job, attempt: int) -> None:
        """Do a job for the ``attempt``-th time, counted from 1.

        Raises:
            TransientError: To be called again.
            MoodreelError: The job's end; its reason has been kept.
        """
        with bind(ref=str(job.ref)):
            await self._perform(job, attempt)

    async def _perform(self, job: Job, attempt: int) -> None:
        began_at = time.monotonic()
        try:
            await self._do(job, attempt)
        except NotFoundError as error:
            _log("job_gone", job, attempt, error)
        except StaleTokenError as error:
            _log("job_dropped", job, attempt, error)
            if isinstance(job, AnalyzeJob):
                # Who has the item may be a run that lost this job while nobody heard it, and may
                # never end. If it does, the next look finds its analysis.
                raise TransientError(str(error), costs_attempt=False) from error
        else:
            _log("job_done", job, attempt, seconds=time.monotonic() - began_at)

    async def _do(self, job: Job, attempt: int) -> None:
        limit = self._limit(job)
        if attempt > limit:
            # Its worker died in the last attempt, or could not keep the last word.
            await self._give_up(job, attempt, f"given up: {limit} attempts ended without a word")
        try:
            await self._route(job)
        except (NotFoundError, StaleTokenError):
            raise
        except TransientError as error:
            if error.costs_attempt and attempt >= min(limit, error.max_attempts or limit):
                await self._give_up(job, attempt, f"{error} (after {attempt} attempts)", error)
            # Outside the owner's hours a backlog waits all night, and says so four times a minute.
            level = logging.INFO if error.costs_attempt else logging.DEBUG
            _log("job_retried", job, attempt, error, level=level)
            raise
        except MoodreelError as error:
            await self._keep_last_word(job, attempt, str(error))
            raise
        except Exception as error:
            raise await self._after_surprise(job, attempt, error) from error

    def _limit(self, job: Job) -> int:
        return self._limits.analyze if isinstance(job, AnalyzeJob) else self._limits.publish

    async def _route(self, job: Job) -> None:
        try:
            match job:
                case AnalyzeJob():
                    await self._pipeline.analyze(job)
                case ExpandJob():
                    await self._pipeline.expand(job)
                case ReconcileJob():
                    await self._pipeline.reconcile(job)
                case PublishJob():
                    await self._pipeline.publish(job)
        except ExceptionGroup as group:
            raise _first(group) from group

    async def _after_surprise(self, job: Job, attempt: int, error: Exception) -> MoodreelError:
        """Say what follows from an error that nobody foresaw; its traceback is logged."""
        logger.error(
            "unexpected error", exc_info=error, extra=_extra("unexpected_error", job, attempt)
        )
        reason = f"unexpected {type(error).__name__}: {error}"
        if attempt < min(self._limit(job), self._limits.unexpected):
            _log("job_retried", job, attempt, reason)
            return TransientError(reason)
        reason = f"{reason} (after {attempt} attempts)"
        await self._keep_last_word(job, attempt, reason)
        return PermanentError(reason)

    async def _give_up(
        self, job: Job, attempt: int, reason: str, cause: Exception | None = None
    ) -> NoReturn:
        await self._keep_last_word(job, attempt, reason)
        raise PermanentError(reason) from cause

    async def _keep_last_word(self, job: Job, attempt: int, reason: str) -> None:
        """Keep why the job ends.

        Raises:
            TransientError: It could not be kept now; the next attempt has only this to do.
            StaleTokenError: Somebody else has the item: theirs will be the last word.
        """
        try:
            await self._pipeline.keep_failure(job, reason)
        except (TransientError, StaleTokenError):
            raise
        except Exception:
            logger.exception("last word not kept", extra=_extra("reason_lost", job, attempt))
        _log("job_failed", job, attempt, reason)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """What went wrong first in a task group: the rest was cancelled for it."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


def _log(
    action: str,
    job: Job,
    attempt: int,
    reason: object = None,
    *,
    seconds: float = 0.0,
    level: int = logging.INFO,
) -> None:
    """One line of a job's story."""
    outcome = action.removeprefix("job_")
    # What cost no attempt is told apart: a backlog that waits all night is no trouble.
    counted = "postponed" if level == logging.DEBUG else outcome
    JOBS.labels(_name(job).partition(" ")[0], counted).inc()
    logger.log(
        logging.WARNING if action == "job_failed" else level,
        "%s %s: %s%s",
        _name(job),
        job.ref,
        outcome,
        f" ({reason})" if reason else "",
        extra=_extra(action, job, attempt) | {"seconds": round(seconds, 3)},
    )


def _extra(action: str, job: Job, attempt: int) -> dict[str, object]:
    return {"action": action, "job": _name(job), "ref": str(job.ref), "attempt": attempt}


def _name(job: Job) -> str:
    match job:
        case PublishJob():
            return f"publish to {job.channel}"
        case ExpandJob():
            return "expand"
        case ReconcileJob():
            return "reconcile"
    return "analyze"
