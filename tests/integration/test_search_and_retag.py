"""Scenes found, and told in other words, by the commands: a real database and a tiny real model."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from service.domain import AnalyzeJob, ItemRef
from service.query import SceneKey, VectorKind, VoteSubject
from service.retag.walking import Retagger
from service.vocabulary import load_vocabulary
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

    async def test_what_people_reject_does_not_come_by_new_words(self, library, words):
        ref = (await library.refs())["Film"]
        moodreel, feedback = library.moodreel, library.moodreel.matching.feedback
        models = ModelSettings(visual_model=library.settings["MOODREEL_VISUAL_MODEL"])
        with ThreadPoolExecutor(1) as pool:
            retagger = Retagger(
                store=moodreel.store,
                index=moodreel.index,
                shelf=Shelf(models),
                vocabulary=load_vocabulary(Path(words)),
                former=(),
                pool=pool,
                feedback=feedback,
            )
            retold = await retagger.look(ref)
            assert retold is not None
            told = (await retagger.write(retold)).analysis
            assert told is not None
            weakest = min(told.tags, key=lambda tag: tag.score)
            assert weakest.score < 0.5
            for voter in "abcdef":
                await feedback.vote(
                    ref, VoteSubject.TAG, weakest.label, is_right=False, voter=voter
                )
            retold = await retagger.look(ref)
        again = retold.analysis if retold is not None else None
        assert again is not None
        assert weakest.label not in [tag.label for tag in again.tags]
        assert weakest.label not in [label for scene in again.scenes for label in scene.tags]
        assert again.highlights == told.highlights

    async def test_a_retag_that_is_killed_leaves_each_item_in_old_words_or_in_new(
        self, library, words
    ):
        store = library.moodreel.store
        first = (await library.refs())["Film"]
        copies = await copy_item(library, first, 12)
        old, highlights = await words_of(store, first), (await store.load(first)).highlights

        done = await kill_after(library, words, 4)
        states = [await words_of(store, ref) for ref in copies]
        new = next(state for state in states if state != old)
        assert 2 <= len([state for state in states if state == new]) <= 12
        assert all(state in (old, new) for state in states)
        assert done >= 4

        left = states.count(old) + (await words_of(store, first) == old) + 1  # and Meadow, at most
        finished = await lines(library, "retag", "--yes", MOODREEL_VOCABULARY_DIR=words)
        assert finished[-1]["totals"]["changed"] in (left, left - 1)
        assert {await words_of(store, ref) for ref in copies} == {new}
        assert (await store.load(copies[0])).highlights == highlights


async def copy_item(house, ref, count):
    """Items with the same analysis and the same vectors."""
    moodreel = house.moodreel
    analysis = await moodreel.store.load(ref)
    whole = [SceneKey(ref=ref, position=-1)]
    vectors = await moodreel.index.load_vectors(whole, VectorKind.SCENE, analysis.embedding_model)
    scenes = tuple(
        replace(scene, embedding=vectors[SceneKey(ref=ref, position=at)])
        for at, scene in enumerate(analysis.scenes)
    )
    refs = [ItemRef(server=ref.server, item_id=f"copy {number}") for number in range(count)]
    for copy in refs:
        item = replace(analysis.item, ref=copy)
        token = await moodreel.store.begin(item)
        await moodreel.store.save(replace(analysis, item=item, scenes=scenes), token)
    return refs


async def words_of(store, ref):
    """All of an item that depends on words."""
    analysis = await store.load(ref)
    return (
        analysis.pipeline,
        tuple((tag.label, tag.score) for tag in analysis.tags),
        tuple((mood.label, mood.score) for mood in analysis.moods),
        tuple(scene.tags for scene in analysis.scenes),
    )


async def kill_after(house, words, count):
    """Start a retag and kill it as soon as it says that so many items are written."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli", "retag", "--yes", "--json"),
        env=house.settings | {"MOODREEL_VOCABULARY_DIR": words, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert command.stdout is not None
    for _ in range(count):
        assert await command.stdout.readline()
    command.kill()
    told = len((await command.stdout.read()).splitlines())
    assert await command.wait() == -signal.SIGKILL
    return count + told


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
