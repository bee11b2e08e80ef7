"""The compose file's own Supabase: its roles, its keys, the real PostgREST and a real nginx."""

from __future__ import annotations

import asyncio
import os
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.store import DatabaseStore
from adapters.database.supabase_transport import REQUEST_BYTES, SupabaseTransport
from service.domain import Severity
from service.errors import MoodreelError
from tests.support.postgres import FAST, ROOT, eventually, reachable_directory
from tests.support.postgrest import _binary as postgrest_binary
from tests.support.service import free_port
from tests.support.stores import analyzed

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is missing: scripts/compose-check.sh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What the profile ``supabase`` offers."""

    url: str
    service_role_key: str
    dsn: str


@contextmanager
def running(command: list[str], **variables: str) -> Iterator[None]:
    process = subprocess.Popen(command, env=os.environ | variables)
    try:
        yield
    finally:
        process.terminate()  # killed, nginx would leave its workers behind
        process.wait(30)


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """The stack in the order of its ``depends_on``, without its containers."""
    with reachable_directory() as place:
        keys, gate = place / "keys", place / "gate-keys"
        keys.mkdir(mode=0o755)
        gate.mkdir(mode=0o755)
        runpy.run_path(str(ROOT / "stack/make_keys.py"))["main"](keys, gate)
        server = EmbeddedPostgres(place / "postgres", parameters=FAST)
        try:
            dsn = server.start()
            roles = (ROOT / "stack/supabase_roles.sql").read_text()
            with psycopg.connect(dsn, autocommit=True) as owner:
                # The embedded cluster brings these along; a new one of the image's does not.
                owner.execute("drop owned by anon, authenticated, service_role")
                owner.execute("drop role anon, authenticated, service_role")
                owner.execute(roles.replace("/keys/", f"{keys}/").encode())
            yield from _serve(place, keys, dsn)
        finally:
            server.stop()


def _serve(place: Path, keys: Path, dsn: str) -> Iterator[Project]:
    asyncio.run(migrate.apply(dsn))
    # As in the compose file, addresses and secrets come from files; only hosts and ports differ.
    gate = place / "gate-keys"
    url = gate / "authenticator_url"
    url.chmod(0o644)
    url.write_text(make_conninfo(dsn, user="authenticator"))
    rest, gateway = free_port(), free_port()
    conf = (ROOT / "stack/supabase_gateway.conf").read_text()
    conf = conf.replace("/tmp/", f"{place}/").replace("listen 8000", f"listen 127.0.0.1:{gateway}")
    conf = conf.replace("http://postgrest:3000", f"http://127.0.0.1:{rest}")
    (place / "resolver.conf").write_text("resolver 127.0.0.1;")
    (place / "nginx.conf").write_text(conf)
    with (
        running(
            [str(postgrest_binary())],
            PGRST_DB_URI=f"@{url}",
            PGRST_DB_SCHEMAS="public",
            PGRST_DB_ANON_ROLE="anon",
            PGRST_JWT_SECRET=f"@{gate / 'jwt_secret'}",
            PGRST_SERVER_HOST="127.0.0.1",
            PGRST_SERVER_PORT=str(rest),
        ),
        running([str(NGINX), "-c", str(place / "nginx.conf"), "-g", "daemon off;"]),
    ):
        base = f"http://127.0.0.1:{gateway}"
        eventually(lambda: _is_ready(f"{base}/rest/v1/"))
        yield Project(url=base, service_role_key=(keys / "service_role_key").read_text(), dsn=dsn)


def _is_ready(url: str) -> bool:
    try:
        return httpx.head(url).status_code == httpx.codes.OK  # as the health check asks
    except httpx.TransportError:
        return False


async def test_the_store_works_through_the_gateway_with_the_key_that_was_made(project):
    transport = await SupabaseTransport.open(project.url, project.service_role_key)
    store = DatabaseStore(transport)
    try:
        findings = await store.check()
        saved = await analyzed(store, "one")
        found = await store.load(saved.item.ref)
    finally:
        await store.aclose()

    assert all(finding.severity is Severity.OK for finding in findings)
    assert found is not None
    assert found.item.title == saved.item.title


async def test_a_megabyte_at_once_passes_the_gateway(project):
    transport = await SupabaseTransport.open(project.url, project.service_role_key)
    try:
        with pytest.raises(MoodreelError) as refused:
            await transport.call("moodreel_nothing", {"pad": "x" * REQUEST_BYTES})
    finally:
        await transport.aclose()

    assert "moodreel_nothing" in str(refused.value)
    assert "413" not in str(refused.value)


@pytest.mark.parametrize("path", ["media_items", "media_tags", "published_events"])
async def test_who_has_no_key_or_a_forged_one_sees_nothing(project, path):
    forged = project.service_role_key.rpartition(".")[0] + ".AAAA"
    async with httpx.AsyncClient(base_url=f"{project.url}/rest/v1/") as client:
        answers = [
            await client.get(path),
            await client.get(path, headers={"Authorization": f"Bearer {forged}"}),
        ]

    assert [answer.status_code for answer in answers] == [401, 401]


async def test_the_gateway_offers_nothing_else(project):
    async with httpx.AsyncClient(base_url=project.url) as client:
        assert (await client.get("/auth/v1/health")).status_code == 404
        assert (await client.get("/media_items")).status_code == 404


def test_the_authenticator_has_the_password_that_was_made_and_no_power(project):
    with psycopg.connect(project.dsn) as owner:
        roles: dict[str, bool | None] = dict(
            owner.execute(
                "select rolname, rolpassword like 'SCRAM-SHA-256%' and not rolsuper "
                "and not rolinherit and not rolbypassrls from pg_authid "
                "where rolname in ('authenticator', 'anon')"
            ).fetchall()
        )

    assert roles["authenticator"] is True
    assert roles["anon"] is None
