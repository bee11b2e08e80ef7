"""How soon a webhook is answered, with its job committed, beside the same answer without."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any, cast

import aiohttp

from adapters.database.embedded import EmbeddedPostgres
from adapters.media_servers.jellyfin import JellyfinServer, JellyfinSettings
from adapters.queue import ProcrastinateQueue, QueueSettings
from service.domain import Job
from service.ports import JobQueue, Store
from service.web.app import create_app, serve
from tests.support.jellyfin import StandInItem, StandInJellyfin
from tests.support.postgres import reachable_directory

TOKEN = "a-token-for-the-benchmark"
COUNT = 1_000
RATE_HZ = 100.0

Row = dict[str, Any]


class ForgetfulQueue:
    """Commits nothing."""

    async def enqueue(self, jobs: Sequence[Job]) -> int:
        return len(jobs)

    async def counts(self) -> Mapping[str, int]:
        return {}


async def measure(queue: JobQueue) -> list[float]:
    """Milliseconds from the moment that a webhook is due to its 202, at a steady rate."""
    server = JellyfinServer(
        JellyfinSettings.model_validate({"url": "http://127.0.0.1:1", "api_key": "k"})
    )
    app = create_app(
        servers={"jellyfin": server}, queue=queue, store=cast("Store", None), token=TOKEN
    )
    plugin = StandInJellyfin()
    bodies = [
        plugin.webhook_body(StandInItem(name=f"Film {n}", item_id=uuid.uuid4().hex))
        for n in range(COUNT)
    ]
    async with (
        serve(app, host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession(headers={"X-Moodreel-Token": TOKEN}) as session,
    ):
        began_at = time.perf_counter() + 0.1

        async def send(number: int) -> float:
            due_at = began_at + number / RATE_HZ
            await asyncio.sleep(due_at - time.perf_counter())
            url = f"http://127.0.0.1:{port}/webhooks/jellyfin"
            async with session.post(url, data=bodies[number]) as answer:
                assert answer.status == 202, await answer.text()
                assert json.loads(await answer.read())["is_new"]
            return (time.perf_counter() - due_at) * 1000

        return await asyncio.gather(*map(send, range(COUNT)))


async def measure_committed(dsn: str) -> list[float]:
    queue = await ProcrastinateQueue.open(dsn, QueueSettings())
    try:
        times = await measure(queue)
        counts = await queue.counts()
        assert counts["waiting"] == COUNT, counts
        return times
    finally:
        await queue.aclose()


def row(name: str, committed: list[float], forgotten: list[float], percent: int) -> Row:
    value = quantiles(committed, n=100)[percent - 1]
    baseline = quantiles(forgotten, n=100)[percent - 1]
    return {
        "name": f"webhook answered, {name}",
        "value": value,
        "unit": "ms",
        "baseline": f"{baseline:.2f} without the commit",
        "ratio": value / baseline,
    }


def run() -> list[Row]:
    """1,000 webhooks at 100 a second into a database that syncs to disk."""
    with reachable_directory() as directory, EmbeddedPostgres(directory) as postgres:
        committed = asyncio.run(measure_committed(postgres.start()))
    forgotten = asyncio.run(measure(cast("JobQueue", ForgetfulQueue())))
    return [
        row("median", committed, forgotten, 50),
        row("99th percentile", committed, forgotten, 99),
    ]
