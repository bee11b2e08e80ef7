"""Jellyfin's items in our words. Pure."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from adapters.media_servers.paths import is_below
from adapters.media_servers.values import integer, moment, objects, text, texts
from service.domain import ItemRef, Json, MediaItem, MediaKind, RemoteStream, Storyboard
from service.errors import PermanentError, TransientError

TICKS_PER_SECOND = 10_000_000
"""Jellyfin counts time in .NET ticks of 100 ns."""
SCAN_RETRY_S = 60.0
"""Jellyfin's own delay between noticing a file and scanning it (``LibraryMonitorDelay``)."""

KINDS: Mapping[str, MediaKind] = MappingProxyType(
    {
        "Movie": MediaKind.MOVIE,
        "Episode": MediaKind.EPISODE,
        "Video": MediaKind.VIDEO,
        "MusicVideo": MediaKind.MUSIC_VIDEO,
        "Audio": MediaKind.SONG,
    }
)
"""Item types that have media of their own, by their C# class names."""
DISCS = ("Dvd", "BluRay", "Iso")
"""Jellyfin's ``VideoType`` for ``VIDEO_TS`` and ``BDMV`` folders, and for images of discs."""
BOARD_NUMBERS = ("Width", "TileWidth", "TileHeight", "ThumbnailCount", "Interval")
BOARD_WIDTH = 320
"""Jellyfin's own default; wider sheets cost more to read, and models see no more than 256."""
MAX_BOARD_NUMBER = 100_000
"""A picture a second for a whole day."""

_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def parse_id(value: object) -> str:
    """Normalise an item's id, with or without dashes, to 32 hex digits.

    Raises:
        ValueError: It is no id.
    """
    written = value.lower() if isinstance(value, str) else ""
    if _ID.fullmatch(written) is None:
        raise ValueError("not an item id of 32 hex digits")
    return written.replace("-", "")


def parse_version(written: str) -> tuple[int, ...]:
    """Read ``10.11.6`` or ``12.0.0-rc3``: the first three numbers."""
    return tuple(int(number) for number in re.findall(r"\d{1,6}", written)[:3])


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
        raise TransientError(f"Jellyfin's answer names an item without an id: {error}") from error
    if item_type not in KINDS:
        raise PermanentError(f"{ref} is a {item_type or 'nameless thing'}: no media of its own")
    source = primary_source(dto)
    ticks = integer(dto.get("RunTimeTicks")) or integer((source or {}).get("RunTimeTicks"))
    return MediaItem(
        ref=ref,
        kind=KINDS[item_type],
        title=text(dto.get("Name")),
        revision=_revision(source) if source else "",
        overview=text(dto.get("Overview")),
        year=integer(dto.get("ProductionYear")),
        genres=texts(dto.get("Genres")),
        keywords=texts(dto.get("Tags")),
        series=text(dto.get("SeriesName")),
        season_number=integer(dto.get("ParentIndexNumber")) if item_type == "Episode" else None,
        episode_number=integer(dto.get("IndexNumber")) if item_type == "Episode" else None,
        artist=", ".join(texts(dto.get("Artists"))) or text(dto.get("AlbumArtist")),
        album=text(dto.get("Album")),
        series_id=_id_or_empty(dto.get("SeriesId") or dto.get("AlbumId")),
        duration_s=ticks / TICKS_PER_SECOND if ticks else None,
        added_at=moment(dto.get("DateCreated")),
    )


def primary_source(dto: Json) -> Json | None:
    """The item's own version of the film; the others are alternates. None before the scan."""
    usable = [*objects(dto.get("MediaSources"))]
    own = [source for source in usable if _is_own(source, dto)]
    return next(iter(own or usable), None)


def list_sources(dto: Json, ref: ItemRef, *, allow_remote: bool = False) -> list[Json]:
    """The media sources that may be read, the one with the largest picture first.

    Raises:
        TransientError: The item has none yet: it is still being scanned.
        PermanentError: All of them point elsewhere (``.strm``, a remote address), are a disc, or
            only placeholders.
    """
    if dto.get("LocationType") == "Virtual" or dto.get("IsPlaceHolder") is True:
        raise PermanentError(f"{ref} has no file: Jellyfin knows of it from metadata alone")
    sources = [*objects(dto.get("MediaSources"))]
    if not sources:
        raise TransientError(
            f"{ref} has no media source yet: Jellyfin is still scanning it",
            retry_after_s=SCAN_RETRY_S,
        )
    files = [source for source in sources if source.get("VideoType") not in DISCS]
    if not files:
        raise PermanentError(f"{ref} is a disc, not a file: it cannot be read as one")
    found = [source for source in files if allow_remote or not is_elsewhere(source, dto)]
    if not found:
        raise PermanentError(
            f"{ref} is a link to another place (.strm or remote): not followed; "
            "JELLYFIN_ALLOW_REMOTE_SOURCES=true would have Jellyfin fetch it"
        )
    return sorted(found, key=lambda source: (-_pixels(source), not _is_own(source, dto)))


def is_elsewhere(source: Json, dto: Json) -> bool:
    """Whether a source is not a file of the server's own, but the address of one."""
    paths = [text(source.get("Path"))]
    if _is_own(source, dto) or not paths[0]:
        paths.append(text(dto.get("Path")))
    return (
        source.get("Protocol", "File") != "File"
        or source.get("IsRemote") is True
        or any("://" in path or path.lower().endswith(".strm") for path in paths)
    )


def parse_storyboard(
    dto: Json, source: Json, *, base_url: str, headers: Mapping[str, str]
) -> Storyboard | None:
    """The trickplay pictures of a source, where they are of its whole length.

    Jellyfin reports sheets that it never finished as well (jellyfin#17464), so the number of
    pictures is held against the length.
    """
    try:
        item_id, source_id = parse_id(dto.get("Id")), parse_id(source.get("Id"))
    except ValueError:
        return None
    boards = dto.get("Trickplay")
    of_source = boards if isinstance(boards, dict) else {}
    widths = next((of_source[key] for key in of_source if _same_id(key, source_id)), None)
    ticks = integer(source.get("RunTimeTicks")) or integer(dto.get("RunTimeTicks")) or 0
    found = [board for board in _boards(widths) if _covers(board, ticks / TICKS_PER_SECOND)]
    board = min(found, key=lambda board: abs(board["Width"] - BOARD_WIDTH), default=None)
    if board is None:
        return None
    columns, rows, count = board["TileWidth"], board["TileHeight"], board["ThumbnailCount"]
    address = f"{base_url}/Videos/{item_id}/Trickplay/{board['Width']}"
    return Storyboard(
        interval_s=board["Interval"] / 1000,
        count=count,
        columns=columns,
        rows=rows,
        sheets=tuple(
            RemoteStream(url=f"{address}/{index}.jpg?mediaSourceId={source_id}", headers=headers)
            for index in range(math.ceil(count / (columns * rows)))
        ),
    )


def find_library(path: str, libraries: Sequence[Json]) -> tuple[str, str]:
    """In which library (``/Library/VirtualFolders``) a path lies: its name, and which folder of it.

    Both are empty for a path that lies in none.
    """
    found = [
        (text(library.get("Name")), location)
        for library in libraries
        for location in texts(library.get("Locations"))
        if is_below(path, location)
    ]
    return max(found, key=lambda place: len(place[1]), default=("", ""))


def is_extra(dto: Json) -> bool:
    """Whether it belongs to another item: a trailer, a theme song. Lists hold them from 12.0 on."""
    return text(dto.get("ExtraType")) not in {"", "Unknown"}


def parse_sessions(sessions: Sequence[Json]) -> str:
    """Say in words who has the server transcode; empty: nobody.

    What is paused costs nothing, and neither does a copy of the picture into another container.
    """
    busy = [words for session in sessions if (words := _transcoding(session))]
    return "; ".join(busy)


def _transcoding(session: Json) -> str:
    playing, state = session.get("NowPlayingItem"), session.get("PlayState")
    work = session.get("TranscodingInfo")
    if not isinstance(playing, dict) or not isinstance(state, dict) or state.get("IsPaused"):
        return ""
    if state.get("PlayMethod") != "Transcode" or (
        isinstance(work, dict) and work.get("IsVideoDirect") is True
    ):
        return ""
    client = text(session.get("Client")) or text(session.get("DeviceName")) or "somebody"
    return f"transcodes {text(playing.get('Name')) or 'something'!r} for {client}"


def _is_own(source: Json, dto: Json) -> bool:
    return source.get("Id") == dto.get("Id")


def _same_id(key: str, wanted: str) -> bool:
    try:
        return parse_id(key) == wanted
    except ValueError:
        return False


def _pixels(source: Json) -> int:
    """Of the largest picture in a source; 0 before it was probed."""
    sizes = (
        (integer(stream.get("Width")) or 0) * (integer(stream.get("Height")) or 0)
        for stream in objects(source.get("MediaStreams"))
        if stream.get("Type") == "Video"
    )
    return max(sizes, default=0)


def _boards(widths: Any) -> list[Json]:  # noqa: ANN401  JSON
    """Those whose numbers make sense."""
    boards = objects(list(widths.values())) if isinstance(widths, dict) else ()
    return [board for board in boards if all(_is_small(board.get(name)) for name in BOARD_NUMBERS)]


def _is_small(value: Any) -> bool:  # noqa: ANN401  JSON
    number = integer(value)
    return number is not None and 0 < number <= MAX_BOARD_NUMBER


def _covers(board: Json, duration_s: float) -> bool:
    interval_s = board["Interval"] / 1000
    return duration_s > 0 and abs(board["ThumbnailCount"] * interval_s - duration_s) <= interval_s


def _revision(source: Json) -> str:
    """A mark of the file alone: its version's id and size; its length where no size is known.

    Not the ETag and not the date of the last save: both change with each edited tag.
    """
    facts = (source.get("Id"), source.get("Size") or source.get("RunTimeTicks"))
    return hashlib.sha256(repr(facts).encode("utf-8", "replace")).hexdigest()[:16]


def _id_or_empty(value: object) -> str:
    try:
        return parse_id(value)
    except ValueError:
        return ""
