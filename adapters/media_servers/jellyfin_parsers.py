"""Jellyfin's items in our words. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from service.domain import ItemRef, Json, MediaItem, MediaKind
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
DISC_FOLDERS = ("Dvd", "BluRay")
"""Jellyfin's ``VideoType`` for ``VIDEO_TS`` and ``BDMV`` folders."""

_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def parse_id(value: object) -> str:
    """Normalise an item's id, with or without dashes, to 32 hex digits.

    Raises:
        ValueError: It is no id.
    """
    text = value.lower() if isinstance(value, str) else ""
    if _ID.fullmatch(text) is None:
        raise ValueError("not an item id of 32 hex digits")
    return text.replace("-", "")


def parse_item(dto: Json, server: str) -> MediaItem:
    """Read an item (``BaseItemDto``) without its location.

    Raises:
        PermanentError: It has no media of its own.
        TransientError: The answer has no id: not an item at all.
    """
    item_type = _text(dto.get("Type"))
    try:
        ref = ItemRef(server=server, item_id=parse_id(dto.get("Id")))
    except ValueError as error:
        raise TransientError(f"Jellyfin's answer names an item without an id: {error}") from error
    if item_type not in KINDS:
        raise PermanentError(f"{ref} is a {item_type or 'nameless thing'}: no media of its own")
    source = primary_source(dto)
    ticks = _integer(dto.get("RunTimeTicks")) or _integer((source or {}).get("RunTimeTicks"))
    return MediaItem(
        ref=ref,
        kind=KINDS[item_type],
        title=_text(dto.get("Name")),
        revision=_revision(source) if source else "",
        overview=_text(dto.get("Overview")),
        year=_integer(dto.get("ProductionYear")),
        genres=_texts(dto.get("Genres")),
        keywords=_texts(dto.get("Tags")),
        series=_text(dto.get("SeriesName")),
        season_number=_integer(dto.get("ParentIndexNumber")) if item_type == "Episode" else None,
        episode_number=_integer(dto.get("IndexNumber")) if item_type == "Episode" else None,
        artist=", ".join(_texts(dto.get("Artists"))) or _text(dto.get("AlbumArtist")),
        album=_text(dto.get("Album")),
        duration_s=ticks / TICKS_PER_SECOND if ticks else None,
        added_at=_time(dto.get("DateCreated")),
    )


def primary_source(dto: Json) -> Json | None:
    """The item's own version of the film; the others are alternates. None before the scan."""
    sources = dto.get("MediaSources")
    if not isinstance(sources, list):
        return None
    usable = [source for source in sources if isinstance(source, dict)]
    own = [source for source in usable if source.get("Id") == dto.get("Id")]
    return next(iter(own or usable), None)


def require_file(dto: Json, ref: ItemRef) -> Json:
    """The media source, if it is a file of the server.

    Raises:
        TransientError: The item has none yet: it is still being scanned.
        PermanentError: It points elsewhere (``.strm``, a remote address), is a disc's folder, or
            only a placeholder.
    """
    if dto.get("LocationType") == "Virtual" or dto.get("IsPlaceHolder") is True:
        raise PermanentError(f"{ref} has no file: Jellyfin knows of it from metadata alone")
    source = primary_source(dto)
    if source is None:
        raise TransientError(
            f"{ref} has no media source yet: Jellyfin is still scanning it",
            retry_after_s=SCAN_RETRY_S,
        )
    if source.get("VideoType") in DISC_FOLDERS:
        raise PermanentError(f"{ref} is the folder of a disc, not a file: it cannot be read as one")
    paths = [_text(found.get("Path")) for found in (dto, source)]
    is_elsewhere = (
        source.get("Protocol", "File") != "File"
        or source.get("IsRemote") is True
        or any("://" in path or path.lower().endswith(".strm") for path in paths)
    )
    if is_elsewhere:
        raise PermanentError(f"{ref} is a link to another place (.strm or remote): not followed")
    return source


def _revision(source: Json) -> str:
    """A mark of the file alone: its version's id and size; its length where no size is known.

    Not the ETag and not the date of the last save: both change with each edited tag.
    """
    facts = (source.get("Id"), source.get("Size") or source.get("RunTimeTicks"))
    return hashlib.sha256(repr(facts).encode("utf-8", "replace")).hexdigest()[:16]


def _text(value: Any) -> str:  # noqa: ANN401  JSON
    """A text that any database takes: without NUL and lone surrogates, which JSON may carry."""
    if not isinstance(value, str):
        return ""
    return value.replace("\0", "").encode("utf-8", "replace").decode().strip()


def _texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401  JSON
    return tuple(filter(None, map(_text, value))) if isinstance(value, list) else ()


def _integer(value: Any) -> int | None:  # noqa: ANN401  JSON
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and abs(value) < 2**63 else None


def _time(value: Any) -> datetime | None:  # noqa: ANN401  JSON
    try:
        parsed = datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
