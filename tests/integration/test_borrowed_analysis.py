"""Analyses by a model on another machine: our client, our server, and what happens when it sleeps.

The other machine is a server on this one that can be put to sleep between two requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import SecretStr

from adapters.media_servers.files import describe_files
from adapters.models import calibrations
from adapters.models.borrowed import AGAIN_S, BorrowedEncoder, BorrowedShelf
from adapters.models.calibrations import Calibrations, Measured
from adapters.models.remote import RemoteEncoder
from adapters.models.remote_settings import RemoteFor, RemoteSettings
from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from service.domain import Calibration, ScoreKind, Severity
from service.errors import ConfigurationError, MissingModelError, TransientError
from service.ports import Encoder
from service.settings import ServiceSettings
from service.web.encode import EncodeServer
from service.web.encode_settings import EncodeSettings, Identity
from service.wiring.borrowing import describe_space, open_analysis_shelf, open_remote_encoder
from service.wiring.examiner import open_examiner, open_file_examiner
from tests.support.encoders import BATCH, COLOURS, SECRET, TEXT, colours
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.models import colour_model, solid
from tests.support.receivers import serve
from tests.support.service import environment
from tests.support.sound_models import languagebind_model

SIGMOID = Calibration(kind=ScoreKind.SIGMOID, logit_scale=117.0, logit_bias=-12.9)


@dataclass
class Machine:
    """Another machine with a model; ``script`` decides each request's fate by its number."""

    url: str = ""
    is_asleep: bool = False
    sleeps_after: int | None = None
    """Batches."""
    busy: int = 0
    """How many of the next batches are refused: too much to do."""
    batches: int = 0
    texts: int = 0

    @web.middleware
    async def decide(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.is_asleep:
            assert request.transport is not None
            request.transport.close()  # as a cable that is pulled
            return web.Response(status=502)
        if request.path == BATCH:
            if self.busy:
                self.busy -= 1
                return web.json_response({}, status=429, headers={"Retry-After": "1"})
            self.batches += 1
            if self.sleeps_after is not None and self.batches > self.sleeps_after:
                self.is_asleep = True
                return web.json_response({}, status=503)
        response: web.StreamResponse = await handler(request)
        self.texts += request.path == TEXT and response.status == 200
        return response


@asynccontextmanager
async def lending(encoder: Encoder, **identity: Any) -> AsyncIterator[Machine]:
    told = Identity(
        model="colours",
        dimension=3,
        device="cuda",
        calibration=encoder.calibration,
        version="colours@1",
    )
    server = EncodeServer(
        encoder, replace(told, **identity), secret=SECRET, settings=EncodeSettings()
    )
    machine, app = Machine(), server.app()
    app.middlewares.insert(0, machine.decide)
    async with serve(app) as machine.url:
        yield machine


@pytest_asyncio.fixture
async def local(tmp_path) -> AsyncIterator[Encoder]:
    async with colours(tmp_path / "theirs") as opened:
        yield opened


@pytest_asyncio.fixture
async def machine(local) -> AsyncIterator[Machine]:
    async with lending(local) as opened:
        yield opened


@asynccontextmanager
async def borrowing(
    machine: Machine,
    directory: Path,
    *,
    is_here: bool = False,
    secret: str = SECRET,
    patience_s: float = 0.0,
) -> AsyncIterator[BorrowedShelf]:
    """What a machine has that borrows: ``directory`` is its own."""
    model = directory / "colours"
    if is_here:
        colour_model(model)
    models = ModelSettings(visual_model=str(model), models_dir=directory / "kept", download=False)
    settings = RemoteSettings(
        url=machine.url, secret=SecretStr(secret), remote_for=RemoteFor.ANALYSIS, timeout_s=5.0
    )
    remote = RemoteEncoder(settings, describe_space(models), text_timeout_s=5.0, rest_s=0.0)
    shelf = Shelf(models)
    borrowed = BorrowedShelf(shelf, models, remote, patience_s=patience_s)
    try:
        yield borrowed
    finally:
        await borrowed.aclose()
        await asyncio.to_thread(remote.close)
        await shelf.aclose()


def assert_waits(error: TransientError) -> None:
    """The job is done later, however often that takes."""
    assert not error.costs_attempt
    assert error.retry_after_s == AGAIN_S


async def test_pictures_have_the_very_vectors_that_they_have_there(machine, local, tmp_path):
    noise = np.random.default_rng(3)
    views = [noise.integers(0, 256, (side, side, 3), np.uint8) for side in (256, 154) * 10]
    async with borrowing(machine, tmp_path) as shelf:
        encoder = await shelf.open_encoder()
        found = await asyncio.to_thread(encoder.encode_images, views)
    assert np.abs(found - local.encode_images(views)).max() < 1e-6
    assert machine.batches == 2  # of 16 and 4
    assert (encoder.name, encoder.dimension, encoder.device) == ("colours", 3, "cuda, borrowed")


async def test_the_words_of_a_vocabulary_are_asked_for_once(machine, tmp_path):
    words = [f"{number} red" for number in range(70)]
    for _ in range(2):
        async with borrowing(machine, tmp_path) as shelf:
            encoder = await shelf.open_encoder()
            assert (await asyncio.to_thread(encoder.encode_texts, words)).shape == (70, 3)
    assert machine.texts == 70 + 2  # and one by which each run sees that it is there


async def test_what_sleeps_and_has_no_stand_in_costs_no_attempt(machine, tmp_path, caplog):
    machine.is_asleep = True
    async with borrowing(machine, tmp_path) as shelf:
        for _ in range(3):
            with pytest.raises(TransientError, match="cannot be used now") as caught:
                await shelf.open_encoder()
            assert_waits(caught.value)
        machine.is_asleep = False
        with caplog.at_level(logging.INFO):
            await shelf.open_encoder()
    actions = [getattr(record, "action", "") for record in caplog.records]
    assert actions.count("borrowed_model_away") == 1
    assert actions.count("borrowed_model_back") == 1


async def test_this_machine_stands_in_where_it_has_the_model(machine, tmp_path):
    machine.is_asleep = True
    async with borrowing(machine, tmp_path, is_here=True) as shelf:
        encoder = await shelf.open_encoder()
        assert not isinstance(encoder, BorrowedEncoder)
        assert encoder.encode_images([solid((0, 200, 0))]).argmax() == 1
        machine.is_asleep = False
        assert isinstance(await shelf.open_encoder(), BorrowedEncoder)


async def test_this_machine_stands_in_from_the_batch_on_that_fails(machine, local, tmp_path):
    pictures = [solid((0, 200, 0)), solid((200, 0, 0))]
    async with borrowing(machine, tmp_path, is_here=True) as shelf:
        encoder = await shelf.open_encoder()
        machine.is_asleep = True
        found = await asyncio.to_thread(encoder.encode_images, pictures)
        words = await asyncio.to_thread(encoder.encode_texts, ["never asked red"])
    np.testing.assert_allclose(found, local.encode_images(pictures), atol=1e-6)
    assert words.argmax() == 0


async def test_who_serves_others_is_asked_again(machine, tmp_path):
    async with borrowing(machine, tmp_path, patience_s=30.0) as shelf:
        encoder = await shelf.open_encoder()
        machine.busy = 1
        assert (await asyncio.to_thread(encoder.encode_images, [solid((0, 0, 9))])).argmax() == 2
    assert machine.batches == 1


async def test_a_scale_that_is_not_ours_is_another_model(local, tmp_path):
    async with (
        lending(local, calibration=SIGMOID) as machine,
        borrowing(machine, tmp_path, is_here=True) as shelf,
    ):
        assert not isinstance(await shelf.open_encoder(), BorrowedEncoder)
        (finding,) = await asyncio.to_thread(shelf._remote.check)
    assert finding.severity is Severity.WARNING
    assert "sigmoid(117 x cosine -12.9)" in finding.message
    assert "softmax(100 x cosine +0)" in finding.message


async def test_of_a_model_that_only_they_have_they_say_what_scores_mean(local, tmp_path):
    model = str(tmp_path / "colours")
    measured = Measured(centre=(1.0, 0.0, 0.0), flat_range=0.25, item_count=9, moment_count=99)
    async with lending(local, calibration=SIGMOID) as machine:
        async with borrowing(machine, tmp_path) as shelf:
            calibrations.save(
                tmp_path / "kept", shelf.fingerprint.split("+")[0], Calibrations(pictures=measured)
            )
        async with borrowing(machine, tmp_path) as shelf:
            found = (await shelf.open_encoder()).calibration
    assert Path(model).name == "colours"
    assert (found.kind, found.logit_scale) == (ScoreKind.SIGMOID, 117.0)
    assert (found.centre, found.flat_range) == ((1.0, 0.0, 0.0), 0.25)  # measured here


async def test_other_files_of_the_same_name_are_told(machine, tmp_path):
    async with borrowing(machine, tmp_path, is_here=True) as shelf:
        good, bad = await asyncio.to_thread(shelf._remote.check)
    assert good.severity is Severity.OK
    assert "for analyses" in good.message
    assert bad.severity is Severity.WARNING
    assert "colours@1" in bad.message


async def test_the_doctor_does_not_miss_files_that_are_borrowed(machine, tmp_path):
    async with borrowing(machine, tmp_path) as shelf:
        found = {finding.subject: finding for finding in await shelf.check()}
        assert found["models/colours"].severity is Severity.OK
        assert "borrowed" in found["models/colours"].message
        with pytest.raises(MissingModelError):
            await shelf.open_tagger()


async def test_a_secret_that_does_not_fit_waits_and_is_not_told(machine, tmp_path, caplog):
    async with borrowing(machine, tmp_path, secret="swordfish") as shelf:
        with pytest.raises(TransientError, match="CLIP_RUNPOD_SECRET") as caught:
            await shelf.open_encoder()
    assert_waits(caught.value)
    assert "swordfish" not in caplog.text + str(caught.value)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    scenes = [
        SceneSpec(duration_s=2, picture="moving_box", colour=colour, sound="silence")
        for colour in (RED, BLUE) * 2
    ]
    path = tmp_path_factory.mktemp("library") / "film.mp4"
    return write_film(path, scenes, size=(128, 72), keyframe_interval=10)


class TestWithAFilm:
    """From settings to an analysis."""

    @pytest.fixture
    def settings(self, machine, tmp_path, monkeypatch) -> dict[str, str]:
        words = tmp_path / "words"
        words.mkdir()
        (words / "templates.yaml").write_text('picture: ["{}"]\nsound: ["{}"]\n', "utf-8")
        (words / "tags.yaml").write_text(
            "subject:\n" + "".join(f"  {word}: {{prompts: [{word}]}}\n" for word in COLOURS),
            "utf-8",
        )
        env = environment(
            tmp_path / "data",
            MOODREEL_VOCABULARY_DIR=str(words),
            MOODREEL_VISUAL_MODEL=str(tmp_path / "colours"),
            MOODREEL_SOUND_MODEL="none",
            MOODREEL_SOUND_TEXT_MODEL="none",
            MOODREEL_MODELS_DIR=str(tmp_path / "kept"),
            CLIP_ENDPOINT=machine.url,
            CLIP_RUNPOD_SECRET=SECRET,
            CLIP_REMOTE_FOR="analysis",
            CLIP_TEXT_EMBEDDING_MAX_RETRIES="0",
        )
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return env

    async def examine(self, film: Path) -> Any:
        async with open_file_examiner(ServiceSettings.read(), [film]) as opened:
            return await opened.examine(opened.items[0])

    async def test_it_is_seen_as_if_the_model_were_here(
        self, machine, film, settings, tmp_path, monkeypatch
    ):
        borrowed = await self.examine(film)
        assert machine.batches > 0
        assert borrowed.embedding_model == "colours"
        assert not borrowed.missing_models
        assert {scene.encoding.device for scene in borrowed.scenes} == {"cuda, borrowed"}
        colour_model(tmp_path / "colours")
        monkeypatch.setenv("CLIP_REMOTE_FOR", "queries")
        here = await self.examine(film)
        assert [tag.label for tag in borrowed.tags] == [tag.label for tag in here.tags]
        assert [mood.score for mood in borrowed.moods] == pytest.approx(
            [mood.score for mood in here.moods], abs=1e-4
        )
        for ours, theirs in zip(here.scenes, borrowed.scenes, strict=True):
            np.testing.assert_allclose(ours.embedding, theirs.embedding, atol=1e-5)

    async def test_a_machine_that_falls_asleep_in_the_middle_costs_no_scene(
        self, machine, film, settings, tmp_path
    ):
        (item,) = describe_files([film])
        async with borrowing(machine, tmp_path / "ours") as shelf, AsyncExitStack() as stack:
            examiner = open_examiner(stack, ServiceSettings.read(), shelf)
            machine.sleeps_after = 1
            with pytest.raises(TransientError, match="cannot be used now") as caught:
                await examiner.examine(item)
            assert_waits(caught.value)
            machine.is_asleep, machine.sleeps_after = False, None
            analysis = await examiner.examine(item)
        assert all(scene.embedding is not None for scene in analysis.scenes)

    async def test_a_search_does_not_ask_what_is_there_for_analyses(self, settings):
        async with AsyncExitStack() as stack:
            assert open_remote_encoder(stack, ModelSettings.read()) is None

    @pytest.mark.parametrize(
        ("use", "searches", "analyses"),
        [
            ("", True, False),
            ("queries", True, False),
            ("analysis", False, True),
            ("both", True, True),
        ],
    )
    async def test_one_setting_says_what_it_is_asked_for(
        self, settings, monkeypatch, use, searches, analyses
    ):
        monkeypatch.setenv("CLIP_REMOTE_FOR", use)
        models = ModelSettings.read()
        async with AsyncExitStack() as stack:
            assert (open_remote_encoder(stack, models) is not None) is searches
            shelf = Shelf(models)
            assert (open_analysis_shelf(stack, shelf, models) is not shelf) is analyses


async def test_a_model_of_movement_is_not_borrowed_for_analyses(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("CLIP_RUNPOD_SECRET", SECRET)
    monkeypatch.setenv("CLIP_REMOTE_FOR", "both")
    model = languagebind_model(tmp_path / "bind")
    models = ModelSettings(visual_model=str(model), models_dir=tmp_path)
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigurationError, match="CLIP_REMOTE_FOR"):
            open_analysis_shelf(stack, Shelf(models), models)
