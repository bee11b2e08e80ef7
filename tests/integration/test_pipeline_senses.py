"""What more than one sense finds in an item, through the whole service to the store."""

from __future__ import annotations

from contextlib import AsyncExitStack

import numpy as np
import pytest

from adapters.models.settings import ModelSettings
from service.domain import AnalyzeJob, ItemState
from service.settings import ServiceSettings
from service.wiring.examiner import open_examiner, open_shelf
from tests.support.chat_models import StandInVision
from tests.support.media import BLUE, RED, SceneSpec, write_film, write_song
from tests.support.receivers import Answer, serve
from tests.support.service import environment, without_models
from tests.support.sound_models import clap_model, clipclap_model

RED_THEN_BLUE = (
    SceneSpec(duration_s=6, picture="moving_box", colour=RED, sound="tone"),
    SceneSpec(duration_s=6, picture="moving_box", colour=BLUE, sound="silence"),
)


async def analyze(house, title):
    ref = (await house.refs())[title]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    return await house.moodreel.store.load(ref)


@pytest.mark.parametrize(
    "setting",
    ["MOODREEL_CONTEXT_S", "MOODREEL_PICTURE_WEIGHT", "MOODREEL_SAMPLE_RATE_HZ"],
)
async def test_another_manner_of_looking_outdates_what_was_analysed(tmp_path, monkeypatch, setting):
    told = without_models(tmp_path, discord_url="", receiver_url="")
    for name, value in environment(tmp_path / "data", **told).items():
        monkeypatch.setenv(name, value)

    async def version():
        async with AsyncExitStack() as stack:
            return open_examiner(
                stack, ServiceSettings.read(), open_shelf(stack, ModelSettings.read())
            ).version

    before = await version()
    monkeypatch.setenv(setting, "7")
    assert await version() != before


class TestWithAJointModel:
    @pytest.fixture
    def models(self, tmp_path):
        """One model that sees and hears; no other is asked for."""
        return {
            "MOODREEL_VISUAL_MODEL": str(clipclap_model(tmp_path / "joint")),
            "MOODREEL_SOUND_TEXT_MODEL": "",
        }

    async def test_pictures_and_sounds_of_a_film_lie_in_one_space(self, house):
        write_film(house.library / "Film (2026).mp4", RED_THEN_BLUE)

        analysis = await analyze(house, "Film")

        assert analysis.embedding_model == analysis.sound_embedding_model == "joint"
        assert analysis.models == ("joint",)
        assert analysis.missing_models == ()
        counts = await house.moodreel.store.counts()
        assert counts["embeddings"] == len(analysis.scenes)
        assert counts["sound_embeddings"] >= 1

    async def test_a_song_is_heard_by_the_model_that_also_sees(self, house):
        write_song(house.library / "Song.mp3", (SceneSpec(duration_s=12, sound="tone"),))

        analysis = await analyze(house, "Song")

        assert analysis.sound_embedding_model == "joint"
        assert analysis.models == ("joint",)
        assert analysis.audio.loudness_lufs is not None


class TestWithAModelThatHears:
    @pytest.fixture
    def models(self, tmp_path):
        return {"MOODREEL_SOUND_TEXT_MODEL": str(clap_model(tmp_path / "ears"))}

    async def test_scenes_carry_what_is_heard_in_them_without_a_picture_model(self, house):
        write_film(house.library / "Film (2026).mp4", RED_THEN_BLUE)

        analysis = await analyze(house, "Film")

        assert analysis.embedding_model == ""
        assert analysis.sound_embedding_model == "ears"
        assert (await house.moodreel.store.counts())["sound_embeddings"] >= 1


class TestWithAModelThatLooks:
    @pytest.fixture
    async def looker(self):
        return StandInVision()

    @pytest.fixture
    async def models(self, looker):
        async with serve(looker.app) as url:
            yield {"MOODREEL_VISION_URL": url, "MOODREEL_VISION_MODEL": looker.MODEL}

    async def test_its_words_for_each_scene_are_stored(self, house, looker):
        write_film(house.library / "Film (2026).mp4", RED_THEN_BLUE)

        analysis = await analyze(house, "Film")

        assert [scene.caption for scene in analysis.scenes] == [
            "A red picture.",
            "A blue picture.",
        ]
        assert looker.MODEL in analysis.models
        assert all("Film" in sight.prompt for sight in looker.sights)

    async def test_it_sees_what_counts_most_before_its_time_is_over(self, house, looker):
        scenes = [
            SceneSpec(duration_s=seconds, picture="moving_box", colour=colour)
            for seconds, colour in ((4, RED), (12, BLUE))
        ]
        write_film(house.library / "Film (2026).mp4", scenes)

        await analyze(house, "Film")

        seen = [int(np.argmax(sight.colour)) for sight in looker.sights]
        assert seen == [2, 0], "the longer scene first"

    async def test_its_absence_costs_captions_and_nothing_else(self, house, looker):
        looker.script.answers += [Answer(status=503)] * 4
        write_film(house.library / "Film (2026).mp4", RED_THEN_BLUE)

        analysis = await analyze(house, "Film")

        assert [scene.caption for scene in analysis.scenes] == ["", ""]
        assert len(analysis.shots) == 2
        assert any("no description of the pictures" in text for text in analysis.warnings)
        assert analysis.missing_models == (looker.MODEL,)  # so that it is taken up again
        (status,) = await house.moodreel.store.list_statuses()
        assert status.state is ItemState.ANALYZED
