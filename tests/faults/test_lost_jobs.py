"""A worker that nobody heard for a while, and whose job went to another meanwhile, leaves it."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from service.domain import AnalyzeJob, ItemRef, Job
from tests.support.queue_worker import opened, until, working

JOB = AnalyzeJob(ref=ItemRef(server="folder", item_id="kept-back"))
GIVE_AWAY = """
insert into procrastinate.procrastinate_workers (id, last_heartbeat) overriding system value
values (99, now() + interval '1 hour');
update procrastinate.procrastinate_jobs set attempts = attempts + 1, worker_id = 99
 where status = 'doing'
"""
"""As a rescue and another worker do between two signs of life: the job runs, in its second run."""


async def test_what_is_done_of_a_job_ends_when_it_was_given_away(
    database_dsn: str, caplog: pytest.LogCaptureFixture
):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def perform(_: Job, __: int) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with opened(database_dsn) as queue:
        await queue.enqueue([JOB])
        async with working(queue, perform):
            await begun.wait()
            with psycopg.connect(database_dsn) as database:
                database.execute(GIVE_AWAY)
            await ended.wait()
            await until_logged(caplog, "job_stale")
        assert (await queue.counts())["running"] == 1  # whoever has it now is left alone


async def until_logged(caplog: pytest.LogCaptureFixture, action: str) -> None:
    async def is_logged() -> bool:
        return action in [getattr(record, "action", "") for record in caplog.records]

    await until(is_logged)
