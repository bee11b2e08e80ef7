"""What servers hand out besides JSON: pictures and texts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from adapters.media_servers.artwork import MAX_POSTER_BYTES, accept_picture
from adapters.media_servers.http import JsonClient
from service.domain import TextTrack
from service.errors import PermanentError
from service.subtitles import MAX_BYTES, language_of, parse_text


async def fetch_picture(http: JsonClient, path: str, query: Mapping[str, str]) -> bytes:
    """Fetch a picture from the server that the client is of; empty without a fit one.

    Raises:
        TransientError: The server did not answer.
        ConfigurationError: The key is refused.
    """
    try:
        answer = await http.read(path, query, max_bytes=MAX_POSTER_BYTES)
    except PermanentError:  # there is none, or it is far too large
        return b""
    return accept_picture(answer.body)


async def fetch_track(http: JsonClient, path: str, language: str = "") -> Sequence[TextTrack]:
    """Fetch subtitles or lyrics, of the kind that the path ends with; SubRip where it says none.

    Empty where there is no path, or nothing to be read. Raises as ``fetch_picture`` does.
    """
    if not path:
        return ()
    try:
        answer = await http.read(path, max_bytes=MAX_BYTES)
    except PermanentError:  # it cannot be extracted: as good as none
        return ()
    # Of the largest text it takes 2 s, in which nothing else would be done.
    extension = ".lrc" if path.endswith(".lrc") else ".srt"
    lines = await asyncio.to_thread(parse_text, answer.body, extension, language_of(language))
    return [TextTrack(lines=tuple(lines), language=language)] if lines else ()
