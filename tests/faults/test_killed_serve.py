"""``moodreel serve`` is killed with -9 in the middle of a flood, with its embedded database."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from uuid import UUID

import aiohttp
import psycopg

from adapters.database.embedded import EmbeddedPostgres
from tests.support.cli import invoke_json
from tests.support.jellyfin import API_KEY
from tests.support.postgres import reachable_directory
from tests.support.service import (
    DEADLINE_S,
    QUIET,
    call,
    environment,
    running,
    serving,
    until_ready,
)

WEBHOOK_COUNT = 1000
AT_ONCE = 20
WEBHOOKS_ALONE = {
    "JELLYFIN_URL": "http://127.0.0.1:9",
    "JELLYFIN_API_KEY": API_KEY,
    "MOODREEL_RECONCILE_MINUTES": "0",
}
"""No jobs but those of webhooks."""


async def test_every_webhook_that_was_taken_is_there_after_a_kill(data_dir: Path) -> None:
    env = environment(data_dir, **WEBHOOKS_ALONE)
    async with serving("serve", env=env) as (process, address):
        taken = await flood(address, range(WEBHOOK_COUNT))
        process.kill()
        await process.wait()
    assert len(taken) == WEBHOOK_COUNT

    async with serving("serve", env=env) as (_, address):
        assert (await jobs(env))["waiting"] == WEBHOOK_COUNT
        # What is sent again after the fall is known.
        assert await flood(address, range(10)) == set(range(10))
        assert (await jobs(env))["waiting"] == WEBHOOK_COUNT


async def test_a_database_that_is_killed_comes_back_and_the_service_goes_on(data_dir: Path) -> None:
    env = environment(data_dir, **WEBHOOKS_ALONE)
    async with serving("run", env=env) as (process, address):
        assert await flood(address, range(3)) == {0, 1, 2}
        pid_file = data_dir / "postgres" / "pgdata" / "postmaster.pid"
        before = server_pid(pid_file)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until_changed(pid_file, before)
        await until_ready(process, address)
        assert await flood(address, range(3, 6)) == {3, 4, 5}
        assert sum((await jobs(env)).values()) == 6
        assert process.returncode is None


async def test_the_database_passes_to_whoever_is_left(data_dir: Path) -> None:
    env = environment(data_dir, **WEBHOOKS_ALONE)
    pid_file = data_dir / "postgres" / "pgdata" / "postmaster.pid"
    async with serving("serve", env=env) as (owner, address):
        assert await flood(address, range(3)) == {0, 1, 2}
        before = server_pid(pid_file)
        async with running("work", env=env) as worker:
            async with asyncio.timeout(DEADLINE_S):
                while not count_workers(data_dir):  # noqa: ASYNC110  another process
                    await asyncio.sleep(0.1)
            owner.terminate()
            assert await owner.wait() == 0
            assert before is not None
            await until_changed(pid_file, before)
            assert sum((await jobs(env)).values()) == 3
            assert worker.returncode is None


def count_workers(data_dir: Path) -> int:
    """Workers that said that they live, seen by a third process on the same database."""
    postgres = EmbeddedPostgres(data_dir / "postgres")
    with psycopg.connect(postgres.start()) as sql:
        assert not postgres.is_owner
        row = sql.execute("select count(*) from procrastinate.procrastinate_workers").fetchone()
    postgres.stop()
    return int(row[0]) if row else 0


async def test_an_address_that_is_taken_ends_the_start() -> None:
    with reachable_directory() as place, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        env = environment(place / "data", MOODREEL_PORT=port, MOODREEL_MEDIA_DIRS=str(place))
        status, _, err = await call("run", env=env)
    assert status == 2
    assert f"cannot listen at 127.0.0.1:{port}" in " ".join(err.split())


async def jobs(env: dict[str, str]) -> dict[str, int]:
    """What ``moodreel status`` says of them: here, a guest of the database as any other process.

    In a thread, which may not own the server: were nobody else there to own it, it would fail.
    """
    counts: dict[str, int] = (await asyncio.to_thread(invoke_json, "status", env=env))["jobs"]
    return counts


async def until_changed(pid_file: Path, before: int) -> None:
    """Wait until another server than that one has written its process id."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if server_pid(pid_file) not in (None, before):
                return
            await asyncio.sleep(0.05)


def server_pid(pid_file: Path) -> int | None:
    """The server that wrote the file, if it did."""
    words = pid_file.read_text().split() if pid_file.exists() else []
    return int(words[0]) if words else None


async def flood(address: str, numbers: range) -> set[int]:
    """Post a webhook for each number, some at once; those that were answered 202."""
    gate = asyncio.Semaphore(AT_ONCE)
    taken: set[int] = set()

    async def post(client: aiohttp.ClientSession, number: int) -> None:
        async with gate, client.post(f"{address}/webhooks/jellyfin", data=body(number)) as answer:
            if answer.status == 202:
                taken.add(number)

    headers = {"X-Moodreel-Token": QUIET["MOODREEL_WEBHOOK_TOKEN"], "Content-Type": "text/plain"}
    async with aiohttp.ClientSession(headers=headers) as client, asyncio.TaskGroup() as group:
        for number in numbers:
            group.create_task(post(client, number))
    return taken


def body(number: int) -> bytes:
    """What Jellyfin's plugin sends of the film of that number."""
    return json.dumps(
        {
            "NotificationType": "ItemAdded",
            "ItemType": "Movie",
            "ItemId": UUID(int=number + 1).hex,
            "Name": f"Film {number}",
        }
    ).encode()
