"""The web application: who may knock, what is answered, and that 202 means committed."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from adapters.media_servers.jellyfin import JellyfinServer, JellyfinSettings
from service.domain import AnalyzeJob, Change, Finding, ItemRef, LibraryEvent, Severity
from service.errors import BadPayloadError, ConfigurationError, TransientError
from service.web.app import create_app, serve
from service.web.webhooks import Limits

TOKEN = "correct-horse-battery-staple-\u00e9"
BODIES = Path(__file__).parents[1] / "data" / "webhooks" / "jellyfin"
FILM = ItemRef(server="jellyfin", item_id="film")


class FakeServer:
    """A media server whose webhooks are ``{"change": ..., "item": ...}``."""

    name = "jellyfin"

    def parse_webhook(self, body, content_type):
        try:
            payload = json.loads(body)
            if payload == {}:
                return None
            ref = ItemRef(server=self.name, item_id=payload["item"])
            return LibraryEvent(change=Change(payload["change"]), ref=ref, title="The Harbour")
        except (ValueError, TypeError, KeyError) as error:
            raise BadPayloadError("not one of ours") from error


class FakeQueue:
    """Keeps what is committed; an equal job is not doubled, as the real one promises."""

    def __init__(self):
        self.jobs = []
        self.error = None
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.entered = asyncio.Event()

    async def enqueue(self, jobs):
        self.entered.set()
        await self.may_commit.wait()
        if self.error is not None:
            raise self.error
        fresh = [job for job in jobs if job not in self.jobs]
        self.jobs.extend(fresh)
        return len(fresh)

    async def counts(self):
        if self.error is not None:
            raise self.error
        return {"waiting": len(self.jobs)}


class FakeStore:
    def __init__(self):
        self.deleted = []
        self.error = None
        self.findings = [Finding(subject="database", severity=Severity.OK, message="fine")]
        self.looks = 0

    async def mark_deleted(self, ref):
        if self.error is not None:
            raise self.error
        self.deleted.append(ref)

    async def check(self):
        self.looks += 1
        if self.error is not None:
            raise self.error
        return self.findings


def make_app(queue, store, *, token=TOKEN, server=None, **limits):
    server = server or FakeServer()
    return create_app(
        servers={"jellyfin": server},
        queue=queue,
        store=store,
        token=token,
        limits=Limits(**limits),
    )


class Service:
    """The application, served on loopback, and what stands behind it."""

    def __init__(self):
        self.queue = FakeQueue()
        self.store = FakeStore()
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Service]:
        app = make_app(self.queue, self.store)
        async with (
            serve(app, host="127.0.0.1", port=0) as self.port,
            aiohttp.ClientSession(f"http://127.0.0.1:{self.port}") as self.session,
        ):
            yield self

    async def post(self, body: object = None, *, path="/webhooks/jellyfin", **options):
        """Send a webhook; gives status, JSON (None without a body) and headers."""
        is_raw = body is not None and not isinstance(body, dict)
        data = body if is_raw else json.dumps(body).encode()
        headers = options.pop("headers", {"Authorization": f"Bearer {TOKEN}"})
        async with self.session.post(path, data=data, headers=headers, **options) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None, answer.headers

    async def get(self, path):
        async with self.session.get(path) as answer:
            return answer.status, await answer.json()


async def answer_to(port, sent):
    """The first line that comes back over a bare connection; empty when it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent.encode())
    async with asyncio.timeout(10):
        line = await reader.readline()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return line


@pytest.fixture
async def service():
    async with Service().serving() as service:
        yield service


ADDED = {"change": "added", "item": "film"}


# What is answered -------------------------------------------------------------------------------


async def test_an_added_item_is_committed_and_then_accepted(service):
    status, answer, _ = await service.post(ADDED)

    assert (status, answer) == (202, {"job": "analyze jellyfin/film", "is_new": True})
    assert service.queue.jobs == [AnalyzeJob(ref=FILM)]


async def test_nothing_is_accepted_before_it_is_committed(service):
    service.queue.may_commit.clear()
    request = asyncio.create_task(service.post(ADDED))

    done, _ = await asyncio.wait([request], timeout=0.2)
    assert not done
    service.queue.may_commit.set()
    assert (await request)[0] == 202


async def test_an_updated_item_is_analysed_too(service):
    assert (await service.post({"change": "updated", "item": "film"}))[0] == 202
    assert service.queue.jobs == [AnalyzeJob(ref=FILM)]


async def test_a_burst_of_equal_webhooks_is_one_job(service):
    answers = await asyncio.gather(*(service.post(ADDED) for _ in range(30)))

    assert {status for status, _, _ in answers} == {202}
    assert [answer["is_new"] for _, answer, _ in answers].count(True) == 1
    assert len(service.queue.jobs) == 1


async def test_a_deleted_item_is_marked_and_not_analysed(service):
    status, answer, _ = await service.post({"change": "deleted", "item": "film"})

    assert (status, answer) == (202, {"deleted": "jellyfin/film"})
    assert service.store.deleted == [FILM]
    assert service.queue.jobs == []


async def test_an_event_of_no_interest_has_no_content(service):
    status, answer, _ = await service.post({})

    assert (status, answer) == (204, None)
    assert service.queue.jobs == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"change": "added"}'])
async def test_a_body_of_another_shape_is_a_bad_request(service, body):
    status, answer, _ = await service.post(body)

    assert (status, answer) == (400, {"error": "not one of ours"})


async def test_an_unknown_server_is_not_found(service):
    status, answer, _ = await service.post(ADDED, path="/webhooks/plex")

    assert status == 404
    assert "jellyfin" in answer["error"]


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/webhooks/jellyfin", 405)])
async def test_every_refusal_is_json(service, path, status):
    answered, answer = await service.get(path)

    assert answered == status
    assert answer.keys() == {"error"}


async def test_the_jellyfin_plugins_own_bodies_come_through():
    queue, store = FakeQueue(), FakeStore()
    server = JellyfinServer(
        JellyfinSettings.model_validate({"url": "http://127.0.0.1:1", "api_key": "k"})
    )
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    async with (
        serve(make_app(queue, store, server=server), host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        url = f"http://127.0.0.1:{port}/webhooks/jellyfin?token={TOKEN}"
        for name in ("movie-added", "movie-deleted", "series-added"):
            async with session.post(url, data=(BODIES / f"{name}.json").read_bytes()) as answer:
                assert answer.status == (204 if name == "series-added" else 202)

    film = ItemRef(server="jellyfin", item_id="11" * 16)
    assert queue.jobs == [AnalyzeJob(ref=film)]
    assert store.deleted == [film]


# Who may knock ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": f"Bearer {TOKEN}"}},
        {"headers": {"Authorization": f"bearer  {TOKEN} "}},
        {"headers": {"X-Moodreel-Token": TOKEN}},
        {"headers": {}, "params": {"token": TOKEN}},
    ],
    ids=["bearer", "sloppy bearer", "own header", "query"],
)
async def test_the_token_opens_the_door(service, options):
    assert (await service.post(ADDED, **options))[0] == 202


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {}},
        {"headers": {"Authorization": "Bearer wrong"}},
        {"headers": {"Authorization": f"Basic {TOKEN}"}},
        {"headers": {"Authorization": f"Bearer {TOKEN}x"}},
        {"headers": {"X-Moodreel-Token": TOKEN[:-1]}},
        {"headers": {}, "params": {"token": ""}},
        {"headers": {"X-Moodreel-Token": "\udcff"}, "params": {"token": "\u0000"}},
    ],
    ids=["none", "wrong", "basic", "longer", "shorter", "empty", "odd"],
)
async def test_anybody_else_is_refused(service, options):
    status, answer, headers = await service.post(ADDED, **options)

    assert status == 401
    assert headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in str(answer)
    assert service.queue.jobs == []


async def test_a_stranger_learns_nothing_of_the_servers(service):
    assert (await service.post(ADDED, path="/webhooks/plex", headers={}))[0] == 401


async def test_a_strangers_body_is_not_read(service):
    head = "POST /webhooks/jellyfin HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"

    assert b" 401 " in await answer_to(service.port, head)


@pytest.mark.parametrize("token", ["", "  "])
def test_a_service_without_a_token_is_not_made(token):
    with pytest.raises(ConfigurationError, match="token"):
        make_app(FakeQueue(), FakeStore(), token=token)


async def test_the_access_log_holds_no_token(service, caplog):
    caplog.set_level(logging.INFO)
    await service.post(ADDED, headers={}, params={"token": TOKEN})
    await service.post(ADDED, headers={}, params={"token": "guess"}, path="/webhooks/a%0Ab")

    lines = [record.getMessage() for record in caplog.records if "POST" in record.getMessage()]
    assert len(lines) == 2
    assert "POST /webhooks/jellyfin 202" in lines[0]
    assert all("token" not in line and "\n" not in line for line in lines)
    assert TOKEN not in caplog.text


# Limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_chunked", [False, True], ids=["announced", "chunked"])
async def test_a_body_above_one_mebibyte_is_too_large(service, is_chunked):
    async def chunks():
        for _ in range(17):
            yield b" " * 65536

    body = chunks() if is_chunked else io.BytesIO(b" " * (17 * 65536))
    status, answer, _ = await service.post(body)

    assert status == 413
    assert answer.keys() == {"error"}


async def test_a_body_of_one_mebibyte_is_read(service):
    body = json.dumps(ADDED).encode().ljust(Limits().body_bytes)

    assert (await service.post(body))[0] == 202


async def test_a_body_that_comes_too_slowly_is_not_waited_for():
    app = make_app(FakeQueue(), FakeStore(), body_timeout_s=0.1)
    async with serve(app, host="127.0.0.1", port=0) as port:
        head = f"POST /webhooks/jellyfin?token={quote(TOKEN)} HTTP/1.1\r\nHost: x\r\n"
        assert b" 408 " in await answer_to(port, head + "Content-Length: 9\r\n\r\n{")


@pytest.mark.parametrize("sent", ["", "POST /webhooks/jelly", "GET /healthz HTTP/1.1\r\nHost: x"])
async def test_a_connection_that_asks_nothing_is_closed(sent):
    app = make_app(FakeQueue(), FakeStore())
    async with serve(app, host="127.0.0.1", port=0, idle_timeout_s=0.2) as port:
        assert await answer_to(port, sent) == b""


# When something behind it fails -----------------------------------------------------------------


@pytest.mark.parametrize(("retry_after_s", "expected"), [(None, "30"), (6.2, "7")])
async def test_a_queue_that_is_away_means_come_back_later(service, retry_after_s, expected):
    service.queue.error = TransientError("postgres://secret", retry_after_s=retry_after_s)

    status, answer, headers = await service.post(ADDED)

    assert (status, headers["Retry-After"]) == (503, expected)
    assert "secret" not in str(answer)
    service.queue.error = None
    assert (await service.post(ADDED))[0] == 202


async def test_a_queue_that_hangs_means_come_back_later():
    queue = FakeQueue()
    queue.may_commit.clear()
    app = make_app(queue, FakeStore(), commit_timeout_s=0.1)
    async with serve(app, host="127.0.0.1", port=0) as port:
        body = json.dumps(ADDED)
        head = f"POST /webhooks/jellyfin?token={quote(TOKEN)} HTTP/1.1\r\nHost: x\r\n"
        answer = await answer_to(port, f"{head}Content-Length: {len(body)}\r\n\r\n{body}")
    assert b" 503 " in answer


async def test_a_deletion_is_not_lost_silently_while_the_store_is_away(service):
    service.store.error = TransientError("gone")

    assert (await service.post({"change": "deleted", "item": "film"}))[0] == 503


async def test_a_bug_shows_no_stack_and_ends_nothing(service, caplog):
    service.queue.error = RuntimeError("the inner secret")

    status, answer, _ = await service.post(ADDED)

    assert (status, answer) == (500, {"error": "internal error"})
    assert "the inner secret" in caplog.text
    service.queue.error = None
    assert (await service.post(ADDED))[0] == 202


async def test_requests_under_way_end_before_the_service_does():
    queue = FakeQueue()
    queue.may_commit.clear()
    async with aiohttp.ClientSession(headers={"X-Moodreel-Token": TOKEN}) as session:
        async with serve(make_app(queue, FakeStore()), host="127.0.0.1", port=0) as port:
            url = f"http://127.0.0.1:{port}/webhooks/jellyfin"
            request = asyncio.ensure_future(session.post(url, json=ADDED))
            async with asyncio.timeout(10):
                await queue.entered.wait()
            asyncio.get_running_loop().call_later(0.2, queue.may_commit.set)
        async with await request as answer:
            assert answer.status == 202


async def test_a_port_that_is_taken_is_told_to_the_operator(service):
    app = make_app(FakeQueue(), FakeStore())

    with pytest.raises(ConfigurationError, match=str(service.port)):
        async with serve(app, host="127.0.0.1", port=service.port):
            pass


# Health -----------------------------------------------------------------------------------------


async def test_a_living_service_says_so_even_without_its_database(service):
    service.store.error = service.queue.error = TransientError("gone")

    assert await service.get("/healthz") == (200, {"status": "ok"})


async def test_a_service_is_ready_when_all_behind_it_answers(service):
    assert await service.get("/readyz") == (
        200,
        {"status": "ready", "checks": {"database": "ok", "queue": "ok"}},
    )


async def test_readiness_goes_and_comes_with_the_database(service):
    service.queue.error = TransientError("gone")
    status, answer = await service.get("/readyz")
    assert (status, answer["checks"]) == (503, {"database": "ok", "queue": "unreachable"})

    service.queue.error = None
    deadline = time.monotonic() + 60
    while (await service.get("/readyz"))[0] != 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_schema_of_another_version_is_not_ready(service):
    service.store.findings = [
        Finding(subject="database", severity=Severity.ERROR, message="migrate first")
    ]

    status, answer = await service.get("/readyz")

    assert (status, answer["checks"]["database"]) == (503, "unreachable")


async def test_many_who_ask_at_once_cost_one_look(service):
    await asyncio.gather(*(service.get("/readyz") for _ in range(20)))

    assert service.store.looks == 1
