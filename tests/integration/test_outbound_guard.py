"""The guard in a process of its own, for it cannot be taken away again: what clients meet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from adapters.models.hub import download_hosts
from publisher.discord_address import DISCORD_HOSTS
from service.wiring.hosts import list_hosts
from tests.support.service import QUIET, ROOT

STRANGERS = ["http://stranger.example/", "http://192.0.2.7:9/", "http://[2001:db8::7]:9/"]
"""Names and addresses that nobody has (RFC 2606, RFC 5737, RFC 3849)."""

CLIENTS = """
import asyncio, json, socket, sys, urllib.request
import aiohttp, httpx
from adapters.media_servers.http import JsonClient
from service import outbound
from service.wiring.outbound import guard_outbound

guard_outbound()
urls = json.loads(sys.argv[1])

def said(error):
    text = str(error)
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
        text += " <- " + type(error).__name__ + ": " + str(error)
    return text

async def with_aiohttp(url):
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        return answer.status

async def with_httpx(url):
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).status_code

async def as_media_server(url):
    client = JsonClient(subject="Jellyfin", base_url=url.rstrip("/"), headers={}, timeout_s=5,
        url_setting="JELLYFIN_URL", key_setting="JELLYFIN_API_KEY")
    try:
        return await client.get("/")
    finally:
        await client.aclose()

def with_httpx_in_a_thread(url):
    return httpx.get(url).status_code

def with_urllib(url):
    return urllib.request.urlopen(url).status

async def attempt(act, url):
    try:
        if asyncio.iscoroutinefunction(act):
            return await act(url)
        return await asyncio.to_thread(act, url)
    except Exception as error:
        return type(error).__name__ + ": " + said(error)

async def main():
    acts = (with_aiohttp, with_httpx, as_media_server, with_httpx_in_a_thread, with_urllib)
    print(json.dumps({act.__name__: [await attempt(act, url) for url in urls] for act in acts}))

asyncio.run(main())
"""

SOCKETS = """
import json, socket
from service import outbound

def resolver(host, port, *rest, **more):
    addresses = {"jellyfin.example": "192.0.2.7", "other.example": "192.0.2.8"}
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (addresses.get(host, host), port))]

socket.getaddrinfo = resolver  # stands for the network's DNS
outbound.install(lambda: ["jellyfin.example"])

def attempt(act):
    try:
        act()
        return "tried"
    except outbound.OutboundRefusedError:
        return "refused"
    except OSError:
        return "tried"

def connect(address, family=socket.AF_INET, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as s:
        s.setblocking(False)
        s.connect(address)

def send(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        s.sendto(b"x", address)

def send_message(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        s.sendmsg([b"x"], [], 0, address)

found = {"before": attempt(lambda: connect(("192.0.2.7", 80)))}
socket.getaddrinfo("jellyfin.example", 80)
found |= {
    "after": attempt(lambda: connect(("192.0.2.7", 80))),
    "another": attempt(lambda: connect(("192.0.2.8", 80))),
    "datagram": attempt(lambda: send(("192.0.2.8", 80))),
    "message": attempt(lambda: send_message(("192.0.2.8", 80))),
    "old look-up": attempt(lambda: socket.gethostbyname("other.example")),
    "backwards": attempt(lambda: socket.gethostbyaddr("other.example")),
    "as bytes": attempt(lambda: connect((b"192.0.2.8", 80))),
    "as other bytes": attempt(lambda: connect((bytearray(b"192.0.2.8"), 80))),
    "unix": attempt(lambda: connect("/nowhere.sock", socket.AF_UNIX)),
    "loopback": attempt(lambda: connect(("127.0.0.1", 9))),
}
outbound.allow("http://192.0.2.8:80/of-an-argument")
found["allowed by hand"] = attempt(lambda: connect(("192.0.2.8", 80)))
print(json.dumps(found))
"""


class Hello(BaseHTTPRequestHandler):
    """Answers."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def here() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def _run(script: str, *arguments: str, **settings: str) -> tuple[Any, str]:
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=kept | QUIET | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout), run.stderr


def test_no_client_reaches_a_host_that_no_setting_names(here):
    found, log = _run(CLIENTS, json.dumps([here, *STRANGERS]))
    for client, (at_home, *refused) in found.items():
        assert at_home in (200, {}), client
        for answer, host in zip(
            refused, ["stranger.example", "192.0.2.7", "2001:db8::7"], strict=True
        ):
            assert f"outbound connection to {host} refused: no setting names it" in answer, client
    assert all(
        answer.startswith("TransientError: Jellyfin: GET /")
        for answer in found["as_media_server"][1:]
    )
    assert log.count("stranger.example") == 1, "it is told once"


def test_addresses_are_allowed_that_a_configured_name_was_found_at():
    found, _ = _run(SOCKETS)
    assert found == {
        "before": "refused",
        "after": "tried",
        "another": "refused",
        "datagram": "refused",
        "message": "refused",
        "old look-up": "refused",
        "backwards": "refused",
        "as bytes": "refused",
        "as other bytes": "refused",
        "unix": "tried",
        "loopback": "tried",
        "allowed by hand": "tried",
    }


@pytest.mark.parametrize("offline", ["0", "1"])
def test_the_models_host_is_allowed_unless_downloads_are_off(offline, monkeypatch):
    monkeypatch.setenv("MOODREEL_OFFLINE", offline)
    assert download_hosts()
    assert ({*download_hosts()} <= {*list_hosts()}) == (offline == "0")


def test_discord_is_allowed_where_a_webhook_is_configured(monkeypatch):
    monkeypatch.delenv("DISCORD_WEBHOOK_URL", raising=False)
    assert not {*DISCORD_HOSTS} & {*list_hosts()}
    webhook = f"https://{DISCORD_HOSTS[0]}/api/webhooks/123456789012345678/a-token"
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", webhook)
    assert {*DISCORD_HOSTS} <= {*list_hosts()}


def test_a_proxy_of_the_environment_is_allowed(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.example.org:3128")
    assert "proxy.example.org" in {*list_hosts()}
