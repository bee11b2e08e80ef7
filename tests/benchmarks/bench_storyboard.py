"""What a server's storyboard saves of watching a streamed film, and what it costs."""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image

from adapters.media.reader import ProcessMedia, ProcessReader, StoryboardMedia
from adapters.media.settings import ReaderSettings
from service.detection.sampling import Sampling
from service.domain import LocalFile, RemoteStream, SamplePlan, SampleSpan, Storyboard
from service.senses.eyes import Eyes
from tests.support.reels import Clip, repeat_film, write_reel

SHARED = Path(__file__).resolve().parents[3] / "shared"
CLIPS = ("bigbuckbunny.mp4", "bikes.mp4", "car-detection.mp4")
UNIQUE_S, COPIES = 30.0, 20
SIZE = (1280, 720)
INTERVAL_S, COLUMNS, ROWS = 10.0, 10, 10
Row = dict[str, Any]


@dataclass
class Library:
    """A server of one film; counts what it is asked for."""

    film: Path
    sheets: list[bytes] = field(default_factory=list)
    url: str = ""
    count: int = 0
    requests: int = 0

    async def stream(self, _: web.Request) -> web.StreamResponse:
        self.requests += 1
        return web.FileResponse(self.film)

    async def sheet(self, request: web.Request) -> web.Response:
        self.requests += 1
        return web.Response(body=self.sheets[int(request.match_info["index"])])

    @property
    def storyboard(self) -> Storyboard:
        sheets = [RemoteStream(url=f"{self.url}/sheet/{k}") for k in range(len(self.sheets))]
        return Storyboard(
            interval_s=INTERVAL_S,
            count=self.count,
            columns=COLUMNS,
            rows=ROWS,
            sheets=tuple(sheets),
        )


def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="moodreel-bench-") as folder:
        root = Path(folder)
        paths = [SHARED / "media/video" / name for name in CLIPS]
        clips = [Clip(path=path, shows={}) for path in paths if path.is_file()]
        part = write_reel(root / "part.mp4", clips, duration_s=UNIQUE_S, size=SIZE)
        film = repeat_film(part.path, root / "film.mp4", COPIES)
        return asyncio.run(_compare(film))


async def _compare(film: Path) -> list[Row]:
    library = Library(film)
    await _draw(library)
    app = web.Application()
    app.router.add_get("/film", library.stream)
    app.router.add_get("/sheet/{index}", library.sheet)
    async with TestServer(app) as server:
        library.url = f"http://127.0.0.1:{server.port}"
        without = await _watch(library, None)
        having = await _watch(library, library.storyboard)
    minutes = f"{UNIQUE_S * COPIES / 60:.0f} min of 720p streamed"
    return [
        {
            "name": f"{minutes} with a storyboard: {name}",
            "value": round(having[name], 3),
            "baseline": f"keyframes: {without[name]:.3g}",
            "ratio": round(having[name] / without[name], 3),
        }
        for name in having
    ]


async def _draw(library: Library) -> None:
    """Sheets as Jellyfin makes them: 320 pixels wide, a picture each ten seconds."""
    duration_s = UNIQUE_S * COPIES
    plan = SamplePlan(spans=(SampleSpan(start_s=0.0, end_s=duration_s, rate_hz=1 / INTERVAL_S),))
    async with ProcessReader(ReaderSettings(niceness=0, short_side_px=180)).open(
        LocalFile(path=library.film)
    ) as media:
        pictures = [Image.fromarray(frame.image) async for frame in media.read_frames(plan)]
    library.count = len(pictures)
    width, height = pictures[0].size
    for first in range(0, len(pictures), COLUMNS * ROWS):
        sheet = Image.new("RGB", (COLUMNS * width, ROWS * height))
        for index, picture in enumerate(pictures[first : first + COLUMNS * ROWS]):
            sheet.paste(picture, (index % COLUMNS * width, index // COLUMNS * height))
        body = io.BytesIO()
        sheet.save(body, "JPEG", quality=90)
        library.sheets.append(body.getvalue())


async def _watch(library: Library, storyboard: Storyboard | None) -> dict[str, float]:
    library.requests = 0
    location = RemoteStream(url=f"{library.url}/film")
    with ThreadPoolExecutor(2) as pool:
        async with ProcessReader(ReaderSettings(niceness=0)).open(
            location, storyboard=storyboard
        ) as media:
            inner = media.medium if isinstance(media, StoryboardMedia) else media
            assert isinstance(inner, ProcessMedia)
            decoder = psutil.Process(inner.pid)
            begun = time.perf_counter()
            coarse = [frame.time_s async for frame in media.read_keyframes()]
            coarse_s = time.perf_counter() - begun
            before_s = sum(decoder.cpu_times()[:2])
            begun = time.perf_counter()
            seen = await Eyes(pool).watch(media, None, Sampling())
            assert not media.warnings, media.warnings
            return {
                "coarse pass alone, s": coarse_s,
                "coarse pictures": float(len(coarse)),
                "watching, s": time.perf_counter() - begun,
                "decoder, s CPU": sum(decoder.cpu_times()[:2]) - before_s,
                "pictures in all": float(len(seen.signals)),
                "requests": float(library.requests),
            }
