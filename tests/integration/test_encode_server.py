"""The encoder for other machines, over real HTTP, with a tiny real model."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import threading
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web
from PIL import Image

from service.errors import ConfigurationError, TransientError
from service.ports import Encoder
from service.web.encode_pictures import PictureError, PictureHosts, decode_picture
from tests.support.encoders import (
    BATCH,
    IMAGE,
    SECRET,
    TEXT,
    colours,
    inline_body,
    picture,
    serving,
    signed,
    text_body,
    url_body,
)
from tests.support.receivers import Answer, Script, serve

HERE = "127.0.0.0/8"


@pytest_asyncio.fixture
async def encoder(tmp_path) -> AsyncIterator[Encoder]:
    async with colours(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def server(encoder) -> AsyncIterator[str]:
    async with serving(encoder, picture_hosts=HERE) as url:
        yield url


async def post(url: str, path: str, body: Any) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + path, data=data, headers={"content-type": "application/json"}) as answer,
    ):
        return answer.status, await answer.json()


def seen(vector: list[float]) -> str:
    """The colour that a vector of the colour model points at."""
    return ("red", "green", "blue")[int(np.argmax(vector))]


async def test_a_text_is_answered_as_the_protocol_says(server):
    status, answer = await post(server, TEXT, text_body("red green") | {"request_id": "query-1"})
    timings = answer.pop("timings")
    assert status == 200
    assert answer.pop("embedding") == pytest.approx([0.5**0.5, 0.5**0.5, 0])
    assert answer == {
        "request_id": "query-1",
        "dim": 3,
        "model_name": "colours",
        "pretrained": "",
        "device": "cpu",
        "normalized": True,
    }
    assert set(timings) == {"download_ms", "inference_ms", "total_ms"}
    assert 0 < timings["inference_ms"] <= timings["total_ms"]


async def test_vectors_are_of_unit_length_whatever_is_asked_and_the_answer_says_so(server):
    status, answer = await post(server, TEXT, text_body("red blue") | {"normalize": False})
    assert (status, answer["normalized"]) == (200, True)
    assert np.linalg.norm(answer["embedding"]) == pytest.approx(1)


async def test_a_picture_may_come_along(server):
    status, answer = await post(server, IMAGE, inline_body(picture("green")))
    assert status == 200
    assert (
        answer["embedding"] == pytest.approx([0, 1, 0], abs=1e-6)
        or seen(answer["embedding"]) == "green"
    )


async def test_a_batch_gives_each_picture_its_own_result(server):
    bodies = [
        inline_body(picture("red"), BATCH) | {"request_id": "1"},
        inline_body(b"no picture at all", BATCH) | {"request_id": "2"},
        inline_body(picture("blue"), BATCH) | {"request_id": "3"},
        url_body("http://elsewhere.example/x.png", BATCH),
    ]
    status, answer = await post(server, BATCH, {"items": bodies})
    assert status == 200
    results = answer["results"]
    assert [result.get("request_id") for result in results[:3]] == ["1", "2", "3"]
    assert seen(results[0]["embedding"]) == "red"
    assert results[1]["error"]["code"] == "INVALID_IMAGE"
    assert seen(results[2]["embedding"]) == "blue"
    assert results[3]["error"]["code"] == "HOST_NOT_ALLOWED"
    assert answer["model_name"] == "colours"
    assert set(answer["batch_timings"]) == {
        "total_download_ms",
        "total_inference_ms",
        "total_ms",
    }


async def test_a_batch_has_one_to_sixteen_pictures(server):
    item = inline_body(picture("red"), BATCH)
    assert (await post(server, BATCH, {"items": [item] * 16}))[0] == 200
    for items in ([], [inline_body(picture("blue"), BATCH)] * 17):
        assert (await post(server, BATCH, {"items": items}))[0] == 422


async def test_anybody_may_ask_for_its_health(server):
    async with aiohttp.ClientSession() as session, session.get(f"{server}/health") as answer:
        assert answer.status == 200
        said = await answer.json()
    assert said.pop("uptime_seconds") >= 0
    assert said == {
        "status": "ok", "model_name": "colours", "pretrained": "", "device": "cpu", "dim": 3,
        "version": "",
    }  # fmt: skip


async def test_a_request_that_was_taken_is_not_taken_again(server):
    body = text_body("red")
    assert (await post(server, TEXT, body))[0] == 200
    status, answer = await post(server, TEXT, body)
    assert (status, answer["detail"]["code"]) == (401, "REPLAYED")


async def test_two_at_once_with_one_signature_are_one(server):
    body = inline_body(picture("red"))
    answers = await asyncio.gather(*(post(server, IMAGE, body) for _ in range(5)))
    assert sorted(status for status, _ in answers) == [200, 401, 401, 401, 401]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (TEXT, text_body("red", secret="wrong"), "UNAUTHORIZED"),
        (TEXT, text_body("red") | {"text": "blue"}, "UNAUTHORIZED"),
        (TEXT, text_body("red", ts=1_703_001_234), "EXPIRED"),
        (IMAGE, text_body("red") | inline_body(picture("red"), TEXT), "UNAUTHORIZED"),
        (IMAGE, inline_body(picture("red")) | {
            "image": base64.b64encode(picture("blue")).decode()}, "UNAUTHORIZED"),
        (BATCH, {"items": [inline_body(picture("red"), IMAGE)]}, "UNAUTHORIZED"),
        (IMAGE, url_body("http://127.0.0.1/a") | {"image_url": "http://127.0.0.1/b"},
         "UNAUTHORIZED"),
    ],
)  # fmt: skip
async def test_a_wrong_signature_is_refused_before_anything_is_done(server, path, body, code):
    status, answer = await post(server, path, body)
    assert (status, answer["detail"]["code"]) == (401, code)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"[" * 5000,
        {"text": "red"},
        text_body("red") | {"text": 5},
        text_body("x" * 10_001),
        text_body("red") | {"auth": {"ts": "now", "sig": ""}},
        text_body("red") | {"auth": {"ts": 10**30, "sig": ""}},
        b'{"text": "\\ud800", "auth": {"ts": 1, "sig": ""}}',
    ],
    ids=str,
)
async def test_what_is_not_the_protocol_is_told_in_words(server, body):
    status, answer = await post(server, TEXT, body)
    assert (status, answer["detail"]["code"]) == (422, "MALFORMED")


async def test_a_picture_is_either_sent_or_named(server):
    both = inline_body(picture("red")) | {"image_url": "http://127.0.0.1/"}
    for body in (both, {"auth": both["auth"]}, both | {"image": "no base64", "image_url": None}):
        status, answer = await post(server, IMAGE, body)
        assert (status, answer["detail"]["code"]) == (422, "MALFORMED")


async def test_long_bodies_are_not_read(server):
    assert (await post(server, TEXT, b" " * 300_000))[0] == 413

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b" " * 65_536

    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(server + IMAGE, data=chunks()) as answer:
                assert answer.status == 413
        except aiohttp.ClientError:
            pass  # it hung up on us, which is as good


async def test_a_body_that_drips_is_cut_off(encoder):
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    async with serving(encoder, body_timeout_s=0.2) as url, aiohttp.ClientSession() as session:
        began_s = time.monotonic()
        try:
            async with session.post(url + TEXT, data=drip()) as answer:
                assert answer.status == 408
        except aiohttp.ClientError:
            pass  # likewise
        assert time.monotonic() - began_s < 5
        assert (await post(url, TEXT, text_body("red")))[0] == 200


class Web:
    """Somebody's web server with a picture."""

    def __init__(self) -> None:
        self.script = Script()
        self.app = web.Application(middlewares=[self.script.middleware])
        self.app.router.add_get("/red.png", self._send)

    async def _send(self, _request: web.Request) -> web.Response:
        return web.Response(body=picture("red"), content_type="image/png")


@pytest_asyncio.fixture
async def pictures() -> AsyncIterator[tuple[str, Web]]:
    site = Web()
    async with serve(site.app) as url:
        yield f"{url}/red.png", site


async def test_a_picture_is_fetched_from_a_host_that_is_allowed(server, pictures):
    address, _ = pictures
    status, answer = await post(server, IMAGE, url_body(address))
    assert (status, seen(answer["embedding"])) == (200, "red")
    assert answer["timings"]["download_ms"] > 0


@pytest.mark.parametrize(
    "hosts",
    ["", "cdn.example.org", "*", "localhost", "10.0.0.0/8, 192.168.0.0/16", ".0.0.1"],
)
async def test_this_machine_and_its_network_are_asked_nothing_unless_they_are_named(
    encoder, pictures, hosts
):
    address, site = pictures
    port = address.split(":")[2]
    async with serving(encoder, picture_hosts=hosts) as url:
        for host in ("127.0.0.1", "localhost", "127.1", "0x7f.1", "2130706433", "[::1]",
                     "[::ffff:127.0.0.1]", "0.0.0.0"):  # fmt: skip
            status, answer = await post(url, IMAGE, url_body(f"http://{host}:{port}"))
            assert status == 400, (host, answer)
            assert answer["detail"]["code"] in {"HOST_NOT_ALLOWED", "DOWNLOAD_ERROR", "INVALID_URL"}
    assert site.script.request_count == 0


async def test_a_name_that_leads_to_a_private_address_is_refused_by_its_address(encoder, pictures):
    address, site = pictures
    named = address.replace("127.0.0.1", "localhost")
    async with serving(encoder, picture_hosts="localhost") as url:
        status, answer = await post(url, IMAGE, url_body(named))
        assert (status, answer["detail"]["code"]) == (400, "HOST_NOT_ALLOWED")
    assert site.script.request_count == 0
    async with serving(encoder, picture_hosts=f"localhost, {HERE}, ::1") as url:
        assert (await post(url, IMAGE, url_body(named)))[0] == 200


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(status=302, headers={"Location": "http://127.0.0.1/red.png"}), "DOWNLOAD_ERROR"),
        (Answer(status=404), "DOWNLOAD_ERROR"),
        (Answer(body=b"\0" * (10 * 1024 * 1024 + 1)), "TOO_LARGE"),
        (Answer(body="<html>no picture</html>"), "INVALID_IMAGE"),
        (Answer(body=zlib.compress(picture("red")), headers={"Content-Encoding": "deflate"}),
         "INVALID_IMAGE"),
        (Answer(body=picture("red"), breaks=True), "DOWNLOAD_ERROR"),
    ],
    ids=["redirect", "404", "too large", "HTML", "packed", "breaks off"],
)  # fmt: skip
async def test_what_a_picture_s_host_does_is_told_and_harms_nobody(server, pictures, answer, code):
    address, site = pictures
    site.script.answers.append(answer)
    status, said = await post(server, IMAGE, url_body(address))
    assert (status, said["detail"]["code"]) == (400, code)
    assert site.script.request_count == 1


@pytest.mark.parametrize(
    "address",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "//127.0.0.1/", "http://u:p@127.0.0.1/",
     "http://[::1", "gopher://127.0.0.1", "data:image/png;base64,AAAA"],
)  # fmt: skip
async def test_only_plain_http_addresses_are_followed(server, address):
    status, answer = await post(server, IMAGE, url_body(address))
    assert (status, answer["detail"]["code"]) == (400, "INVALID_URL")


@pytest.mark.parametrize("text", ["http://cdn.example.org", "a b", "user@host", "host:80", "."])
def test_a_host_that_is_none_is_told(text):
    with pytest.raises(ConfigurationError, match="MOODREEL_ENCODE_PICTURE_HOSTS"):
        PictureHosts.parse(text)


@pytest.mark.parametrize(
    ("hosts", "host", "is_allowed"),
    [
        ("cdn.example.org", "CDN.example.org.", True),
        ("cdn.example.org", "xcdn.example.org", False),
        (".example.org", "a.b.example.org", True),
        ("*.example.org", "a.example.org", True),
        (".example.org", "example.org", False),
        (".example.org", "badexample.org", False),
        ("*", "anything.example", True),
        ("*", "8.8.8.8", True),
        ("*", "192.168.1.7", False),
        ("*", "2606:4700::1", True),
        ("*", "64:ff9b::808:808", True),
        ("*", "64:ff9b::c0a8:107", False),  # 192.168.1.7 by NAT64
        ("192.168.1.0/24", "64:ff9b::c0a8:107", True),
        ("*", "2002:c0a8:107::1", False),  # by 6to4
        ("*", "::c0a8:107", False),
        ("*", "fec0::1", False),
        ("*", "[::ffff:10.0.0.1]", False),
        ("*", "169.254.169.254", False),
        ("192.168.1.0/24", "192.168.1.7", True),
        ("192.168.1.0/24", "192.168.2.7", False),
        ("", "8.8.8.8", False),
    ],
)
def test_hosts_are_named_exactly_by_domain_or_by_network(hosts, host, is_allowed):
    assert PictureHosts.parse(hosts).allows_host(host) is is_allowed


def test_a_picture_that_would_fill_the_memory_is_not_decoded():
    rows = zlib.compress(b"\0" * 30_000)
    header = (30_000).to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)
    with pytest.raises(PictureError) as caught:
        decode_picture(bomb + chunk(b"IEND", b""))
    assert caught.value.code in {"TOO_LARGE", "INVALID_IMAGE"}


def test_large_pictures_are_reduced_and_turned_upright():
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.new("RGB", (3000, 1500)).save(file, "JPEG", exif=exif)
    assert decode_picture(file.getvalue()).shape == (1024, 512, 3)
    assert decode_picture(picture("red", size=(20_000, 8))).shape[1] == 4096
    assert decode_picture(picture("red")).shape == (30, 40, 3)


class Slow:
    """An encoder that waits until it is let go; a fake at the port."""

    name, dimension, device = "slow", 3, "cpu"

    def __init__(self, error: Exception | None = None) -> None:
        self.go = threading.Event()
        self.error = error

    def encode_texts(self, texts):
        self.go.wait(20)
        if self.error:
            raise self.error
        return np.eye(3, dtype=np.float32)[: len(texts)]


async def test_who_comes_when_it_is_full_is_told_to_come_again_and_may_with_the_same_signature():
    slow = Slow()
    async with serving(slow) as url:  # type: ignore[arg-type]  # texts are all that is asked
        waiting = [asyncio.create_task(post(url, TEXT, text_body(f"t{n}"))) for n in range(80)]
        refused: list[int] = []
        while len(refused) < 15:  # one is encoded, 64 wait
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            refused = [number for number, task in enumerate(waiting) if task in done]
            assert done
        slow.go.set()
        answers = await asyncio.gather(*waiting)
        assert {status for status, _ in answers} == {200, 429}
        assert sum(status == 429 for status, _ in answers) == 15


async def test_what_the_model_could_not_do_is_a_503_and_may_come_again(caplog):
    broken = Slow(TransientError("/secret/path/model.onnx is broken"))
    broken.go.set()
    body = text_body("red")
    async with serving(broken) as url:  # type: ignore[arg-type]  # as above
        status, answer = await post(url, TEXT, body)
        assert (status, answer["detail"]["code"]) == (503, "MODEL_ERROR")
        assert "/secret/path" not in json.dumps(answer)
        broken.error = None
        assert (await post(url, TEXT, body))[0] == 200


async def test_nothing_that_is_secret_or_asked_is_logged(server, caplog):
    caplog.set_level(logging.DEBUG)
    body = text_body("a very private question")
    await post(server, TEXT, body)
    await post(server, TEXT, body | {"auth": signed(TEXT, "x")})
    logged = " ".join(str(record.__dict__) for record in caplog.records if "service" in record.name)
    for secret in (SECRET, "private question", body["auth"]["sig"]):
        assert secret not in logged


async def test_other_paths_and_methods_are_refused(server):
    assert (await post(server, "/v1/embed/sound", {}))[0] == 404
    async with aiohttp.ClientSession() as session, session.get(server + TEXT) as answer:
        assert answer.status == 405
