"""``moodreel encode-server`` as its users start it, and what is put together around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web

from adapters.models.settings import ModelSettings
from service.errors import ConfigurationError
from service.wiring.borrowing import describe_space, open_remote_encoder
from tests.support.cli import invoke
from tests.support.encoders import IMAGE, SECRET, picture, url_body
from tests.support.models import colour_model, solid
from tests.support.receivers import serve
from tests.support.service import DEADLINE_S, environment, free_port, running


@pytest.fixture
def env(tmp_path):
    return environment(
        tmp_path / "data",
        MOODREEL_VISUAL_MODEL=str(colour_model(tmp_path / "colours")),
        MOODREEL_MODELS_DIR=str(tmp_path / "kept"),
        CLIP_RUNPOD_SECRET=SECRET,
    )


async def until_healthy(address: str) -> None:
    async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{address}/health") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def picture_server() -> AsyncIterator[str]:
    async def send(_request: web.Request) -> web.Response:
        return web.Response(body=picture("green"))

    app = web.Application()
    app.router.add_get("/green.png", send)
    async with serve(app) as url:
        yield f"{url}/green.png"


async def test_the_command_lends_its_model_to_whoever_knows_the_secret(env, tmp_path, monkeypatch):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    served = {**env, "MOODREEL_ENCODE_PORT": str(port)}
    served["MOODREEL_ENCODE_PICTURE_HOSTS"] = "127.0.0.0/8"
    monkeypatch.setenv("CLIP_ENDPOINT", address)
    monkeypatch.setenv("CLIP_RUNPOD_SECRET", SECRET)
    monkeypatch.setenv("CLIP_TEXT_EMBEDDING_TIMEOUT_S", "10")
    models = ModelSettings(visual_model=env["MOODREEL_VISUAL_MODEL"], models_dir=tmp_path)
    async with running("encode-server", env=served) as process:
        await until_healthy(address)
        async with AsyncExitStack() as stack:
            encoder = open_remote_encoder(stack, models)
            assert encoder is not None
            texts = await asyncio.to_thread(encoder.encode_texts, ["red", "blue"])
            assert texts.argmax(axis=1).tolist() == [0, 2]
            pictures = await asyncio.to_thread(encoder.encode_images, [solid((0, 200, 0))])
            assert pictures.argmax(axis=1).tolist() == [1]
        async with (
            picture_server() as url,
            aiohttp.ClientSession() as session,
            session.post(address + IMAGE, json=url_body(url)) as answer,
        ):
            assert answer.status == 200, await answer.text()
        process.terminate()
        assert await asyncio.wait_for(process.wait(), DEADLINE_S) == 0


def test_without_a_secret_it_does_not_start(env):
    status, _, err = invoke("encode-server", env={**env, "CLIP_RUNPOD_SECRET": ""})
    assert status == 2
    assert "CLIP_RUNPOD_SECRET is empty" in " ".join(err.split())


def test_without_the_model_it_does_not_start(env, tmp_path):
    status, _, err = invoke(
        "encode-server", env={**env, "MOODREEL_VISUAL_MODEL": str(tmp_path / "nowhere")}
    )
    assert status == 1
    assert "nowhere" in " ".join(err.split())


def test_a_host_that_is_none_ends_the_start(env):
    status, _, err = invoke("encode-server", env={**env, "MOODREEL_ENCODE_PICTURE_HOSTS": "a b"})
    assert status == 2
    assert "MOODREEL_ENCODE_PICTURE_HOSTS" in err


def test_of_a_model_that_is_not_here_its_row_says_what_its_vectors_are(tmp_path):
    space = describe_space(ModelSettings(visual_model="clip-vit-b-32", models_dir=tmp_path))
    assert (space.model, space.dimension) == ("clip-vit-b-32", 512)
    assert space.calibration.logit_scale == pytest.approx(100, abs=1)


def test_of_a_directory_that_only_the_other_machine_has_the_name_counts(tmp_path):
    space = describe_space(ModelSettings(visual_model=str(tmp_path / "ours"), models_dir=tmp_path))
    assert (space.model, space.dimension) == ("ours", None)


def test_a_sound_model_is_no_space_of_pictures(tmp_path):
    with pytest.raises(ConfigurationError, match="yamnet is a sound tagger"):
        describe_space(ModelSettings(visual_model="yamnet", models_dir=tmp_path))


async def test_nothing_is_borrowed_where_no_address_is_set(tmp_path):
    async with AsyncExitStack() as stack:
        assert open_remote_encoder(stack, ModelSettings(models_dir=tmp_path)) is None
