"""What matches a standing query is added to a collection of its Jellyfin, once."""

from __future__ import annotations

import asyncio

import pytest

from service.domain import AnalyzeJob, ItemRef, PublishJob, Severity
from service.errors import ConfigurationError, TransientError
from service.query import COLLECTIONS, Trigger
from service.settings import ServiceSettings
from service.wiring.diagnosis import diagnose
from service.wiring.house import collection_keepers
from service.wiring.triggers import TriggerDesk, read_by_people
from service.worker import Worker
from tests.integration.conftest import drain
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.queue_worker import QUICK, counts_become, opened

SCENES = (SceneSpec(duration_s=1, colour=RED), SceneSpec(duration_s=1, colour=BLUE))
HARBOURS = Trigger(name="harbours", text="harbour", channel="", collection="By the sea")


@pytest.fixture
async def jellyfin():
    stand_in = StandInJellyfin()
    async with stand_in.serving():
        yield stand_in


@pytest.fixture
def models(jellyfin, tmp_path):
    """The house has a Jellyfin beside its folder; no models."""
    return {
        "JELLYFIN_URL": jellyfin.url,
        "JELLYFIN_API_KEY": API_KEY,
        "JELLYFIN_PATH_MAP": f"/media={tmp_path / 'library'}",
    }


@pytest.fixture
async def desk(house):
    moodreel = house.moodreel
    desk = TriggerDesk(
        book=moodreel.matching.book,
        triggers=moodreel.matching.triggers,
        index=moodreel.matching.index,
        store=moodreel.store,
        channels=read_by_people(moodreel.channels),
        collecting=collection_keepers(moodreel.servers),
        others=[name for name in moodreel.servers if name == "folder"],
    )
    await desk.add(HARBOURS)
    return desk


async def arrive(house, jellyfin, title, **flags):
    """Jellyfin has a new film, which is analysed; nobody is told yet."""
    write_film(house.library / f"{title}.mp4", SCENES)
    item = StandInItem(name=title, path=f"/media/{title}.mp4")
    jellyfin.items.append(item)
    ref = ItemRef(server="jellyfin", item_id=item.item_id)
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref, **flags))
    return ref


async def collected(house) -> list[PublishJob]:
    """The jobs that wait and are about collections; the others are done with."""
    jobs = await drain(house) if (await house.moodreel.queue.counts())["waiting"] else []
    return [
        job for job in jobs if isinstance(job, PublishJob) and job.channel.startswith(COLLECTIONS)
    ]


async def settle(house):
    for job in await collected(house):
        await house.moodreel.pipeline.publish(job)


async def test_a_match_is_added_once_whatever_is_analysed_again(house, desk, jellyfin):
    ref = await arrive(house, jellyfin, "The Harbour")
    await settle(house)
    shelf = jellyfin.collections
    assert shelf.members("By the sea") == [ref.item_id]
    shelf.members("By the sea").clear()  # its owner takes it out
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref, force=True))
    await settle(house)
    assert shelf.members("By the sea") == [], "what its owner took out stays out"
    assert not [one for one in house.discord.messages.values() if "harbours" in str(one)]


async def test_what_does_not_match_and_history_are_added_to_nothing(house, desk, jellyfin):
    await arrive(house, jellyfin, "A Mountain")
    await arrive(house, jellyfin, "An Old Harbour", announce=False)
    await settle(house)
    assert jellyfin.collections.box_sets == []


async def test_plain_folders_have_no_collections_and_doubts_say_so(house, desk, jellyfin):
    write_film(house.library / "Harbour of a folder.mp4", SCENES)
    ref = (await house.refs())["Harbour of a folder"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    assert await collected(house) == []
    (doubt,) = await desk.ask_servers()
    assert (doubt.subject, doubt.severity) == ("folder", Severity.WARNING)
    jellyfin.is_admin = False
    assert {found.subject for found in await desk.ask_servers()} == {"folder", "jellyfin"}


async def test_two_triggers_and_many_films_at_once_make_one_collection(
    house, desk, jellyfin, prepared_dsn
):
    await desk.add(Trigger(name="two", text="harbour", channel="", collection="By the sea"))
    refs = [await arrive(house, jellyfin, f"Harbour {number}") for number in range(3)]
    async with opened(prepared_dsn, QUICK) as queue:
        worker, stop = Worker(house.moodreel.pipeline), asyncio.Event()
        working = asyncio.create_task(queue.work(worker.perform, concurrency=4, stop=stop))
        await counts_become(queue, waiting=0, running=0)
        stop.set()
        await working
    shelf = jellyfin.collections
    assert sorted(shelf.members("By the sea")) == sorted(ref.item_id for ref in refs)
    assert shelf.creations == ["By the sea"]


async def test_a_server_that_is_away_is_tried_again(house, desk, jellyfin):
    ref = await arrive(house, jellyfin, "The Harbour")
    (job,) = await collected(house)
    jellyfin.fail_with(503)
    with pytest.raises(TransientError):
        await house.moodreel.pipeline.publish(job)
    jellyfin.recover()
    await house.moodreel.pipeline.publish(job)
    assert jellyfin.collections.members("By the sea") == [ref.item_id]


async def test_a_key_without_the_right_ends_it_with_words_and_the_owner_may_do_it_after_all(
    house, desk, jellyfin
):
    ref = await arrive(house, jellyfin, "The Harbour")
    (job,) = await collected(house)
    jellyfin.is_admin = False
    with pytest.raises(ConfigurationError, match="JELLYFIN_API_KEY"):
        await Worker(house.moodreel.pipeline).perform(job, 1)
    told = [job.failure for job in await drain(house) if isinstance(job, PublishJob)]
    assert told
    assert all(failure and "collections" in failure.reason for failure in told)
    jellyfin.is_admin = True
    receipt = await house.moodreel.announcer.tell_now(ref, "collection#trigger/harbours")
    assert receipt == "By the sea"
    assert jellyfin.collections.members("By the sea") == [ref.item_id]


async def test_what_a_removed_or_changed_trigger_matched_is_added_nowhere(house, desk, jellyfin):
    await arrive(house, jellyfin, "The Harbour")
    (job,) = await collected(house)
    await desk.add(Trigger(name="harbours", text="harbour", channel="", collection="Elsewhere"))
    await house.moodreel.pipeline.publish(job)
    await desk.book.remove_trigger("harbours")
    await house.moodreel.pipeline.publish(job)
    assert jellyfin.collections.box_sets == []
    with pytest.raises(ConfigurationError, match="triggers list"):
        await house.moodreel.announcer.tell_now(job.ref, job.channel)


async def test_who_died_before_the_ledger_knew_is_followed_by_one_who_finds_the_collection(
    house, desk, jellyfin
):
    ref = await arrive(house, jellyfin, "The Harbour")
    (job,) = await collected(house)
    await house.moodreel.store.claim_publication(ref, job.channel, job.event_id)
    await collection_keepers(house.moodreel.servers)["jellyfin"].add_to_collection(job.group, [ref])
    await house.moodreel.pipeline.publish(job)
    assert jellyfin.collections.members("By the sea") == [ref.item_id]
    assert jellyfin.collections.creations == ["By the sea"]


async def test_doctor_says_that_the_key_may_not_edit_collections(house, desk, jellyfin):
    jellyfin.is_admin = False
    found = [one.message for one in await diagnose(ServiceSettings.read())]
    assert "1 kept" in found
    assert any("may not edit collections" in message for message in found)
