"""A season arrives while everything around it fails: ten analyses, one message, ten events."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from service.domain import ItemRef, ItemState
from service.settings import ServiceSettings
from service.wiring.house import open_moodreel
from tests.faults.test_killed_worker import IMPATIENT, doomed_workers, write_variant
from tests.support.doomed_worker import ANY
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.nats_server import MISSING, find_nats_server, read_event, running_nats
from tests.support.queue_worker import counts_become
from tests.support.receivers import Answer, HttpReceiver, StandInDiscord, serve
from tests.support.service import (
    QUIET,
    environment,
    free_port,
    running,
    serving,
    without_models,
)

EPISODES = 10
DEATHS = (7, 16, 4, 33, 11, 50)
"""Calls after which one worker after the other dies."""
SERIES_ID = "5e" * 16
SLOW_DOWN = Answer(
    status=429, body='{"message": "You are being rate limited.", "retry_after": 0.5}'
)


@pytest.mark.timeout(600)
@pytest.mark.skipif(find_nats_server() is None, reason=MISSING)
async def test_a_season_is_told_once_whatever_dies(tmp_path, database_dsn, monkeypatch):
    library = tmp_path / "library"
    library.mkdir()
    jellyfin, discord, receiver = StandInJellyfin(), StandInDiscord(), HttpReceiver()
    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(open_door(discord.app))
        discord_url = await door.open()
        receiver_url = await stack.enter_async_context(serve(receiver.app))
        nats = await stack.enter_async_context(running_nats(tmp_path))
        port = free_port()
        settings = environment(
            tmp_path / "data",
            DATABASE_URL=database_dsn,
            **without_models(library, discord_url=discord_url, receiver_url=receiver_url)
            | {"MOODREEL_MEDIA_DIRS": ""},
            JELLYFIN_URL=f"http://127.0.0.1:{port}",
            JELLYFIN_API_KEY=API_KEY,
            JELLYFIN_PATH_MAP=f"/media={library}",
            NATS_URL=nats.url,
            DISCORD_GATHER_S="2",
            MOODREEL_QUEUE_RETRY_BASE_S="0.5",
            **IMPATIENT,
        )
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        moodreel = await stack.enter_async_context(open_moodreel(ServiceSettings.read()))
        episodes = jellyfin.items = write_season(library)  # after the installation: it is news
        async with nats.client() as client:
            await client.jetstream().add_stream(name="moodreel", subjects=["content.>"])

        async with serving("serve", env=settings) as (_, address):
            await send_webhooks(episodes, f"{address}/webhooks")
        deaths = []
        async with doomed_workers(settings) as run:
            for number, calls in enumerate(DEATHS):
                async with jellyfin.serving(port):  # it restarts between any two of them
                    if number % 3 == 1:
                        await door.close()
                        await nats.stop()
                    else:
                        discord.script.answers.append(SLOW_DOWN)
                    *said, status = await run(calls, ANY)
                    deaths.append((said, status))
                    if number % 3 == 1:
                        await nats.start()
                        await door.open()
        async with jellyfin.serving(port), running("work", env=settings):
            await counts_become(moodreel.queue, waiting=0, running=0)

        refs = [ItemRef(server="jellyfin", item_id=episode.item_id) for episode in episodes]
        statuses = await moodreel.store.statuses(refs)
        kept = await moodreel.store.list_events(limit=1000)
        published = [read_event(message) for message in await nats.stored("moodreel")]
        failures = await moodreel.queue.failures()

    assert [status for _, status in deaths].count(str(-signal.SIGKILL)) >= 4, deaths
    assert [status.state for status in statuses.values()] == [ItemState.ANALYZED] * EPISODES
    assert [failure.message for failure in failures] == []
    (message,) = discord.messages.values()
    text = json.dumps(message, ensure_ascii=False)
    assert [number for number in range(1, EPISODES + 1) if f"Part {number:02}" not in text] == []
    for events in (kept, published):
        assert Counter(event["payload"]["jellyfin_item_id"] for event in events) == dict.fromkeys(
            (episode.item_id for episode in episodes), 1
        )
    assert len({delivery.webhook_id for delivery in receiver.deliveries}) == EPISODES


class Door:
    """Where a stand-in is found; while it is closed nobody answers there."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        self._port = free_port()
        self._site: web.TCPSite | None = None

    async def open(self) -> str:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await self._site.start()
        return f"http://127.0.0.1:{self._port}"

    async def close(self) -> None:
        assert self._site is not None
        await self._site.stop()


@asynccontextmanager
async def open_door(app: web.Application) -> AsyncIterator[Door]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        yield Door(runner)
    finally:
        await runner.cleanup()


def write_season(library: Path) -> list[StandInItem]:
    folder = library / "Severance" / "Season 1"
    folder.mkdir(parents=True)
    scenes = (SceneSpec(duration_s=1.0, colour=RED), SceneSpec(duration_s=1.0, colour=BLUE))
    first = write_film(folder / "01.mp4", scenes)
    return [
        StandInItem(
            name=f"Part {number:02}",
            type="Episode",
            path=f"/media/Severance/Season 1/{number:02}.mp4",
            file=first
            if number == 1
            else write_variant(first, folder / f"{number:02}.mp4", number),
            details={
                "SeriesName": "Severance",
                "SeriesId": SERIES_ID,
                "ParentIndexNumber": 1,
                "IndexNumber": number,
            },
        )
        for number in range(1, EPISODES + 1)
    ]


async def send_webhooks(episodes: list[StandInItem], address: str) -> None:
    """Each twice: servers do so."""
    headers = {"X-Moodreel-Token": QUIET["MOODREEL_WEBHOOK_TOKEN"]}
    async with aiohttp.ClientSession(headers=headers) as session:
        for episode in episodes * 2:
            body = {
                "NotificationType": "ItemAdded",
                "ItemType": "Episode",
                "ItemId": episode.item_id,
                "Name": episode.name,
            }
            async with session.post(address, json=body) as response:
                assert response.status == 202, await response.text()
