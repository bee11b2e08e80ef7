"""What we ask of procrastinate's table beyond what procrastinate does.

A run of a job is fenced by the attempt it began with: once the job was taken away (its worker was
silent for too long), the old run's word about it counts no more. procrastinate settles by the job's
id alone: there, a late finish ends the run of whoever has the job now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import LiteralString

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from adapters.queue import statements
from adapters.queue.errors import translated
from adapters.queue.rows import KINDS, JobRow, merge_flags
from service.domain import Backlog, FailedJob, Json, Pace, RunningJob

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]

BATCH_LOCK_KEY = 0x4D52_4241  # "MRBA": batches go one after the other, so they cannot deadlock
LARGE_BATCH = 500
"""So many jobs surprise the planner, and taking one costs 6 ms instead of 0.6 (3,000 waiting) until
autovacuum has looked; to look ourselves costs about 20 ms."""
PRUNE_LIMIT = 10_000  # rows per look, so that no transaction is long

LISTEN_S = 30.0
NEW_JOBS = "procrastinate_any_queue_v1"

STATES = {
    "todo": "waiting",
    "doing": "running",
    "succeeded": "done",
    "failed": "failed",
    # Only procrastinate's own tools put a job into these: it will not be done.
    "cancelled": "failed",
    "aborted": "failed",
    "aborting": "failed",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One taking of a job."""

    job_id: int
    attempts: int
    """How many there were before."""


class JobTable:
    """The rows, and what may be done to them.

    Raises ``TransientError`` where the database is away, ``PermanentError`` where it cannot hold
    what it was given, and ``ConfigurationError`` where it is not what we expect.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known_count = self._unknown_count = 0
        """Jobs that were there when the planner last looked, and those that came since."""

    async def add(self, rows: Sequence[JobRow]) -> int:
        """Commit jobs of different equality. Returns how many did not wait already."""
        jobs = {"jobs": Jsonb([asdict(row) for row in rows])}
        with translated(f"enqueue {len(rows)} jobs"):
            async with self._pool.connection() as connection:
                if len(rows) == 1:
                    cursor = await connection.execute(statements.ADD, jobs)
                else:
                    async with connection.transaction():
                        await connection.execute(
                            "select pg_advisory_xact_lock(%s)", (BATCH_LOCK_KEY,)
                        )
                        cursor = await connection.execute(statements.ADD, jobs)
                new_count = sum(bool(row["is_new"]) for row in await cursor.fetchall())
                await self._tell_planner(connection, new_count)
                return new_count

    async def _tell_planner(self, connection: AsyncConnection[DictRow], new_count: int) -> None:
        """Have the table looked at when what came in since is much of what was there then."""
        self._unknown_count += new_count
        if self._unknown_count >= max(LARGE_BATCH, self._known_count // 2):
            await connection.execute("analyze procrastinate_jobs")
            self._known_count += self._unknown_count
            self._unknown_count = 0

    async def finish(self, run: Run) -> bool:
        """Settle a job as done. False when the run has lost it."""
        return await self._settle(statements.FINISH, run)

    async def fail(self, run: Run, error: Json) -> bool:
        """Settle a job as failed. False when the run has lost it."""
        return await self._settle(statements.FAIL, run, error=Jsonb(error))

    async def _settle(self, statement: LiteralString, run: Run, **values: object) -> bool:
        with translated(f"settle job {run.job_id}"):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(
                    statement, {"id": run.job_id, "attempts": run.attempts, **values}
                )
                return await cursor.fetchone() is not None

    async def wait_again(
        self, run: Run, *, delay_s: float = 0.0, cost: int = 1, error: Json | None = None
    ) -> bool:
        """Let a running job wait again. False when the run has lost it.

        An equal job that came in meanwhile is merged into this one: two of them may not wait, and
        procrastinate would leave this one running for ever instead.

        Args:
            run: The run that is over.
            delay_s: How long the job has to wait at least.
            cost: How many attempts the run counts for.
            error: Why.
        """
        with translated(f"let job {run.job_id} wait again"):
            async with self._pool.connection() as connection, connection.transaction():
                values = {"id": run.job_id, "attempts": run.attempts}
                held = await (await connection.execute(statements.HOLD, values)).fetchone()
                if held is None:
                    return False
                cursor = await connection.execute(
                    statements.TAKE_TWIN, {"equality": held["queueing_lock"]}
                )
                twin = await cursor.fetchone() or {"args": {}, "priority": held["priority"]}
                args = merge_flags(held["args"], twin["args"])
                if error is not None:
                    args["error"] = error
                update = {
                    "id": run.job_id,
                    "cost": cost,
                    "delay_s": delay_s,
                    "priority": max(held["priority"], twin["priority"]),
                    "args": Jsonb(args),
                }
                await connection.execute(statements.WAIT_AGAIN, update)
                return True

    async def beat(self, worker_id: int) -> None:
        """Say that a worker lives; a worker that was forgotten meanwhile is known again."""
        with translated("give a sign of life"):
            async with self._pool.connection() as connection:
                await connection.execute(statements.BEAT, {"worker_id": worker_id})

    async def listen(self, wake: Callable[[], Awaitable[None]]) -> None:
        """Wake the caller at every new job, and once at first, for those that came before."""
        with translated("listen for new jobs"):
            async with self._pool.connection() as connection:
                try:
                    await connection.execute(statements.LISTEN)
                    await wake()
                    while True:
                        async for _job in connection.notifies(timeout=LISTEN_S):
                            await wake()
                        await connection.execute("select 1")  # is anybody there?
                finally:
                    if not connection.closed:
                        await connection.execute("unlisten *")

    async def lost(self, runs: Collection[Run]) -> list[Run]:
        """Those of these runs whose jobs were given away."""
        values = {"ids": [run.job_id for run in runs], "attempts": [run.attempts for run in runs]}
        with translated("look after the running jobs"):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statements.LOST, values)
                return [Run(row["id"], row["attempts"]) for row in await cursor.fetchall()]

    async def stalled(
        self, *, worker_id: int | None, running: Collection[int], stalled_after_s: float
    ) -> list[Run]:
        """Runs that nobody is at.

        Args:
            worker_id: Who asks. What the table says it runs, but is not in ``running``, is stalled:
                the database took the job for it, and then the connection broke.
            running: Ids of the jobs that it is at.
            stalled_after_s: How long a worker may be silent.
        """
        values = {
            "worker_id": worker_id,
            "running": list(running),
            "stalled_after_s": stalled_after_s,
        }
        with translated("look for stalled jobs"):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statements.STALLED, values)
                return [Run(row["id"], row["attempts"]) for row in await cursor.fetchall()]

    async def prune(self, states: Sequence[str], *, age_s: float) -> None:
        """Forget jobs that ended in one of these states longer ago than that."""
        values = {"states": list(states), "age_s": age_s, "limit": PRUNE_LIMIT}
        with translated("forget old jobs"):
            async with self._pool.connection() as connection:
                await connection.execute(statements.PRUNE, values)

    async def counts(self) -> Mapping[str, int]:
        counts = dict.fromkeys(("waiting", "running", "failed", "done"), 0)
        with translated("count jobs"):
            async with self._pool.connection() as connection:
                for row in await (await connection.execute(statements.COUNT)).fetchall():
                    counts[STATES[row["status"]]] += row["count"]
        return counts

    async def backlog(self) -> list[Backlog]:
        """By kind."""
        with translated("look at the backlog"):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statements.BACKLOG, {"kinds": list(KINDS)})
                return [Backlog(**row) for row in await cursor.fetchall()]

    async def running(self) -> list[RunningJob]:
        """Those that began first first."""
        with translated("look at running jobs"):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statements.RUNNING)
                return [_running(row) for row in await cursor.fetchall()]

    async def pace(self, over_s: float) -> list[Pace]:
        """By kind; none of kinds of which no job ended."""
        with translated("look at what was done"):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statements.PACE, {"over_s": over_s})
                return [Pace(**row) for row in await cursor.fetchall()]

    async def failures(self, limit: int) -> list[FailedJob]:
        """The latest first."""
        with translated("list failed jobs"):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statements.FAILURES, {"limit": limit})
                return [_failed(row) for row in await cursor.fetchall()]


def _running(row: DictRow) -> RunningJob:
    return RunningJob(
        kind=row["task_name"],
        ref=_ref(row["args"]),
        attempt=row["attempts"] + 1,
        since_s=max(row["since_s"] or 0.0, 0.0),
    )


def _failed(row: DictRow) -> FailedJob:
    args: Json = row["args"]
    error = args.get("error", {})
    return FailedJob(
        kind=row["task_name"],
        ref=_ref(args),
        attempts=row["attempts"],
        error=error.get("type", ""),
        message=error.get("message", ""),
        failed_at=row["failed_at"],
        is_made_good=row["is_made_good"],
    )


def _ref(args: Json) -> str:
    return f"{args['server']}/{args['item_id']}" if "item_id" in args else ""
