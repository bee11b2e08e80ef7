"""Taking jobs and doing them: procrastinate's worker, supervised."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import tenacity
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.jobs import Job as TakenJob
from procrastinate.worker import Worker

from adapters.queue.manager import SteadyJobManager
from adapters.queue.rows import KINDS, to_job
from adapters.queue.settings import QueueSettings
from adapters.queue.table import JobTable, Pool, Run
from service.domain import Json
from service.errors import MoodreelError, TransientError
from service.log_context import bind
from service.ports import Perform

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LONGEST_RETRY_AFTER_S = 24 * 3600.0  # whoever asks for more is not to be believed
PRUNE_EVERY_S = 600.0
MESSAGE_LENGTH = 1000

Settle = Callable[[Run], Awaitable[bool]]


class Consumer:
    """Takes jobs and has them performed, until it is told to stop."""

    def __init__(
        self, pool: Pool, settings: QueueSettings, perform: Perform, stop: asyncio.Event
    ) -> None:
        connector = PsycopgConnector()
        self._pool = pool
        self._settings = settings
        self._perform = perform
        self._stop = stop
        self._table = JobTable(pool)
        self._manager = SteadyJobManager(connector, self._table, settings, self._end)
        self._performing: dict[Run, asyncio.Task[None]] = {}
        self._app = App(connector=connector)
        self._app.job_manager = self._manager
        for kind in KINDS:
            self._app.task(name=kind, pass_context=True)(self._run)

    async def consume(self, concurrency: int) -> None:
        """Work; return when stopped and nothing is running any more."""
        await self._app.open_async(self._pool)
        async with asyncio.TaskGroup() as tasks:
            caretakers = [
                tasks.create_task(self._every(self._settings.heartbeat_s, self._manager.rescue)),
                tasks.create_task(self._every(PRUNE_EVERY_S, self._prune)),
            ]
            try:
                await self._supervise(concurrency)
            finally:
                for caretaker in caretakers:
                    caretaker.cancel()

    async def _supervise(self, concurrency: int) -> None:
        """Start a worker, and another whenever it ends before it was told to."""
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            worker = self._make_worker(concurrency)
            began_at = time.monotonic()
            stopper = asyncio.create_task(self._stop_when_told(worker))
            try:
                await worker.run()  # type: ignore[no-untyped-call]  # procrastinate leaves it bare
            except Exception:
                logger.exception("worker failed", extra={"action": "worker_failed"})
            finally:
                stopper.cancel()
            _respect_cancellation()
            if self._stop.is_set():
                return
            if time.monotonic() - began_at > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            logger.warning("worker ended, another starts", extra={"action": "worker_restarted"})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _make_worker(self, concurrency: int) -> Worker:
        return Worker(
            self._app,
            concurrency=concurrency,
            fetch_job_polling_interval=self._settings.poll_s,
            update_heartbeat_interval=self._settings.heartbeat_s,
            stalled_worker_timeout=self._settings.stalled_after_s,
            shutdown_graceful_timeout=self._settings.drain_s,
            install_signal_handlers=False,
        )

    async def _stop_when_told(self, worker: Worker) -> None:
        await self._stop.wait()
        worker.stop()  # type: ignore[no-untyped-call]  # likewise

    async def _every(self, seconds: float, care: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await care()
            except MoodreelError as error:
                logger.warning("%s", error, extra={"action": "care_failed"})
            _respect_cancellation()
            await asyncio.sleep(seconds)

    async def _prune(self) -> None:
        await self._table.prune(["succeeded"], age_s=self._settings.keep_done_h * 3600)
        await self._table.prune(
            ["failed", "cancelled", "aborted"], age_s=self._settings.keep_failed_d * 86400
        )

    async def _run(self, context: JobContext, /, **args: object) -> None:
        """Do one job and settle it; all that is logged meanwhile carries its id."""
        run = Run(context.job.id or 0, context.job.attempts)
        with bind(job_id=run.job_id):
            await self._do(run, context.job, args)

    async def _do(self, run: Run, taken: TakenJob, args: Json) -> None:
        """A run that we cancel was not the job's fault: no cost."""
        try:
            job = to_job(taken.task_name, taken.priority, args)
            performing = asyncio.ensure_future(self._perform(job, run.attempts + 1))
            self._performing[run] = performing
            await performing
        except asyncio.CancelledError:
            if _is_cancelled():
                await self._settle(run, lambda run: self._table.wait_again(run, cost=0))
            else:
                await self._try_again(run, TransientError("something within it was cancelled"))
            raise
        except TransientError as error:
            await self._try_again(run, error)
        except Exception as error:  # noqa: BLE001  any other error is the job's end (ports.Perform)
            reason = _describe(error)
            await self._settle(run, lambda run: self._table.fail(run, reason))
        else:
            await self._settle(run, self._table.finish)
        finally:
            self._performing.pop(run, None)

    def _end(self, run: Run) -> None:
        """Leave a job that was given away to whoever has it now."""
        performing = self._performing.get(run)
        if performing is not None and not performing.done():
            logger.warning("job was given away while we did it", extra=_extra("ended", run))
            performing.cancel()

    async def _try_again(self, run: Run, error: TransientError) -> None:
        delay_s = self._delay_s(error, run.attempts + 1)
        reason = _describe(error)
        cost = int(error.costs_attempt)
        await self._settle(
            run, lambda run: self._table.wait_again(run, cost=cost, delay_s=delay_s, error=reason)
        )

    async def _settle(self, run: Run, settle: Settle) -> None:
        """Note how a run ended, even if this task is cancelled meanwhile."""
        settling = asyncio.create_task(self._settle_steadily(run, settle))
        try:
            await asyncio.shield(settling)
        except asyncio.CancelledError:
            await settling
            raise

    async def _settle_steadily(self, run: Run, settle: Settle) -> None:
        """Try until the database is back, or until the job has been given away anyway.

        Somebody who wants to stop does not wait for that: the job is done again.
        """
        try:
            async for attempt in tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception_type(TransientError),
                wait=tenacity.wait_exponential(multiplier=0.1, max=5.0),
                stop=self._is_enough,
                reraise=True,
            ):
                with attempt:
                    is_ours = await settle(run)
        except TransientError:
            logger.exception("job not settled: it will be done again", extra=_extra("lost", run))
        else:
            if not is_ours:
                logger.warning("job was taken over by another worker", extra=_extra("stale", run))
        finally:
            self._manager.let_go(run)

    def _is_enough(self, trying: tenacity.RetryCallState) -> bool:
        settings = self._settings
        patience_s = settings.drain_s if self._stop.is_set() else settings.stalled_after_s
        return (trying.seconds_since_start or 0.0) > patience_s

    def _delay_s(self, error: TransientError, attempt: int) -> float:
        """When to try again: as the other side asked, or later each time with jitter."""
        if error.retry_after_s is not None:
            return min(max(error.retry_after_s, 0.0), LONGEST_RETRY_AFTER_S)
        delay_s = self._settings.retry_base_s * 2.0 ** min(attempt - 1, 32)
        return min(delay_s, self._settings.retry_max_s) * random.uniform(0.8, 1.2)  # noqa: S311  no secret


def _respect_cancellation() -> None:
    """Go on being cancelled: a pool or a query that is cut off in the middle may swallow it."""
    if _is_cancelled():
        raise asyncio.CancelledError


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _describe(error: Exception) -> Json:
    """The error as the table keeps it: Postgres stores neither NUL nor half characters."""
    message = str(error).replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return {"type": type(error).__name__, "message": message[:MESSAGE_LENGTH]}


def _extra(what: str, run: Run) -> dict[str, object]:
    return {"action": f"job_{what}", "job_id": run.job_id, "attempt": run.attempts + 1}
