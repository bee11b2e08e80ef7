"""A job whose answer the network kept until somebody else had the job is not begun."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Job as TakenJob
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from adapters.queue.manager import SteadyJobManager
from adapters.queue.table import JobTable, Pool, Run
from service.domain import AnalyzeJob, ItemRef
from tests.support.queue_worker import QUICK, opened

JOB = AnalyzeJob(ref=ItemRef(server="folder", item_id="film"))
SETTINGS = QUICK.model_copy(update={"heartbeat_s": 0.001})
"""Whatever waits for this test is late."""
GIVE_AWAY = """
update procrastinate.procrastinate_jobs set attempts = attempts + 1 where status = 'doing'
"""
"""As a rescue and another worker do: the job runs, for the second time."""


class LateConnector(PsycopgConnector):
    """Keeps the first job that it took until it may hand it over."""

    def __init__(self) -> None:
        super().__init__()
        self.has_job = asyncio.Event()
        self.may_tell = asyncio.Event()

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await super().execute_query_one_async(query, **arguments)
        if answer.get("task_name"):
            self.has_job.set()
            await self.may_tell.wait()
        return answer


@asynccontextmanager
async def pool_of(dsn: str) -> AsyncIterator[Pool]:
    pool: Pool = AsyncConnectionPool(
        dsn,
        open=False,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "options": "-c search_path=procrastinate,pg_catalog",
        },
    )
    async with pool:
        yield pool


async def take(dsn: str, meanwhile: str) -> TakenJob | None:
    """Take the job; between the database's answer and its arrival, this is done."""
    connector = LateConnector()
    async with opened(dsn) as queue, pool_of(dsn) as pool, asyncio.timeout(60.0):
        await queue.enqueue([JOB])
        await App(connector=connector).open_async(pool)
        ended: list[Run] = []
        manager = SteadyJobManager(connector, JobTable(pool), SETTINGS, ended.append)
        taking = asyncio.create_task(manager.fetch_job(None, await manager.register_worker()))
        await connector.has_job.wait()
        with psycopg.connect(dsn) as database:
            database.execute(meanwhile.encode())
        connector.may_tell.set()
        return await taking


async def test_a_job_that_was_given_away_meanwhile_is_not_begun(database_dsn: str):
    assert await take(database_dsn, meanwhile=GIVE_AWAY) is None


async def test_a_job_that_is_ours_is_begun_however_late(database_dsn: str):
    taken = await take(database_dsn, meanwhile="select 1")
    assert taken is not None
    assert taken.task_kwargs["item_id"] == JOB.ref.item_id
