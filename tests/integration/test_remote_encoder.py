"""A model on another machine: our client against our server, and against worse ones."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import SecretStr

from adapters.models.remote import RemoteEncoder, Space
from adapters.models.remote_settings import RemoteSettings
from service.domain import Calibration, ScoreKind, Severity
from service.errors import (
    ConfigurationError,
    ModelTimeoutError,
    MoodreelError,
    PermanentError,
    TransientError,
)
from service.ports import Encoder
from tests.support.encoders import BATCH, COLOURS, SECRET, TEXT, colours, serving, signed
from tests.support.models import solid
from tests.support.receivers import Answer, Script, serve

T = TypeVar("T")

SPACE = Space(
    model="colours",
    dimension=3,
    calibration=Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0),
)
HTML = "<html><body>502 Bad Gateway</body></html>"


def reach(url: str, *, space: Space = SPACE, **changes: Any) -> RemoteEncoder:
    limits = {"text_timeout_s": changes.pop("text_timeout_s", 10.0), "rest_s": 0.0}
    limits |= {name: changes.pop(name) for name in ("clock", "rest_s") if name in changes}
    settings = {"url": url, "secret": SecretStr(SECRET), **changes}
    return RemoteEncoder(RemoteSettings(**settings), space, **limits)


async def using(encoder: RemoteEncoder, work: Callable[[RemoteEncoder], T]) -> T:
    """As a pool does: off the event loop."""
    try:
        return await asyncio.to_thread(work, encoder)
    finally:
        await asyncio.to_thread(encoder.close)


async def failing(encoder: RemoteEncoder, texts: tuple[str, ...] = ("red",)) -> MoodreelError:
    with pytest.raises(MoodreelError) as caught:
        await using(encoder, lambda e: e.encode_texts(texts))
    return caught.value


@pytest_asyncio.fixture
async def local(tmp_path) -> AsyncIterator[Encoder]:
    async with colours(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def server(local) -> AsyncIterator[str]:
    async with serving(local) as url:
        yield url


class StandIn:
    """An encoder of Heimdex' kind that does as it is told, and keeps what it was sent."""

    def __init__(self, **identity: Any) -> None:
        self.script = Script()
        self.bodies: list[Any] = []
        self.identity = {
            "model_name": "colours", "pretrained": "", "device": "cuda", **identity
        }  # fmt: skip
        self.vector = [1.0, 0.0, 0.0]
        self.app = web.Application(
            middlewares=[self._record, self.script.middleware], client_max_size=2**24
        )
        self.app.router.add_post(TEXT, self._embed)
        self.app.router.add_post(BATCH, self._embed_batch)
        self.app.router.add_get("/health", self._health)

    @web.middleware
    async def _record(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.bodies.append(json.loads(await request.read() or b"null"))
        response: web.StreamResponse = await handler(request)
        return response

    async def _embed(self, _request: web.Request) -> web.Response:
        return web.json_response({"embedding": self.vector, **self.identity})

    async def _embed_batch(self, request: web.Request) -> web.Response:
        count = len((await request.json())["items"])
        return web.json_response({"results": [{"embedding": self.vector}] * count, **self.identity})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", **self.identity})


@pytest_asyncio.fixture
async def stand_in() -> AsyncIterator[tuple[str, StandIn]]:
    made = StandIn()
    async with serve(made.app) as url:
        yield url, made


async def test_texts_have_the_vectors_that_the_model_gives_here(server, local):
    texts = ["red", "green blue", "", "red", "x" * 20_000, "\ud800 red"]
    remote = await using(reach(server), lambda e: e.encode_texts(texts))
    here = local.encode_texts([*texts[:4], "x" * 10_000, "? red"])
    np.testing.assert_allclose(remote, here, atol=1e-6)
    assert remote.dtype == np.float32


async def test_pictures_have_the_vectors_that_the_model_gives_here(server, local):
    noise = np.random.default_rng(7).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    images = [*map(solid, COLOURS.values()), noise, solid((9, 8, 7), width=1, height=1)] * 7
    remote = await using(reach(server), lambda e: e.encode_images(images))
    np.testing.assert_allclose(remote, local.encode_images(images), atol=1e-6)


async def test_large_pictures_are_reduced_and_still_fit_into_a_request(server, local):
    generator = np.random.default_rng(7)
    images = [generator.integers(0, 256, (1080, 1920, 3), dtype=np.uint8) for _ in range(3)]
    remote = await using(reach(server), lambda e: e.encode_images(images))
    assert np.sum(remote * local.encode_images(images), axis=1).min() > 0.999


async def test_it_is_the_port_encoder(server):
    def look(encoder: RemoteEncoder) -> tuple[Any, ...]:
        port: Encoder = encoder
        nothing = (port.encode_texts([]).shape, port.encode_images([]).shape)
        port.encode_texts(["red"])
        return port.name, port.dimension, port.device, port.calibration, nothing

    told = await using(reach(server), look)
    assert told == ("colours", 3, f"cpu at {server}", SPACE.calibration, ((0, 3), (0, 3)))


async def test_a_dimension_that_nobody_told_is_asked_for(server):
    space = Space(model="colours", dimension=None, calibration=SPACE.calibration)
    assert await using(reach(server, space=space), lambda e: e.dimension) == 3


async def test_the_same_text_may_be_asked_many_times_within_a_second(server):
    def ask(encoder: RemoteEncoder) -> int:
        return sum(encoder.encode_texts(["red"]).shape[0] for _ in range(20))

    assert await using(reach(server), ask) == 20


async def test_two_machines_may_ask_for_the_same_text_at_once(server):
    frozen_s = time.time()
    answers = await asyncio.gather(
        *(
            using(reach(server, clock=lambda: frozen_s), lambda e: e.encode_texts(["red"]))
            for _ in range(6)
        )
    )
    assert [answer.shape for answer in answers] == [(1, 3)] * 6


async def test_another_secret_is_told_with_what_to_do(server):
    error = await failing(reach(server, secret=SecretStr("another secret")))
    assert isinstance(error, ConfigurationError)
    assert "CLIP_RUNPOD_SECRET must be the same on both sides" in str(error)
    assert "another secret" not in str(error)


@pytest.mark.parametrize("off_s", [-600, 600])
async def test_clocks_apart_are_told_with_by_how_much(server, off_s):
    error = await failing(reach(server, clock=lambda: time.time() + off_s))
    assert isinstance(error, ConfigurationError)
    assert "600 s off ours" in str(error) or "601 s off ours" in str(error) or "599 s" in str(error)


@pytest.mark.parametrize(
    ("setting", "is_taken"),
    [("", False), ("ViT-B-32", True), ("ViT-B-32/openai", True), ("ViT-B-32/laion", False)],
)
async def test_a_model_of_another_name_is_only_taken_if_the_owner_vouches_for_it(setting, is_taken):
    other = StandIn(model_name="ViT-B-32", pretrained="openai")
    async with serve(other.app) as url:
        if is_taken:
            vectors = await using(reach(url, model=setting), lambda e: e.encode_texts(["red"]))
            assert vectors.tolist() == [[1, 0, 0]]
            return
        error = await failing(reach(url, model=setting))
    assert isinstance(error, ConfigurationError)
    assert "has the model ViT-B-32/openai, but the vectors here are of colours" in str(error)


async def test_a_vector_of_another_dimension_is_an_error_in_words(stand_in):
    url, other = stand_in
    other.vector = [1.0] * 512
    for work in (lambda e: e.encode_texts(["red"]), lambda e: e.encode_images([solid((1, 2, 3))])):
        with pytest.raises(ConfigurationError, match="vectors of 512 numbers, but colours has 3"):
            await using(reach(url), work)


@pytest.mark.parametrize(
    "vector",
    [
        [],
        ["a", 0, 0],
        [float("nan"), 0, 0],
        [1e39, 0, 0],
        [1e30, 0, 0],
        [1e308, 1e308, 0],
        None,
        "red",
        [[1, 0, 0]],
    ],
    ids=str,
)
async def test_what_is_no_vector_is_an_error(stand_in, vector):
    url, other = stand_in
    other.vector = vector
    assert isinstance(await failing(reach(url)), PermanentError)


async def test_a_vector_of_any_length_becomes_one_of_unit_length(stand_in):
    url, other = stand_in
    other.vector = [3, 0, 4]
    vectors = await using(reach(url), lambda e: e.encode_texts(["red"]))
    np.testing.assert_allclose(vectors, [[0.6, 0, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=503, body=HTML),
        Answer(status=502),
        Answer(status=500, body="{}"),
        Answer(status=429, headers={"Retry-After": "0"}),
        Answer(status=408),
        Answer(body="{", breaks=True),
    ],
    ids=["503", "502", "500", "429", "408", "breaks off"],
)
async def test_what_may_pass_is_asked_once_more_and_signed_anew(stand_in, answer):
    url, other = stand_in
    other.script.answers.append(answer)
    vectors = await using(reach(url), lambda e: e.encode_texts(["red"]))
    assert vectors.tolist() == [[1, 0, 0]]
    first, second = (body["auth"] for body in other.bodies)
    assert first["sig"] != second["sig"]
    for body in other.bodies:
        ts, content = (
            body["auth"]["ts"],
            "b1f51a511f1da0cd348b8f8598db32e61cb963e5fc69e2b41485bf99590ed75a",
        )
        assert body["auth"] == signed(TEXT, content, ts=ts)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=HTML),
        Answer(body="[]"),
        Answer(body="null"),
        Answer(body="[" * 100_000),
        Answer(body="{}"),
        Answer(body=b"\xff\xfe"),
        Answer(body=b" " * (1024 * 1024 + 1)),
        Answer(status=400, body=json.dumps({"detail": {"code": "X", "message": "\x1b[2Jno"}})),
        Answer(status=404, body=HTML),
        Answer(status=422, body='{"detail": [{"msg": "of FastAPI"}]}'),
        Answer(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        Answer(body="x", headers={"Content-Encoding": "gzip"}),
    ],
    ids=[
        "HTML", "a list", "null", "nested", "nothing", "no text", "too long", "400", "404", "422",
        "redirect", "packed",
    ],
)  # fmt: skip
async def test_what_is_no_answer_is_not_asked_for_again(stand_in, answer):
    url, other = stand_in
    other.script.answers.append(answer)
    error = await failing(reach(url))
    assert isinstance(error, PermanentError)
    assert str(error).isprintable()
    assert len(other.bodies) == 1


@pytest.mark.parametrize(
    "answer",
    [Answer(hangs=True), Answer(body="{}", stalls=True), Answer(body="{", drips=True)],
    ids=["hangs", "stalls", "drips"],
)
async def test_who_does_not_answer_costs_no_more_than_the_time_limit(stand_in, answer):
    url, other = stand_in
    other.script.answers.append(answer)
    began_s = time.monotonic()
    error = await failing(reach(url, text_timeout_s=0.3))
    assert isinstance(error, TransientError)
    assert "did not answer within 0.3 s" in str(error)
    assert time.monotonic() - began_s < 3
    assert len(other.bodies) == 1


async def test_a_server_that_wants_to_be_left_alone_for_longer_is(stand_in):
    url, other = stand_in
    other.script.answers.append(Answer(status=429, headers={"Retry-After": "3600"}))
    began_s = time.monotonic()
    error = await failing(reach(url))
    assert isinstance(error, TransientError)
    assert error.retry_after_s == 3600
    assert time.monotonic() - began_s < 3
    assert len(other.bodies) == 1


async def test_nobody_there_is_told_without_the_path():
    error = await failing(reach("http://127.0.0.1:9/a/private/path"))
    assert isinstance(error, TransientError)
    assert "http://127.0.0.1:9: nothing answers there" in str(error)
    assert "private" not in str(error)


async def test_no_retries_means_one_attempt(stand_in):
    url, other = stand_in
    other.script.answers.append(Answer(status=503))
    await failing(reach(url, max_retries=0))
    assert len(other.bodies) == 1


async def test_after_a_failure_the_next_text_fails_at_once_for_a_while(stand_in):
    url, other = stand_in
    other.script.answers.append(Answer(status=503))

    def ask_twice(encoder: RemoteEncoder) -> list[str]:
        said = []
        for _ in range(2):
            with pytest.raises(TransientError) as caught:
                encoder.encode_texts(["red"])
            said.append(str(caught.value))
        return said

    first, second = await using(reach(url, max_retries=0, rest_s=60.0), ask_twice)
    assert second.startswith(first)
    assert len(other.bodies) == 1


async def test_pictures_have_a_time_limit_of_their_own(stand_in):
    url, other = stand_in
    other.script.answers += [Answer(hangs=True), Answer(hangs=True)]
    picture = solid((1, 2, 3))
    with pytest.raises(ModelTimeoutError, match=r"not done within 0\.2 s"):
        await using(reach(url), lambda e: e.encode_images([picture], timeout_s=0.2))
    with pytest.raises(TransientError, match=r"within 0\.2 s"):
        await using(reach(url, timeout_s=0.2), lambda e: e.encode_images([picture]))


async def test_a_picture_that_the_other_side_cannot_take_says_why(stand_in):
    url, other = stand_in
    results = [{"error": {"code": "INVALID_IMAGE", "message": "it is\nbroken"}}]
    other.script.answers.append(Answer(body=json.dumps({"results": results, **other.identity})))
    with pytest.raises(PermanentError, match="cannot encode a picture: it is broken"):
        await using(reach(url), lambda e: e.encode_images([solid((1, 2, 3))]))


async def test_fewer_vectors_than_pictures_are_none(stand_in):
    url, other = stand_in
    other.script.answers.append(Answer(body=json.dumps({"results": [], **other.identity})))
    with pytest.raises(PermanentError, match="0 pictures of 1"):
        await using(reach(url), lambda e: e.encode_images([solid((1, 2, 3))]))


async def test_the_doctor_is_told_how_it_is(server):
    (finding,) = await using(reach(server), lambda e: e.check())
    assert (finding.severity, finding.message) == (
        Severity.OK,
        f"colours on cpu at {server}, for searches",
    )
    (finding,) = await using(reach(server, secret=SecretStr("x")), lambda e: e.check())
    assert finding.severity is Severity.WARNING
    assert "CLIP_RUNPOD_SECRET" in finding.message
    (finding,) = await using(reach("http://127.0.0.1:9"), lambda e: e.check())
    assert finding.severity is Severity.WARNING
    assert "CLIP_RUNPOD_URL" in finding.fix


async def test_many_threads_may_share_it_and_it_begins_anew_after_its_end(server):
    encoder = reach(server)
    words = ["red", "green", "blue"]
    answers = await asyncio.gather(
        *(asyncio.to_thread(encoder.encode_texts, [words[n % 3]]) for n in range(30))
    )
    assert [int(np.argmax(answer[0])) for answer in answers] == [n % 3 for n in range(30)]
    await asyncio.to_thread(encoder.close)
    assert (await using(encoder, lambda e: e.encode_texts(["red"]))).shape == (1, 3)


async def test_who_is_let_go_of_while_it_is_asked_says_so_at_once(stand_in):
    url, other = stand_in
    other.script.answers.append(Answer(hangs=True))
    encoder = reach(url, text_timeout_s=60.0)
    asking = asyncio.create_task(asyncio.to_thread(encoder.encode_texts, ["red"]))
    async with asyncio.timeout(20):
        while not other.bodies:  # noqa: ASYNC110  the stand-in has no event
            await asyncio.sleep(0.01)
        await asyncio.to_thread(encoder.close)
        with pytest.raises(TransientError, match="let go of"):
            await asking


async def test_nothing_secret_is_logged(server, caplog):
    caplog.set_level(logging.DEBUG)
    await using(reach(server), lambda e: e.encode_texts(["a very private question"]))
    logged = " ".join(str(record.__dict__) for record in caplog.records)
    assert SECRET not in logged
    assert "private question" not in logged
