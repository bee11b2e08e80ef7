"""One item's story, on the real store and queue, told to real receivers."""

from typing import LiteralString

import psycopg
import pytest

from service.announcer import event_id
from service.domain import AnalyzeJob, ClaimState, ItemRef, ItemState, PublishJob
from service.errors import (
    ConfigurationError,
    NotFoundError,
    StaleTokenError,
    TransientError,
    UnknownOutcomeError,
    UnreadableMediaError,
)
from tests.integration.conftest import drain
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.receivers import Answer

SCENES = (SceneSpec(duration_s=2, colour=RED, sound="tone"), SceneSpec(duration_s=2, colour=BLUE))


async def test_a_new_film_is_analysed_stored_and_told_once_to_everybody(house):
    write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    for _ in range(2):
        await house.tell(ref)

    analysis = await house.moodreel.store.load(ref)
    assert [shot.start_s for shot in analysis.shots] == [0.0, pytest.approx(2.0, abs=0.1)]
    assert analysis.moods
    assert analysis.audio is not None
    assert [m["embeds"][0]["title"] for m in house.discord.messages.values()] == [
        "Two Colours (2026)"
    ]
    assert len(house.receiver.deliveries) == 1
    (event,) = await house.moodreel.store.list_events()
    expected = event_id(ref, analysis.item.revision)
    assert event["id"] == house.receiver.deliveries[0].webhook_id == expected


async def test_history_is_stored_but_not_announced_and_never_becomes_news(house):
    write_film(house.library / "Old (1995).mp4", SCENES)
    install(house, later_by="1 hour")
    ref = (await house.refs())["Old"]
    for _ in range(2):  # found at first, then reported anew by its server
        await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
        assert await told(house) == {"store"}
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref, even_history=True))
    assert await told(house) == {"store", "http", "discord"}


async def test_a_quiet_analysis_does_not_silence_the_news(house):
    write_film(house.library / "New (2026).mp4", SCENES)
    ref = (await house.refs())["New"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref, announce=False))  # a backfill
    assert await told(house) == {"store"}
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))  # its webhook
    assert await told(house) == {"store", "http", "discord"}
    assert len(house.discord.messages) == 1


async def test_what_was_replaced_or_removed_is_no_news_any_more(house):
    path = write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    pipeline, store = house.moodreel.pipeline, house.moodreel.store
    await pipeline.analyze(AnalyzeJob(ref=ref))
    old = await house.publish_jobs(ref)
    write_film(path, SCENES * 2)
    await pipeline.analyze(AnalyzeJob(ref=ref))
    for job in old:
        await pipeline.publish(job)
    assert not house.discord.messages
    new = await house.publish_jobs(ref)
    path.unlink()
    write_film(house.library / "Another (2026).mp4", SCENES)
    with pytest.raises(NotFoundError):
        await pipeline.analyze(AnalyzeJob(ref=ref))
    assert (await store.statuses([ref]))[ref].state is ItemState.DELETED
    for job in new:
        await pipeline.publish(job)
    assert not house.discord.messages
    assert not house.receiver.deliveries


async def test_a_last_word_does_not_overwrite_a_successor(house):
    path = write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    pipeline, store = house.moodreel.pipeline, house.moodreel.store
    path.write_text("no film any more")
    job = AnalyzeJob(ref=ref)
    with pytest.raises(UnreadableMediaError):
        await pipeline.analyze(job)
    (item,) = [item async for item in house.moodreel.server("folder").list_items()]
    await store.begin(item)  # somebody else has taken it over
    with pytest.raises(StaleTokenError):
        await pipeline.keep_failure(job, "too late")


async def told(house) -> set[str]:
    """Do the publish jobs that wait; the channels that they were for."""
    jobs = [job for job in await drain(house) if isinstance(job, PublishJob)]
    for job in jobs:
        await house.moodreel.pipeline.publish(job)
    return {job.channel for job in jobs}


def install(house, *, later_by: LiteralString) -> None:
    """Pretend that the database was made later than it was."""
    with psycopg.connect(house.settings["DATABASE_URL"]) as sql:
        sql.execute("update moodreel.installation set installed_at = now() + %s", [later_by])


async def test_a_current_analysis_is_not_made_again_unless_forced(house):
    write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    pipeline, store = house.moodreel.pipeline, house.moodreel.store
    await pipeline.analyze(AnalyzeJob(ref=ref))
    first = await store.saved_at(ref)
    await pipeline.analyze(AnalyzeJob(ref=ref))
    assert await store.saved_at(ref) == first
    await pipeline.analyze(AnalyzeJob(ref=ref, force=True))
    assert await store.saved_at(ref) > first


async def test_an_analysis_without_a_model_is_not_made_again_for_every_webhook(house):
    write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    pipeline, store = house.moodreel.pipeline, house.moodreel.store
    await pipeline.analyze(AnalyzeJob(ref=ref))
    with psycopg.connect(house.settings["DATABASE_URL"]) as sql:
        sql.execute("update media_analyses set pipeline = pipeline || ' without clip'")
    first = await store.saved_at(ref)
    await pipeline.analyze(AnalyzeJob(ref=ref))
    assert await store.saved_at(ref) == first


async def test_a_replaced_file_amends_the_card_and_sends_a_new_event(house):
    path = write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    await house.tell(ref)
    write_film(path, SCENES * 2)
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    await house.tell(ref)
    assert len(house.discord.messages) == 1
    assert house.discord.edit_count == 1
    assert len({delivery.webhook_id for delivery in house.receiver.deliveries}) == 2


async def test_a_broken_file_fails_with_a_reason_and_keeps_the_earlier_analysis(house):
    path = write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    pipeline, store = house.moodreel.pipeline, house.moodreel.store
    await pipeline.analyze(AnalyzeJob(ref=ref))
    path.write_text("no film any more")
    job = AnalyzeJob(ref=ref)
    with pytest.raises(UnreadableMediaError) as caught:
        await pipeline.analyze(job)
    await pipeline.keep_failure(job, str(caught.value))
    status = (await store.statuses([ref]))[ref]
    assert status.state is ItemState.FAILED
    assert "text" in status.reason
    assert len((await store.load(ref)).shots) == 2


async def test_a_receiver_that_is_away_is_told_later(house):
    write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    house.discord.script.answers.append(Answer(status=503))
    jobs = {job.channel: job for job in await house.publish_jobs(ref)}
    with pytest.raises(TransientError):
        await house.moodreel.pipeline.publish(jobs["discord"])
    await house.moodreel.pipeline.publish(jobs["discord"])
    assert len(house.discord.messages) == 1


async def test_a_card_that_may_have_arrived_is_sent_again_only_at_the_owners_word(house):
    write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    pipeline, store = house.moodreel.pipeline, house.moodreel.store
    await pipeline.analyze(AnalyzeJob(ref=ref))
    (job,) = [job for job in await house.publish_jobs(ref) if job.channel == "discord"]
    claim = await store.claim_publication(ref, "discord", job.event_id)
    assert claim.state is ClaimState.CLAIMED  # and here its worker dies
    for _ in range(2):
        with pytest.raises(UnknownOutcomeError, match=f"moodreel publish {ref} discord"):
            await pipeline.publish(job)
    assert not house.discord.messages
    assert await house.moodreel.announcer.tell_now(ref, "discord")
    assert len(house.discord.messages) == 1


async def test_what_is_not_there_is_said_clearly(house):
    write_film(house.library / "Two Colours (2026).mp4", SCENES)
    pipeline = house.moodreel.pipeline
    with pytest.raises(NotFoundError):
        await pipeline.analyze(AnalyzeJob(ref=ItemRef(server="folder", item_id="0" * 32)))
    with pytest.raises(ConfigurationError, match="folder"):
        await pipeline.analyze(AnalyzeJob(ref=ItemRef(server="plex", item_id="1")))
    with pytest.raises(NotFoundError):
        await house.moodreel.announcer.tell_now(
            ItemRef(server="folder", item_id="0" * 32), "discord"
        )
    with pytest.raises(ConfigurationError, match="discord"):
        await house.moodreel.announcer.tell_now(
            ItemRef(server="folder", item_id="0" * 32), "pigeon"
        )
