"""What matches a standing query is told once, in a message of its own that gathers."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from service.domain import AnalyzeJob, ItemState, PublishJob
from service.errors import ConfigurationError
from service.query import Trigger, VoteSubject
from service.wiring.triggers import TriggerDesk, read_by_people
from tests.integration.conftest import drain
from tests.support.media import BLUE, RED, SceneSpec, write_film

SCENES = (SceneSpec(duration_s=2, colour=RED), SceneSpec(duration_s=2, colour=BLUE))
COLOURS = Trigger(name="colours", text="two colours")


@pytest.fixture
async def desk(house):
    """Where an owner sees to standing queries; one of them is kept."""
    matching = house.moodreel.matching
    desk = TriggerDesk(
        book=matching.book,
        triggers=matching.triggers,
        index=matching.index,
        store=house.moodreel.store,
        channels=read_by_people(house.moodreel.channels),
    )
    await desk.add(COLOURS)
    return desk


async def arrive(house, title, **flags):
    """A film is added, analysed and told."""
    write_film(house.library / f"{title} (2026).mp4", SCENES)
    ref = (await house.refs())[title]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref, **flags))
    await settle(house)
    return ref


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def cards(house):
    """Author and title of every message."""
    found = [message["embeds"][0] for message in house.discord.messages.values()]
    return sorted((card.get("author", {}).get("name", ""), card["title"]) for card in found)


async def settle(house):
    """Tell all that waits, as if its time had come."""
    with psycopg.connect(house.settings["DATABASE_URL"]) as sql:
        sql.execute("set search_path = procrastinate")
        sql.execute("update procrastinate_jobs set scheduled_at = %s where status = 'todo'", [NOW])
    if not (await house.moodreel.queue.counts())["waiting"]:
        return
    for job in await drain(house):
        assert isinstance(job, PublishJob)
        await house.moodreel.pipeline.publish(job)


async def test_what_matches_is_told_in_a_message_of_its_own_and_once(house, desk):
    ref = await arrive(house, "Two Colours")
    bell = "\N{BELL} colours"
    assert (bell, "Two Colours (2026)") in cards(house)
    assert len(house.discord.messages) == 2
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref, force=True))
    await settle(house)
    assert len(house.discord.messages) == 2
    assert len(house.receiver.deliveries) == 1, "machines are told of it once"


async def test_what_does_not_match_is_told_as_ever(house, desk):
    await arrive(house, "Another")
    assert [title for _, title in cards(house)] == ["Another (2026)"]


async def test_what_matches_soon_after_comes_into_the_same_message(house, desk):
    await arrive(house, "Two Colours")
    await arrive(house, "Two Colours Again")
    bells = [card for card in cards(house) if "colours" in card[0]]
    assert bells == [("\N{BELL} colours", "colours (2)")]


async def test_what_matches_after_the_cool_down_begins_another_message(house, desk):
    await desk.add(Trigger(name="colours", text="two colours", cool_down_s=0.0))
    await arrive(house, "Two Colours")
    await arrive(house, "Two Colours Again")
    bells = [title for author, title in cards(house) if "colours" in author]
    assert bells == ["Two Colours (2026)", "Two Colours Again (2026)"]


async def test_what_is_analysed_again_long_after_is_not_told_again(house, desk):
    await desk.add(Trigger(name="colours", text="two colours", cool_down_s=0.0))
    ref = await arrive(house, "Two Colours")
    for _ in range(2):
        await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref, force=True))
        await settle(house)
    bells = [title for author, title in cards(house) if "colours" in author]
    assert bells == ["Two Colours (2026)"]


async def test_what_a_removed_trigger_matched_is_not_told_any_more(house, desk):
    write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    assert await desk.book.remove_trigger("colours")
    await settle(house)
    assert [author for author, _ in cards(house) if "colours" in author] == []
    assert len(house.discord.messages) == 1, "as news it is told all the same"


async def test_nobody_is_told_of_history(house, desk):
    await arrive(house, "Two Colours", announce=False)
    assert not house.discord.messages


async def test_without_a_model_only_words_count_and_a_trial_says_what_is_known(house, desk):
    ref = await arrive(house, "Two Colours")
    trial = await desk.triggers.try_out(COLOURS)
    assert [(match.ref, match.is_exact) for match in trial.matches] == [(ref, True)]
    assert (trial.model, trial.suggestion) == ("", None)
    described = await desk.describe(trial.matches)
    assert described[ref].title == "Two Colours"


async def test_a_scene_is_named_by_its_time(house, desk):
    ref = await arrive(house, "Two Colours")
    key = await desk.find_scene(ref, 0.5)
    assert (key.ref, key.position) == (ref, 0)
    with pytest.raises(ConfigurationError, match="--threshold"):
        await desk.add(Trigger(name="alike", like=key))


async def test_rejected_tags_are_left_out_of_the_next_analysis_of_their_library(house, desk):
    ref = await arrive(house, "Two Colours")
    feedback, store = house.moodreel.matching.feedback, house.moodreel.store
    analysis = await store.load(ref)
    weakest = min(analysis.tags, key=lambda tag: tag.score)
    for voter in range(12):
        said = {"is_right": False, "voter": f"v{voter}"}
        assert (await feedback.vote(ref, VoteSubject.TAG, weakest.label, **said)).is_news
    (lesson,) = await feedback.lessons()
    assert lesson.threshold == pytest.approx(0.5)
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref, force=True))
    kept = {tag.label: tag.score for tag in (await store.load(ref)).tags}
    assert (weakest.label in kept) == (weakest.score >= 0.5)
    assert await feedback.forget() == 12


async def test_a_trigger_that_cannot_be_compared_undoes_no_analysis(house, monkeypatch):
    class Broken:
        async def find_matching(self, ref):
            raise ConfigurationError("its model is gone")

    monkeypatch.setattr(house.moodreel.pipeline, "_triggers", Broken())
    ref = await arrive(house, "Two Colours")
    assert (await house.moodreel.store.statuses([ref]))[ref].state is ItemState.ANALYZED
    assert [title for _, title in cards(house)] == ["Two Colours (2026)"]
