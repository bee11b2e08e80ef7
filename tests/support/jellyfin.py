"""A Jellyfin that is as strict as the strictest version, for tests and the demo.

It takes the ``MediaBrowser`` authorization alone (as 12.0 does), sends ``Path`` and
``MediaSources`` only when they are asked for, refuses query parameters that Jellyfin does not
have, pages, serves files with ranges, and can be told to fail or to hang.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

API_KEY = "0123456789abcdef0123456789abcdef"
SERVER_ID = "aa" * 16
TICKS_PER_SECOND = 10_000_000
LEGACY_HEADERS = ("X-Emby-Token", "X-MediaBrowser-Token", "X-Emby-Authorization")
KNOWN_QUERY = frozenset(
    {
        *("userId", "ids", "parentId", "recursive", "startIndex", "limit", "sortBy", "sortOrder"),
        *("includeItemTypes", "excludeItemTypes", "mediaTypes", "fields", "minDateLastSaved"),
        *("isMissing", "locationTypes", "excludeLocationTypes", "enableUserData"),
        *("enableImages", "enableTotalRecordCount"),
    }
)
OPTIONAL_FIELDS = frozenset(
    {"Path", "MediaSources", "Overview", "Genres", "Tags", "DateCreated", "Etag"}
)


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
    details: dict[str, Any] = field(default_factory=dict)
    """Further keys of the DTO, such as ``SeriesName``."""

    def __post_init__(self) -> None:
        self.path = self.path or f"/media/{self.name}.mkv"
        if not self.item_id:
            self.item_id = hashlib.md5(f"{self.type}{self.path}".encode()).hexdigest()

    def retag(self, *tags: str) -> None:
        """Edit the tags as a user or a tool does: the item counts as saved just now."""
        self.tags = list(tags)
        self.saved_at = datetime.now(UTC)


class StandInJellyfin:
    """A library behind the parts of Jellyfin's HTTP API that Moodreel speaks.

    Args:
        items: What it holds.
        api_key: The only key it takes.
        version: What it says it is.
    """

    def __init__(
        self,
        items: Iterable[StandInItem] = (),
        *,
        api_key: str = API_KEY,
        version: str = "10.11.6",
    ) -> None:
        self.items = list(items)
        self.api_key = api_key
        self.version = version
        self.url = ""
        """Its address while it serves."""
        self.requests: list[str] = []
        """Path and query of each request."""
        self.failure: Callable[[], web.StreamResponse] | None = None
        """Makes the answer to everything, where set."""
        self.failures_left: int | None = None
        """How often; None: always."""
        self.resumed = asyncio.Event()
        """Clear it and every request hangs until it is set again."""
        self.resumed.set()

    @classmethod
    def of_folder(cls, folder: Path, *, server_root: str = "/media") -> StandInJellyfin:
        """A library of the media files of a folder, which the server sees as ``server_root``."""
        types = {".mp3": "Audio", ".flac": "Audio", ".wav": "Audio", ".ogg": "Audio"}
        return cls(
            StandInItem(
                name=file.stem,
                type=types.get(file.suffix.lower(), "Movie"),
                path=f"{server_root}/{file.relative_to(folder).as_posix()}",
                file=file,
            )
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        )

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """Serve on loopback; gives the address."""
        runner = web.AppRunner(self.app(), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self.url
        finally:
            self.resumed.set()
            await runner.cleanup()

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/System/Info/Public", self._public_info),
                web.get("/System/Info", self._info),
                web.get("/Items", self._list),
                web.get("/Videos/{id}/stream", self._stream),
                web.get("/Audio/{id}/stream", self._stream),
            ]
        )
        return app

    def fail_with(self, status: int, *, times: int | None = None, **headers: str) -> None:
        """Answer everything with this status; ``Retry_After="7"`` becomes a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.failure = lambda: web.Response(status=status, headers=named, text="<html>no</html>")
        self.failures_left = times

    def recover(self) -> None:
        self.failure = None

    def webhook_body(self, item: StandInItem, notification: str = "ItemAdded") -> bytes:
        """What the webhook plugin sends with "Send All Properties" (``text/plain``)."""
        body = {
            "ServerId": SERVER_ID,
            "ServerName": "Stand-in",
            "ServerVersion": self.version,
            "ServerUrl": "",
            "NotificationType": notification,
            "UtcTimestamp": _timestamp(datetime.now(UTC)),
            "Name": item.name.replace('"', '\\"'),
            "Overview": "",
            "Tagline": "",
            "ItemId": item.item_id,
            "ItemType": item.type,
            "RunTimeTicks": int(item.duration_s * TICKS_PER_SECOND),
        }
        return json.dumps(body).encode()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Any]
    ) -> web.StreamResponse:
        self.requests.append(request.path_qs)
        await self.resumed.wait()
        if self.failure is not None and self.failures_left != 0:
            if self.failures_left is not None:
                self.failures_left -= 1
            return self.failure()
        if request.path != "/System/Info/Public" and not self._is_authorized(request):
            raise web.HTTPUnauthorized
        response: web.StreamResponse = await handler(request)
        return response

    def _is_authorized(self, request: web.Request) -> bool:
        if any(name in request.headers for name in LEGACY_HEADERS) or "api_key" in request.query:
            return False
        scheme, _, fields = request.headers.get("Authorization", "").partition(" ")
        values = dict(re.findall(r'(\w+)="([^"]*)"', fields))
        is_complete = {"Token", "Client", "Device", "DeviceId", "Version"} <= values.keys()
        return scheme == "MediaBrowser" and is_complete and unquote(values["Token"]) == self.api_key

    async def _public_info(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"ServerName": "Stand-in", "Version": self.version, "ProductName": "Jellyfin Server"}
        )

    async def _info(self, _request: web.Request) -> web.Response:
        return web.json_response({"Version": self.version, "Id": SERVER_ID})

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        fields = {name for name in query.get("fields", "").split(",") if name}
        if query.keys() - KNOWN_QUERY or fields - OPTIONAL_FIELDS:
            raise web.HTTPBadRequest(text="unknown parameter or field")
        found = self._select(query)
        start, limit = int(query.get("startIndex", "0")), int(query.get("limit", "10000000"))
        has_total = query.get("enableTotalRecordCount", "true") == "true"
        return web.json_response(
            {
                "Items": [self._dto(item, fields) for item in found[start : start + limit]],
                "TotalRecordCount": len(found) if has_total else 0,
                "StartIndex": start,
            }
        )

    def _select(self, query: Any) -> list[StandInItem]:
        if "ids" in query:
            ids = query["ids"].split(",")
            if not all(re.fullmatch("[0-9a-f]{32}", item_id) for item_id in ids):
                raise web.HTTPBadRequest(text="not a guid")
            return [item for item in self.items if item.item_id in ids]
        if query.get("recursive") != "true":
            return []  # the library's folders, which hold no media themselves
        types = query["includeItemTypes"].split(",") if "includeItemTypes" in query else None
        found = [item for item in self.items if types is None or item.type in types]
        if "minDateLastSaved" in query:
            since = datetime.fromisoformat(query["minDateLastSaved"])
            found = [item for item in found if item.saved_at >= since]
        if query.get("sortBy", "").startswith("DateCreated"):
            found.sort(key=lambda item: (item.created_at, item.name))
        return found

    def _dto(self, item: StandInItem, fields: set[str]) -> dict[str, Any]:
        size = item.size_bytes
        if size is None:
            size = item.file.stat().st_size if item.file else 1000
        source = {
            "Protocol": item.protocol,
            "Id": item.item_id,
            "Path": item.path,
            "Type": "Default",
            "Size": size,
            "IsRemote": item.protocol != "File",
            "ETag": hashlib.md5(_timestamp(item.saved_at).encode()).hexdigest(),
            "RunTimeTicks": int(item.duration_s * TICKS_PER_SECOND),
        }
        optional: dict[str, Any] = {
            "Path": item.path,
            "MediaSources": [source] if item.is_scanned else [],
            "Overview": f"About {item.name}.",
            "Genres": ["Drama"],
            "Tags": item.tags,
            "DateCreated": _timestamp(item.created_at),
            "Etag": source["ETag"],
        }
        return {
            "Name": item.name,
            "ServerId": SERVER_ID,
            "Id": item.item_id,
            "Type": item.type,
            "RunTimeTicks": source["RunTimeTicks"],
            "LocationType": "FileSystem",
            "IsFolder": False,
            **{name: value for name, value in optional.items() if name in fields},
            **item.details,
        }

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        item_id = request.match_info["id"]
        item = next((item for item in self.items if item.item_id == item_id), None)
        if item is None or item.file is None:
            raise web.HTTPNotFound
        if request.query.get("static") != "true" or request.query.get("mediaSourceId") != item_id:
            raise web.HTTPBadRequest(text="this would transcode")
        return web.FileResponse(item.file)


def _timestamp(moment: datetime) -> str:
    """.NET's way: seven digits of the second's fraction."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
