"""The command ``moodreel`` as its users meet it: processes, their answers, their ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp

from tests.support.receivers import HttpReceiver, StandInDiscord

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 120.0

QUIET = {
    "MOODREEL_OFFLINE": "1",
    "MOODREEL_CONFIG": os.devnull,
    "MOODREEL_WEBHOOK_TOKEN": "a-token-for-tests",
    "MOODREEL_SETTLE_S": "0.2",
    "MOODREEL_QUEUE_POLL_S": "0.2",
    "MOODREEL_QUEUE_RETRY_BASE_S": "0.2",
    "PYTHONUNBUFFERED": "1",
}
"""No network, no settings of whoever runs this, and little patience."""


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """The variables of a command: nothing of ours but what it needs to run."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | QUIET | {"MOODREEL_DATA_DIR": str(data_dir)} | settings


def without_models(library: Path, *, discord_url: str, receiver_url: str) -> dict[str, str]:
    """Settings of a house that watches a folder, hears no model and tells two stand-ins."""
    return {
        "MOODREEL_MEDIA_DIRS": str(library),
        "MOODREEL_VISUAL_MODEL": "none",
        "MOODREEL_SOUND_MODEL": "none",
        "MOODREEL_SOUND_TEXT_MODEL": "none",
        "DISCORD_WEBHOOK_URL": discord_url + StandInDiscord.PATH,
        "MOODREEL_DISCORD_HOSTS": discord_url.removeprefix("http://"),
        "EVENT_WEBHOOK_URLS": f"http={receiver_url}{HttpReceiver.PATH}",
    }


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def call(*arguments: str, env: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command to its end: exit status, standard output, standard error."""
    process = await _start(*arguments, env=env)
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
    finally:
        await _end(process, signal.SIGKILL)
    return process.returncode or 0, out.decode(), err.decode()


async def call_json(*arguments: str, env: Mapping[str, str]) -> Any:
    """Run a command that must succeed, and read what it prints."""
    status, out, err = await call(*arguments, "--json", env=env)
    assert status == 0, (arguments, status, out, err)
    return json.loads(out)


@asynccontextmanager
async def running(
    *arguments: str, env: Mapping[str, str], stderr: IO[bytes] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command that runs until the block ends; then it is asked to stop, as Docker does.

    Args:
        arguments: Of the command.
        env: Its whole environment.
        stderr: Where its log goes; None: to ours.
    """
    process = await _start(
        *arguments,
        env=env,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE if stderr is None else stderr,
    )
    reader = asyncio.create_task(_collect(process)) if stderr is None else None
    try:
        yield process
    finally:
        await _end(process, signal.SIGTERM)
        if reader is not None:
            reader.cancel()


@asynccontextmanager
async def serving(
    command: str, *, env: Mapping[str, str]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """``moodreel run`` or ``serve`` on a free port, ready; gives the process and its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    async with running(command, env={**env, "MOODREEL_PORT": str(port)}) as process:
        await until_ready(process, address)
        yield process, address


async def until_ready(process: asyncio.subprocess.Process, address: str) -> None:
    """Wait for ``/readyz``."""
    async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as client:
        while True:
            assert process.returncode is None, f"it ended with {process.returncode}"
            try:
                async with client.get(f"{address}/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def _start(
    *arguments: str,
    env: Mapping[str, str],
    stdout: int = asyncio.subprocess.PIPE,
    stderr: int | IO[bytes] = asyncio.subprocess.PIPE,
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "service.start",
        *arguments,
        cwd=ROOT,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )


async def _collect(process: asyncio.subprocess.Process) -> None:
    """Let its log pass to ours: pytest shows it when a test fails."""
    assert process.stderr is not None
    async for line in process.stderr:
        sys.stderr.write(line.decode(errors="replace"))


async def _end(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        raise
