"""Items of the stand-in Jellyfin: what it shows of them, and what a write does to them.

After facts of ``DtoService`` (what is shown on request only) and ``ItemUpdateController`` (what a
write wipes), from 10.8 to 12.0.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from PIL import Image

SERVER_ID = "aa" * 16
TICKS_PER_SECOND = 10_000_000

ON_REQUEST = {
    **{
        name: name
        for name in (
            *("Path", "MediaSources", "Overview", "Genres", "Tags", "DateCreated", "Etag"),
            *("ProviderIds", "OriginalTitle", "CustomRating", "Studios", "Taglines", "People"),
            *("ProductionLocations", "Trickplay", "SortName", "ParentId", "Chapters"),
        )
    },
    "LockData": "Settings",
    "LockedFields": "Settings",
    "ForcedSortName": "Settings",
    "PreferredMetadataCountryCode": "Settings",
    "PreferredMetadataLanguage": "Settings",
    "AirsBeforeSeasonNumber": "SpecialEpisodeNumbers",
    "AirsAfterSeasonNumber": "SpecialEpisodeNumbers",
    "AirsBeforeEpisodeNumber": "SpecialEpisodeNumbers",
}
"""Key of the description -> the field that has to be asked for."""
ITEM_FIELDS = frozenset(ON_REQUEST.values())
NEWER_FIELDS = {"Trickplay": (10, 9)}

FIRST_WIPED = (
    *("Name", "ForcedSortName", "OriginalTitle", "CriticRating", "CommunityRating"),
    *("IndexNumber", "ParentIndexNumber", "Overview"),
)
THEN_WIPED = ("EndDate", "PremiereDate", "ProductionYear", "OfficialRating", "CustomRating")
LAST_WIPED = (
    *("PreferredMetadataCountryCode", "PreferredMetadataLanguage", "DisplayOrder", "AspectRatio"),
    *("AirsBeforeSeasonNumber", "AirsAfterSeasonNumber", "AirsBeforeEpisodeNumber"),
    *("Video3DFormat", "Album"),
)
KEPT_WHEN_ABSENT = (
    *("People", "Taglines", "Studios", "DateCreated", "ProductionLocations", "LockedFields"),
    *("AlbumArtists", "ArtistItems"),
)
GROUPS = ("Series", "Season", "MusicAlbum")


@dataclass(kw_only=True)
class StandInSubtitle:
    """A subtitle track; its text is WebVTT."""

    text: str
    language: str | None = "eng"
    codec: str = "subrip"
    is_forced: bool = False
    is_default: bool = False
    is_external: bool = True
    is_text: bool = True
    is_broken: bool = False
    """It is listed, but extracting it fails."""

    def stream(self, index: int) -> dict[str, Any]:
        return {
            "Type": "Subtitle",
            "Index": index,
            "Codec": self.codec,
            "Language": self.language,
            "IsForced": self.is_forced,
            "IsDefault": self.is_default,
            "IsExternal": self.is_external,
            "IsTextSubtitleStream": self.is_text,
        }


@dataclass(kw_only=True)
class StandInTrickplay:
    """Sheets of small pictures: number k is of one grey, ``grey_of(k)``."""

    interval_ms: int = 10_000
    width: int = 320
    height: int = 180
    columns: int = 10
    rows: int = 10
    count: int | None = None
    """None: as many as the item's length asks for; another number: it was never finished."""

    def manifest(self, duration_s: float) -> dict[str, Any]:
        count = self.count
        if count is None:
            count = math.ceil(duration_s * 1000 / self.interval_ms)
        return {
            str(self.width): {
                "Width": self.width,
                "Height": self.height,
                "TileWidth": self.columns,
                "TileHeight": self.rows,
                "ThumbnailCount": count,
                "Interval": self.interval_ms,
                "Bandwidth": 1000,
            }
        }

    def sheet(self, index: int) -> bytes:
        image = Image.new("RGB", (self.width * self.columns, self.height * self.rows))
        first = index * self.columns * self.rows
        for place in range(self.columns * self.rows):
            left = place % self.columns * self.width
            top = place // self.columns * self.height
            grey = self.grey_of(first + place)
            box = (left, top, left + self.width, top + self.height)
            image.paste((grey, grey, grey), box)
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=90)
        return stream.getvalue()

    @staticmethod
    def grey_of(number: int) -> int:
        return number * 37 % 256


@dataclass(kw_only=True)
class StandInItem:
    """One item of the library; change its fields at will between requests."""

    name: str
    type: str = "Movie"
    path: str = ""
    """As the server sees it."""
    file: Path | None = None
    """What is streamed."""
    item_id: str = ""
    """Made from type and path, as Jellyfin does, when left empty."""
    size_bytes: int | None = None
    duration_s: float = 60.0
    tags: list[str] = field(default_factory=list)
    saved_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    is_scanned: bool = True
    """False: no media sources yet."""
    protocol: str = "File"
    parents: tuple[str, ...] = ()
    """Ids of the groups that hold it: its season and its series, or its album."""
    subtitles: list[StandInSubtitle] = field(default_factory=list)
    lyrics: list[dict[str, Any]] | None = None
    trickplay: StandInTrickplay | None = None
    poster: bytes | None = None
    details: dict[str, Any] = field(default_factory=dict)
    """Further keys of its description, such as ``SeriesName``; those that Jellyfin shows on
    request only are shown on request only."""

    def __post_init__(self) -> None:
        self.path = self.path or f"/media/{self.name}.mkv"
        if not self.item_id:
            self.item_id = hashlib.md5(f"{self.type}{self.path}".encode()).hexdigest()

    def retag(self, *tags: str) -> None:
        """Edit the tags as a user or a tool does: the item counts as saved just now."""
        self.tags = list(tags)
        self.saved_at = datetime.now(UTC)

    @property
    def is_group(self) -> bool:
        return self.type in GROUPS

    def describe(self, fields: Iterable[str] | None) -> dict[str, Any]:
        """Its description (``BaseItemDto``); all of it where no fields are named. No nulls."""
        known = {**self._always(), **self._optional(), **self.details}
        wanted = ITEM_FIELDS if fields is None else set(fields)
        return {
            key: value
            for key, value in known.items()
            if value is not None and (key not in ON_REQUEST or ON_REQUEST[key] in wanted)
        }

    def write(self, body: Mapping[str, Any], version: tuple[int, ...]) -> None:
        """``POST /Items/{id}``: what is absent is wiped; before 12 some of it stops it halfway.

        Raises:
            HTTPBadRequest: Something is absent that older versions take for granted. What comes
                before it is written.
        """
        self.saved_at = datetime.now(UTC)
        self._wipe(body, FIRST_WIPED)
        self._require(body, "Genres", version)
        self._wipe(body, THEN_WIPED)
        self._require(body, "Tags", version)
        self.details.update({key: body[key] for key in KEPT_WHEN_ABSENT if body.get(key)})
        self._wipe(body, LAST_WIPED)
        self.details["LockData"] = body.get("LockData") or False
        self._require(body, "ProviderIds", version)

    def _wipe(self, body: Mapping[str, Any], keys: Iterable[str]) -> None:
        for key in keys:
            self.details[key] = body.get(key)
        self.name = body.get("Name") or ""

    def _require(self, body: Mapping[str, Any], key: str, version: tuple[int, ...]) -> None:
        if body.get(key) is not None:
            self.details[key] = body[key]
            if key == "Tags":
                self.tags = list(self.details.pop("Tags"))
        elif version < (12,):
            raise web.HTTPBadRequest(text=f"Value cannot be null. (Parameter '{key}')")

    def _always(self) -> dict[str, Any]:
        return {
            "Name": self.name,
            "ServerId": SERVER_ID,
            "Id": self.item_id,
            "Type": self.type,
            "RunTimeTicks": int(self.duration_s * TICKS_PER_SECOND),
            "LocationType": "FileSystem",
            "IsFolder": self.is_group,
        }

    def _optional(self) -> dict[str, Any]:
        boards = self.trickplay.manifest(self.duration_s) if self.trickplay else None
        return {
            "Path": self.path,
            "MediaSources": self._sources(),
            "Overview": f"About {self.name}.",
            "Genres": ["Drama"],
            "Tags": self.tags,
            "DateCreated": timestamp(self.created_at),
            "Etag": self._etag(),
            "ProviderIds": {},
            "Studios": [],
            "Taglines": [],
            "LockData": False,
            "LockedFields": [],
            "Trickplay": {self.item_id: boards} if boards else None,
        }

    def _sources(self) -> list[dict[str, Any]] | None:
        if self.is_group:
            return None
        size = self.size_bytes
        if size is None:
            size = self.file.stat().st_size if self.file else 1000
        source = {
            "Protocol": self.protocol,
            "Id": self.item_id,
            "Path": self.path,
            "Type": "Default",
            "Size": size,
            "IsRemote": self.protocol != "File",
            "ETag": self._etag(),
            "RunTimeTicks": int(self.duration_s * TICKS_PER_SECOND),
            "MediaStreams": self.streams(),
        }
        return [source] if self.is_scanned else []

    def streams(self) -> list[dict[str, Any]]:
        """A picture (not of a song), a sound, and the subtitles."""
        sound = {"Type": "Audio", "Codec": "aac", "Language": "eng", "IsDefault": True}
        picture = {"Type": "Video", "Codec": "h264", "Width": 1920, "Height": 1080}
        media = [sound] if self.type == "Audio" else [picture, sound]
        first = len(media)
        return [
            *({**stream, "Index": index} for index, stream in enumerate(media)),
            *(track.stream(first + number) for number, track in enumerate(self.subtitles)),
        ]

    def subtitle(self, index: int) -> StandInSubtitle | None:
        number = index - (1 if self.type == "Audio" else 2)
        return self.subtitles[number] if 0 <= number < len(self.subtitles) else None

    def _etag(self) -> str:
        return hashlib.md5(timestamp(self.saved_at).encode()).hexdigest()


def timestamp(moment: datetime) -> str:
    """.NET's way: seven digits of the second's fraction."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
