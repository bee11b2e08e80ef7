"""What monitors see while a real database goes and comes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import psycopg
from psycopg import sql

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.store import DatabaseStore
from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from adapters.queue import ProcrastinateQueue
from service.web.app import create_monitor_app, serve
from service.web.health import Health
from service.web.monitor import Exposition, Monitor
from service.wiring.watching import readiness
from tests.support.postgres import FAST, copy_cluster, reachable_directory

OFF = ModelSettings(visual_model="none", sound_model="none", sound_text_model="none")
NO_TIMEOUT = "it cannot be reached", "no answer within 1 s"


async def open_address(stack: AsyncExitStack, dsn: str) -> str:
    """What a worker answers to monitors, over this database."""
    store = DatabaseStore(await PsycopgTransport.open(dsn, connect_timeout_s=1.0))
    stack.push_async_callback(store.aclose)
    queue = await ProcrastinateQueue.open(dsn)
    stack.push_async_callback(queue.aclose)
    monitor = Monitor(
        health=Health(readiness(store, queue, Shelf(OFF)), timeout_s=1.0),
        exposition=Exposition(queue, lambda: None, keep_s=0.0),
    )
    app = create_monitor_app(monitor)
    port = await stack.enter_async_context(serve(app, host="127.0.0.1", port=0))
    return f"http://127.0.0.1:{port}"


async def until_status(client: aiohttp.ClientSession, status: int) -> dict[str, Any]:
    """Ask until it is so, and return what is said of each check."""
    async with asyncio.timeout(60):
        while True:
            async with client.get("/readyz") as answer:
                if answer.status == status:
                    return dict((await answer.json())["checks"])
            await asyncio.sleep(0.05)


async def is_database_up(client: aiohttp.ClientSession) -> tuple[bool, bool]:
    """What a scrape says of it, and whether it says anything of the queue."""
    async with client.get("/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    return "moodreel_database_up 1.0" in text, "moodreel_queue_jobs{" in text


async def test_readiness_turns_red_and_green_as_the_database_goes_and_comes(used_cluster):
    with reachable_directory() as directory:
        copy_cluster(used_cluster, directory)
        server = EmbeddedPostgres(directory, parameters=FAST)
        dsn = server.start()
        await migrate.apply(dsn)
        try:
            async with AsyncExitStack() as stack:
                address = await open_address(stack, dsn)
                client = await stack.enter_async_context(aiohttp.ClientSession(address))
                checks = await until_status(client, 200)
                assert all(check["ok"] for check in checks.values())
                assert await is_database_up(client) == (True, True)

                server.stop()
                checks = await until_status(client, 503)
                assert {name for name, check in checks.items() if not check["ok"]} == {
                    "database",
                    "migrations",
                    "queue",
                }
                assert checks["database"]["why"] in NO_TIMEOUT
                assert await is_database_up(client) == (False, False)
                async with client.get("/healthz") as answer:
                    assert answer.status == 200

                assert server.start() == dsn
                await until_status(client, 200)
                async with asyncio.timeout(60):
                    while await is_database_up(client) != (True, True):  # noqa: ASYNC110  another process
                        await asyncio.sleep(0.05)
        finally:
            server.stop()


async def test_a_schema_of_another_version_is_red_while_the_database_answers(database_dsn):
    await migrate.apply(database_dsn)
    async with AsyncExitStack() as stack:
        address = await open_address(stack, database_dsn)
        client = await stack.enter_async_context(aiohttp.ClientSession(address))
        await until_status(client, 200)
        async with await psycopg.AsyncConnection.connect(database_dsn, autocommit=True) as admin:
            for version, why, fix in (
                ("20200101000000", "too old", "moodreel migrate"),
                ("29990101000000", "newer", "moodreel doctor"),
            ):
                statement = sql.SQL(
                    "create or replace function public.moodreel_schema_version("
                    "request jsonb default '{{}}') returns jsonb language sql stable as {}"
                ).format(sql.Literal(f"select to_jsonb('{version}'::text)"))
                await admin.execute(statement)
                checks = await until_status(client, 503)
                async with asyncio.timeout(60):
                    # On a busy machine the database may be late for once, too.
                    while why not in checks["migrations"]["why"] or not checks["database"]["ok"]:
                        checks = await until_status(client, 503)
                assert fix in checks["migrations"]["fix"]
