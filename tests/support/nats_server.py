"""A real NATS server on this machine; it can be stopped, started again and told who may enter."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import os
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
"""Where scripts/install-deb.sh puts it for `make test`."""
DEADLINE_S = 30.0
MISSING = (
    "no nats-server here: sh scripts/install-deb.sh nats-server usr/sbin/nats-server .venv/nats"
)


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
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # its last thread may answer until then

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


def make_credentials(file: Path) -> str:
    """Write a user's credentials file; return the settings of a server that takes that user.

    By the rules of NATS' JWTs: an operator vouches for an account, and that for its user.
    """
    nkeys = importlib.import_module("nkeys")  # comes with an extra of nats-py

    def make_key(kind: int) -> tuple[Any, str, str]:
        seed = nkeys.encode_seed(os.urandom(32), kind)
        pair = nkeys.from_seed(bytearray(seed))
        return pair, pair.public_key.decode(), seed.decode()

    def vouch(issuer: Any, subject: str, claims: dict[str, Any]) -> str:
        facts = {"jti": "1", "iat": 1, "iss": issuer.public_key.decode(), "sub": subject}
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        body = facts | {"name": claims["type"], "nats": {"version": 2, **claims}}
        signed = ".".join(_encode(json.dumps(part).encode()) for part in (head, body))
        return f"{signed}.{_encode(issuer.sign(signed.encode()))}"

    operator, operator_name, _ = make_key(nkeys.PREFIX_BYTE_OPERATOR)
    account, account_name, _ = make_key(nkeys.PREFIX_BYTE_ACCOUNT)
    _, user_name, user_seed = make_key(nkeys.PREFIX_BYTE_USER)
    unlimited = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    user_jwt = vouch(account, user_name, {"type": "user", "subs": -1, "data": -1, "payload": -1})
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user_seed}\n------END USER NKEY SEED------\n"
    )
    account_jwt = vouch(operator, account_name, {"type": "account", "limits": unlimited})
    return (
        f"operator: {vouch(operator, operator_name, {'type': 'operator'})}\n"
        f"resolver: MEMORY\nresolver_preload: {{ {account_name}: {account_jwt} }}\n"
    )


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@asynccontextmanager
async def running_nats(directory: Path, **options: Any) -> AsyncIterator[NatsServer]:
    """A server until the block ends."""
    server = NatsServer(directory=directory, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
