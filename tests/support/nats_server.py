"""A real NATS server on this machine; it can be stopped, started again and told who may enter."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.service import ROOT, free_port

UNPACKED = ROOT / ".venv" / "nats" / "usr" / "sbin"
"""Where scripts/install-nats.sh puts it for `make test`."""
DEADLINE_S = 30.0
MISSING = "no nats-server here: sh scripts/install-nats.sh .venv/nats"


def find_nats_server() -> str | None:
    """The program: the system's, else the unpacked one."""
    return next(
        (
            found
            for path in (None, "/usr/sbin", str(UNPACKED))
            if (found := shutil.which("nats-server", path=path))
        ),
        None,
    )


@dataclass(kw_only=True)
class NatsServer:
    """A server at a port of its own; what JetStream keeps survives a restart."""

    directory: Path
    settings: str = ""
    """Added to its configuration file."""
    has_jetstream: bool = True
    port: int = field(default_factory=free_port)
    _process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        program = find_nats_server()
        assert program is not None, MISSING
        config = self.directory / "nats.conf"
        store = f'jetstream {{ store_dir: "{self.directory}/streams" }}\n'
        config.write_text(
            f"host: 127.0.0.1\nport: {self.port}\n"
            + (store if self.has_jetstream else "")
            + self.settings
        )
        with (self.directory / "nats.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                program, "-c", str(config), stdout=log, stderr=log
            )
        async with asyncio.timeout(DEADLINE_S):
            while not await self._answers():
                assert self._process.returncode is None, (self.directory / "nats.log").read_text()
                await asyncio.sleep(0.02)

    async def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it, at once unless told otherwise."""
        if self._process is None:
            return
        self._process.send_signal(how)
        await self._process.wait()
        self._process = None

    def pause(self) -> None:
        """It keeps its connections, and says nothing any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            return (await reader.readline()).startswith(b"INFO ")
        finally:
            writer.close()

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Client]:
        """A connection of a reader's."""
        connection = await nats.connect(self.url, **options)
        try:
            yield connection
        finally:
            await connection.close()

    async def stored(self, stream: str) -> list[Msg]:
        """All messages of a stream, in order."""
        async with self.client() as client:
            jetstream = client.jetstream()
            count = (await jetstream.stream_info(stream)).state.messages
            reader = await jetstream.pull_subscribe("", stream=stream)
            return await reader.fetch(count, timeout=DEADLINE_S) if count else []


def read_event(message: Msg) -> dict[str, Any]:
    """The envelope that a message carries."""
    envelope: dict[str, Any] = json.loads(message.data)
    return envelope


@asynccontextmanager
async def running_nats(directory: Path, **options: Any) -> AsyncIterator[NatsServer]:
    """A server until the block ends."""
    server = NatsServer(directory=directory, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
