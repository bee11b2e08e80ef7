"""Moodreel on several hosts: a database, one that takes webhooks, workers, and the media server.

Each is alone in its network namespace and talks to the others over TCP. The database is a Postgres
server that asks for a password (SCRAM); films come from a Jellyfin over HTTP; what is told goes to
a receiver of events. Only this test itself goes behind the network, to look: through the server's
socket in the file system.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import psycopg
from aiohttp import web
from psycopg.conninfo import make_conninfo

from adapters.database.embedded import EmbeddedPostgres
from service.ports import JobQueue
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.network import Host, Network, open_network
from tests.support.postgres import FAST, eventually, reachable_directory
from tests.support.receivers import HttpReceiver
from tests.support.service import DEADLINE_S, QUIET, ROOT, environment

PUBLISHED = "content.published.v1"
DATABASE, WEB, MEDIA = "database", "web", "media"
PASSWORD = "a password: with % and @"
PORTS = {DATABASE: 5432, WEB: 8686, MEDIA: 8096}
EVENTS_PORT = 9000
PATIENCE_S = 900.0
"""For hundreds of films on a busy machine."""
IMPATIENT = {
    "MOODREEL_QUEUE_STALLED_AFTER_S": "4",
    "MOODREEL_QUEUE_HEARTBEAT_S": "1",
    "MOODREEL_STREAM_TIMEOUT": "3",
    "JELLYFIN_TIMEOUT_S": "5",
}
"""Who is silent for 4 s is dead."""


@dataclass(kw_only=True)
class Fleet:
    """The hosts, and what they hold."""

    network: Network
    place: Path
    dsn: str
    """The database as only this test sees it."""
    jellyfin: StandInJellyfin
    receiver: HttpReceiver
    _settings: Mapping[str, str]

    def environment(self, name: str) -> dict[str, str]:
        """The variables of a command on a host."""
        url = make_url(self.network[DATABASE])
        return environment(self.place / name, DATABASE_URL=url, **self._settings)

    @asynccontextmanager
    async def running(
        self, name: str, *arguments: str, core: int | None = None
    ) -> AsyncIterator[psutil.Process]:
        """A command on a host until the block ends; its log is ``<name>.log``."""
        pinned = ["taskset", "--cpu-list", str(core)] if core is not None else []
        with (self.place / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(*self.network[name].command(), *pinned),
                *(sys.executable, "-m", "service.cli", *arguments),
                cwd=ROOT,
                env=self.environment(name),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield psutil.Process(process.pid)
        finally:
            await _end(process)

    def log(self, name: str) -> str:
        return (self.place / f"{name}.log").read_text()

    async def until_logged(self, name: str, text: str, *, count: int = 1) -> None:
        """Wait until a host's log says something so often."""
        async with asyncio.timeout(DEADLINE_S):
            while self.log(name).count(text) < count:  # noqa: ASYNC110  another process writes it
                await asyncio.sleep(0.05)

    async def until_told(self, count: int) -> None:
        """Wait until the receiver knows of so many items."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.announcements()) < count:  # noqa: ASYNC110  they come by HTTP
                await asyncio.sleep(0.05)

    async def until_idle(self, queue: JobQueue) -> None:
        """Wait until no job waits or runs."""

        async def is_idle() -> bool:
            counts = await queue.counts()
            return not counts["waiting"] and not counts["running"]

        async with asyncio.timeout(PATIENCE_S):
            while not await is_idle():  # noqa: ASYNC110  others work
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def client(self, name: str) -> AsyncIterator[aiohttp.ClientSession]:
        """A client on a host, as it sends webhooks to the web host."""
        connector = aiohttp.TCPConnector(socket_factory=self.network[name].make_socket)
        web_host = self.network[WEB]
        async with aiohttp.ClientSession(
            f"http://{web_host.address}:{PORTS[WEB]}",
            connector=connector,
            headers={"X-Moodreel-Token": QUIET["MOODREEL_WEBHOOK_TOKEN"]},
        ) as session:
            yield session

    async def until_ready(self) -> None:
        """Wait for the web host's ``/readyz``."""
        async with asyncio.timeout(DEADLINE_S), self.client(MEDIA) as client:
            while True:
                try:
                    async with client.get("/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)

    async def send_webhooks(self, items: Sequence[StandInItem]) -> list[float]:
        """Have the media host report items one after another, as Jellyfin does; seconds of each."""
        seconds: list[float] = []
        async with self.client(MEDIA) as client:
            for item in items:
                began_at = time.perf_counter()
                body = self.jellyfin.webhook_body(item)
                async with client.post("/webhooks/jellyfin", data=body) as answer:
                    assert answer.status == 202, await answer.text()
                seconds.append(time.perf_counter() - began_at)
        return seconds

    def announcements(self) -> Counter[str]:
        """How many different events told of each item; a repeated one counts once, by its id."""
        events = {
            delivery.webhook_id: delivery.envelope["payload"]["jellyfin_item_id"]
            for delivery in self.receiver.deliveries
            if delivery.envelope["topic"] == PUBLISHED
        }
        return Counter(events.values())


def make_url(host: Host) -> str:
    """The database as the other hosts see it."""
    quoted = "".join(letter if letter.isalnum() else f"%{ord(letter):02X}" for letter in PASSWORD)
    return f"postgresql://moodreel:{quoted}@{host.address}:{PORTS[DATABASE]}/moodreel"


@asynccontextmanager
async def open_fleet(
    workers: Sequence[str],
    *,
    parameters: Mapping[str, str] = FAST,
    settings: Mapping[str, str] = IMPATIENT,
) -> AsyncIterator[Fleet]:
    """Make the hosts and start the database and the media server on theirs.

    Args:
        workers: Names of the workers' hosts.
        parameters: Of the Postgres server.
        settings: Of all that is started.
    """
    async with AsyncExitStack() as stack:
        in_memory = parameters is FAST  # measurements want a disk
        place = stack.enter_context(reachable_directory(in_memory=in_memory))
        network = stack.enter_context(open_network(DATABASE, WEB, MEDIA, *workers))
        dsn = stack.enter_context(serve_database(network[DATABASE], place, parameters))
        jellyfin, receiver = StandInJellyfin(), HttpReceiver()
        media, ports = network[MEDIA], ((jellyfin.app(), PORTS[MEDIA]), (receiver.app, EVENTS_PORT))
        for app, port in ports:
            await stack.enter_async_context(_serve_app(app, media, port))
        yield Fleet(
            network=network,
            place=place,
            dsn=dsn,
            jellyfin=jellyfin,
            receiver=receiver,
            _settings={
                "MOODREEL_HOST": network[WEB].address,
                "MOODREEL_PORT": str(PORTS[WEB]),
                "MOODREEL_RECONCILE_MINUTES": "0",
                "MOODREEL_VISUAL_MODEL": "none",
                "MOODREEL_SOUND_MODEL": "none",
                "MOODREEL_SOUND_TEXT_MODEL": "none",
                "JELLYFIN_URL": f"http://{media.address}:{PORTS[MEDIA]}",
                "JELLYFIN_API_KEY": API_KEY,
                "EVENT_WEBHOOK_URLS": f"http=http://{media.address}:{EVENTS_PORT}{HttpReceiver.PATH}",
            }
            | dict(settings),
        )


def write_library(library: Path, count: int) -> list[StandInItem]:
    """Films of two seconds: all the same but for something behind their end, so none is a copy."""
    library.mkdir()
    scenes = (SceneSpec(duration_s=1.0, colour=RED), SceneSpec(duration_s=1.0, colour=BLUE))
    film = write_film(library / "film.mp4", scenes).read_bytes()
    items = []
    for number in range(1, count + 1):
        path = library / f"Film {number:03} (2026).mp4"
        path.write_bytes(film + b"\0\0\0\x10free" + number.to_bytes(8, "big"))
        items.append(StandInItem(name=path.stem, path=f"/media/{path.name}", file=path))
    return items


@contextmanager
def serve_database(host: Host, place: Path, parameters: Mapping[str, str]) -> Iterator[str]:
    """A Postgres server on a host, with a user who owns a database; gives our own way in."""
    sockets = place / "sockets"
    with EmbeddedPostgres(place / "postgres", parameters=parameters) as cluster:
        with psycopg.connect(cluster.start(), autocommit=True) as admin:
            admin.execute(f"create role moodreel login password '{PASSWORD}'")
            admin.execute("alter database moodreel owner to moodreel")
            admin.execute("alter schema extensions owner to moodreel")
        server = psutil.Process(cluster.pid)
        command, user, group = server.cmdline(), server.uids().real, server.gids().real
    pgdata = place / "postgres" / "pgdata"
    (pgdata / "pg_hba.conf").write_text("local all all trust\nhost all all all scram-sha-256\n")
    sockets.mkdir()
    os.chown(sockets, user, group)
    identity = [f"--reuid={user}", f"--regid={group}", "--clear-groups"] if user else []
    where = [
        *("-c", f"listen_addresses={host.address}"),
        *("-c", f"unix_socket_directories={sockets}"),
        *("-c", "log_line_prefix=%m [%p] %r "),
    ]
    with (place / "database.log").open("wb") as log, ExitStack() as stack:
        process = subprocess.Popen(
            [*host.command(*identity), *command, *where], cwd="/", stdout=log, stderr=log
        )
        stack.callback(process.wait)
        stack.callback(process.send_signal, signal.SIGINT)
        dsn = make_conninfo(host=str(sockets), user="postgres", dbname="moodreel")
        eventually(lambda: _answers(dsn))
        yield dsn


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True


@asynccontextmanager
async def _serve_app(app: web.Application, host: Host, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, host.listen(port)).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def _end(process: asyncio.subprocess.Process) -> None:
    """As Docker does: ask, and insist ten seconds later."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
