"""An Emby that is as strict as what is known of it, for tests and the demo.

It lives below ``/emby`` alone, takes its key in ``X-Emby-Token`` alone, sends what is optional
only when it is asked for, has whole numbers for ids, pages, wipes what an update leaves out, and
can be told to fail or to hang.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.box_sets import BoxSetShelf, numbered_id
from tests.support.stand_in import JPEG, SUBRIP, StandIn

API_KEY = "fedcba9876543210fedcba9876543210"
SERVER_ID = "bb" * 16
USER_ID = "cd" * 16
ADMIN_ID = "ef" * 16
TICKS_PER_SECOND = 10_000_000
KNOWN_QUERY = frozenset(
    {
        *("UserId", "Ids", "ParentId", "Recursive", "StartIndex", "Limit", "SortBy", "SortOrder"),
        *("IncludeItemTypes", "Fields", "MinDateLastSaved"),
    }
)
OPTIONAL_FIELDS = frozenset(
    {"Path", "MediaSources", "Overview", "Genres", "Tags", "DateCreated", "ProductionYear"}
)
_ids = itertools.count(240_001)


@dataclass(kw_only=True)
class EmbyItem:
    """One item of the library; change its fields at will between requests."""

    name: str
    type: str = "Movie"
    path: str = ""
    """As the server sees it."""
    file: Path | None = None
    """What is streamed."""
    item_id: str = field(default_factory=lambda: str(next(_ids)))
    source_id: str = ""
    """``mediasource_`` and the item's id when left empty, as since 4.9."""
    parents: tuple[str, ...] = ()
    """Ids of the folders, series, seasons or albums above it."""
    size_bytes: int | None = None
    duration_s: float = 60.0
    tags: list[str] = field(default_factory=list)
    locked_fields: list[str] = field(default_factory=list)
    is_locked: bool = False
    overview: str | None = None
    year: int | None = None
    genres: list[str] = field(default_factory=lambda: ["Drama"])
    studios: list[str] = field(default_factory=list)
    provider_ids: dict[str, str] = field(default_factory=lambda: {"Tmdb": "949"})
    saved_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    is_scanned: bool = True
    """False: no media sources yet."""
    protocol: str = "File"
    streams: list[dict[str, Any]] = field(default_factory=list)
    """Of its media source."""
    poster: bytes | None = None
    details: dict[str, Any] = field(default_factory=dict)
    """Further keys of the DTO, such as ``SeriesName``."""

    def __post_init__(self) -> None:
        self.path = self.path or f"/media/{self.name}.mkv"
        self.source_id = self.source_id or f"mediasource_{self.item_id}"
        if self.overview is None:
            self.overview = f"About {self.name}."

    def retag(self, *tags: str) -> None:
        """Edit the tags as a user or a tool does: the item counts as saved just now."""
        self.tags = list(tags)
        self.saved_at = datetime.now(UTC)


class StandInEmby(StandIn):
    """A library behind the parts of Emby's HTTP API that Moodreel speaks.

    Args:
        items: What it holds.
        api_key: The only key it takes.
        version: What it says it is.
    """

    def __init__(
        self,
        items: Iterable[EmbyItem] = (),
        *,
        api_key: str = API_KEY,
        version: str = "4.9.1.80",
    ) -> None:
        super().__init__()
        self.items = list(items)
        self.api_key = api_key
        self.version = version
        self.libraries: dict[str, list[str]] = {"Films": ["/media"]}
        """Folders by name."""
        self.sessions: list[dict[str, Any]] = []
        self.subtitles = SUBRIP
        self.is_admin = True
        """False: the key is the token of a user without rights."""
        self.collections = BoxSetShelf(_pascal, numbered_id, self._has)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/emby/System/Info/Public", self._public_info),
            web.get("/emby/System/Info", self._info),
            *self.collections.routes("/emby"),
            web.get("/emby/Items", self._list),
            web.post("/emby/Items/{id}", self._update),
            web.get("/emby/Items/{id}/Images/Primary", self._image),
            web.get("/emby/Items/{id}/{source}/Subtitles/{index}/{stream}", self._subtitle),
            web.get("/emby/Users", self._users),
            web.get("/emby/Users/{user}/Items/{id}", self._whole),
            web.get("/emby/Library/VirtualFolders/Query", self._libraries),
            web.get("/emby/Sessions", self._sessions),
            web.get("/emby/Videos/{id}/stream", self._stream),
            web.get("/emby/Audio/{id}/stream", self._stream),
        ]

    def admits(self, request: web.Request) -> bool:
        is_elevated = "/VirtualFolders" in request.path or "/Collections" in request.path
        if is_elevated and not self.is_admin:
            raise web.HTTPForbidden
        names = {name.lower() for name in request.query}
        if names & {"api_key", "x-emby-token"} or "Authorization" in request.headers:
            return False
        is_public = request.path == "/emby/System/Info/Public"
        return is_public or request.headers.get("X-Emby-Token") == self.api_key

    def webhook_body(self, item: EmbyItem, event: str = "library.new") -> bytes:
        """What Emby 4.9 sends as JSON."""
        body = {
            "Title": f"New {item.name} on Stand-in",
            "Date": _timestamp(datetime.now(UTC)),
            "Event": event,
            "Severity": "Info",
            "Item": {"Name": item.name, "Id": item.item_id, "Type": item.type, "Path": item.path},
            "Server": {"Name": "Stand-in", "Id": SERVER_ID, "Version": self.version},
        }
        return json.dumps(body).encode()

    def find(self, item_id: str) -> EmbyItem:
        found = next((item for item in self.items if item.item_id == item_id), None)
        if found is None:
            raise web.HTTPNotFound
        return found

    async def _public_info(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"ServerName": "Stand-in", "Version": self.version, "Id": SERVER_ID}
        )

    async def _info(self, _request: web.Request) -> web.Response:
        return web.json_response({"Version": self.version, "Id": SERVER_ID})

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        fields = {name for name in query.get("Fields", "").split(",") if name}
        if query.keys() - KNOWN_QUERY or fields - OPTIONAL_FIELDS:
            raise web.HTTPBadRequest(text="unknown parameter or field")
        if query.get("IncludeItemTypes") == "BoxSet":
            is_seen = "UserId" not in query and query.get("Recursive") == "true"
            described = self.collections.describe(fields) if is_seen else []
            first, size = int(query["StartIndex"]), int(query["Limit"])
            return web.json_response({"Items": described[first : first + size]})
        found = self._select(query)
        start, limit = int(query.get("StartIndex", "0")), int(query.get("Limit", "10000000"))
        if limit > 10_000 and "Ids" not in query:
            raise web.HTTPBadRequest(text="the whole library at once")
        page = [self._dto(item, fields) for item in found[start : start + limit]]
        return web.json_response({"Items": page, "TotalRecordCount": len(found)})

    def _has(self, item_id: str) -> bool:
        return any(item.item_id == item_id for item in self.items)

    def _select(self, query: Mapping[str, str]) -> list[EmbyItem]:
        if "Ids" in query:
            ids = query["Ids"].split(",")
            if not all(re.fullmatch("[0-9]+", item_id) for item_id in ids):
                raise web.HTTPBadRequest(text="Input string was not in a correct format")
            return [item for item in self.items if item.item_id in ids]
        if query.get("Recursive") != "true":
            return []  # the library's folders, which hold no media themselves
        types = query["IncludeItemTypes"].split(",") if "IncludeItemTypes" in query else None
        found = [item for item in self.items if types is None or item.type in types]
        if "ParentId" in query:
            found = [item for item in found if query["ParentId"] in item.parents]
        if "MinDateLastSaved" in query:
            since = datetime.fromisoformat(query["MinDateLastSaved"])
            found = [item for item in found if item.saved_at >= since]
        if query.get("SortBy", "").startswith("DateCreated"):
            is_falling = query.get("SortOrder") == "Descending"
            found.sort(key=lambda item: (item.created_at, item.name), reverse=is_falling)
        return found

    def _dto(self, item: EmbyItem, fields: Iterable[str]) -> dict[str, Any]:
        size = item.size_bytes
        if size is None:
            size = item.file.stat().st_size if item.file else 1000
        source = {
            "Protocol": item.protocol,
            "Id": item.source_id,
            "Path": item.path,
            "Type": "Default",
            "Container": "mkv",
            "Size": size,
            "IsRemote": item.protocol != "File",
            "RunTimeTicks": int(item.duration_s * TICKS_PER_SECOND),
            "MediaStreams": item.streams,
        }
        optional: dict[str, Any] = {
            "Path": item.path,
            "MediaSources": [source] if item.is_scanned else [],
            "Overview": item.overview,
            "Genres": item.genres,
            "Tags": {"TagItems": _tag_items(item.tags)},
            "DateCreated": _timestamp(item.created_at),
            "ProductionYear": item.year,
        }
        asked: dict[str, Any] = {}
        for name in fields:
            value = optional[name]
            asked.update(value if name == "Tags" else {name: value})
        return {
            "Name": item.name,
            "ServerId": SERVER_ID,
            "Id": item.item_id,
            "Type": item.type,
            "RunTimeTicks": source["RunTimeTicks"],
            "IsFolder": item.type in {"Series", "Season", "MusicAlbum"},
            **asked,
            **item.details,
        }

    async def _users(self, _request: web.Request) -> web.Response:
        return web.json_response(
            [
                {"Name": "child", "Id": USER_ID, "Policy": {"IsAdministrator": False}},
                {"Name": "owner", "Id": ADMIN_ID, "Policy": {"IsAdministrator": True}},
            ]
        )

    async def _whole(self, request: web.Request) -> web.Response:
        if request.match_info["user"] not in {USER_ID, ADMIN_ID}:
            raise web.HTTPNotFound
        item = self.find(request.match_info["id"])
        dto = self._dto(item, OPTIONAL_FIELDS)
        whole = {
            "LockedFields": item.locked_fields,
            "Studios": [{"Name": studio} for studio in item.studios],
            "ProviderIds": item.provider_ids,
        }
        if request.match_info["user"] == ADMIN_ID:
            whole["LockData"] = item.is_locked
        return web.json_response({**dto, **whole})

    async def _update(self, request: web.Request) -> web.Response:
        """Overwrite all that can be edited: what the body lacks is gone."""
        item = self.find(request.match_info["id"])
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType
        body = await request.json()
        tags = body.get("TagItems") or []
        if any(not isinstance(tag, dict) or not tag.get("Name") for tag in tags):
            raise web.HTTPBadRequest(text="tags are objects with a name")
        item.name = body.get("Name") or ""
        item.overview = body.get("Overview")
        item.year = body.get("ProductionYear")
        item.genres = body.get("Genres") or []
        item.locked_fields = body.get("LockedFields") or []
        item.is_locked = body.get("LockData") or False
        item.studios = [studio["Name"] for studio in body.get("Studios") or []]
        item.provider_ids = body.get("ProviderIds") or {}
        item.retag(*(tag["Name"] for tag in tags))
        return web.Response(status=204)

    async def _image(self, request: web.Request) -> web.Response:
        if "MaxWidth" not in request.query:
            raise web.HTTPBadRequest(text="as large as it comes")
        poster = self.find(request.match_info["id"]).poster
        if poster is None:
            raise web.HTTPNotFound
        return web.Response(body=poster, content_type="image/jpeg")

    async def _subtitle(self, request: web.Request) -> web.Response:
        item = self.find(request.match_info["id"])
        index = int(request.match_info["index"])
        streams = [stream for stream in item.streams if stream["Index"] == index]
        if request.match_info["source"] != item.source_id or not streams:
            raise web.HTTPNotFound
        if streams[0]["Codec"] in {"pgssub", "dvdsub"}:
            raise web.HTTPInternalServerError(text="pictures are no text")
        return web.Response(text=self.subtitles)

    async def _libraries(self, _request: web.Request) -> web.Response:
        items = [{"Name": name, "Locations": paths} for name, paths in self.libraries.items()]
        return web.json_response({"Items": items, "TotalRecordCount": len(items)})

    async def _sessions(self, _request: web.Request) -> web.Response:
        return web.json_response(self.sessions)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        item = self.find(request.match_info["id"])
        if item.file is None:
            raise web.HTTPNotFound
        query = request.query
        if query.get("static") != "true" or query.get("MediaSourceId") != item.source_id:
            raise web.HTTPBadRequest(text="this would transcode")
        return web.FileResponse(item.file)


def series(name: str, *, season_count: int = 1, episode_count: int = 3) -> list[EmbyItem]:
    """A show, its seasons and their episodes."""
    show = EmbyItem(name=name, type="Series", path=f"/media/{name}", poster=JPEG)
    found = [show]
    for season_number in range(1, season_count + 1):
        season = EmbyItem(name=f"Season {season_number}", type="Season", parents=(show.item_id,))
        found.append(season)
        found.extend(
            EmbyItem(
                name=f"{name} {season_number}x{number}",
                type="Episode",
                parents=(show.item_id, season.item_id),
                details={
                    "SeriesName": name,
                    "SeriesId": show.item_id,
                    "ParentIndexNumber": season_number,
                    "IndexNumber": number,
                },
            )
            for number in range(1, episode_count + 1)
        )
    return found


def _pascal(name: str) -> str:
    return name[0].upper() + name[1:]


def _tag_items(tags: Iterable[str]) -> list[dict[str, Any]]:
    return [{"Name": tag, "Id": 7_000 + index} for index, tag in enumerate(tags)]


def _timestamp(moment: datetime) -> str:
    """.NET's way: seven digits of the second's fraction."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
