"""What servers hand out besides JSON, however large it is."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.media_servers.fetching import fetch_track
from adapters.media_servers.http import JsonClient
from service.subtitles import MAX_BYTES, parse_text

LYRICS = (b"[0:01][0:02]la\n" * 300_000)[:MAX_BYTES]


async def longest_pause() -> float:
    """Seconds between two turns of the loop, until it is cancelled."""
    longest, last = 0.0, time.monotonic()
    try:
        while True:
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
    except asyncio.CancelledError:
        return max(longest, time.monotonic() - last)


async def answer(_request: web.Request) -> web.Response:
    return web.Response(body=LYRICS)


async def test_all_else_goes_on_while_a_large_text_is_read():
    app = web.Application()
    app.router.add_get("/a.lrc", answer)
    begun = time.monotonic()
    lines = parse_text(LYRICS, ".lrc")
    alone_s = time.monotonic() - begun
    async with TestServer(app) as server:
        client = JsonClient(
            subject="Emby",
            base_url=f"http://127.0.0.1:{server.port}",
            headers={},
            timeout_s=10,
            url_setting="EMBY_URL",
            key_setting="EMBY_API_KEY",
        )
        watching = asyncio.create_task(longest_pause())
        await asyncio.sleep(0)
        (track,) = await fetch_track(client, "/a.lrc")
        watching.cancel()
        assert await watching < alone_s / 2
        await client.aclose()
        assert track.lines == lines
