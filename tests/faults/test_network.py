"""Workers on hosts of their own, one of which the network loses without a word."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import LiteralString

import psycopg
import pytest

from tests.support.fleet import WEB, open_fleet, write_library
from tests.support.network import why_not
from tests.support.queue_worker import counts_become, opened, until

REASON = why_not()
pytestmark = [pytest.mark.skipif(bool(REASON), reason=REASON), pytest.mark.timeout(300)]
HOSTS = 2
ITEMS = 8
"""Some wait while both hosts have as many as they do at once: what is cut off has work."""
MORE = 2
"""For the host that came back."""


async def test_a_worker_host_that_is_cut_off_loses_nothing_doubles_nothing_and_may_come_back():
    async with open_fleet(["one", "two"]) as fleet, AsyncExitStack() as stack:
        await stack.enter_async_context(fleet.running(WEB, "serve"))
        await fleet.until_ready()
        items = write_library(fleet.place / "library", ITEMS + MORE)  # after the installation: news
        fleet.jellyfin.items = items
        queue = await stack.enter_async_context(opened(fleet.dsn))
        processes = [
            await stack.enter_async_context(fleet.running(name, "work")) for name in ("one", "two")
        ]
        await until(lambda: both(fleet.dsn, LISTENING))  # or the first would do it all
        await fleet.send_webhooks(items[:ITEMS])
        await until(lambda: both(fleet.dsn, ANALYSING))
        fleet.network.cut("two")
        await counts_become(queue, waiting=0, running=0)
        spent_s = sum(processes[1].cpu_times()[:2])
        assert [failure.message for failure in await queue.failures()] == []
        assert fleet.announcements() == {item.item_id: 1 for item in items[:ITEMS]}
        assert count(fleet.dsn, ANALYSES) == ITEMS

        fleet.network.mend("two")
        fleet.network.cut("one")
        await fleet.send_webhooks(items[ITEMS:])
        await counts_become(queue, waiting=0, running=0)
        assert all(process.is_running() for process in processes)
        assert [failure.message for failure in await queue.failures()] == []
        assert fleet.announcements() == {item.item_id: 1 for item in items}
        assert count(fleet.dsn, ANALYSES) == ITEMS + MORE
        assert "rescued" in fleet.log("one")
        assert spent_s < sum(processes[1].cpu_times()[:2])  # it worked again


ANALYSES = "select count(*) from public.media_analyses"
ANALYSING = """
select count(distinct worker_id) from procrastinate.procrastinate_jobs
 where status = 'doing' and task_name = 'analyze'
"""


LISTENING = "select count(*) from procrastinate.procrastinate_workers"


async def both(dsn: str, query: LiteralString) -> bool:
    return count(dsn, query) == HOSTS


def count(dsn: str, query: LiteralString) -> int:
    with psycopg.connect(dsn) as database:
        row = database.execute(query).fetchone()
        assert row is not None
        return int(row[0])
