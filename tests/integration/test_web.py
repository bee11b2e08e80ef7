"""The web application: who may knock, what is answered, and that 202 means committed."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast
from urllib.parse import quote

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from service.domain import (
    AnalyzeJob,
    Change,
    ExpandJob,
    FileEvent,
    ItemRef,
    LibraryEvent,
    ReconcileJob,
)
from service.errors import BadPayloadError, ConfigurationError, TransientError
from service.ports import JobQueue
from service.web.app import create_app, serve
from service.web.commits import Commits
from service.web.protocol import LINE_BYTES
from service.web.webhooks import Limits
from tests.support.webhooks import SENDERS, as_parts, read_bodies, spoil

TOKEN = "correct-horse-battery-staple-\u00e9"
FILM = ItemRef(server="jellyfin", item_id="film")
SHOW = ItemRef(server="jellyfin", item_id="show")


def basic(user, password):
    return {"Authorization": aiohttp.encode_basic_auth(user, password, "utf-8")}


class FakeSender:
    """Whose webhooks are lists of ``{"change": ..., "item": ...}``, or one of these alone."""

    def __init__(self, name):
        self.name = name

    def recognises(self, body, content_type):
        return body.startswith(b"{")

    def parse_webhook(self, body, content_type):
        try:
            payload = json.loads(body)
            told = payload if isinstance(payload, list) else [payload]
            return [self._read(event) for event in told if event]
        except (ValueError, TypeError, KeyError) as error:
            raise BadPayloadError("not one of ours") from error

    def _read(self, event):
        change = Change(event["change"])
        if event.get("file"):
            return FileEvent(change=change)
        ref = ItemRef(server=self.name, item_id=event["item"])
        is_group = event.get("is_group", False)
        return LibraryEvent(change=change, ref=ref, title="The Harbour", is_group=is_group)


class AbsentSender(FakeSender):
    def recognises(self, body, content_type):
        return body.startswith(b"plex")

    def parse_webhook(self, body, content_type):
        raise ConfigurationError("plex is not configured: set PLEX_URL")


FAKES = {"jellyfin": FakeSender("jellyfin"), "plex": AbsentSender("plex")}


class FakeQueue:
    """Keeps what is committed; an equal job is not doubled, as the real one promises."""

    def __init__(self):
        self.jobs = []
        self.tries = 0
        self.calls = []
        self.error = None
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.entered = asyncio.Event()

    async def enqueue(self, jobs):
        self.tries += 1
        self.entered.set()
        await self.may_commit.wait()
        if self.error is not None:
            raise self.error
        self.calls.append(list(jobs))
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
        self.arrivals = []

    async def note_arrivals(self, arrivals):
        if self.error is not None:
            raise self.error
        self.arrivals.extend(arrivals)

    async def mark_deleted(self, ref):
        if self.error is not None:
            raise self.error
        self.deleted.append(ref)


def make_app(queue, store, *, token=TOKEN, senders=FAKES, servers=("jellyfin",), **limits):
    return create_app(
        senders=senders,
        servers=servers,
        queue=queue,
        store=store,
        token=token,
        limits=Limits(**limits),
    )


class Service:
    """The application, served on loopback, and what stands behind it."""

    def __init__(self, **options):
        self.options = options
        self.queue = FakeQueue()
        self.store = FakeStore()
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Service]:
        app = make_app(self.queue, self.store, **self.options)
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
    async with asyncio.timeout(60):
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


@pytest.fixture(scope="module")
def door():
    """Sends to an application with every sender; gives status and JSON. One loop for all calls."""
    with asyncio.Runner() as runner:
        service = Service(senders=SENDERS, servers=("jellyfin", "plex"))
        serving = service.serving()

        def send(path, body, content_type):
            headers = {"Content-Type": content_type, "X-Moodreel-Token": TOKEN}
            status, answer, _ = runner.run(service.post(body, path=path, headers=headers))
            return status, answer

        runner.run(serving.__aenter__())
        yield send
        runner.run(serving.__aexit__(None, None, None))


# What is answered -------------------------------------------------------------------------------


async def test_an_added_item_is_committed_and_then_accepted(service):
    status, answer, _ = await service.post(ADDED)

    assert status == 202
    assert answer == {"jobs": ["analyze jellyfin/film"], "deleted": []}
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
    assert len(service.queue.jobs) == 1


async def test_what_comes_while_the_disk_is_busy_is_committed_together(service):
    service.queue.may_commit.clear()
    first = asyncio.create_task(service.post(ADDED))
    async with asyncio.timeout(60):
        await service.queue.entered.wait()
    others = [
        asyncio.create_task(service.post({"change": "added", "item": f"film-{number}"}))
        for number in range(20)
    ]
    await asyncio.wait(others, timeout=0.2)
    service.queue.may_commit.set()

    answers = await asyncio.gather(first, *others)

    assert {status for status, _, _ in answers} == {202}
    assert len(service.queue.jobs) == 21
    assert len(service.queue.calls) < 21


async def test_all_who_wait_for_a_commit_hear_that_it_failed(service):
    service.queue.may_commit.clear()
    first = asyncio.create_task(service.post(ADDED))
    async with asyncio.timeout(60):
        await service.queue.entered.wait()
    others = [asyncio.create_task(service.post(ADDED)) for _ in range(5)]
    await asyncio.wait(others, timeout=0.2)
    service.queue.error = TransientError("gone")
    service.queue.may_commit.set()

    answers = await asyncio.gather(first, *others)

    assert {status for status, _, _ in answers} == {503}
    assert service.queue.tries == 2


class SlowQueue(FakeQueue):
    """Commits as often as it is let."""

    def __init__(self):
        super().__init__()
        self.permits = asyncio.Semaphore(0)

    async def enqueue(self, jobs):
        self.entered.set()
        await self.permits.acquire()
        return await super().enqueue(jobs)


async def test_who_gives_up_takes_nobody_along():
    queue = SlowQueue()
    commits = Commits(cast("JobQueue", queue))
    refs = [ItemRef(server="jellyfin", item_id=name) for name in ("busy", "impatient", "patient")]
    busy, impatient, patient = (
        asyncio.create_task(commits.commit([AnalyzeJob(ref=ref)])) for ref in refs
    )
    async with asyncio.timeout(60):
        await queue.entered.wait()
        queue.entered.clear()
        queue.permits.release()
        await busy
        await queue.entered.wait()  # the impatient one commits for both
        impatient.cancel()
        await asyncio.wait([impatient])
        queue.permits.release()
        await patient

    assert impatient.cancelled()
    assert [job.ref for job in queue.jobs] == refs


async def test_a_deleted_item_is_marked_and_not_analysed(service):
    status, answer, _ = await service.post({"change": "deleted", "item": "film"})

    assert (status, answer) == (202, {"jobs": [], "deleted": ["jellyfin/film"]})
    assert service.store.deleted == [FILM]
    assert service.queue.jobs == []


async def test_a_group_is_expanded_when_its_children_may_be_there(service):
    status, answer, _ = await service.post({"change": "added", "item": "show", "is_group": True})

    assert (status, answer["jobs"]) == (202, ["expand jellyfin/show"])
    assert service.queue.jobs == [ExpandJob(ref=SHOW, after_s=30.0)]


async def test_a_deleted_group_has_its_server_compared(service):
    await service.post({"change": "deleted", "item": "show", "is_group": True})

    assert service.queue.jobs == [ReconcileJob(server="jellyfin", is_full=True, after_s=60.0)]
    assert service.store.deleted == []


@pytest.mark.parametrize(
    ("change", "is_full"), [("added", False), ("updated", False), ("deleted", True)]
)
async def test_changed_files_have_every_server_asked_once_it_had_time_to_scan(change, is_full):
    async with Service(servers=("jellyfin", "emby")).serving() as service:
        status, answer, _ = await service.post({"change": change, "file": True})

        assert (status, answer["jobs"]) == (202, ["reconcile jellyfin/*", "reconcile emby/*"])
        assert service.queue.jobs == [
            ReconcileJob(server=name, is_full=is_full, after_s=60.0)
            for name in ("jellyfin", "emby")
        ]


async def test_changed_files_without_a_server_to_ask_are_of_no_interest():
    async with Service(servers=()).serving() as service:
        assert (await service.post({"change": "added", "file": True}))[0] == 204


async def test_all_that_one_webhook_tells_is_committed_at_once(service):
    told = [ADDED, {"change": "added", "item": "show", "is_group": True}, ADDED]

    await service.post(json.dumps(told).encode())

    assert service.queue.calls == [[AnalyzeJob(ref=FILM), ExpandJob(ref=SHOW, after_s=30.0)]]


async def test_what_came_last_of_each_sender_is_kept_by_the_end():
    service = Service()
    async with service.serving():
        await service.post(ADDED)
        await service.post(ADDED, path="/webhooks/plex", headers={"X-Moodreel-Token": "wrong"})
        await service.post(ADDED, path="/webhooks", headers={})
        await service.post(ADDED, path="/webhooks/a-stranger's-invention", headers={})
        assert service.store.arrivals == [], "no sender waits for it"
    found = {arrival.sender: arrival for arrival in service.store.arrivals}
    assert found.keys() == {"jellyfin", "plex", "any"}
    assert found["jellyfin"].taken_at is not None
    assert found["jellyfin"].refused_at is None
    assert found["plex"].taken_at is None
    assert found["plex"].refusal.startswith("wrong or missing token")


async def test_a_store_that_is_away_keeps_nobody_from_stopping():
    service = Service()
    async with service.serving():
        await service.post(ADDED)
        service.store.error = TransientError("away")


async def test_an_event_of_no_interest_has_no_content(service):
    status, answer, _ = await service.post({})

    assert (status, answer) == (204, None)
    assert service.queue.jobs == []


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"change": "added"}'])
async def test_a_body_of_another_shape_is_a_bad_request(service, body):
    status, answer, _ = await service.post(body)

    assert (status, answer) == (400, {"error": "not one of ours"})


@pytest.mark.parametrize("path", ["/webhooks", "/webhooks/jellyfin"])
async def test_a_sender_may_put_as_well(service, path):
    headers = {"X-Moodreel-Token": TOKEN}
    async with service.session.put(path, json=ADDED, headers=headers) as answer:
        assert answer.status == 202


async def test_an_unknown_sender_is_not_found(service):
    status, answer, _ = await service.post(ADDED, path="/webhooks/kodi")

    assert status == 404
    assert "jellyfin, plex" in answer["error"]


@pytest.mark.parametrize("path", ["/webhooks", "/webhooks/plex"])
async def test_a_server_that_is_not_configured_is_not_found_and_says_how(service, path):
    status, answer, _ = await service.post(b"plex", path=path)

    assert (status, answer) == (404, {"error": "plex is not configured: set PLEX_URL"})


async def test_one_address_finds_the_sender_by_its_body(service):
    status, answer, _ = await service.post(ADDED, path="/webhooks")

    assert (status, answer["jobs"]) == (202, ["analyze jellyfin/film"])


async def test_a_body_that_nobody_recognises_is_a_bad_request_that_names_all(service):
    status, answer, _ = await service.post(b"[]", path="/webhooks")

    assert status == 400
    assert "none" in answer["error"]
    assert "jellyfin, plex" in answer["error"]


async def test_a_body_that_several_recognise_is_a_bad_request_that_names_them():
    senders = {name: FakeSender(name) for name in ("emby", "jellyfin")}
    async with Service(senders=senders).serving() as service:
        status, answer, _ = await service.post(ADDED, path="/webhooks")

        assert status == 400
        assert "emby and jellyfin" in answer["error"]
        assert service.queue.jobs == []


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/webhooks/jellyfin", 405)])
async def test_every_refusal_is_json(service, path, status):
    answered, answer = await service.get(path)

    assert answered == status
    assert answer.keys() == {"error"}


@pytest.mark.parametrize("has_own_address", [True, False], ids=["own address", "one for all"])
async def test_every_senders_bodies_come_through(has_own_address):
    async with Service(senders=SENDERS, servers=("jellyfin", "emby", "plex")).serving() as service:
        quiet = set()
        for sent in read_bodies():
            path = f"/webhooks/{sent.sender}" if has_own_address else "/webhooks"
            headers = {"Content-Type": sent.content_type, "X-Moodreel-Token": TOKEN}
            status, _, _ = await service.post(sent.body, path=path, headers=headers)
            assert status in {202, 204}, sent
            if status == 204:
                quiet.add((sent.sender, sent.name))

    assert {("plex", "stopped"), ("sonarr", "test"), ("emby", "person-new")} <= quiet
    assert {sender for sender, _ in quiet} == SENDERS.keys()
    assert (
        sorted(map(str, service.store.deleted)) == ["emby/7001"] * 2 + ["jellyfin/" + "1" * 32] * 2
    )
    assert AnalyzeJob(ref=ItemRef(server="plex", item_id="7001")) in service.queue.jobs
    assert ExpandJob(ref=ItemRef(server="emby", item_id="7100"), after_s=30) in service.queue.jobs
    assert ReconcileJob(server="plex", after_s=60) in service.queue.jobs


# Who may knock ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": f"Bearer {TOKEN}"}},
        {"headers": {"Authorization": f"bearer  {TOKEN} "}},
        {"headers": {"X-Moodreel-Token": TOKEN}},
        {"headers": {}, "params": {"token": TOKEN}},
        {"headers": basic("sonarr", TOKEN)},
        {"headers": basic("", TOKEN)},
    ],
    ids=["bearer", "sloppy bearer", "own header", "query", "basic", "nobody's basic"],
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
        {"headers": basic(TOKEN, "")},
        {"headers": basic("sonarr", "wrong")},
        {"headers": {"Authorization": "Basic ====\u00e9"}},
        {"headers": {"Authorization": "Basic /////w=="}},
    ],
    ids=range(11),
)
async def test_anybody_else_is_refused(service, options):
    status, answer, headers = await service.post(ADDED, **options)

    assert status == 401
    assert headers["WWW-Authenticate"].startswith("Bearer")
    assert TOKEN not in str(answer)
    assert service.queue.jobs == []


async def test_a_stranger_learns_nothing_of_the_servers(service):
    for path in ("/webhooks", "/webhooks/plex", "/webhooks/kodi"):
        assert (await service.post(ADDED, path=path, headers={}))[0] == 401


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


@pytest.mark.parametrize(
    "sent",
    [
        "POST /webhooks/plex?token={} HTTP/9.9.9\r\n\r\n",
        "POST http://[x?token={} HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nX-Moodreel-Token: {}\0\r\n\r\n",
        "POST /?token={}" + "a" * LINE_BYTES + " HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["version", "address", "header", "length"],
)
async def test_what_is_no_http_leaves_no_token_and_no_traceback_in_the_log(service, caplog, sent):
    caplog.set_level(logging.DEBUG)
    assert b" 400 " in await answer_to(service.port, sent.format("correct-horse"))

    assert "Error handling request from 127.0.0.1" in caplog.text
    assert "correct-horse" not in caplog.text
    assert "Traceback" not in caplog.text
    assert all(record.levelno <= logging.INFO for record in caplog.records)


async def test_a_body_that_is_not_packed_as_it_says_and_that_nobody_reads_leaves_no_error(
    service, caplog
):
    sent = "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n"
    assert b" 404 " in await answer_to(service.port, sent + "\r\nabc")

    async with service.session.get("/healthz"):  # by then the other connection is done with
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


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


async def test_a_picture_counts_for_the_limit():
    async with Service(senders=SENDERS, body_bytes=4096).serving() as service:
        statuses = set()
        for size_bytes in (64, 8192):
            body, content_type = as_parts(b'{"event": "media.play"}', thumb=b"x" * size_bytes)
            headers = {"Content-Type": content_type, "X-Moodreel-Token": TOKEN}
            statuses.add((await service.post(body, headers=headers, path="/webhooks/plex"))[0])

    assert statuses == {204, 413}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "odd"])
async def test_a_body_that_is_not_packed_as_it_says_is_a_bad_request(service, encoding):
    headers = {"X-Moodreel-Token": TOKEN, "Content-Encoding": encoding}

    status, answer, _ = await service.post(b"\x00junk", headers=headers)

    assert status == 400
    assert answer.keys() == {"error"}


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.sampled_from(["", *(f"/{name}" for name in SENDERS)]),
    st.sampled_from(read_bodies()),
    st.none() | st.randoms(use_true_random=False),
    st.none() | st.binary(max_size=200),
)
def test_no_body_makes_the_door_fail(door, place, sent, chance, junk):
    body = sent.body if chance is None else spoil(sent.body, chance)
    body = body if junk is None else junk

    status, answer = door(f"/webhooks{place}", body, sent.content_type)

    assert status in {202, 204, 400}
    assert (answer is None) == (status == 204)


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
            async with asyncio.timeout(60):
                await queue.entered.wait()
            asyncio.get_running_loop().call_later(0.2, queue.may_commit.set)
        async with await request as answer:
            assert answer.status == 202


async def test_a_port_that_is_taken_is_told_to_the_operator(service):
    app = make_app(FakeQueue(), FakeStore())

    with pytest.raises(ConfigurationError, match=str(service.port)):
        async with serve(app, host="127.0.0.1", port=service.port):
            pass


# What is counted --------------------------------------------------------------------------------


def count_of(server, outcome):
    labels = {"server": server, "outcome": outcome}
    return REGISTRY.get_sample_value("moodreel_events_total", labels)


@pytest.mark.parametrize(
    ("path", "body", "token", "counted"),
    [
        ("/webhooks/jellyfin", ADDED, TOKEN, ("jellyfin", "taken")),
        ("/webhooks", ADDED, TOKEN, ("jellyfin", "taken")),
        ("/webhooks/jellyfin", b"[]", TOKEN, ("jellyfin", "ignored")),
        ("/webhooks/jellyfin", ADDED, "wrong", ("jellyfin", "unauthorized")),
        ("/webhooks", ADDED, "wrong", ("unknown", "unauthorized")),
        ("/webhooks/jellyfin", b"no JSON", TOKEN, ("jellyfin", "refused")),
        ("/webhooks/somebody", ADDED, TOKEN, ("unknown", "refused")),
    ],
)
async def test_each_webhook_counts_for_its_sender(service, path, body, token, counted):
    before = count_of(*counted)

    await service.post(body, path=path, headers={"X-Moodreel-Token": token})

    assert count_of(*counted) == before + 1
    assert count_of("somebody", counted[1]) is None


async def test_a_webhook_that_could_not_be_committed_counts_as_failed(service):
    before = count_of("jellyfin", "failed")
    service.queue.error = TransientError("gone")

    await service.post(ADDED)

    assert count_of("jellyfin", "failed") == before + 1
