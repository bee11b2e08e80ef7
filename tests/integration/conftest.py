"""A whole house on a fresh database, with stand-ins for Discord and an event receiver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.announcer import event_id
from service.domain import ItemRef, Job, PublishJob
from service.settings import ServiceSettings
from service.wiring.house import Moodreel, open_moodreel
from tests.support.receivers import HttpReceiver, StandInDiscord, serve
from tests.support.service import environment, without_models


@dataclass(kw_only=True)
class House:
    """An open Moodreel, its library, and who is told."""

    moodreel: Moodreel
    library: Path
    discord: StandInDiscord
    receiver: HttpReceiver
    settings: dict[str, str]

    async def refs(self) -> dict[str, ItemRef]:
        """The items of the library by title."""
        server = self.moodreel.server("folder")
        return {item.title: item.ref async for item in server.list_items()}

    async def tell(self, ref: ItemRef) -> None:
        """Do the publish jobs that an analysis asks for, as a worker would."""
        for job in await self.publish_jobs(ref):
            await self.moodreel.pipeline.publish(job)

    async def publish_jobs(self, ref: ItemRef) -> list[PublishJob]:
        analysis = await self.moodreel.store.load(ref)
        assert analysis is not None
        event = event_id(ref, analysis.item.revision)
        return [
            PublishJob(ref=ref, channel=name, event_id=event) for name in self.moodreel.channels
        ]


async def drain(house: House) -> list[Job]:
    """Take all waiting jobs, in the order in which a worker would."""
    taken: list[Job] = []
    stop = asyncio.Event()
    waiting = (await house.moodreel.queue.counts())["waiting"]

    async def perform(job: Job, _attempt: int) -> None:
        taken.append(job)
        if len(taken) == waiting:
            stop.set()

    await house.moodreel.queue.work(perform, concurrency=1, stop=stop)
    return taken


@pytest.fixture
def models() -> dict[str, str]:
    """Settings of models; none: signals find what there is to find in films of plain colours."""
    return {}


@pytest.fixture
async def house(tmp_path, prepared_dsn, monkeypatch, models) -> AsyncIterator[House]:
    """A house of one library, open."""
    library = tmp_path / "library"
    library.mkdir()
    discord, receiver = StandInDiscord(), HttpReceiver()
    async with serve(discord.app) as discord_url, serve(receiver.app) as receiver_url:
        told = without_models(library, discord_url=discord_url, receiver_url=receiver_url)
        settings = environment(
            tmp_path / "data",
            DATABASE_URL=prepared_dsn,
            MOODREEL_SETTLE_S="0",
            **(told | models),
        )
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        async with open_moodreel(ServiceSettings.read()) as moodreel:
            yield House(
                moodreel=moodreel,
                library=library,
                discord=discord,
                receiver=receiver,
                settings=settings,
            )
