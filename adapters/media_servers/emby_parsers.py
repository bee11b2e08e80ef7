"""What Emby says of items, in our words. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from adapters.media_servers.paths import is_below
from adapters.media_servers.values import child, integer, moment, names, objects, text, texts
from service.domain import ItemRef, Json, MediaItem, MediaKind
from service.errors import PermanentError, TransientError

TICKS_PER_SECOND = 10_000_000
"""Emby counts time in .NET ticks of 100 ns."""
SCAN_RETRY_S = 60.0
"""Emby reads what is in a file within about this time of noticing it."""

KINDS: Mapping[str, MediaKind] = MappingProxyType(
    {
        "Movie": MediaKind.MOVIE,
        "Episode": MediaKind.EPISODE,
        "Video": MediaKind.VIDEO,
        "MusicVideo": MediaKind.MUSIC_VIDEO,
        "Audio": MediaKind.SONG,
    }
)
"""Item types that have media of their own."""
DISC_FOLDERS = ("dvd", "bluray")
"""Containers of ``VIDEO_TS`` and ``BDMV`` folders."""
TEXT_CODECS = frozenset({"srt", "subrip", "vtt", "webvtt", "ass", "ssa", "mov_text", "text", "lrc"})
"""Subtitles that Emby can hand out as SubRip; pictures (PGS, VobSub) it cannot."""

_ID = re.compile(r"[0-9]{1,18}")
_SOURCE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def parse_id(value: object) -> str:
    """Check an item's id: a whole number, which Emby writes as a string.

    Raises:
        ValueError: It is no id.
    """
    found = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(found, str) or _ID.fullmatch(found) is None:
        raise ValueError("not an item id, which is a whole number")
    return found


def parse_source_id(source: Json) -> str:
    """The id of an item's version: ``mediasource_7`` since 4.9, 32 hex digits before.

    Raises:
        ValueError: It is none, and gets into no address.
    """
    found = source.get("Id")
    if not isinstance(found, str) or _SOURCE_ID.fullmatch(found) is None:
        raise ValueError("not the id of a media source")
    return found


def parse_item(dto: Json, server: str) -> MediaItem:
    """Read an item (``BaseItemDto``) without its location.

    Raises:
        PermanentError: It has no media of its own.
        TransientError: The answer has no id: not an item at all.
    """
    item_type = text(dto.get("Type"))
    try:
        ref = ItemRef(server=server, item_id=parse_id(dto.get("Id")))
    except ValueError as error:
        raise TransientError(f"Emby's answer names an item without an id: {error}") from error
    if item_type not in KINDS:
        raise PermanentError(f"{ref} is a {item_type or 'nameless thing'}: no media of its own")
    source = primary_source(dto)
    ticks = integer(dto.get("RunTimeTicks")) or integer((source or {}).get("RunTimeTicks"))
    is_episode = item_type == "Episode"
    return MediaItem(
        ref=ref,
        kind=KINDS[item_type],
        title=text(dto.get("Name")),
        revision=_revision(source) if source else "",
        overview=text(dto.get("Overview")),
        year=integer(dto.get("ProductionYear")),
        genres=texts(dto.get("Genres")),
        keywords=tag_names(dto),
        series=text(dto.get("SeriesName")),
        season_number=integer(dto.get("ParentIndexNumber")) if is_episode else None,
        episode_number=integer(dto.get("IndexNumber")) if is_episode else None,
        artist=", ".join(texts(dto.get("Artists"))) or text(dto.get("AlbumArtist")),
        album=text(dto.get("Album")),
        duration_s=ticks / TICKS_PER_SECOND if ticks else None,
        added_at=moment(dto.get("DateCreated")),
        series_id=_parent_id(dto),
    )


def _parent_id(dto: Json) -> str:
    """Of the series or the album."""
    try:
        return parse_id(dto.get("SeriesId") or dto.get("AlbumId"))
    except ValueError:
        return ""


def tag_names(dto: Json) -> tuple[str, ...]:
    """The tags: objects since 4.0, plain texts before."""
    return names(dto.get("TagItems"), "Name") or texts(dto.get("Tags"))


def retag(dto: Json, tags: Sequence[str]) -> Json:
    """The same item with other tags, as Emby takes them: in both of its forms."""
    known = {text(tag.get("Name")): tag for tag in objects(dto.get("TagItems"))}
    return {
        **dto,
        "TagItems": [known.get(name, {"Name": name}) for name in tags],
        "Tags": list(tags),
    }


def parse_libraries(answer: Json) -> Mapping[str, str]:
    """Folders, as Emby sees them, and the name of the library that each belongs to."""
    return {
        folder: text(library.get("Name"))
        for library in objects(answer.get("Items"))
        for folder in texts(library.get("Locations"))
    }


def library_of(path: str, libraries: Mapping[str, str]) -> str:
    """The library whose folder holds a file most closely; empty when none does."""
    holding = [folder for folder in libraries if is_below(path, folder)]
    return libraries[max(holding, key=len)] if holding else ""


def primary_source(dto: Json) -> Json | None:
    """The item's own version of the film, which Emby lists first. None before the scan."""
    return next(objects(dto.get("MediaSources")), None)


def require_file(dto: Json, ref: ItemRef) -> Json:
    """The media source, if it is a file of the server.

    Raises:
        TransientError: The item has none yet: it is still being scanned.
        PermanentError: It points elsewhere (``.strm``, a remote address), is a disc's folder, or
            only a placeholder.
    """
    if dto.get("LocationType") == "Virtual" or dto.get("IsPlaceHolder") is True:
        raise PermanentError(f"{ref} has no file: Emby knows of it from metadata alone")
    source = primary_source(dto)
    if source is None:
        raise TransientError(
            f"{ref} has no media source yet: Emby is still scanning it", retry_after_s=SCAN_RETRY_S
        )
    if text(source.get("Container")).lower() in DISC_FOLDERS:
        raise PermanentError(f"{ref} is the folder of a disc, not a file: it cannot be read as one")
    paths = [text(found.get("Path")) for found in (dto, source)]
    is_elsewhere = (
        source.get("Protocol", "File") != "File"
        or source.get("IsRemote") is True
        or any("://" in path or path.lower().endswith(".strm") for path in paths)
    )
    if is_elsewhere:
        raise PermanentError(f"{ref} is a link to another place (.strm or remote): not followed")
    return source


def transcoding(session: Json) -> str:
    """Say in words what a session has Emby transcode; empty: nothing.

    What is paused costs nothing, and neither does a copy of the picture into another container.
    """
    playing, work = child(session, "NowPlayingItem"), child(session, "TranscodingInfo")
    is_paused = child(session, "PlayState").get("IsPaused") is True
    if not playing or not work or is_paused or work.get("IsVideoDirect") is True:
        return ""
    client = text(session.get("Client")) or text(session.get("DeviceName")) or "somebody"
    return f"transcodes {text(playing.get('Name')) or 'something'!r} for {client}"


def transcript_path(dto: Json, *, only_beside: bool = False) -> tuple[str, str]:
    """Where Emby hands out the best text track of an item as text, and its language; empty without.

    In the language of the sound, whole rather than forced, the default before others. Lyrics are
    a subtitle track to Emby.
    """
    source = primary_source(dto) or {}
    streams = list(objects(source.get("MediaStreams")))
    spoken = next((s.get("Language") for s in streams if s.get("Type") == "Audio"), None)
    tracks = [
        stream
        for stream in streams
        if stream.get("Type") == "Subtitle"
        and _codec(stream) in TEXT_CODECS
        and integer(stream.get("Index")) is not None
        and (stream.get("IsExternal") is True or not only_beside)
    ]
    if not tracks:
        return "", ""
    best = min(tracks, key=lambda track: _rank(track, spoken))
    try:
        item_id, source_id = parse_id(dto.get("Id")), parse_source_id(source)
    except ValueError:
        return "", ""
    form = "lrc" if _codec(best) == "lrc" else "srt"
    path = f"/Items/{item_id}/{source_id}/Subtitles/{best['Index']}/Stream.{form}"
    return path, text(best.get("Language"))


def _codec(stream: Json) -> str:
    return text(stream.get("Codec")).lower()


def _rank(track: Json, language: object) -> tuple[bool, bool, bool]:
    """Lower is better."""
    is_forced, is_default = track.get("IsForced") is True, track.get("IsDefault") is True
    return is_forced, track.get("Language") != language, not is_default


def _revision(source: Json) -> str:
    """A mark of the file alone: its size; its length where no size is known.

    Not the version's id: it got another form in 4.9, and nobody wants all analysed again for that.
    """
    facts = source.get("Size") or source.get("RunTimeTicks")
    return hashlib.sha256(repr(facts).encode("utf-8", "replace")).hexdigest()[:16]
