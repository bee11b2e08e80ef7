"""What we ask of procrastinate's table beyond what procrastinate does.

A run of a job is fenced by the attempt it began with: once the job was taken away (its worker was
silent for too long), the old run's word about it counts no more. procrastinate settles by the job's
id alone: there, a late finish ends the run of whoever has the job now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import LiteralString

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from adapters.queue.errors import translated
from adapters.queue.rows import JobRow, merge_flags
from service.domain import Json

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]

BATCH_LOCK_KEY = 0x4D52_4241  # "MRBA": batches go one after the other, so they cannot deadlock
PRUNE_LIMIT = 10_000  # rows per look, so that no transaction is long

ADD: LiteralString = """
insert into procrastinate_jobs as waiting
    (queue_name, task_name, priority, lock, queueing_lock, args)
select 'moodreel', job->>'kind', (job->>'priority')::int, job->>'lock', job->>'equality',
       job->'args'
  from jsonb_array_elements(%(jobs)s) with ordinality as jobs (job, number)
 order by number
on conflict (queueing_lock) where status = 'todo' do update
   set priority = greatest(waiting.priority, excluded.priority),
       args = waiting.args || jsonb_strip_nulls(jsonb_build_object(
           'announce', (waiting.args->>'announce')::bool or (excluded.args->>'announce')::bool,
           'force', (waiting.args->>'force')::bool or (excluded.args->>'force')::bool))
 where excluded.priority > waiting.priority
    or (excluded.args @> '{"announce": true}' and waiting.args @> '{"announce": false}')
    or (excluded.args @> '{"force": true}' and waiting.args @> '{"force": false}')
returning (xmax = 0) as is_new  -- a row that was updated carries our transaction in xmax
"""

FINISH: LiteralString = """
update procrastinate_jobs
   set status = 'succeeded', attempts = attempts + 1, abort_requested = false
 where id = %(id)s and status = 'doing' and attempts = %(attempts)s
returning id
"""

FAIL: LiteralString = """
update procrastinate_jobs
   set status = 'failed', attempts = attempts + 1, abort_requested = false,
       args = args || jsonb_build_object('error', %(error)s::jsonb)
 where id = %(id)s and status = 'doing' and attempts = %(attempts)s
returning id
"""

HOLD: LiteralString = """
select queueing_lock, args, priority
  from procrastinate_jobs
 where id = %(id)s and status = 'doing' and attempts = %(attempts)s
   for update
"""

TAKE_TWIN: LiteralString = """
delete from procrastinate_jobs
 where queueing_lock = %(equality)s and status = 'todo'
returning args, priority
"""

WAIT_AGAIN: LiteralString = """
update procrastinate_jobs
   set status = 'todo', worker_id = null, abort_requested = false,
       attempts = attempts + %(cost)s,
       scheduled_at = now() + make_interval(secs => %(delay_s)s),
       priority = %(priority)s,
       args = %(args)s
 where id = %(id)s
"""

BEAT: LiteralString = """
insert into procrastinate_workers (id, last_heartbeat) overriding system value
values (%(worker_id)s, now())
on conflict (id) do update set last_heartbeat = excluded.last_heartbeat
"""

STALLED: LiteralString = """
select job.id, job.attempts
  from procrastinate_jobs job
  left join procrastinate_workers worker on worker.id = job.worker_id
 where job.status = 'doing'
   and job.id <> all(%(running)s::bigint[])
   and (worker.id is null
        or worker.id = %(worker_id)s
        or worker.last_heartbeat < now() - make_interval(secs => %(stalled_after_s)s))
"""

PRUNE: LiteralString = """
delete from procrastinate_jobs
 where id in (
    select job.id
      from procrastinate_jobs job
      join procrastinate_events event on event.job_id = job.id
     where job.status = any(%(states)s::procrastinate_job_status[])
       and event.type::text = job.status::text
       and event.at < now() - make_interval(secs => %(age_s)s)
     limit %(limit)s)
"""

COUNT: LiteralString = "select status::text, count(*) from procrastinate_jobs group by status"

FAILURES: LiteralString = """
select job.id, job.task_name, job.attempts, job.args, max(event.at) as failed_at
  from procrastinate_jobs job
  join procrastinate_events event on event.job_id = job.id and event.type = 'failed'
 where job.status = 'failed'
 group by job.id
 order by max(event.at) desc
 limit %(limit)s
"""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedJob:
    """A job that ended badly."""

    kind: str
    ref: str
    """``server/item_id``, empty where the job was not understood."""
    attempts: int
    error: str
    """Type of the error."""
    message: str
    failed_at: datetime


class JobTable:
    """The rows, and what may be done to them.

    Raises ``TransientError`` where the database is away, ``PermanentError`` where it cannot hold
    what it was given, and ``ConfigurationError`` where it is not what we expect.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, rows: Sequence[JobRow]) -> int:
        """Commit jobs of different equality. Returns how many did not wait already."""
        jobs = Jsonb([asdict(row) for row in rows])
        with translated(f"enqueue {len(rows)} jobs"):
            async with self._pool.connection() as connection:
                if len(rows) > 1:
                    await connection.execute("select pg_advisory_xact_lock(%s)", (BATCH_LOCK_KEY,))
                cursor = await connection.execute(ADD, {"jobs": jobs})
                return sum(row["is_new"] for row in await cursor.fetchall())

    async def finish(self, run: Run) -> bool:
        """Settle a job as done. False when the run has lost it."""
        return await self._settle(FINISH, run)

    async def fail(self, run: Run, error: Json) -> bool:
        """Settle a job as failed. False when the run has lost it."""
        return await self._settle(FAIL, run, error=Jsonb(error))

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
            async with self._pool.connection() as connection:
                values = {"id": run.job_id, "attempts": run.attempts}
                held = await (await connection.execute(HOLD, values)).fetchone()
                if held is None:
                    return False
                cursor = await connection.execute(TAKE_TWIN, {"equality": held["queueing_lock"]})
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
                await connection.execute(WAIT_AGAIN, update)
                return True

    async def beat(self, worker_id: int) -> None:
        """Say that a worker lives; a worker that was forgotten meanwhile is known again."""
        with translated("give a sign of life"):
            async with self._pool.connection() as connection:
                await connection.execute(BEAT, {"worker_id": worker_id})

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
                cursor = await connection.execute(STALLED, values)
                return [Run(row["id"], row["attempts"]) for row in await cursor.fetchall()]

    async def prune(self, states: Sequence[str], *, age_s: float) -> None:
        """Forget jobs that ended in one of these states longer ago than that."""
        values = {"states": list(states), "age_s": age_s, "limit": PRUNE_LIMIT}
        with translated("forget old jobs"):
            async with self._pool.connection() as connection:
                await connection.execute(PRUNE, values)

    async def counts(self) -> Mapping[str, int]:
        counts = dict.fromkeys(("waiting", "running", "failed", "done"), 0)
        with translated("count jobs"):
            async with self._pool.connection() as connection:
                for row in await (await connection.execute(COUNT)).fetchall():
                    counts[STATES[row["status"]]] += row["count"]
        return counts

    async def failures(self, limit: int) -> list[FailedJob]:
        """The latest first."""
        with translated("list failed jobs"):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(FAILURES, {"limit": limit})
                return [_failed(row) for row in await cursor.fetchall()]


def _failed(row: DictRow) -> FailedJob:
    args: Json = row["args"]
    error = args.get("error", {})
    return FailedJob(
        kind=row["task_name"],
        ref=f"{args['server']}/{args['item_id']}" if "item_id" in args else "",
        attempts=row["attempts"],
        error=error.get("type", ""),
        message=error.get("message", ""),
        failed_at=row["failed_at"],
    )
