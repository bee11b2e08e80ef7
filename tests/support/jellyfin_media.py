"""What the stand-in Jellyfin hands out of an item besides its description."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from tests.support.jellyfin_items import StandInItem

Version = tuple[int, ...]
Serve = Callable[[StandInItem, web.Request, Version], Awaitable[web.StreamResponse]]
LYRICS_AND_TRICKPLAY_SINCE = (10, 9)


async def serve_picture(item: StandInItem, _: web.Request, __: Version) -> web.Response:
    if item.poster is None:
        raise web.HTTPNotFound
    return web.Response(body=item.poster, content_type="image/jpeg")


async def serve_stream(item: StandInItem, request: web.Request, _: Version) -> web.FileResponse:
    if item.file is None:
        raise web.HTTPNotFound
    source_id = request.query.get("mediaSourceId")
    if request.query.get("static") != "true" or source_id != item.item_id:
        raise web.HTTPBadRequest(text="this would transcode")
    return web.FileResponse(item.file)


async def serve_lyrics(item: StandInItem, _: web.Request, version: Version) -> web.Response:
    if item.lyrics is None or version < LYRICS_AND_TRICKPLAY_SINCE:
        raise web.HTTPNotFound
    return web.json_response({"Metadata": {}, "Lyrics": item.lyrics})


async def serve_subtitles(item: StandInItem, request: web.Request, _: Version) -> web.Response:
    track = item.subtitle(int(request.match_info["index"]))
    if track is None or request.match_info["source"] != item.item_id:
        raise web.HTTPNotFound
    if not track.is_text or track.is_broken:
        raise web.HTTPInternalServerError(text="this cannot be made into text")
    return web.Response(text=track.text, content_type="text/vtt")


async def serve_trickplay(
    item: StandInItem, request: web.Request, version: Version
) -> web.Response:
    board = item.trickplay
    if board is None or version < LYRICS_AND_TRICKPLAY_SINCE:
        raise web.HTTPNotFound
    is_known = int(request.match_info["width"]) == board.width
    if not is_known or request.query.get("mediaSourceId") != item.item_id:
        raise web.HTTPNotFound
    return web.Response(
        body=board.sheet(int(request.match_info["index"])), content_type="image/jpeg"
    )


ITEM_ROUTES: dict[str, Serve] = {
    "/Items/{id}/Images/Primary": serve_picture,
    "/Videos/{id}/stream": serve_stream,
    "/Audio/{id}/stream": serve_stream,
    "/Audio/{id}/Lyrics": serve_lyrics,
    "/Videos/{id}/{source}/Subtitles/{index}/Stream.vtt": serve_subtitles,
    "/Videos/{id}/Trickplay/{width}/{index}.jpg": serve_trickplay,
}
