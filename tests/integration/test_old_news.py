"""What was there, or was told, before is told to nobody again; what was not told yet is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from service.domain import AnalyzeJob, ItemRef, PublishJob
from service.errors import NotFoundError, UnknownOutcomeError, UnreadableMediaError
from tests.integration.conftest import drain
from tests.support.media import BLUE, RED, SceneSpec, write_film

SCENES = (SceneSpec(duration_s=1, colour=RED), SceneSpec(duration_s=1, colour=BLUE))


async def do_all(house) -> None:
    """Do the publish jobs that wait, as a worker would, and at once."""
    for job in await publish_jobs(house):
        try:
            await house.moodreel.pipeline.publish(job)
        except (NotFoundError, UnknownOutcomeError):
            continue  # as a worker ends a job of what is gone, or in doubt


async def publish_jobs(house) -> list[PublishJob]:
    with psycopg.connect(house.settings["DATABASE_URL"]) as sql:
        sql.execute("update procrastinate.procrastinate_jobs set scheduled_at = null")
    if not (await house.moodreel.queue.counts())["waiting"]:
        return []
    return [job for job in await drain(house) if isinstance(job, PublishJob)]


async def ref_of(house, path: Path) -> ItemRef:
    server = house.moodreel.server("folder")
    refs: list[ItemRef] = [
        item.ref async for item in server.list_items() if item.location.path == path
    ]
    (ref,) = refs
    return ref


def install_now(house) -> None:
    """Pretend that the database was made now: what was there before is history."""
    with psycopg.connect(house.settings["DATABASE_URL"]) as sql:
        sql.execute("update moodreel.installation set installed_at = clock_timestamp()")


def titles(house) -> Sequence[str]:
    return [message["embeds"][0]["title"] for message in house.discord.messages.values()]


async def test_renamed_history_is_no_news_however_often_its_server_reports_it(house):
    path = write_film(house.library / "Old (1995).mp4", SCENES)
    install_now(house)
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=await ref_of(house, path)))
    await do_all(house)
    path = path.rename(house.library / "Older (1995).mp4")
    ref = await ref_of(house, path)
    for _ in range(3):  # servers repeat themselves, and so does a worker that was killed
        await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
        await do_all(house)
    assert not house.discord.messages
    assert not house.receiver.deliveries


async def test_restored_history_is_no_news_however_often_its_server_reports_it(house, tmp_path):
    path = write_film(house.library / "Old (1995).mp4", SCENES)
    write_film(house.library / "Another (1995).mp4", SCENES[:1])
    install_now(house)
    ref = await ref_of(house, path)
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    await do_all(house)
    away = path.rename(tmp_path / "away.mp4")
    with pytest.raises(NotFoundError):
        await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    away.rename(path)
    for _ in range(2):
        await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
        await do_all(house)
    assert not house.discord.messages


async def test_news_that_was_renamed_before_it_was_told_is_told_once(house):
    path = write_film(house.library / "New (2026).mp4", SCENES)
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=await ref_of(house, path)))
    path = path.rename(house.library / "Newer (2026).mp4")
    ref = await ref_of(house, path)
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    await do_all(house)
    assert titles(house) == ["Newer (2026)"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    await do_all(house)
    assert titles(house) == ["Newer (2026)"]
    assert len(house.receiver.deliveries) == 1


async def test_news_that_was_told_before_it_was_renamed_is_not_told_again(house):
    path = write_film(house.library / "New (2026).mp4", SCENES)
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=await ref_of(house, path)))
    await do_all(house)
    path = path.rename(house.library / "Newer (2026).mp4")
    for _ in range(2):
        await house.moodreel.pipeline.analyze(AnalyzeJob(ref=await ref_of(house, path)))
        await do_all(house)
    assert titles(house) == ["New (2026)"]
    assert len(house.receiver.deliveries) == 1


async def test_an_analysis_that_died_while_it_was_made_anew_is_told_as_was_asked(house):
    path = write_film(house.library / "Old (1995).mp4", SCENES)
    install_now(house)
    ref = await ref_of(house, path)
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    await do_all(house)
    job = AnalyzeJob(ref=ref, force=True, even_history=True)
    await house.moodreel.store.begin(await house.moodreel.server("folder").get_item(ref))
    await house.moodreel.pipeline.analyze(job)  # after its worker died
    await do_all(house)
    assert titles(house) == ["Old (1995)"]


async def test_episodes_that_an_earlier_version_told_one_by_one_are_not_told_as_a_season(house):
    paths = [
        write_film(house.library / f"Severance S01E0{number}.mp4", SCENES) for number in (1, 2)
    ]
    refs = [await ref_of(house, path) for path in paths]
    for ref in refs:
        await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref, announce=False))
        await house.tell(ref)
    assert len(house.discord.messages) == 2
    await do_all(house)
    for ref in refs:  # servers repeat themselves
        await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    await do_all(house)
    assert len(house.discord.messages) == 2


async def test_an_episode_that_follows_one_in_doubt_is_told_in_another_message(house):
    first, second = (
        write_film(house.library / f"Severance S01E0{number}.mp4", SCENES) for number in (1, 2)
    )
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=await ref_of(house, first)))
    (job,) = [job for job in await publish_jobs(house) if job.channel == "discord"]
    await house.moodreel.store.claim_group("discord", job.group, "of the first")  # and it dies
    with pytest.raises(UnknownOutcomeError):
        await house.moodreel.pipeline.publish(job)
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=await ref_of(house, second)))
    await do_all(house)  # comes upon the doubt
    await do_all(house)
    assert titles(house) == ["Severance S01E02 - Episode 2"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=await ref_of(house, second)))
    await do_all(house)
    assert len(house.discord.messages) == 1


@pytest.mark.parametrize("is_quiet", [True, False])
async def test_history_that_cannot_be_analysed_is_kept_but_not_announced(house, is_quiet):
    path = house.library / "Old (1995).mp4"
    path.write_bytes(b"no film")
    install_now(house)
    job = AnalyzeJob(ref=await ref_of(house, path), announce=not is_quiet)
    with pytest.raises(UnreadableMediaError) as caught:
        await house.moodreel.pipeline.analyze(job)
    await house.moodreel.pipeline.keep_failure(job, str(caught.value))
    await do_all(house)
    assert not house.receiver.deliveries
    (event,) = await house.moodreel.store.list_events()
    assert event["topic"] == "content.publish.failed.v1"
