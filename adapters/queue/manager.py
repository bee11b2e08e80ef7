"""procrastinate's job manager, made to outlive the database and to know what it runs.

procrastinate 3.10's worker ends its heartbeats, silently, at the first error of the database, and
from then on its jobs look abandoned while it still runs them; a job that was taken in a transaction
whose answer got lost stays taken for ever; a wake-up that comes while it looks for jobs is lost;
and it settles jobs without a fence. The manager is the seam where all of them can be put right.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job as TakenJob
from procrastinate.jobs import Notification, Status
from procrastinate.manager import JobManager, NotificationCallback
from procrastinate.psycopg_connector import PsycopgConnector

from adapters.queue.rows import KINDS
from adapters.queue.settings import QueueSettings
from adapters.queue.table import NEW_JOBS, JobTable, Run
from service.domain import Json
from service.errors import TransientError

logger = logging.getLogger(__name__)

NEWS: Notification = {"type": "job_inserted", "job_id": 0}
"""The worker asks only for the type."""


class SteadyJobManager(JobManager):
    """What procrastinate's worker asks of the database."""

    def __init__(
        self,
        connector: PsycopgConnector,
        table: JobTable,
        settings: QueueSettings,
        end: Callable[[Run], None],
    ) -> None:
        super().__init__(connector)
        self._table = table
        self._settings = settings
        self._end = end
        self._worker_id: int | None = None
        self._running: set[Run] = set()
        self._taking = asyncio.Lock()
        self._news_count = 0

    async def register_worker(self) -> int:
        self._worker_id = await super().register_worker()
        return self._worker_id

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> TakenJob | None:
        """Take a job; none while the database is away: the worker looks again after a while."""
        async with self._taking:
            try:
                job = await self._look(queues, worker_id)
            except (ConnectorException, TransientError) as error:
                logger.warning(
                    "could not look for jobs: %s",
                    error.__cause__,
                    extra={"action": "fetch_failed"},
                )
                return None
            if job is not None:
                self._running.add(_run_of(job))
            return job

    async def _look(self, queues: Iterable[str] | None, worker_id: int) -> TakenJob | None:
        """Look again if a job came in while we looked: the worker forgets that it was woken."""
        while True:
            news_count, began_at = self._news_count, time.monotonic()
            job = await super().fetch_job(queues, worker_id)
            is_late = time.monotonic() - began_at > self._settings.heartbeat_s
            if job is not None and is_late and await self._table.lost([_run_of(job)]):
                continue  # the network kept the answer until the job had been given away
            if job is not None or news_count == self._news_count:
                return job

    async def finish_job(self, job: TakenJob, status: Status, delete_job: bool) -> None:  # noqa: ARG002  procrastinate's signature
        """Settle a job of a kind that this version does not know; known kinds settle themselves.

        One that did not is let go: the next rescue finds it.
        """
        run = _run_of(job)
        try:
            if job.task_name not in KINDS:
                await self._table.fail(run, _unknown(job.task_name))
        except TransientError as error:
            logger.warning("%s", error, extra={"action": "job_lost", "job_id": run.job_id})
        finally:
            self.let_go(run)

    def let_go(self, run: Run) -> None:
        """Note that a run has ended, settled or not."""
        self._running.discard(run)

    async def list_jobs_to_abort_async(self, queue: str | None = None) -> Iterable[int]:  # noqa: ARG002  procrastinate's signature
        """None: a job ends by itself, or is handed back when its worker stops."""
        return ()

    async def update_heartbeat(self, worker_id: int) -> None:
        """Say that the worker lives. A missed beat is made up for by the next one."""
        try:
            await self._table.beat(worker_id)
        except TransientError as error:
            logger.warning("%s", error, extra={"action": "heartbeat_failed"})

    async def listen_for_jobs(
        self,
        *,
        on_notification: NotificationCallback,
        queues: Iterable[str] | None = None,  # noqa: ARG002  procrastinate's signature
    ) -> None:
        """Listen for new jobs, again whenever the connection broke."""

        async def wake() -> None:
            self._news_count += 1
            await on_notification(channel=NEW_JOBS, notification=NEWS)

        while True:
            try:
                await self._table.listen(wake)
            except TransientError as error:
                logger.warning("%s", error, extra={"action": "listen_failed"})
            await asyncio.sleep(self._settings.poll_s)

    async def rescue(self) -> None:
        """Let the jobs of dead workers, and those that got lost on the way to us, wait again.

        Our own sign of life comes first: after a pause (a suspended machine, a blocked loop) our
        running jobs would look abandoned. What was given away while nobody heard us ends here.
        """
        if self._worker_id is not None:
            await self._table.beat(self._worker_id)
        if self._running:
            for run in await self._table.lost(self._running):
                self._end(run)
        async with self._taking:  # a job that is being taken right now is not lost
            stalled = await self._table.stalled(
                worker_id=self._worker_id,
                running=[run.job_id for run in self._running],
                stalled_after_s=self._settings.stalled_after_s,
            )
        error = {"type": "StalledError", "message": "the worker that had the job fell silent"}
        for run in stalled:
            if await self._table.wait_again(run, error=error):
                logger.warning("job rescued", extra={"action": "job_rescued", "job_id": run.job_id})


def _unknown(kind: str) -> Json:
    message = f"this version of Moodreel has no job {kind!r}"
    return {"type": "UnknownJobError", "message": message}


def _run_of(job: TakenJob) -> Run:
    assert job.id is not None  # noqa: S101  it came from the table
    return Run(job.id, job.attempts)
