"""A worker that is killed while a collection is being created leaves one, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from service.domain import AnalyzeJob, ItemRef
from service.query import Trigger
from service.settings import ServiceSettings
from service.wiring.house import open_moodreel
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.queue_worker import counts_become, until
from tests.support.service import DEADLINE_S, environment, running

SCENES = (SceneSpec(duration_s=1, colour=RED), SceneSpec(duration_s=1, colour=BLUE))
SEA = Trigger(name="sea", text="harbour", channel="", collection="By the sea")
IMPATIENT = {"MOODREEL_QUEUE_STALLED_AFTER_S": "2", "MOODREEL_QUEUE_HEARTBEAT_S": "0.5"}


@pytest.fixture
async def jellyfin(tmp_path):
    library = tmp_path / "library"
    library.mkdir()
    stand_in = StandInJellyfin()
    async with stand_in.serving():
        yield stand_in


@pytest.fixture
def env(jellyfin, tmp_path, database_dsn, monkeypatch):
    made = environment(
        tmp_path / "data",
        DATABASE_URL=database_dsn,
        JELLYFIN_URL=jellyfin.url,
        JELLYFIN_API_KEY=API_KEY,
        JELLYFIN_PATH_MAP=f"/media={tmp_path / 'library'}",
        MOODREEL_VISUAL_MODEL="none",
        MOODREEL_SOUND_MODEL="none",
        MOODREEL_SOUND_TEXT_MODEL="none",
        MOODREEL_RECONCILE_MINUTES="0",
    )
    for name, value in (made | IMPATIENT).items():
        monkeypatch.setenv(name, value)
    return made | IMPATIENT


async def test_who_is_killed_while_a_collection_is_created_leaves_one_and_the_next_one_finds_it(
    env, jellyfin, tmp_path
):
    shelf, refs = jellyfin.collections, []
    async with open_moodreel(ServiceSettings.read()) as moodreel:
        await moodreel.matching.book.save_trigger(SEA)
        for number in range(2):
            write_film(tmp_path / "library" / f"Harbour {number}.mp4", SCENES)
            item = StandInItem(name=f"Harbour {number}", path=f"/media/Harbour {number}.mp4")
            jellyfin.items.append(item)
            refs.append(ItemRef(server="jellyfin", item_id=item.item_id))
            await moodreel.pipeline.analyze(AnalyzeJob(ref=refs[-1]))
        shelf.resumed.clear()
        async with running("work", env=env) as doomed, asyncio.timeout(DEADLINE_S):
            await shelf.arrived.wait()
            doomed.kill()
            await doomed.wait()
        assert shelf.box_sets == []
        shelf.resumed.set()  # the server does what it was asked for, though nobody listens

        async def is_created() -> bool:
            return bool(shelf.box_sets)

        await until(is_created)
        async with running("work", env=env):
            await counts_become(moodreel.queue, waiting=0, running=0)
        assert not await moodreel.queue.failures()
    assert shelf.creations == ["By the sea"]
    assert sorted(shelf.members("By the sea")) == sorted(ref.item_id for ref in refs)
