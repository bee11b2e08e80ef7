"""How soon ``moodreel serve`` answers a webhook, its job committed, and whether it loses any.

Two floods: one of one dialect at a rate that a large library may reach, beside the same handlers
without a commit; and one of all dialects at five times that rate.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any, cast

import aiohttp

from service.domain import Change, FileEvent, Job, LibraryEvent
from service.ports import JobQueue, Store
from service.web.app import create_app, serve
from tests.support.postgres import reachable_directory
from tests.support.service import QUIET, call_json, environment, serving
from tests.support.webhooks import DATA, SENDERS, Sent, wrap

TOKEN = QUIET["MOODREEL_WEBHOOK_TOKEN"]
STEADY_COUNT, STEADY_HZ = 1_000, 100.0
BURST_COUNT, BURST_HZ = 5_000, 500.0
"""Ten seconds of it."""
NOWHERE = "http://127.0.0.1:9"
SERVERS = {
    "JELLYFIN_URL": NOWHERE,
    "JELLYFIN_API_KEY": "0123456789abcdef0123456789abcdef",
    "EMBY_URL": NOWHERE,
    "EMBY_API_KEY": "0123456789abcdef0123456789abcdef",
    "PLEX_URL": NOWHERE,
    "PLEX_TOKEN": "a-token",
}
SERVER_NAMES = ("jellyfin", "emby", "plex")
IDS = {"jellyfin": rb"\b([1-8])\1{31}\b", "emby": rb"\b7\d{3}\b", "plex": rb"\b7\d{3}\b"}
"""Of items in the bodies of ``tests/data/webhooks``: each that is sent gets one of its own."""
CONNECTIONS = 100
"""aiohttp's own default; senders keep theirs open."""

Row = dict[str, Any]


class ForgetfulStore:
    """Forgets when webhooks came."""

    async def note_arrivals(self, arrivals: object) -> None: ...


class ForgetfulQueue:
    """Commits nothing."""

    async def enqueue(self, jobs: Sequence[Job]) -> int:
        return len(jobs)

    async def counts(self) -> Mapping[str, int]:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What came back."""

    statuses: Counter[int]
    times_ms: list[float]
    """From the moment that a webhook was due, so that a queue before the door counts."""
    seconds: float


def film_bodies() -> list[Sent]:
    """New films of Jellyfin alone."""
    film = DATA / "jellyfin" / "movie-added.json"
    return [make_body(film) for _ in range(STEADY_COUNT)]


def mixed_bodies() -> list[Sent]:
    """All bodies of all senders in turn, each about another item."""
    paths = cycle(sorted(DATA.glob("*/*.json")))
    return [make_body(path) for path in islice(paths, BURST_COUNT)]


def make_body(path: Path) -> Sent:
    """A body of a file with ids of its own, in any of its sender's wrappings."""
    sender = path.parent.name
    item = uuid.uuid4()
    own_id = item.hex if sender == "jellyfin" else str(item.int % 10**17)
    payload = re.sub(IDS.get(sender, b"(?!)"), own_id.encode(), path.read_bytes())
    return random.choice(wrap(sender, path.stem, payload))


async def flood(address: str, bodies: Sequence[Sent], *, rate_hz: float) -> Flood:
    """Send at a steady rate, about half to the address that is for all senders."""
    statuses: Counter[int] = Counter()
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    headers = {"X-Moodreel-Token": TOKEN}
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        began_at = time.perf_counter() + 0.1

        async def send(number: int, sent: Sent) -> float:
            due_at = began_at + number / rate_hz
            await asyncio.sleep(due_at - time.perf_counter())
            url = f"{address}/webhooks" + random.choice([f"/{sent.sender}", ""])
            content_type = {"Content-Type": sent.content_type}
            async with session.post(url, data=sent.body, headers=content_type) as answer:
                await answer.read()
            statuses[answer.status] += 1
            return (time.perf_counter() - due_at) * 1000

        times_ms = await asyncio.gather(*(send(*pair) for pair in enumerate(bodies)))
        seconds = time.perf_counter() - began_at
    return Flood(statuses=statuses, times_ms=times_ms, seconds=seconds)


async def scrape(address: str, times_ms: list[float]) -> None:
    """Ask for the metrics once a second, until cancelled."""
    async with aiohttp.ClientSession() as session:
        while True:
            began_at = time.perf_counter()
            async with session.get(f"{address}/metrics") as answer:
                await answer.read()
                assert answer.status == HTTPStatus.OK, answer.status
            times_ms.append((time.perf_counter() - began_at) * 1000)
            await asyncio.sleep(max(0.0, 1.0 - times_ms[-1] / 1000))


async def measure_served(
    bodies: Sequence[Sent], *, rate_hz: float, scraped_ms: list[float] | None = None
) -> tuple[Flood, int]:
    """Into the service as its users start it, with a database that syncs to disk.

    Args:
        bodies: What is sent.
        rate_hz: How fast.
        scraped_ms: How long scrapes took, one a second; None to have none.

    Returns:
        What came back, and how many jobs wait in the queue afterwards.
    """
    with reachable_directory(in_memory=False) as place:
        # Only what the senders send is counted.
        env = environment(place / "data", MOODREEL_RECONCILE_MINUTES="0", **SERVERS)
        async with serving("serve", env=env) as (_, address):
            scraping = scraped_ms is not None and asyncio.create_task(scrape(address, scraped_ms))
            found = await flood(address, bodies, rate_hz=rate_hz)
            if scraping:
                assert not scraping.done(), scraping
                scraping.cancel()
            return found, (await call_json("status", env=env))["jobs"]["waiting"]


async def measure_forgotten(bodies: Sequence[Sent], *, rate_hz: float) -> Flood:
    """Into the same handlers, in this process, with nothing to commit to."""
    app = create_app(
        senders=SENDERS,
        servers=SERVER_NAMES,
        queue=cast("JobQueue", ForgetfulQueue()),
        store=cast("Store", ForgetfulStore()),
        token=TOKEN,
    )
    async with serve(app, host="127.0.0.1", port=0) as port:
        return await flood(f"http://127.0.0.1:{port}", bodies, rate_hz=rate_hz)


def expected_jobs(bodies: Sequence[Sent]) -> int:
    """How many jobs must wait: one for each item and each group, and one for each server."""
    events = [
        (sent.sender, event)
        for sent in bodies
        for event in SENDERS[sent.sender].parse_webhook(sent.body, sent.content_type)
    ]
    refs = {
        (event.ref, event.is_group)
        for _, event in events
        if isinstance(event, LibraryEvent) and event.change is not Change.DELETED
    }
    compared = {
        name
        for sender, event in events
        for name in (SERVER_NAMES if isinstance(event, FileEvent) else [sender])
        if isinstance(event, FileEvent) or (event.is_group and event.change is Change.DELETED)
    }
    return len(refs) + len(compared)


def steady_rows() -> list[Row]:
    bodies = film_bodies()
    committed, waiting = asyncio.run(measure_served(bodies, rate_hz=STEADY_HZ))
    assert waiting == STEADY_COUNT, (waiting, committed.statuses)
    forgotten = asyncio.run(measure_forgotten(bodies, rate_hz=STEADY_HZ))
    pairs = [quantiles(found.times_ms, n=100) for found in (committed, forgotten)]
    return [
        {
            "name": f"moodreel serve, 100/s: answered, {name}",
            "value": pairs[0][percent - 1],
            "unit": "ms",
            "baseline": f"{pairs[1][percent - 1]:.2f} without the commit",
            "ratio": pairs[0][percent - 1] / pairs[1][percent - 1],
        }
        for name, percent in (("median", 50), ("99th percentile", 99))
    ]


def burst_rows() -> list[Row]:
    bodies = mixed_bodies()
    found, waiting = asyncio.run(measure_served(bodies, rate_hz=BURST_HZ))
    lost = expected_jobs(bodies) - waiting
    failed = sum(
        number
        for status, number in found.statuses.items()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )
    refused = (
        len(bodies)
        - failed
        - found.statuses[HTTPStatus.ACCEPTED]
        - found.statuses[HTTPStatus.NO_CONTENT]
    )
    what = f"{len(bodies)} webhooks of 5 senders in {found.seconds:.1f} s"
    times = quantiles(found.times_ms, n=100)
    return [
        {"name": f"moodreel serve, 500/s: {name}", "value": value, "unit": unit, "baseline": what}
        for name, value, unit in (
            ("jobs that were lost", lost, f"of {expected_jobs(bodies)}"),
            ("answered 5xx", failed, "webhooks"),
            ("answered 4xx", refused, "webhooks"),
            ("answered, median", round(times[49], 1), "ms"),
            ("answered, 99th percentile", round(times[98], 1), "ms"),
            ("answered, the slowest", round(max(found.times_ms), 1), "ms"),
        )
    ]


def scraped_rows() -> list[Row]:
    """The same flood without and with somebody who reads ``/metrics`` every second."""
    scraped_ms: list[float] = []
    bodies = mixed_bodies()
    alone, waiting_alone = asyncio.run(measure_served(bodies, rate_hz=BURST_HZ))
    bodies = mixed_bodies()
    watched, waiting = asyncio.run(measure_served(bodies, rate_hz=BURST_HZ, scraped_ms=scraped_ms))
    pairs = [quantiles(found.times_ms, n=100) for found in (watched, alone)]
    lost = expected_jobs(bodies) - waiting
    return [
        {
            "name": "moodreel serve, 500/s, scraped every second: jobs that were lost",
            "value": lost,
            "unit": f"of {expected_jobs(bodies)}",
            "baseline": f"{waiting_alone} waited without scrapes",
        },
        *(
            {
                "name": f"moodreel serve, 500/s, scraped every second: webhooks, {name}",
                "value": round(pairs[0][percent - 1], 1),
                "unit": "ms",
                "baseline": f"{pairs[1][percent - 1]:.1f} without scrapes",
                "ratio": pairs[0][percent - 1] / pairs[1][percent - 1],
            }
            for name, percent in (("median", 50), ("99th percentile", 99))
        ),
        {
            "name": f"moodreel serve, 500/s: /metrics, the slowest of {len(scraped_ms)} scrapes",
            "value": round(max(scraped_ms), 1),
            "unit": "ms",
            "baseline": f"{median(scraped_ms):.1f} median",
        },
    ]


def run() -> list[Row]:
    """1,000 webhooks at 100 a second, and 5,000 at 500 a second, alone and scraped."""
    return [*steady_rows(), *burst_rows(), *scraped_rows()]
