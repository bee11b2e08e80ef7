"""What monitors are told: whether all is well, and what has been done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from service.domain import Backlog, Finding, Severity
from service.errors import ConfigurationError, TransientError
from service.ports import JobQueue
from service.web.app import create_monitor_app, serve
from service.web.health import Health, Verdict
from service.web.monitor import Exposition, Monitor
from service.web.token import Token
from service.wiring.watching import judge_models

SECRET = "a secret in an address"
BACKLOG = [
    Backlog(kind="analyze", waiting=3, later=1, running=2, failed=4, oldest_s=70.5),
    Backlog(kind="publish"),
]


class FakeQueue:
    def __init__(self):
        self.error = None
        self.looks = 0

    async def backlog(self):
        self.looks += 1
        if self.error is not None:
            raise self.error
        return BACKLOG


class Watched:
    """A worker's address, and what stands behind it."""

    def __init__(self, *, token=None, timeout_s=5.0, keep_s=0.0):
        self.looks = 0
        self.trouble = None
        self.queue = FakeQueue()
        self.monitor = Monitor(
            health=Health({"door": self.check, "wall": self.stand}, timeout_s=timeout_s),
            exposition=Exposition(
                cast("JobQueue", self.queue), lambda: None, token and Token(token), keep_s=keep_s
            ),
        )

    async def stand(self):
        return Verdict(is_ok=True, why="it stands")

    async def check(self):
        self.looks += 1
        if self.trouble is None:
            return Verdict(is_ok=True, why="it is open")
        if isinstance(self.trouble, Exception):
            raise self.trouble
        return await self.trouble

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Watched]:
        app = create_monitor_app(self.monitor)
        async with (
            serve(app, host="127.0.0.1", port=0) as port,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as self.session,
        ):
            yield self

    async def get(self, path):
        async with self.session.get(path) as answer:
            return answer.status, await answer.json()

    async def scrape(self, **headers):
        async with self.session.get("/metrics", headers=headers) as answer:
            return answer.status, await answer.text(), answer.headers


@pytest.fixture
async def watched():
    async with Watched().serving() as watched:
        yield watched


def samples(text):
    """All values by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


# Health -----------------------------------------------------------------------------------------


async def test_a_living_service_says_so_whatever_is_broken(watched):
    watched.trouble = TransientError(SECRET)

    assert await watched.get("/healthz") == (200, {"status": "ok"})


async def test_a_service_is_ready_when_every_check_is_well(watched):
    assert await watched.get("/readyz") == (
        200,
        {
            "status": "ready",
            "checks": {
                "door": {"ok": True, "why": "it is open"},
                "wall": {"ok": True, "why": "it stands"},
            },
        },
    )


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (TransientError(SECRET), "it cannot be reached"),
        (ConfigurationError(SECRET), "it refuses us"),
        (ValueError(SECRET), "it could not be looked at"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_one_broken_part_makes_it_red_in_words_for_anybody(watched, trouble, why):
    watched.trouble = trouble

    status, answer = await watched.get("/readyz")

    assert (status, answer["status"]) == (503, "not ready")
    assert answer["checks"]["door"]["ok"] is False
    assert answer["checks"]["door"]["why"] == why
    assert answer["checks"]["wall"]["ok"] is True
    assert SECRET not in str(answer)


async def test_a_part_that_does_not_answer_keeps_nobody_waiting():
    async with Watched(timeout_s=0.05).serving() as watched:
        watched.trouble = asyncio.get_running_loop().create_future()

        status, answer = await watched.get("/readyz")

    assert (status, answer["checks"]["door"]["why"]) == (503, "no answer within 0.05 s")


async def test_many_who_ask_at_once_cost_one_look(watched):
    await asyncio.gather(*(watched.get("/readyz") for _ in range(20)))

    assert watched.looks == 1


async def test_a_worker_takes_no_webhooks(watched):
    async with watched.session.post("/webhooks/jellyfin", json={}) as answer:
        assert answer.status == 404


HERE = Finding(subject="models/eyes", severity=Severity.OK, message="here")
ABSENT = Finding(
    subject="models/ears", severity=Severity.WARNING, message="not here yet", fix="pull ears"
)
BROKEN = Finding(
    subject="models/nose", severity=Severity.ERROR, message="it could not be loaded", fix="fix it"
)


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([HERE], Verdict(is_ok=True, why="those that are configured are here")),
        ([HERE, ABSENT], Verdict(is_ok=True, why="ears: not here yet", fix="pull ears")),
        (
            [BROKEN, ABSENT],
            Verdict(is_ok=False, why="nose: it could not be loaded", fix="fix it"),
        ),
    ],
    ids=["here", "absent", "broken"],
)
def test_a_broken_model_is_red_and_an_absent_one_is_named(findings, verdict):
    assert judge_models(findings) == verdict


# Metrics ----------------------------------------------------------------------------------------


async def test_metrics_are_told_as_text(watched):
    status, text, headers = await watched.scrape(Accept="text/plain")

    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    found = samples(text)
    assert found["moodreel_queue_jobs", "analyze", "waiting"] == 3
    assert found["moodreel_queue_jobs", "analyze", "later"] == 1
    assert found["moodreel_queue_jobs", "analyze", "running"] == 2
    assert found["moodreel_queue_jobs", "analyze", "failed"] == 4
    assert found["moodreel_queue_oldest_seconds", "analyze"] == 70.5
    assert found["moodreel_queue_oldest_seconds", "publish"] == 0
    assert found["moodreel_database_up",] == 1


async def test_metrics_are_told_as_openmetrics_to_whoever_prefers_that(watched):
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"

    status, text, headers = await watched.scrape(Accept=accept)

    kind = headers["Content-Type"].partition(";")[0]
    assert (status, kind) == (200, "application/openmetrics-text")
    names = {family.name for family in parse_openmetrics(text)}
    assert {"moodreel_jobs", "moodreel_stage_seconds", "moodreel_queue_jobs"} <= names


@pytest.mark.parametrize(
    "accept", ["text/plain;version=1.x", "application/openmetrics-text;version=", ";;;"]
)
async def test_a_scraper_that_asks_for_no_version_there_is_gets_the_usual(watched, accept):
    async with watched.session.get("/metrics", headers={"Accept": accept}) as answer:
        assert answer.status == 200
        assert list(parse_text(await answer.text()))


async def test_what_is_counted_begins_at_zero(watched):
    found = samples((await watched.scrape())[1])

    for name in ("done", "gone", "dropped", "retried", "postponed", "failed"):
        assert ("moodreel_jobs_total", "expand", name) in found
    assert ("moodreel_stage_seconds_count", "describe") in found
    assert not [key for key in found if key[0].endswith("_created")]


async def test_a_queue_that_is_away_is_absent_and_comes_back(watched):
    await watched.scrape()
    watched.queue.error = TransientError(SECRET)

    status, text, _ = await watched.scrape()
    found = samples(text)
    assert (status, found["moodreel_database_up",]) == (200, 0)
    assert "moodreel_queue_jobs{" not in text
    assert "moodreel_queue_oldest_seconds{" not in text

    watched.queue.error = None
    found = samples((await watched.scrape())[1])
    assert found["moodreel_database_up",] == 1
    assert found["moodreel_queue_jobs", "analyze", "waiting"] == 3


async def test_many_scrapers_cost_one_writing():
    written = 0

    class CountedRegistry(CollectorRegistry):
        def collect(self):
            nonlocal written
            written += 1
            return iter(())

    queue = cast("JobQueue", FakeQueue())
    exposition = Exposition(queue, lambda: None, registry=CountedRegistry(), keep_s=3600.0)
    monitor = Monitor(health=Health({}), exposition=exposition)
    async with (
        serve(create_monitor_app(monitor), host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        answers = await asyncio.gather(*(session.get("/metrics") for _ in range(10)))
    assert [answer.status for answer in answers] == [200] * 10
    assert written == 1


async def test_many_scrapers_cost_the_database_one_look():
    async with Watched(keep_s=60.0).serving() as watched:
        await asyncio.gather(*(watched.scrape() for _ in range(10)))

    assert watched.queue.looks == 1


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer right", 200),
        ("bearer right", 200),
        ("Bearer wrong", 401),
        ("Basic right", 401),
        ("right", 401),
        ("", 401),
    ],
)
async def test_where_a_token_is_set_a_scraper_must_know_it(authorization, status):
    async with Watched(token="right").serving() as watched:
        found, text, headers = await watched.scrape(Authorization=authorization)
        assert found == status
        assert ("moodreel_" in text) == (status == 200)
        assert headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
        assert (await watched.get("/readyz"))[0] == 200


def test_a_token_of_blanks_is_no_token():
    with pytest.raises(ConfigurationError, match="MOODREEL_METRICS_TOKEN is empty"):
        Token("  ", "MOODREEL_METRICS_TOKEN")
