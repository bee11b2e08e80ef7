"""The same events on NATS, by HTTP and in the store: of what was found, and of what failed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.domain import AnalyzeJob, PublishJob
from service.errors import TransientError, UnreadableMediaError
from tests.integration.conftest import House, drain
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.nats_server import (
    MISSING,
    NatsServer,
    find_nats_server,
    read_event,
    running_nats,
)

pytestmark = pytest.mark.skipif(find_nats_server() is None, reason=MISSING)

SCENES = (SceneSpec(duration_s=1, colour=RED, sound="tone"), SceneSpec(duration_s=1, colour=BLUE))
STREAM = "MEDIA"


@pytest.fixture
async def nats(tmp_path) -> AsyncIterator[NatsServer]:
    directory = tmp_path / "nats"
    directory.mkdir()
    async with running_nats(directory) as server:
        async with server.client() as client:
            await client.jetstream().add_stream(name=STREAM, subjects=["content.>"])
        yield server


@pytest.fixture
def models(nats: NatsServer) -> dict[str, str]:
    """Settings of the house: NATS beside the receiver and the store."""
    return {"NATS_URL": nats.url}


async def publish_all(house: House) -> None:
    """Do the publish jobs that wait, once each."""
    for job in await drain(house):
        assert isinstance(job, PublishJob)
        await house.moodreel.pipeline.publish(job)


async def job_for(house: House, channel: str) -> PublishJob:
    """The job that waits for a channel; the others are taken as well."""
    jobs = [job for job in await drain(house) if isinstance(job, PublishJob)]
    (job,) = [job for job in jobs if job.channel == channel]
    return job


async def events_everywhere(house: House, nats: NatsServer) -> list[list[dict[str, Any]]]:
    return [
        [read_event(message) for message in await nats.stored(STREAM)],
        [delivery.envelope for delivery in house.receiver.deliveries],
        list(await house.moodreel.store.list_events()),
    ]


async def test_an_analysed_film_is_one_event_everywhere(house, nats):
    write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    await publish_all(house)
    heard, posted, (kept,) = await events_everywhere(house, nats)
    assert heard == posted == [kept]
    assert kept["payload"]["title"] == "Two Colours"
    assert kept["payload"]["meta"]["moods"]
    assert str(house.library) not in str(kept)


async def test_a_film_that_cannot_be_read_is_one_failure_everywhere(house, nats):
    (house.library / "Broken (2026).mp4").write_text("no film at all")
    ref = (await house.refs())["Broken"]
    job = AnalyzeJob(ref=ref)
    with pytest.raises(UnreadableMediaError) as caught:
        await house.moodreel.pipeline.analyze(job)
    for _ in range(2):  # a worker that died after it had kept the failure
        await house.moodreel.pipeline.keep_failure(job, f"{house.library}/B.mp4: {caught.value}")
        await publish_all(house)
    heard, posted, (kept,) = await events_everywhere(house, nats)
    assert heard == posted == [kept]
    assert kept["topic"] == "content.publish.failed.v1"
    assert (kept["payload"]["stage"], kept["payload"]["outcome"]) == ("analyze", "fatal")
    assert str(house.library) not in str(kept)


async def test_who_was_not_told_of_an_event_is_told_of_to_the_others(house, nats):
    write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    job = await job_for(house, "discord")
    await house.moodreel.pipeline.keep_failure(job, "no such webhook")
    await publish_all(house)
    ((failed,), posted, kept) = await events_everywhere(house, nats)
    assert [failed] == posted == kept
    assert failed["payload"]["stage"] == "publish/discord"
    assert failed["payload"]["outcome"] == "partial"


async def test_a_nats_server_that_restarts_gets_each_event_once(house, nats):
    write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    job = await job_for(house, "nats")
    await nats.stop()
    for _ in range(2):
        with pytest.raises(TransientError):
            await house.moodreel.pipeline.publish(job)
    await nats.start()
    for _ in range(2):
        await house.moodreel.pipeline.publish(job)
    assert [read_event(m)["id"] for m in await nats.stored(STREAM)] == [job.event_id]
