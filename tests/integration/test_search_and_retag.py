"""Scenes found, and told in other words, by the commands: a real database and a tiny real model."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest
from PIL import Image

from service.domain import AnalyzeJob
from tests.support.cli import invoke
from tests.support.media import BLUE, GREEN, RED, SceneSpec, write_film
from tests.support.models import colour_model

FILM = (
    SceneSpec(duration_s=4, picture="moving_box", colour=RED, sound="tone"),
    SceneSpec(duration_s=4, picture="moving_box", colour=BLUE, sound="silence"),
)
MEADOW = (SceneSpec(duration_s=4, picture="moving_box", colour=GREEN, sound="silence"),)


@pytest.fixture
def models(tmp_path):
    return {"MOODREEL_VISUAL_MODEL": str(colour_model(tmp_path / "eyes"))}


@pytest.fixture
async def library(house):
    """Two analysed films."""
    write_film(house.library / "Film (2026).mp4", FILM)
    write_film(house.library / "Meadow (2025).mp4", MEADOW)
    for ref in (await house.refs()).values():
        await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    return house


async def run(house, *arguments, **settings):
    """A command's status, output and errors."""
    return await asyncio.to_thread(invoke, *arguments, env=house.settings | settings)


async def lines(house, *arguments, **settings):
    status, out, err = await run(house, *arguments, "--json", **settings)
    assert status == 0, (out, err)
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def words(tmp_path):
    """A vocabulary that names the model's three colours."""
    directory = tmp_path / "words"
    directory.mkdir()
    (directory / "tags.yaml").write_text(
        "subject:\n  rose: {prompts: [red]}\n  sapphire: {prompts: [blue]}\n"
        "  leaf: {prompts: [green]}\n"
    )
    (directory / "moods.yaml").write_text("flowery: {valence: 0.6, arousal: 0.2, prompts: [red]}\n")
    return str(directory)


class TestRetag:
    async def test_it_shows_what_changes_and_then_tells_it_as_a_new_analysis_would(
        self, library, words
    ):
        ref = (await library.refs())["Film"]
        before = await library.moodreel.store.load(ref)
        saved_at = await library.moodreel.store.saved_at(ref)
        await library.tell(ref)
        cards = len(library.discord.messages)

        shown = await lines(library, "retag", "--dry-run", MOODREEL_VOCABULARY_DIR=words)

        film = next(line for line in shown if line.get("ref") == str(ref))
        assert {"rose", "sapphire"} <= set(film["tags"]["added"])
        assert film["former_words_known"]
        assert shown[-1]["totals"]["changed"] == 2
        assert (await library.moodreel.store.load(ref)).tags == before.tags

        await lines(library, "retag", "--yes", MOODREEL_VOCABULARY_DIR=words)

        told = await library.moodreel.store.load(ref)
        film = str(library.library / "Film (2026).mp4")
        [fresh] = await lines(library, "analyze", film, MOODREEL_VOCABULARY_DIR=words)
        assert {tag.label for tag in told.tags} == {tag["label"] for tag in fresh["tags"]}
        assert [list(scene.tags) for scene in told.scenes] == [
            scene["tags"] for scene in fresh["scenes"]
        ]
        assert "flowery" in [mood.label for mood in told.moods]
        assert told.pipeline != before.pipeline
        assert told.highlights == before.highlights
        assert await library.moodreel.store.saved_at(ref) == saved_at
        assert len(library.discord.messages) == cards, "nobody is told again"

    async def test_what_was_told_in_todays_words_is_left_alone(self, library, words):
        await lines(library, "retag", "--yes", MOODREEL_VOCABULARY_DIR=words)
        again = await lines(library, "retag", "--yes", MOODREEL_VOCABULARY_DIR=words)
        assert [line["totals"]["changed"] for line in again] == [0]
        back = await lines(library, "retag", "--yes")
        assert back[-1]["totals"]["changed"] == 2
        assert not any(line.get("former_words_known") for line in back)

    async def test_nothing_is_written_without_a_yes_or_for_vectors_of_another_model(
        self, library, words, tmp_path
    ):
        status, out, err = await run(library, "retag", MOODREEL_VOCABULARY_DIR=words)
        assert status == 1
        assert "+rose" in out
        assert "Write the tags and moods of 2 items?" in err

        models = {"MOODREEL_VISUAL_MODEL": str(colour_model(tmp_path / "other"))}
        told = await lines(library, "retag", "--yes", MOODREEL_VOCABULARY_DIR=words, **models)
        assert {line["outcome"] for line in told[:-1]} == {"skipped"}
        assert "vectors are of eyes" in told[0]["reason"]

    async def test_a_yes_writes_and_a_card_is_amended_where_that_is_asked_for(self, library, words):
        ref = (await library.refs())["Film"]
        await library.tell(ref)
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service.cli", "retag", "--announce", "--item", str(ref)),
            env=library.settings | {"MOODREEL_VOCABULARY_DIR": words},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await command.communicate(b"y\n")

        assert command.returncode == 0
        assert "1 written" in out.decode()
        assert "rose" in [tag.label for tag in (await library.moodreel.store.load(ref)).tags]
        [card] = library.discord.messages.values()
        assert "rose" in str(card)


class TestSearch:
    async def test_scenes_are_found_by_words_pictures_and_other_scenes(self, library, tmp_path):
        [found] = await lines(library, "search", "red", "--mode", "recall", "--limit", "1")
        [hit] = found["hits"]
        assert (hit["title"], hit["scene"]) == ("Film", 0)
        assert hit["parts"]["visual"]["rank"] == 1
        assert hit["open"].startswith("mpv --start=0.0 -- ")
        assert "Film (2026).mp4" in hit["open"]

        picture = tmp_path / "blue.png"
        Image.new("RGB", (64, 64), (0, 0, 255)).save(picture)
        [found] = await lines(library, "search", "--like", str(picture), "--limit", "1")
        assert (found["hits"][0]["title"], found["hits"][0]["scene"]) == ("Film", 1)

        ref = (await library.refs())["Film"]
        [found] = await lines(library, "search", "--like", f"{ref}@0:05")
        scenes = [(hit["title"], hit["scene"]) for hit in found["hits"]]
        assert ("Meadow", 0) in scenes
        assert ("Film", 1) not in scenes, "it was asked for others like it"

    async def test_people_read_why_and_how_to_see_it(self, library):
        status, out, _ = await run(library, "search", "meadow", "--explain")
        assert status == 0
        assert "Meadow (2025)" in out
        assert "mpv --start=" in out
        assert "route:" in out
        assert "\x1b" not in out, "nothing but text goes into a pipe"

        status, _, err = await run(library, "search", "--like", "nothing-of-the-kind")
        assert status == 2
        assert "no such file" in err
        status, _, err = await run(library, "search")
        assert status == 2
        assert "nothing is asked for" in err
