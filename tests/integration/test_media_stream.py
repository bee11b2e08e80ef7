"""Reading from a media server over HTTP: the key, ranges, redirects and broken connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.domain import RemoteStream, SamplePlan, SampleSpan
from service.errors import (
    MoodreelError,
    NotFoundError,
    PermanentError,
    TransientError,
    UnreadableMediaError,
)
from tests.support.media import BLUE, RED, SceneSpec, write_film

KEY = {"Authorization": 'MediaBrowser Token="a-secret-key"'}


@dataclass
class Library:
    """A server that keeps what it was asked."""

    film: Path
    ranges: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    url: str = ""
    health: str = "well"

    async def stream(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != KEY["Authorization"]:
            return web.Response(status=401)
        self.ranges.append(request.headers.get("Range", ""))
        return web.FileResponse(self.film)

    async def redirect(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/stranger")

    async def stranger(self, request: web.Request) -> web.StreamResponse:
        self.strangers.append(request.headers.get("Authorization", ""))
        return web.FileResponse(self.film)

    async def playlist(self, request: web.Request) -> web.Response:
        return web.Response(
            text=f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{self.url}/stranger.ts\n#EXT-X-ENDLIST\n",
            content_type="application/vnd.apple.mpegurl",
        )

    async def broken(self, request: web.Request) -> web.StreamResponse:
        return await self._begin(request, share=0.5)

    async def _begin(self, request: web.Request, *, share: float) -> web.StreamResponse:
        """Promise the whole film, send a part of it, and hang up."""
        data = self.film.read_bytes()
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: int(len(data) * share)])
        if request.transport is not None:
            request.transport.abort()
        return response

    async def dying(self, request: web.Request) -> web.StreamResponse:
        """Work, until told to break off after most of the film and to answer no more."""
        match self.health:
            case "well":
                return web.FileResponse(self.film)
            case "dying":
                self.health = "dead"
                return await self._begin(request, share=0.7)
        return web.Response(status=503)

    async def busy(self, request: web.Request) -> web.Response:
        return web.Response(status=503)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scenes = [
        SceneSpec(duration_s=6, picture="noise", colour=RED, sound="tone"),
        SceneSpec(duration_s=6, colour=BLUE, sound="noise"),
    ]
    return write_film(
        tmp_path_factory.mktemp("films") / "film.mp4",
        scenes,
        container_options={"movflags": "+faststart"},
    )


@pytest.fixture
async def library(film: Path) -> AsyncIterator[Library]:
    found = Library(film)
    app = web.Application()
    for name in ("stream", "redirect", "stranger", "playlist", "broken", "busy", "dying"):
        app.router.add_get(f"/{name}", getattr(found, name))
    app.router.add_get("/stranger.ts", found.stranger)  # FFmpeg takes no other for a piece of HLS
    async with TestServer(app) as server:
        found.url = f"http://127.0.0.1:{server.port}"
        yield found


def _reader() -> ProcessReader:
    return ProcessReader(ReaderSettings(niceness=0, network_timeout_s=5))


async def _fail(url: str, headers: dict[str, str] | None = None) -> MoodreelError:
    stream = RemoteStream(url=url, headers=KEY if headers is None else headers)
    with pytest.raises(MoodreelError) as caught:
        async with _reader().open(stream) as medium:
            await anext(medium.read_keyframes())
    return caught.value


async def test_a_stream_is_read_with_its_key_in_a_header(library):
    stream = RemoteStream(url=f"{library.url}/stream", headers=KEY)
    async with _reader().open(stream) as medium:
        assert medium.info.duration_s == pytest.approx(12, abs=0.1)
        assert medium.info.size_bytes == library.film.stat().st_size
        keyframes = [frame.time_s async for frame in medium.read_keyframes()]
        plan = SamplePlan(spans=(SampleSpan(start_s=8, end_s=9, rate_hz=2),))
        frames = [frame.time_s async for frame in medium.read_frames(plan)]
        windows = [w async for w in medium.read_audio(sample_rate_hz=8000, window_s=5, hop_s=5)]
    assert keyframes == pytest.approx([0.0, 6.0], abs=0.01)
    assert frames == pytest.approx([8.0, 8.5], abs=0.05)
    assert len(windows) == 3
    assert any(asked.startswith("bytes=") for asked in library.ranges)


async def test_a_wrong_key_is_a_permanent_error_without_the_key(library):
    error = await _fail(f"{library.url}/stream", {"Authorization": "wrong-secret"})
    assert type(error) is PermanentError
    assert "does not let us read it" in str(error)
    assert "wrong-secret" not in str(error)


async def test_a_redirect_is_not_followed_for_it_would_take_the_key_along(library):
    error = await _fail(f"{library.url}/redirect")
    assert isinstance(error, PermanentError)
    assert "redirects" in str(error)
    assert library.strangers == []


async def test_a_playlist_from_a_server_is_not_followed(library):
    error = await _fail(f"{library.url}/playlist")
    assert isinstance(error, UnreadableMediaError)
    assert library.strangers == []


async def test_an_item_that_the_server_does_not_have_is_not_found(library):
    assert isinstance(await _fail(f"{library.url}/nothing"), NotFoundError)


async def test_a_busy_server_is_asked_again_later(library):
    error = await _fail(f"{library.url}/busy")
    assert isinstance(error, TransientError)
    assert error.max_attempts is None


async def test_a_server_that_is_down_is_asked_again_later():
    error = await _fail("http://127.0.0.1:9/stream")
    assert isinstance(error, TransientError)
    assert "Connection refused" in str(error)


async def test_a_connection_that_breaks_off_is_worth_another_try(library, tmp_path):
    # The index is at its end: without that half it looks like a film without an index.
    library.film = write_film(tmp_path / "film.mp4", [SceneSpec(duration_s=2, picture="noise")])
    assert isinstance(await _fail(f"{library.url}/broken"), TransientError)


async def test_a_connection_that_breaks_off_in_the_middle_is_worth_another_try(library):
    plan = SamplePlan(spans=(SampleSpan(start_s=0, end_s=12, rate_hz=10),))
    async with _reader().open(RemoteStream(url=f"{library.url}/dying", headers=KEY)) as medium:
        library.health = "dying"
        with pytest.raises(TransientError, match="broke off"):
            [frame async for frame in medium.read_frames(plan)]
        library.health = "dying"
        with pytest.raises(TransientError, match="broke off"):
            [w async for w in medium.read_audio(sample_rate_hz=8000, window_s=1, hop_s=1)]
    assert library.health == "dead"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "concat:/etc/passwd", "tcp://127.0.0.1:9"])
async def test_a_stream_that_is_no_http_address_is_refused(url):
    error = await _fail(url)
    assert isinstance(error, PermanentError)
