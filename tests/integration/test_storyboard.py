"""The coarse pass from pictures that a media server keeps, over HTTP from a stand-in."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image

from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.detection.sampling import Sampling, plan_samples
from service.detection.signals import PictureMeter
from service.domain import LocalFile, RemoteStream, SamplePlan, SampleSpan, Storyboard
from service.ports import OpenMedia
from tests.support.media import BLUE, GREEN, RED, SceneSpec, write_film

KEY = {"Authorization": 'MediaBrowser Token="a-secret-key"'}
COLOURS = (RED, GREEN, BLUE)
PICTURE = (64, 36)
INTERVAL_S = 2.0
COLUMNS, ROWS = 2, 2
DURATION_S = 18.0
COUNT = 9
"""Two full sheets of four, and one picture in the third."""


@dataclass
class Library:
    """A server with a film and sheets, that may serve them broken."""

    film: Path
    sheets: list[bytes] = field(default_factory=list)
    url: str = ""
    keys: list[str] = field(default_factory=list)
    strangers: int = 0

    async def stream(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(self.film)

    async def sheet(self, request: web.Request) -> web.StreamResponse:
        self.keys.append(request.headers.get("Authorization", ""))
        body = self.sheets[int(request.match_info["index"])]
        if body == b"redirect":
            raise web.HTTPFound("/stranger")
        if body == b"gone":
            return web.Response(status=404)
        return web.Response(body=body, content_type="image/jpeg")

    async def stranger(self, request: web.Request) -> web.Response:
        self.strangers += 1
        return web.Response()

    @property
    def location(self) -> RemoteStream:
        return RemoteStream(url=f"{self.url}/stream", headers=KEY)

    @property
    def storyboard(self) -> Storyboard:
        return Storyboard(
            interval_s=INTERVAL_S,
            count=COUNT,
            columns=COLUMNS,
            rows=ROWS,
            sheets=tuple(
                RemoteStream(url=f"{self.url}/sheet/{index}", headers=KEY)
                for index in range(len(self.sheets))
            ),
        )


def colour_at(time_s: float) -> tuple[int, int, int]:
    return COLOURS[int(time_s // 6) % 3]


def draw_sheet(first: int, count: int, *, rows: int = ROWS) -> bytes:
    """Pictures of one colour each, of which the left half is darker: they must not be turned."""
    width, height = PICTURE
    sheet = Image.new("RGB", (COLUMNS * width, rows * height))
    for index in range(count):
        red, green, blue = colour_at((first + index) * INTERVAL_S)
        left, top = index % COLUMNS * width, index // COLUMNS * height
        sheet.paste((red, green, blue), (left, top, left + width, top + height))
        sheet.paste((red // 2, green // 2, blue // 2), (left, top, left + width // 2, top + height))
    body = io.BytesIO()
    sheet.save(body, "JPEG", quality=95)
    return body.getvalue()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scenes = [SceneSpec(duration_s=6, colour=colour, sound="tone") for colour in COLOURS]
    return write_film(
        tmp_path_factory.mktemp("films") / "film.mp4",
        scenes,
        container_options={"movflags": "+faststart"},
    )


@pytest.fixture
async def library(film: Path) -> AsyncIterator[Library]:
    found = Library(film, [draw_sheet(0, 4), draw_sheet(4, 4), draw_sheet(8, 1)])
    app = web.Application()
    app.router.add_get("/stream", found.stream)
    app.router.add_get("/sheet/{index}", found.sheet)
    app.router.add_get("/stranger", found.stranger)
    async with TestServer(app) as server:
        found.url = f"http://127.0.0.1:{server.port}"
        yield found


@asynccontextmanager
async def opened(
    library: Library, *, storyboard: Storyboard | None = None, **settings: object
) -> AsyncIterator[OpenMedia]:
    reader = ProcessReader(
        ReaderSettings.model_validate({"niceness": 0, "network_timeout_s": 5, **settings})
    )
    async with reader.open(library.location, storyboard=storyboard or library.storyboard) as medium:
        yield medium


async def test_the_servers_pictures_are_the_coarse_pass(library):
    async with opened(library) as medium:
        assert await medium.list_keyframes() == ()
        frames = [frame async for frame in medium.read_keyframes()]
        assert medium.warnings == ()
    assert [frame.time_s for frame in frames] == [k * INTERVAL_S for k in range(COUNT)]
    assert not any(frame.is_keyframe for frame in frames)
    assert all(frame.image.shape == (36, 64, 3) for frame in frames)
    for frame in frames:
        dark, light = frame.image[18, 16].astype(int), frame.image[18, 48].astype(int)
        assert np.abs(light - colour_at(frame.time_s)).max() < 12, frame.time_s
        assert dark.sum() < light.sum()
    assert set(library.keys) == {KEY["Authorization"]}


async def test_frames_and_sound_come_from_the_stream(library):
    async with opened(library) as medium:
        async for _ in medium.read_keyframes():
            break
        plan = SamplePlan(spans=(SampleSpan(start_s=7, end_s=8, rate_hz=2),))
        frames = [frame async for frame in medium.read_frames(plan)]
        windows = [w async for w in medium.read_audio(sample_rate_hz=8000, window_s=10, hop_s=10)]
    assert [frame.time_s for frame in frames] == pytest.approx([7.0, 7.5], abs=0.05)
    assert frames[0].image.shape[0] == 180
    assert len(windows) == 2


async def test_a_last_sheet_may_be_shorter_or_padded(library):
    library.sheets[2] = draw_sheet(8, 1, rows=1)
    async with opened(library) as medium:
        frames = [frame async for frame in medium.read_keyframes()]
        assert medium.warnings == ()
    assert len(frames) == COUNT
    assert frames[-1].image.shape == (36, 64, 3)


BROKEN = {
    "no JPEG": b"<html>busy</html>",
    "cut off": draw_sheet(4, 4)[:700],
    "empty": b"",
    "gone": b"gone",
    "elsewhere": b"redirect",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
async def test_from_a_broken_sheet_on_keyframes_are_read_and_somebody_is_told(library, body):
    library.sheets[1] = body
    async with opened(library) as medium:
        frames = [frame async for frame in medium.read_keyframes()]
        (warning,) = medium.warnings
    times_s = [frame.time_s for frame in frames]
    assert times_s == sorted(set(times_s))
    assert times_s[-1] == pytest.approx(12.0, abs=0.1)
    assert frames[-1].is_keyframe
    assert warning.startswith("the server's storyboard is not used: ")
    assert "secret" not in warning
    assert library.strangers == 0


async def test_a_sheet_as_large_as_a_bomb_is_refused_before_it_is_decoded(library):
    body = io.BytesIO()
    Image.new("L", (9000, 9000)).save(body, "JPEG")
    library.sheets[0] = body.getvalue()
    async with opened(library) as medium:
        frames = [frame async for frame in medium.read_keyframes()]
        assert "9000x9000" in medium.warnings[0]
    assert all(frame.is_keyframe for frame in frames)


UNFIT = {
    "short": {"count": 2},
    "rare": {"interval_s": 30.0},
    "never": {"interval_s": 0.0},
    "sheets missing": {"count": 13},
    "columns wrong": {"columns": 3},
    "no columns": {"columns": 0},
}


@pytest.mark.parametrize("change", UNFIT.values(), ids=UNFIT)
async def test_a_storyboard_that_does_not_fit_the_film_is_not_used(library, change):
    # 18 s are too short for the tolerance of 15 s to matter where nothing else is wrong.
    wrong = replace(library.storyboard, **change)
    if change == UNFIT["short"]:
        wrong = replace(wrong, interval_s=0.1)
    async with opened(library, storyboard=wrong) as medium:
        frames = [frame async for frame in medium.read_keyframes()]
        assert len(medium.warnings) == 1
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 6.0, 12.0], abs=0.1)


async def test_files_and_refusers_read_keyframes(library):
    async with opened(library, storyboards="never") as medium:
        assert len(await medium.list_keyframes()) == 3
    reader = ProcessReader(ReaderSettings(niceness=0))
    location = LocalFile(path=library.film)
    async with reader.open(location, storyboard=library.storyboard) as medium:
        assert len(await medium.list_keyframes()) == 3
    assert library.keys == []
    reader = ProcessReader(ReaderSettings(niceness=0, storyboards="always"))
    async with reader.open(location, storyboard=library.storyboard) as medium:
        assert len([frame async for frame in medium.read_keyframes()]) == COUNT


async def test_the_fine_pass_looks_into_the_gaps_between_its_pictures(library):
    """As of ten minutes with a picture each ten seconds, of which one half stands still."""
    meter = PictureMeter(encode_gap_s=2.0)
    async with opened(library) as medium:
        frames = [frame async for frame in medium.read_keyframes()]
    red, green = frames[0], frames[4]
    for index in range(60):
        seen = green if index >= 30 and index % 2 else red
        meter.add(replace(seen, time_s=10.0 * index), is_candidate=True)
    plan = plan_samples(meter.signals(), 600.0, Sampling())
    times_s = list(plan.times_s())
    assert times_s == sorted(set(times_s))
    assert len(times_s) <= 300
    early, late = [t for t in times_s if t < 300], [t for t in times_s if t >= 300]
    assert len(late) > len(early) >= 30
