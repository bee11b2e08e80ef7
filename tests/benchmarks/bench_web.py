"""How soon ``moodreel serve`` answers a webhook, its job committed, beside an answer without."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any, cast

import aiohttp

from adapters.media_servers.jellyfin import JellyfinServer, JellyfinSettings
from service.domain import Job
from service.ports import JobQueue, Store
from service.web.app import create_app, serve
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin
from tests.support.postgres import reachable_directory
from tests.support.service import QUIET, call_json, environment, serving

TOKEN = QUIET["MOODREEL_WEBHOOK_TOKEN"]
COUNT = 1_000
RATE_HZ = 100.0
NOWHERE = "http://127.0.0.1:9"

Row = dict[str, Any]


class ForgetfulQueue:
    """Commits nothing."""

    async def enqueue(self, jobs: Sequence[Job]) -> int:
        return len(jobs)

    async def counts(self) -> Mapping[str, int]:
        return {}


async def flood(address: str) -> list[float]:
    """Milliseconds from the moment that a webhook is due to its 202, at a steady rate."""
    plugin = StandInJellyfin()
    bodies = [
        plugin.webhook_body(StandInItem(name=f"Film {n}", item_id=uuid.uuid4().hex))
        for n in range(COUNT)
    ]
    async with aiohttp.ClientSession(headers={"X-Moodreel-Token": TOKEN}) as session:
        began_at = time.perf_counter() + 0.1

        async def send(number: int) -> float:
            due_at = began_at + number / RATE_HZ
            await asyncio.sleep(due_at - time.perf_counter())
            url = f"{address}/webhooks/jellyfin"
            async with session.post(url, data=bodies[number]) as answer:
                assert answer.status == 202, await answer.text()
                assert json.loads(await answer.read())["is_new"]
            return (time.perf_counter() - due_at) * 1000

        return await asyncio.gather(*map(send, range(COUNT)))


async def measure_committed() -> list[float]:
    """Into the service as its users start it, with a database that syncs to disk."""
    with reachable_directory() as place:
        env = environment(place / "data", JELLYFIN_URL=NOWHERE, JELLYFIN_API_KEY=API_KEY)
        async with serving("serve", env=env) as (_, address):
            times = await flood(address)
            jobs = (await call_json("status", env=env))["jobs"]
            assert jobs["waiting"] == COUNT, jobs
            return times


async def measure_forgotten() -> list[float]:
    """Into the same handlers, in this process, with nothing to commit to."""
    server = JellyfinServer(JellyfinSettings.model_validate({"url": NOWHERE, "api_key": API_KEY}))
    app = create_app(
        servers={"jellyfin": server},
        queue=cast("JobQueue", ForgetfulQueue()),
        store=cast("Store", None),
        token=TOKEN,
    )
    async with serve(app, host="127.0.0.1", port=0) as port:
        return await flood(f"http://127.0.0.1:{port}")


def row(name: str, committed: list[float], forgotten: list[float], percent: int) -> Row:
    value = quantiles(committed, n=100)[percent - 1]
    baseline = quantiles(forgotten, n=100)[percent - 1]
    return {
        "name": f"moodreel serve: webhook answered, {name}",
        "value": value,
        "unit": "ms",
        "baseline": f"{baseline:.2f} without the commit",
        "ratio": value / baseline,
    }


def run() -> list[Row]:
    """1,000 webhooks at 100 a second."""
    committed = asyncio.run(measure_committed())
    forgotten = asyncio.run(measure_forgotten())
    return [
        row("median", committed, forgotten, 50),
        row("99th percentile", committed, forgotten, 99),
    ]
