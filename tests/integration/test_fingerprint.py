"""A file is known again by its size and three pieces, read here or over HTTP."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.media.fingerprint import PIECE_BYTES, MediaFingerprinter, spans
from adapters.media.settings import ReaderSettings
from service.domain import LocalFile, RemoteStream
from service.errors import MoodreelError, NotFoundError, PermanentError, TransientError

KEY = {"Authorization": 'MediaBrowser Token="a-secret-key"'}
SIZES = (1, PIECE_BYTES, 3 * PIECE_BYTES, 3 * PIECE_BYTES + 1, 1_000_003)


def fingerprinter() -> MediaFingerprinter:
    return MediaFingerprinter(ReaderSettings(network_timeout_s=2))


def noise(size: int) -> bytes:
    return b"".join(
        hashlib.sha256(bytes([k % 251, k // 251])).digest() for k in range(size // 32 + 1)
    )[:size]


def write(path, content: bytes) -> LocalFile:
    path.write_bytes(content)
    return LocalFile(path=path)


# Files ------------------------------------------------------------------------------------------


async def test_a_renamed_and_touched_file_is_the_same(tmp_path):
    former = await fingerprinter().fingerprint(write(tmp_path / "a.mkv", noise(1_000_003)))
    (tmp_path / "a.mkv").rename(tmp_path / "b.mp4")
    os.utime(tmp_path / "b.mp4", (1, 1))
    assert await fingerprinter().fingerprint(LocalFile(path=tmp_path / "b.mp4")) == former
    assert len(former) == 64


async def test_another_beginning_middle_end_or_size_is_another_file(tmp_path):
    content = noise(1_000_003)
    changed = [
        bytes([content[at] ^ 1]).join([content[:at], content[at + 1 :]])
        for at in (0, len(content) // 2, len(content) - 1)
    ]
    variants = [content, *changed, content + b"\0", content[:-1]]
    found = [
        await fingerprinter().fingerprint(write(tmp_path / f"{index}.mkv", variant))
        for index, variant in enumerate(variants)
    ]
    assert len(set(found)) == len(variants)


async def test_of_a_small_file_every_byte_counts(tmp_path):
    content = noise(3 * PIECE_BYTES)
    found = {
        await fingerprinter().fingerprint(
            write(tmp_path / "x", content[:at] + b"\xff\x00" + content[at + 2 :])
        )
        for at in range(1000, len(content) - 2, 20_000)
    }
    assert len(found) == len(range(1000, len(content) - 2, 20_000))


def test_a_large_file_is_read_in_three_pieces():
    assert spans(10) == [(0, 10)]
    assert spans(3 * PIECE_BYTES) == [(0, 3 * PIECE_BYTES)]
    (_, first), (start, end), (last, size) = spans(10_000_000)
    assert (first, end - start, size - last, size) == (PIECE_BYTES,) * 3 + (10_000_000,)
    assert start + end == pytest.approx(10_000_000, abs=1)


async def test_an_empty_file_is_like_no_other(tmp_path):
    assert await fingerprinter().fingerprint(write(tmp_path / "empty.mkv", b"")) == ""


async def test_what_is_gone_or_no_file_says_so(tmp_path):
    with pytest.raises(NotFoundError, match=r"gone\.mkv is no longer there"):
        await fingerprinter().fingerprint(LocalFile(path=tmp_path / "gone.mkv"))
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(PermanentError, match="is not a regular file"):
            await fingerprinter().fingerprint(LocalFile(path=path))


# Streams ----------------------------------------------------------------------------------------


ODD = {
    "busy-for-ages": (503, {"Retry-After": "9" * 400}),
    "busy-and-odd": (503, {"Retry-After": "\u00b2"}),
    "nowhere": (302, {}),
    "nonsense": (300, {"Location": "http://[x"}),
    "login": (302, {"Location": "http://me:secret@b.test/"}),
    "huge": (206, {"Content-Range": f"bytes 0-196607/{10**30}"}),
    "endless-number": (206, {"Content-Range": f"bytes 0-196607/{'9' * 5000}"}),
}
"""Status and headers, by the manner's name."""


@dataclass
class Library:
    """A server of one file, whose manner of serving it depends on the address."""

    path: Path
    url: str = ""
    ranges: list[str] = field(default_factory=list)
    strangers: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != KEY["Authorization"]:
            return web.Response(status=401)
        self.ranges.append(request.headers.get("Range", ""))
        if odd := ODD.get(request.match_info["manner"]):
            return web.Response(status=odd[0], headers=odd[1], body=bytes(3 * PIECE_BYTES))
        headers = {"Content-Range": "bytes 7-9/1000003"}
        body = b"abc"
        match request.match_info["manner"]:
            case "well":
                return web.FileResponse(self.path)
            case "whole":
                return web.Response(body=self.path.read_bytes())
            case "elsewhere":
                raise web.HTTPFound("http://127.0.0.1:1/stranger")
            case "busy":
                raise web.HTTPServiceUnavailable(headers={"Retry-After": "7"})
            case "gone":
                raise web.HTTPNotFound
            case "endless":
                headers = {"Content-Range": "bytes 0-196607/1000003"}
                body = bytes(5_000_000)
        return web.Response(status=206, headers=headers, body=body)

    def stream(self, manner: str, headers=None) -> RemoteStream:
        return RemoteStream(url=f"{self.url}/{manner}?mediaSourceId=1", headers=headers or KEY)


@pytest.fixture
async def library(tmp_path) -> AsyncIterator[Library]:
    found = Library(tmp_path / "film.mkv")
    app = web.Application()
    app.router.add_get("/{manner}", found.answer)
    async with TestServer(app) as server:
        found.url = f"http://127.0.0.1:{server.port}"
        yield found


@pytest.mark.parametrize("size", SIZES)
async def test_a_stream_is_the_same_as_its_file(library, size):
    local = await fingerprinter().fingerprint(write(library.path, noise(size)))
    assert await fingerprinter().fingerprint(library.stream("well")) == local
    assert len(library.ranges) == (1 if size <= 3 * PIECE_BYTES else 3)


@pytest.mark.parametrize("manner", ["whole", "lying"])
async def test_without_pieces_there_is_no_fingerprint(library, manner):
    write(library.path, noise(1_000_003))
    assert await fingerprinter().fingerprint(library.stream(manner)) == ""


async def test_an_empty_stream_is_like_no_other(library):
    write(library.path, b"")
    assert await fingerprinter().fingerprint(library.stream("well")) == ""


async def test_no_more_is_read_than_was_asked_for(library):
    with pytest.raises(TransientError, match="bytes came instead of 196608"):
        await fingerprinter().fingerprint(library.stream("endless"))


async def fail(stream: RemoteStream) -> MoodreelError:
    with pytest.raises(MoodreelError) as caught:
        await fingerprinter().fingerprint(stream)
    assert "secret" not in str(caught.value)
    assert "mediaSourceId" not in str(caught.value)
    return caught.value


async def test_errors_are_those_of_the_reader(library):
    assert type(await fail(library.stream("gone"))) is NotFoundError
    refused = await fail(library.stream("well", {"Authorization": "wrong-secret"}))
    assert type(refused) is PermanentError
    busy = await fail(library.stream("busy"))
    assert isinstance(busy, TransientError)
    assert busy.retry_after_s == 7
    away = await fail(RemoteStream(url="http://127.0.0.1:1/film", headers=KEY))
    assert isinstance(away, TransientError)


async def test_a_redirect_is_not_followed_for_the_key_would_go_along(library):
    error = await fail(library.stream("elsewhere"))
    assert type(error) is PermanentError
    assert "redirects to 127.0.0.1:1" in str(error)


@pytest.mark.parametrize("manner", ["nowhere", "nonsense", "login"])
async def test_a_redirect_to_anything_is_refused_and_shows_no_credentials(library, manner):
    assert type(await fail(library.stream(manner))) is PermanentError


@pytest.mark.parametrize(("manner", "longest_s"), [("busy-for-ages", 3600), ("busy-and-odd", 0)])
async def test_whatever_a_busy_server_asks_for_the_wait_is_bounded(library, manner, longest_s):
    busy = await fail(library.stream(manner))
    assert isinstance(busy, TransientError)
    assert (busy.retry_after_s or 0) == longest_s


@pytest.mark.parametrize("manner", ["huge", "endless-number"])
async def test_a_size_that_no_file_has_is_no_size(library, manner):
    assert await fingerprinter().fingerprint(library.stream(manner)) == ""


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/film", "film.mkv"])
async def test_nothing_but_http_is_asked(url):
    assert isinstance(await fail(RemoteStream(url=url, headers=KEY)), PermanentError)


async def test_no_header_smuggles_in_another(library):
    write(library.path, noise(10))
    smuggled = {**KEY, "X-Key": "a\r\nHost: secret"}
    assert isinstance(await fail(library.stream("well", smuggled)), PermanentError)
    assert library.ranges == []
