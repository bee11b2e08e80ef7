"""The queue behind the port ``JobQueue``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from adapters.queue.consumer import Consumer
from adapters.queue.errors import translated
from adapters.queue.rows import to_rows
from adapters.queue.schema import USE_SCHEMA, apply_schema
from adapters.queue.settings import QueueSettings
from adapters.queue.table import JobTable, Pool
from service.domain import Backlog, FailedJob, Job, Pace, RunningJob
from service.errors import ConfigurationError, TransientError
from service.ports import Perform

CONNECT_TIMEOUT_S = 10
PATIENCE_S = 5.0
"""How long a webhook may wait for the database before it is told to come again."""
POOL_SIZE = 8
"""Connections at most: taking, settling and signs of life of one worker, and webhooks."""
RECONNECT_S = 5.0
"""After that, the next caller starts afresh: the pool's own pauses double without end."""
CONNECTION: dict[str, Any] = {
    "autocommit": True,  # two round trips fewer for each of the many single statements
    "prepare_threshold": None,  # a pooler may hand the session to another client
    "connect_timeout": CONNECT_TIMEOUT_S,
    "application_name": "moodreel-queue",  # by which a restore knows that somebody works there
    # A server that vanished is noticed after half a minute, not after the kernel's two hours.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
NOTICE_OUR_END = """
set tcp_keepalives_idle = 15;
set tcp_keepalives_interval = 5;
set tcp_keepalives_count = 3;
set tcp_user_timeout = '30s';
set idle_in_transaction_session_timeout = '60s'
"""
"""The server notices as soon when our host vanishes. Else it holds for two hours what a transaction
had locked: a job, or the right to enqueue that all batches wait for. The last line is for a process
that was stopped: its host still answers."""


class ProcrastinateQueue:
    """Jobs in procrastinate's tables, in the schema ``procrastinate`` of a Postgres database.

    The connection must keep its session: direct, or through a pooler in session mode.
    """

    def __init__(self, pool: Pool, settings: QueueSettings) -> None:
        self._pool = pool
        self._settings = settings
        self._table = JobTable(pool)

    @classmethod
    async def open(cls, dsn: str, settings: QueueSettings | None = None) -> Self:
        """Connect, and bring the tables up to date.

        Raises:
            ConfigurationError: The address or the database cannot be used.
            TransientError: The database does not answer.
        """
        _check(dsn)
        settings = settings or QueueSettings.read()
        with translated("open the queue's database"):
            connection = await psycopg.AsyncConnection.connect(dsn, **CONNECTION)
            async with connection:
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT_S):
                        await _check_session(connection, dsn)
                except TimeoutError as error:
                    raise TransientError(
                        f"queue: the database gave no second session in {CONNECT_TIMEOUT_S} s"
                    ) from error
                await connection.execute(NOTICE_OUR_END)
                await apply_schema(connection)
            pool: Pool = AsyncConnectionPool(
                dsn,
                open=False,
                min_size=1,
                max_size=POOL_SIZE,
                timeout=PATIENCE_S,
                reconnect_timeout=RECONNECT_S,
                check=AsyncConnectionPool.check_connection,
                configure=_configure,
                kwargs=CONNECTION | {"row_factory": dict_row},
                name="queue",
            )
            await pool.open(wait=True, timeout=CONNECT_TIMEOUT_S)
        return cls(pool, settings)

    async def enqueue(self, jobs: Sequence[Job]) -> int:
        """Commit jobs; an equal one that waits already is not doubled. Returns how many are new.

        An equal one that waits gets the higher priority and the earlier time, and every flag that
        either has; a pause before its next attempt stays.
        """
        rows = to_rows(jobs)
        return await self._table.add(rows) if rows else 0

    async def work(self, perform: Perform, *, concurrency: int, stop: asyncio.Event) -> None:
        """Take jobs and perform them until told to stop; then finish or hand back by a deadline.

        A job that is handed back has lost no attempt; one whose worker died has.
        """
        await Consumer(self._pool, self._settings, perform, stop).consume(concurrency)

    async def counts(self) -> Mapping[str, int]:
        """Jobs by state: waiting, running, failed, done."""
        return await self._table.counts()

    async def backlog(self) -> Sequence[Backlog]:
        """What is there of each kind of job, and for how long; all kinds, those of none too."""
        return await self._table.backlog()

    async def running(self) -> Sequence[RunningJob]:
        """What is being done now, what began first first."""
        return await self._table.running()

    async def pace(self, *, over_s: float) -> Sequence[Pace]:
        """How many jobs ended lately, by kind."""
        return await self._table.pace(over_s)

    async def failures(self, *, limit: int = 100) -> Sequence[FailedJob]:
        """Jobs that failed and why, the latest first."""
        return await self._table.failures(limit)

    async def aclose(self) -> None:
        await self._pool.close()


async def _check_session(connection: psycopg.AsyncConnection[tuple[Any, ...]], dsn: str) -> None:
    """See that nobody else is given our session between two statements.

    Raises:
        ConfigurationError: A pooler does so; listening and locks would fail without a word.
    """
    connect = psycopg.AsyncConnection[tuple[Any, ...]].connect
    async with await connect(dsn, **CONNECTION) as other:
        before = await (await connection.execute("select pg_backend_pid()")).fetchone()
        async with other.transaction():
            await other.execute("select 1")  # takes the session that we used last, if it may
            after = await (await connection.execute("select pg_backend_pid()")).fetchone()
    if before != after:
        raise ConfigurationError(
            "DATABASE_URL leads through a pooler in transaction mode, which breaks the queue: take "
            "the direct connection, or a pooler in session mode (Supabase's: port 5432, not 6543)"
        )


async def _configure(connection: psycopg.AsyncConnection[object]) -> None:
    await connection.execute(f"{USE_SCHEMA};{NOTICE_OUR_END}")


def _check(dsn: str) -> None:
    """Raises ConfigurationError. Its cause is left out: it quotes the address with its password."""
    try:
        conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            "the address of the queue's database (DATABASE_URL) is neither a postgresql:// URL "
            "nor a list of key=value"
        ) from None
