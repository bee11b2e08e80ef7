"""Several hosts: what a second worker host adds, and what the loss of one costs.

Database, web host, media server and two worker hosts are network namespaces of this machine, as in
``tests/faults/test_network.py``. Each worker host has one core of its own; the other hosts share
both with them, so the second worker host does not add a whole one. As root on Linux.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import quantiles
from typing import Any

import psutil

from adapters.queue.table import BATCH_LOCK_KEY
from service.domain import ReconcileJob
from service.ports import JobQueue
from tests.support.fleet import WEB, Fleet, open_fleet, write_library
from tests.support.jellyfin import StandInItem
from tests.support.network import why_not
from tests.support.queue_worker import opened
from tests.support.service import ROOT

WARM_UP, ALONE, TOGETHER, LOST = 4, 40, 40, 200
"""Films of each phase."""
LOST_AFTER = 60
"""So many of the last phase are done when one host is cut off."""
SILENT_S = 4
"""What ``MOODREEL_QUEUE_STALLED_AFTER_S`` is here."""

HOLD_BATCHES = """
import asyncio, sys
from adapters.queue import ProcrastinateQueue
async def main():
    queue = await ProcrastinateQueue.open(sys.argv[1])
    async with queue._pool.connection() as connection, connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(%s)", [int(sys.argv[2])])
        print("held", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""

Row = dict[str, Any]


def run() -> list[Row]:
    """One worker host, two, and two of which one is cut off for good."""
    if reason := why_not():
        return [_row("not measured", 0, reason)]
    return asyncio.run(_measure())


async def _measure() -> list[Row]:
    load = os.getloadavg()[0]
    async with (
        open_fleet(["one", "two", "three"], parameters={}) as fleet,
        AsyncExitStack() as stack,
    ):
        await stack.enter_async_context(fleet.running(WEB, "serve"))
        await fleet.until_ready()
        queue = await stack.enter_async_context(opened(fleet.dsn))
        items = write_library(fleet.place / "library", 2 * WARM_UP + ALONE + TOGETHER + LOST)
        fleet.jellyfin.items = list(items)

        await stack.enter_async_context(fleet.running("one", "work", core=0))
        await _work(fleet, queue, _take(items, WARM_UP))
        alone_s = await _work(fleet, queue, _take(items, ALONE))
        two = await stack.enter_async_context(fleet.running("two", "work", core=1))
        await fleet.until_logged("two", "action=started")
        await _work(fleet, queue, _take(items, WARM_UP))
        together_s = await _work(fleet, queue, _take(items, TOGETHER))
        return [
            _row("one worker host", ALONE / alone_s, "films/s", f"load {load:.1f} at the start"),
            _row(
                "two worker hosts",
                TOGETHER / together_s,
                "films/s",
                "one worker host",
                (TOGETHER / together_s) / (ALONE / alone_s),
            ),
            *await _lose(fleet, queue, _take(items, LOST), two),
            await _vanish(fleet, queue),
        ]


async def _work(fleet: Fleet, queue: JobQueue, items: Sequence[StandInItem]) -> float:
    """Seconds from the first webhook until all is done and told."""
    began_at = time.perf_counter()
    await fleet.send_webhooks(items)
    await fleet.until_idle(queue)
    return time.perf_counter() - began_at


async def _lose(
    fleet: Fleet, queue: JobQueue, items: Sequence[StandInItem], two: psutil.Process
) -> list[Row]:
    told_before, rescued_before = len(fleet.announcements()), fleet.log("one").count("job_rescued")
    began_at = time.perf_counter()
    times_ms = [1000 * seconds for seconds in await fleet.send_webhooks(items)]
    await fleet.until_told(told_before + LOST_AFTER)
    # In the midst of a film: what it has just begun takes longer than the next line.
    await fleet.until_logged("two", "job=analyze", count=fleet.log("two").count("job=analyze") + 1)
    await asyncio.sleep(0.2)
    fleet.network.cut("two")
    cut_at, cpu_s = time.perf_counter(), sum(two.cpu_times()[:2])
    await fleet.until_logged("one", "action=job_rescued", count=rescued_before + 1)
    taken_over_s = time.perf_counter() - cut_at
    await fleet.until_idle(queue)
    done_at = time.perf_counter()
    told = fleet.announcements()
    counts = await queue.counts()
    times = quantiles(times_ms, n=100)
    silent_share = (sum(two.cpu_times()[:2]) - cpu_s) / (done_at - cut_at)
    what = f"{LOST} films, one host lost after {LOST_AFTER}"
    return [
        _row("told exactly once", sum(told[item.item_id] == 1 for item in items), "films", what),
        _row("told twice", sum(told[item.item_id] > 1 for item in items), "films", what),
        _row("jobs that failed", counts["failed"], "jobs", what),
        _row("until all were done and told", done_at - began_at, "s", what),
        _row(
            "until a job of the lost host was taken over",
            taken_over_s,
            "s",
            f"{SILENT_S} s that a worker may be silent",
            taken_over_s / SILENT_S,
        ),
        _row("processor time of the host that was cut off", 100 * silent_share, "% of a core"),
        _row("webhook through the network, both workers busy: median", times[49], "ms"),
        _row("webhook through the network, both workers busy: 99th percentile", times[98], "ms"),
    ]


async def _vanish(fleet: Fleet, queue: JobQueue) -> Row:
    """A host that vanishes within a transaction, while it holds what all others need."""
    url, key = fleet.environment("three")["DATABASE_URL"], str(BATCH_LOCK_KEY)
    holder = await asyncio.create_subprocess_exec(
        *(*fleet.network["three"].command(), sys.executable, "-c", HOLD_BATCHES, url, key),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        fleet.network.cut("three")
        began_at = time.perf_counter()
        await queue.enqueue([ReconcileJob(server=name) for name in ("one", "two")])
        waited_s = time.perf_counter() - began_at
    finally:
        holder.kill()
        await holder.wait()
    what = "a transaction of a host that vanished"
    return _row("until a lock was free that it held", waited_s, "s", what)


def _take(items: list[StandInItem], count: int) -> list[StandInItem]:
    taken, items[:count] = items[:count], []
    return taken


def _row(name: str, value: float, unit: str, baseline: str = "", ratio: float | None = None) -> Row:
    return {"name": name, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}


if __name__ == "__main__":
    for row in run():
        print(row)
