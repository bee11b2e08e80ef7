"""What Plex says of items, in our words. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from types import MappingProxyType

from adapters.media_servers.values import child, integer, moment, names, objects, text
from service.domain import ItemRef, Json, MediaItem, MediaKind, RemoteStream, Storyboard
from service.errors import PermanentError, TransientError

SCAN_RETRY_S = 60.0
"""Plex reads what is in a file within about this time of noticing it."""
MISSING_RETRY_S = 3600.0
"""A file that Plex keeps in its trash is often on a disk that is not mounted just now."""

KINDS: Mapping[str, MediaKind] = MappingProxyType(
    {
        "movie": MediaKind.MOVIE,
        "episode": MediaKind.EPISODE,
        "clip": MediaKind.VIDEO,
        "track": MediaKind.SONG,
    }
)
"""Item types that have media of their own."""
TYPE_NUMBERS: Mapping[str, int] = MappingProxyType(
    {
        "movie": 1,
        "show": 2,
        "season": 3,
        "episode": 4,
        "artist": 8,
        "album": 9,
        "track": 10,
        "clip": 12,
    }
)
"""What the ``type`` parameter calls them."""
LEAVES: Mapping[str, str] = MappingProxyType(
    {"movie": "movie", "show": "episode", "artist": "track"}
)
"""What the items of a library are, by the library's own type; photos are none of ours."""
GROUPS: Mapping[str, str] = MappingProxyType(
    {"show": "allLeaves", "artist": "allLeaves", "season": "children", "album": "children"}
)
"""Under which name Plex lists what a group holds."""
OPTIMIZED_VERSION = 42
"""``proxyType`` of a version that Plex itself has made of another."""
HOME_VIDEO_AGENTS = ("com.plexapp.agents.none://", "tv.plex.agents.none://")
"""How ids begin in libraries of videos that are looked up nowhere."""
TEXT_CODECS = frozenset({"srt", "vtt", "webvtt"})
PICTURE_INTERVAL_S = 10.0
"""Plex draws a preview picture each 2 s; this is how far apart Jellyfin's and Emby's are, and
enough for a first look: 720 of about 10 kB for a film of two hours."""
MAX_PICTURES = 8_640
"""Of one item: a day's."""
_SOUND, _SUBTITLES = 2, 3
"""``streamType`` of tracks."""

_ID = re.compile(r"[0-9]{1,18}")
_PART_KEY = re.compile(r"/library/parts/[0-9]+/[0-9]+/[\w.%-]+", re.ASCII)
_STREAM_KEY = re.compile(r"/library/streams/[0-9]+")
_ARTWORK_KEY = re.compile(r"/library/metadata/[0-9]+/(?:thumb|art|poster)/[0-9]+")


def parse_id(value: object) -> str:
    """Check an item's id (``ratingKey``): a whole number, which Plex writes as a string.

    Raises:
        ValueError: It is no id.
    """
    found = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(found, str) or _ID.fullmatch(found) is None:
        raise ValueError("not an item id, which is a whole number")
    return found


def parse_item(metadata: Json, server: str) -> MediaItem:
    """Read an item (an entry of ``MediaContainer.Metadata``) without its location.

    Raises:
        PermanentError: It has no media of its own.
        TransientError: The answer has no id: not an item at all.
    """
    item_type = text(metadata.get("type"))
    try:
        ref = ItemRef(server=server, item_id=parse_id(metadata.get("ratingKey")))
    except ValueError as error:
        raise TransientError(f"Plex's answer names an item without an id: {error}") from error
    if item_type not in KINDS:
        raise PermanentError(f"{ref} is a {item_type or 'nameless thing'}: no media of its own")
    is_episode, is_song = item_type == "episode", item_type == "track"
    part = primary_part(metadata)
    milliseconds = integer((part or {}).get("duration")) or integer(metadata.get("duration"))
    parent, grandparent = text(metadata.get("parentTitle")), text(metadata.get("grandparentTitle"))
    return MediaItem(
        ref=ref,
        kind=_kind(metadata, item_type),
        title=text(metadata.get("title")),
        revision=_revision(part) if part else "",
        overview=text(metadata.get("summary")),
        year=integer(metadata.get("year")),
        genres=names(metadata.get("Genre"), "tag"),
        keywords=labels(metadata),
        series=grandparent if is_episode else "",
        season_number=integer(metadata.get("parentIndex")) if is_episode else None,
        episode_number=integer(metadata.get("index")) if is_episode else None,
        artist=(text(metadata.get("originalTitle")) or grandparent) if is_song else "",
        album=parent if is_song else "",
        duration_s=milliseconds / 1000 if milliseconds else None,
        added_at=moment(metadata.get("addedAt")),
        library=text(metadata.get("librarySectionTitle")),
        series_id=_group_id(metadata, is_episode=is_episode, is_song=is_song),
    )


def _kind(metadata: Json, item_type: str) -> MediaKind:
    if metadata.get("subtype") == "musicVideo":
        return MediaKind.MUSIC_VIDEO
    is_home_video = text(metadata.get("guid")).startswith(HOME_VIDEO_AGENTS)
    return MediaKind.VIDEO if item_type == "movie" and is_home_video else KINDS[item_type]


def _group_id(metadata: Json, *, is_episode: bool, is_song: bool) -> str:
    """Of an episode's show, or of a song's album."""
    key = "grandparentRatingKey" if is_episode else "parentRatingKey"
    try:
        return parse_id(metadata.get(key)) if is_episode or is_song else ""
    except ValueError:
        return ""


def added(metadata: Json) -> int:
    """When it was added, in seconds since 1970; 0 where Plex does not say."""
    return integer(metadata.get("addedAt")) or 0


def updated(metadata: Json) -> int:
    """When its description was saved last, in seconds since 1970; 0 where it never was."""
    return integer(metadata.get("updatedAt")) or 0


def labels(metadata: Json) -> tuple[str, ...]:
    """An item's labels; lists leave them out."""
    return names(metadata.get("Label"), "tag")


def primary_part(metadata: Json) -> Json | None:
    """The first file of the oldest version that Plex did not make itself; None before the scan."""
    versions = [
        version
        for version in objects(metadata.get("Media"))
        if integer(version.get("proxyType")) != OPTIMIZED_VERSION
    ]
    versions.sort(key=lambda version: integer(version.get("id")) or 0)
    return next((part for version in versions for part in objects(version.get("Part"))), None)


def require_file(metadata: Json, ref: ItemRef) -> Json:
    """The part that is to be read.

    Raises:
        TransientError: The item has none yet, or its file is away just now.
        PermanentError: It points to another place.
    """
    if metadata.get("deletedAt"):
        raise TransientError(
            f"{ref}: Plex does not find its file at present", retry_after_s=MISSING_RETRY_S
        )
    part = primary_part(metadata)
    if part is None:
        raise TransientError(
            f"{ref} has no media yet: Plex is still scanning it", retry_after_s=SCAN_RETRY_S
        )
    path = text(part.get("file"))
    if "://" in path or path.lower().endswith(".strm"):
        raise PermanentError(f"{ref} is a link to another place: not followed")
    return part


def part_key(part: Json) -> str:
    """Where a part is streamed from, on its own server.

    Raises:
        ValueError: It is no such address.
    """
    return _require(_PART_KEY, part.get("key"), "the key of a part")


def parse_storyboard(part: Json, *, base_url: str, headers: Mapping[str, str]) -> Storyboard | None:
    """The preview pictures of a part, one by one, where Plex has drawn them (``indexes``).

    The last moments are left out: which picture is the last one is not known.
    """
    number, milliseconds = integer(part.get("id")), integer(part.get("duration")) or 0
    count = int(milliseconds / 1000 / PICTURE_INTERVAL_S)
    is_drawn = "sd" in text(part.get("indexes")).split(",")
    if not is_drawn or number is None or not 0 < count <= MAX_PICTURES:
        return None
    address = f"{base_url}/library/parts/{number}/indexes/sd"
    return Storyboard(
        interval_s=PICTURE_INTERVAL_S,
        count=count,
        columns=1,
        rows=1,
        sheets=tuple(
            RemoteStream(url=f"{address}/{int(index * PICTURE_INTERVAL_S * 1000)}", headers=headers)
            for index in range(count)
        ),
    )


def _require(pattern: re.Pattern[str], value: object, what: str) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise ValueError(f"not {what}")
    return value


def artwork_keys(metadata: Json) -> list[str]:
    """Where its pictures are on its own server: its own, then its season's, then its show's."""
    keys = (text(metadata.get(key)) for key in ("thumb", "parentThumb", "grandparentThumb"))
    return list(dict.fromkeys(key for key in keys if _ARTWORK_KEY.fullmatch(key)))


def transcript_path(part: Json) -> tuple[str, str]:
    """Where the best text subtitles are on their own server, and their language; empty without.

    In the language of the sound, whole rather than forced, selected before others. Only files
    beside the film have an address; tracks inside it do not.
    """
    streams = list(objects(part.get("Stream")))
    spoken = next((s.get("languageCode") for s in streams if s.get("streamType") == _SOUND), None)
    tracks = [
        stream
        for stream in streams
        if integer(stream.get("streamType")) == _SUBTITLES
        and text(stream.get("codec")).lower() in TEXT_CODECS
        and _STREAM_KEY.fullmatch(text(stream.get("key")))
    ]
    best = min(tracks, key=lambda track: _rank(track, spoken), default={})
    return text(best.get("key")), text(best.get("languageCode"))


def _rank(track: Json, language: object) -> tuple[bool, bool, bool]:
    """Lower is better."""
    is_other = track.get("languageCode") != language
    return bool(track.get("forced")), is_other, not track.get("selected")


def transcoding(session: Json) -> str:
    """Say in words what a session has Plex transcode; empty: nothing.

    What is paused costs nothing, and neither does a copy of the picture into another container.
    """
    player, work = child(session, "Player"), child(session, "TranscodeSession")
    if work.get("videoDecision") != "transcode" or player.get("state") == "paused":
        return ""
    client = text(player.get("product")) or text(player.get("title")) or "somebody"
    return f"transcodes {text(session.get('title')) or 'something'!r} for {client}"


def _revision(part: Json) -> str:
    """A mark of the file alone: its size; its length where no size is known.

    Not the part's id, which may change when a file is moved.
    """
    facts = part.get("size") or part.get("duration") or part.get("id")
    return hashlib.sha256(repr(facts).encode("utf-8", "replace")).hexdigest()[:16]
