"""How fast the queue takes jobs in, and gives them out, beside procrastinate as it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median, quantiles
from typing import Any

import psycopg
from procrastinate import App, PsycopgConnector

from adapters.database.embedded import EmbeddedPostgres
from adapters.queue import ProcrastinateQueue, QueueSettings
from service.domain import AnalyzeJob, ItemRef, Job
from tests.support.postgres import fresh_database, reachable_directory

BATCH = 10_000
SINGLE = 500
BACKLOG = 1_000
CONCURRENCY = 10
LATENCIES = 100

Row = dict[str, Any]


def jobs(count: int) -> list[Job]:
    return [AnalyzeJob(ref=ItemRef(server="folder", item_id=f"{n:06d}")) for n in range(count)]


async def rate(count: int, work: Callable[[], Awaitable[object]]) -> float:
    began_at = time.perf_counter()
    await work()
    return count / (time.perf_counter() - began_at)


async def measure_enqueueing(dsn: str) -> tuple[float, float, float]:
    """Jobs a second: in one call, again while they wait, and one by one."""
    queue = await ProcrastinateQueue.open(dsn, QueueSettings())

    async def one_by_one() -> None:
        for job in jobs(SINGLE):
            await queue.enqueue([job])

    single = await rate(SINGLE, one_by_one)
    backlog = jobs(SINGLE + BATCH)[SINGLE:]
    batch = await rate(BATCH, lambda: queue.enqueue(backlog))
    again = await rate(BATCH, lambda: queue.enqueue(backlog))
    await queue.aclose()
    return batch, again, single


async def measure_working(dsn: str) -> tuple[float, list[float]]:
    """Jobs a second of a backlog, and the latencies of an idle worker."""
    queue = await ProcrastinateQueue.open(dsn, QueueSettings())
    stop = asyncio.Event()
    left = BACKLOG

    async def perform(job: Job, attempt: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            stop.set()

    await queue.enqueue(jobs(BACKLOG))
    done = await rate(BACKLOG, lambda: queue.work(perform, concurrency=CONCURRENCY, stop=stop))
    latencies = await measure_latencies(queue)
    await queue.aclose()
    return done, latencies


async def measure_latencies(queue: ProcrastinateQueue) -> list[float]:
    """Milliseconds from the call of ``enqueue`` to the begin of the job, in an idle worker."""
    begun = asyncio.Event()
    stop = asyncio.Event()

    async def perform(job: Job, attempt: int) -> None:
        begun.set()

    latencies = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(queue.work(perform, concurrency=1, stop=stop))
        for job in jobs(LATENCIES):
            begun.clear()
            began_at = time.perf_counter()
            await queue.enqueue([job])
            await begun.wait()
            latencies.append(1000 * (time.perf_counter() - began_at))
        stop.set()
    return latencies[1:]  # the first waited for the worker to start


async def procrastinates(dsn: str) -> tuple[float, float]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create schema procrastinate")
    connector = PsycopgConnector(
        conninfo=dsn, kwargs={"options": "-c search_path=procrastinate,pg_catalog"}
    )
    app = App(connector=connector)
    left = SINGLE

    @app.task(name="analyze")
    async def analyze(**args: object) -> None:
        nonlocal left
        left -= 1

    async with app.open_async():
        await app.schema_manager.apply_schema_async()

        async def one_by_one() -> None:
            for job in jobs(SINGLE):
                key = str(job.ref)
                deferrer = analyze.configure(lock=key, queueing_lock=key)
                await deferrer.defer_async(server=job.ref.server, item_id=job.ref.item_id)

        single = await rate(SINGLE, one_by_one)
        done = await rate(SINGLE, lambda: app.run_worker_async(wait=False, concurrency=CONCURRENCY))
    return single, done


def run() -> list[Row]:
    with reachable_directory(in_memory=False) as directory:
        cluster = EmbeddedPostgres(directory)
        dsn = cluster.start()
        try:
            with fresh_database(dsn) as database:
                base_single, base_done = asyncio.run(procrastinates(database))
            with fresh_database(dsn) as database:
                batch, again, single = asyncio.run(measure_enqueueing(database))
            with fresh_database(dsn) as database:
                done, latencies = asyncio.run(measure_working(database))
        finally:
            cluster.stop()

    def row(name: str, value: float, baseline: str, base: float) -> Row:
        ratio = round(value / base, 2)
        return {"name": name, "value": round(value), "unit": "jobs/s"} | {
            "baseline": baseline,
            "ratio": ratio,
        }

    defer = f"procrastinate defer one by one ({base_single:.0f}/s)"
    worker = f"procrastinate's worker ({base_done:.0f}/s)"
    return [
        row(f"enqueue {BATCH} in one call", batch, defer, base_single),
        row("the same again: they wait", again, defer, base_single),
        row("enqueue one by one", single, defer, base_single),
        row(f"trivial jobs, {CONCURRENCY} at once", done, worker, base_done),
        {"name": "enqueue to begin, p50", "value": round(median(latencies), 1), "unit": "ms"},
        {
            "name": "enqueue to begin, p95",
            "value": round(quantiles(latencies, n=20)[-1], 1),
            "unit": "ms",
        },
    ]


if __name__ == "__main__":
    for line in run():
        print(line)
