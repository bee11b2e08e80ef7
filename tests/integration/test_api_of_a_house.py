"""The API of a whole house: a real database, the real engine of search, films that are decoded."""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager

import aiohttp
import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from service.domain import AnalyzeJob
from service.settings import ServiceSettings
from service.web.session import ApiSettings
from service.wiring.surroundings import tell_key
from tests.support.api_requests import DOCUMENT, requests
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.models import colour_model

FILM = (
    SceneSpec(duration_s=6, picture="moving_box", colour=RED, sound="tone"),
    SceneSpec(duration_s=6, picture="moving_box", colour=BLUE, sound="silence"),
)


@pytest.fixture
def models(tmp_path):
    return {"MOODREEL_VISUAL_MODEL": str(colour_model(tmp_path / "eyes")), "MOODREEL_PORT": "0"}


@asynccontextmanager
async def asking(house):
    """The house, served; gives a client that knows its key."""
    stop = asyncio.Event()
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(house.moodreel.serve(stop, on_ready=bound.set_result))
    port = await asyncio.wait_for(bound, 30)
    key = (house.moodreel.settings.data_dir / "api-key").read_text()
    try:
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{port}", headers={"X-API-Key": key}
        ) as client:
            yield client
    finally:
        stop.set()
        await serving


async def get(client, path, **params):
    async with client.get(path, params=params) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_a_film_is_found_by_words_and_by_a_picture_and_shown(house):
    write_film(house.library / "Harbour of Ravens (2026).mp4", FILM)
    (ref,) = (await house.refs()).values()
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), (0, 0, 220)).save(picture, "PNG")

    async with asking(house) as client:
        (item,) = (await get(client, "/api/v1/items"))["items"]
        assert item["item"] == str(ref)
        scenes = (await get(client, item["links"]["scenes"]))["scenes"]
        named = await get(client, "/api/v1/search", q="harbour ravens")
        form = aiohttp.FormData()
        form.add_field("picture", picture.getvalue(), filename="a.png")
        async with client.post("/api/v1/search", data=form) as answer:
            alike = await answer.json()
            assert answer.status == 200, alike
        async with client.post("/api/v1/search", data={"picture": io.BytesIO(b"none")}) as answer:
            assert answer.status == 400, await answer.text()
        async with client.get(scenes[1]["thumbnail"], params={"width": 160}) as answer:
            assert answer.status == 200, await answer.text()
            with Image.open(io.BytesIO(await answer.read())) as shown:
                colour = np.asarray(shown.convert("RGB")).mean(axis=(0, 1))
        found = await get(client, item["links"]["self"])

    assert len(scenes) == 2
    assert [hit["item"] for hit in named["hits"]][:1] == [str(ref)]
    assert alike["hits"][0]["position"] == 1  # the blue one
    assert colour[2] > colour[0]
    assert found["analysis"]["scene_count"] == 2
    assert str(house.library) not in str([item, scenes, named, alike, found])


def ask_much(address, key):
    """Ask what the document allows, and more; gives the answers that are none of it."""
    odd: list[tuple[object, ...]] = []
    operations = [
        (path, method, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    ]

    @settings(
        max_examples=80, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(data=st.data(), place=st.sampled_from(operations))
    def ask(data, place):
        path, method, operation = place
        asked, body, headers = data.draw(requests(path, operation))
        answer = client.request(method, asked, content=body, headers=headers)
        if answer.status_code >= 500 or str(answer.status_code) not in operation["responses"]:
            odd.append((method, asked, body, answer.status_code, answer.text))

    with httpx.Client(base_url=address, headers={"X-API-Key": key}, timeout=60) as client:
        ask()
    return odd


async def test_whatever_is_asked_of_a_whole_house_is_answered_by_the_document(house):
    write_film(house.library / "Harbour of Ravens (2026).mp4", FILM)
    (ref,) = (await house.refs()).values()
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))

    async with asking(house) as client:
        odd = await asyncio.to_thread(ask_much, str(client._base_url), client.headers["X-API-Key"])

    assert odd == []


def test_doctor_says_where_the_key_is_and_not_what_it_is(tmp_path, monkeypatch):
    here = ServiceSettings(data_dir=tmp_path)
    made = tell_key(here, ApiSettings(), "http://moodreel:8686")
    assert made.message == f"http://moodreel:8686/api/v1; the key is in {tmp_path / 'api-key'}"

    monkeypatch.setenv("MOODREEL_API_KEY", "a-key-of-the-owner")
    told = tell_key(here, ApiSettings.read(), "http://moodreel:8686")
    assert told.message.endswith("the key is in MOODREEL_API_KEY")
