"""What is said in a film, and sung in a song, as far as Jellyfin has it as text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeGuard

from adapters.media_servers.jellyfin_api import JellyfinApi
from adapters.media_servers.jellyfin_parsers import TICKS_PER_SECOND, parse_id
from adapters.media_servers.values import text
from service.domain import ItemRef, Json, MediaItem, TextTrack, TranscriptLine
from service.errors import NotFoundError, PermanentError
from service.subtitles import (
    MAX_BYTES,
    MOST_TRACKS,
    lines_until_next,
    make_lines,
    parse_text,
)

TEXT_FIELDS = "Path,MediaSources"
TEXT_CODECS = frozenset(
    {"srt", "subrip", "ass", "ssa", "vtt", "webvtt", "mov_text", "text", "ttml"}
)
"""Where Jellyfin does not say ``IsTextSubtitleStream``. Others are pictures (PGS, VobSub)."""
EXTRACTION_TIMEOUT_S = 180.0
"""Jellyfin reads the whole file to extract an embedded track; 40 GB at 250 MB/s."""


async def read_subtitles(
    api: JellyfinApi, ref: ItemRef, source: Json, *, only_beside: bool = False
) -> Sequence[TextTrack]:
    """The best text tracks of a media source: one of each language that lies beside the file, and
    one within it where that is better.
    """
    streams = choose_streams(
        source.get("MediaStreams"), api.settings.subtitle_language, only_beside=only_beside
    )
    if not streams:
        return ()
    try:
        place = f"/Videos/{parse_id(ref.item_id)}/{parse_id(source.get('Id'))}/Subtitles"
    except ValueError as error:
        raise PermanentError(f"{ref}: media source: {error}") from error
    return [
        TextTrack(lines=tuple(lines), language=text(stream.get("Language")))
        for stream in streams
        if (lines := await _read_stream(api, f"{place}/{stream['Index']}/Stream.vtt"))
    ]


async def _read_stream(api: JellyfinApi, address: str) -> Sequence[TranscriptLine]:
    try:
        answer = await api.http.read(address, max_bytes=MAX_BYTES, timeout_s=EXTRACTION_TIMEOUT_S)
    except PermanentError:  # gone since, or no text after all
        return ()
    return await asyncio.to_thread(parse_text, answer.body, ".vtt")


def choose_streams(streams: Any, language: str, *, only_beside: bool = False) -> Sequence[Json]:  # noqa: ANN401  JSON
    """The best text track, unless it must not be within the file; and one of each other language
    that lies beside it.
    """
    usable = [one for one in streams if isinstance(one, dict)] if isinstance(streams, list) else []
    beside = [one for one in usable if not _is_text(one) or one.get("IsExternal") is True]
    chosen: list[Json] = []
    left = beside if only_beside else usable
    while len(chosen) < MOST_TRACKS and (best := choose_stream(left, language)) is not None:
        chosen.append(best)
        taken = {one.get("Language") for one in chosen}
        left = [one for one in beside if not (_is_text(one) and one.get("Language") in taken)]
    return chosen


def choose_stream(streams: Any, language: str) -> Json | None:  # noqa: ANN401  JSON
    """The text track that is most like what is said.

    Not a forced one, which has but a few lines, unless there is no other; in the wanted language,
    else in that of the sound; what lies beside the file rather than in it, for it costs nothing to
    read; then the default; without descriptions of noises.
    """
    usable = [one for one in streams if isinstance(one, dict)] if isinstance(streams, list) else []
    sounds = [one for one in usable if one.get("Type") == "Audio"]
    sound = next((one for one in sounds if one.get("IsDefault") is True), next(iter(sounds), {}))
    wanted = language or sound.get("Language")

    def rank(stream: Json) -> tuple[bool, ...]:
        return (
            stream.get("IsForced") is True,
            bool(wanted) and stream.get("Language") != wanted,
            stream.get("IsExternal") is not True,
            stream.get("IsDefault") is not True,
            stream.get("IsHearingImpaired") is True,
        )

    return min(filter(_is_text, usable), key=rank, default=None)


async def read_lyrics(api: JellyfinApi, item: MediaItem) -> Sequence[TextTrack]:
    """The lines of a song (10.9 and newer); those without times count for all of it."""
    try:
        answer = await api.http.get(f"/Audio/{item.ref.item_id}/Lyrics")
    except NotFoundError:
        return ()
    lyrics = answer.get("Lyrics")
    lines = [line for line in lyrics if isinstance(line, dict)] if isinstance(lyrics, list) else []
    texts = [
        (line.get("Start"), line["Text"]) for line in lines if isinstance(line.get("Text"), str)
    ]
    timed = [(start / TICKS_PER_SECOND, words) for start, words in texts if _is_time(start)]
    if timed:
        sung = lines_until_next(timed)
    else:
        sung = make_lines((0.0, item.duration_s or 0.0, words) for _, words in texts)
    return [TextTrack(lines=tuple(sung))] if sung else ()


def _is_text(stream: Json) -> bool:
    index, is_text = stream.get("Index"), stream.get("IsTextSubtitleStream")
    codec = str(stream.get("Codec", "")).lower()
    return (
        stream.get("Type") == "Subtitle"
        and isinstance(index, int)
        and (is_text if isinstance(is_text, bool) else codec in TEXT_CODECS)
    )


def _is_time(value: Any) -> TypeGuard[int]:  # noqa: ANN401  JSON
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
