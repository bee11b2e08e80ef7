"""A Jellyfin that is as strict as the real ones of its version, for tests and the demo.

It takes legacy authorization before 12.0 only, shows what Jellyfin shows on request only when it is
asked for, refuses query parameters that Jellyfin does not have, pages, serves files with ranges,
wipes what a write leaves out, writes the tags of a show into its episodes, and can be told to fail
or to hang.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from tests.support.box_sets import BoxSetShelf, hashed_id
from tests.support.jellyfin_items import (
    ITEM_FIELDS,
    NEWER_FIELDS,
    SERVER_ID,
    TICKS_PER_SECOND,
    StandInItem,
    StandInSubtitle,
    StandInTrickplay,
    timestamp,
)
from tests.support.jellyfin_media import ITEM_ROUTES, Serve

__all__ = [
    "API_KEY",
    "PLUGIN_ID",
    "StandInItem",
    "StandInJellyfin",
    "StandInSubtitle",
    "StandInTrickplay",
]

API_KEY = "0123456789abcdef0123456789abcdef"
PLUGIN_ID = "71552a5a5c5c4350a2aeebe451a30173"
LEGACY_HEADERS = ("X-Emby-Token", "X-MediaBrowser-Token")
KNOWN_QUERY = frozenset(
    {
        *("userId", "ids", "parentId", "recursive", "startIndex", "limit", "sortBy", "sortOrder"),
        *("includeItemTypes", "excludeItemTypes", "mediaTypes", "fields", "minDateLastSaved"),
        *("isMissing", "locationTypes", "excludeLocationTypes", "enableUserData"),
        *("enableImages", "enableTotalRecordCount"),
    }
)
ELEVATED = ("/Library/VirtualFolders", "/Plugins")
LOOPING = ((10, 11, 0), (10, 11, 4))
GUID = re.compile("[0-9a-f]{32}")


class StandInJellyfin:
    """A library behind the parts of Jellyfin's HTTP API that Moodreel speaks.

    Args:
        items: What it holds.
        api_key: The only key it takes.
        version: What it says it is, and behaves like.
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
        self.is_admin = True
        """False: the key is the token of a user without rights."""
        self.may_collect = False
        """Of a user without rights: whether the policy lets the user manage collections."""
        self.collections = BoxSetShelf(str, hashed_id, self._has)
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
        self.sessions: list[dict[str, Any]] = []
        self.libraries: list[dict[str, Any]] = [library("Films", "/media")]
        self.plugins: list[dict[str, Any]] = []
        self.plugin_settings: dict[str, Any] = {"ServerUrl": "", "GenericOptions": []}
        self.is_still = False
        """True: the library does not change any more, and long lists are sorted only once."""
        self._sorted: dict[str, list[StandInItem]] = {}
        self.announced: list[bytes] = []
        """Bodies that its plugin would send of its own accord: after an edit, where it loops."""

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
        """Serve on loopback; gives the address. May be done again: that is a restart."""
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
                web.get("/Items/{id}", self._item_for_user),
                web.get("/Users/{user}/Items/{id}", self._item_for_user),
                web.post("/Items/{id}", self._update),
                *(web.get(path, self._of_item(serve)) for path, serve in ITEM_ROUTES.items()),
                *self.collections.routes(),
                web.get("/Users/Me", self._me),
                web.get("/Sessions", self._sessions),
                web.get("/Library/VirtualFolders", self._virtual_folders),
                web.get("/Plugins", self._plugins),
                web.get("/Plugins/{id}/Configuration", self._plugin_configuration),
                web.post("/Plugins/{id}/Configuration", self._configure_plugin),
            ]
        )
        return app

    def _of_item(self, serve: Serve) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await serve(self._find(request), request, self._numbers)

        return handle

    def fail_with(self, status: int, *, times: int | None = None, **headers: str) -> None:
        """Answer everything with this status; ``Retry_After="7"`` becomes a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.failure = lambda: web.Response(status=status, headers=named, text="<html>no</html>")
        self.failures_left = times

    def recover(self) -> None:
        self.failure = None

    def install_webhook_plugin(self, *destinations: dict[str, Any], status: str = "Active") -> None:
        self.plugins.append({"Name": "Webhook", "Id": PLUGIN_ID, "Status": status, "Version": "18"})
        self.plugin_settings["GenericOptions"] = list(destinations)

    def webhook_body(self, item: StandInItem, notification: str = "ItemAdded") -> bytes:
        """What the webhook plugin sends with "Send All Properties" (``text/plain``)."""
        body = {
            "ServerId": SERVER_ID,
            "ServerName": "Stand-in",
            "ServerVersion": self.version,
            "ServerUrl": "",
            "NotificationType": notification,
            "UtcTimestamp": timestamp(datetime.now(UTC)),
            "Name": item.name.replace('"', '\\"'),
            "Overview": "",
            "Tagline": "",
            "ItemId": item.item_id,
            "ItemType": item.type,
            "RunTimeTicks": int(item.duration_s * TICKS_PER_SECOND),
        }
        return json.dumps(body).encode()

    @property
    def _numbers(self) -> tuple[int, ...]:
        return tuple(int(number) for number in re.findall(r"\d+", self.version)[:3])

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
        is_open = request.path == "/System/Info/Public" or "/Images/" in request.path
        if not is_open and not self._is_authorized(request):
            raise web.HTTPUnauthorized
        if not self.is_admin and (request.method == "POST" or request.path.startswith(ELEVATED)):
            is_collecting = self.may_collect and request.path.startswith("/Collections")
            if not is_collecting:
                raise web.HTTPForbidden
        response: web.StreamResponse = await handler(request)
        return response

    def _is_authorized(self, request: web.Request) -> bool:
        scheme, _, fields = request.headers.get("Authorization", "").partition(" ")
        values = dict(re.findall(r'(\w+)="([^"]*)"', fields))
        is_complete = {"Token", "Client", "Device", "DeviceId", "Version"} <= values.keys()
        if scheme == "MediaBrowser" and is_complete and unquote(values["Token"]) == self.api_key:
            return True
        legacy = {request.headers.get(name) for name in LEGACY_HEADERS}
        legacy |= {request.query.get("api_key"), values["Token"] if scheme == "Emby" else None}
        return self._numbers < (12,) and self.api_key in legacy

    async def _public_info(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"ServerName": "Stand-in", "Version": self.version, "ProductName": "Jellyfin Server"}
        )

    async def _info(self, _request: web.Request) -> web.Response:
        return web.json_response({"Version": self.version, "Id": SERVER_ID})

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        fields = {name for name in query.get("fields", "").split(",") if name}
        known = ITEM_FIELDS | {"Settings", "SpecialEpisodeNumbers"}
        if query.keys() - KNOWN_QUERY or fields - known:
            raise web.HTTPBadRequest(text="unknown parameter or field")
        if not self.is_admin and self._numbers < (10, 9) and "userId" not in query:
            raise web.HTTPBadRequest(text="userId is required")
        if query.get("includeItemTypes") == "BoxSet":
            return self._list_collections(query, fields)
        found = self._select_once(query) if self.is_still else self._select(query)
        start, limit = int(query.get("startIndex", "0")), int(query.get("limit", "10000000"))
        has_total = query.get("enableTotalRecordCount", "true") == "true"
        # What a version does not know of yet, it ignores.
        fields = {name for name in fields if self._numbers >= NEWER_FIELDS.get(name, ())}
        return web.json_response(
            {
                "Items": [item.describe(fields) for item in found[start : start + limit]],
                "TotalRecordCount": len(found) if has_total else 0,
                "StartIndex": start,
            }
        )

    def _list_collections(self, query: Any, fields: set[str]) -> web.Response:
        """Users see those only that hold what they may see: here none at all."""
        found = [] if "userId" in query else self.collections.describe(fields)
        if query.get("recursive") != "true":
            found = []
        start, limit = int(query.get("startIndex", "0")), int(query.get("limit", "10000000"))
        page = found[start : start + limit]
        return web.json_response({"Items": page, "TotalRecordCount": len(found)})

    def _has(self, item_id: str) -> bool:
        return any(item.item_id == item_id for item in self.items)

    async def _me(self, _request: web.Request) -> web.Response:
        if self.is_admin:  # an API key has no user
            raise web.HTTPBadRequest
        return web.json_response({"Policy": {"EnableCollectionManagement": self.may_collect}})

    def _select_once(self, query: Any) -> list[StandInItem]:
        paging = {"startIndex", "limit", "fields"}
        key = repr(sorted(item for item in query.items() if item[0] not in paging))
        if key not in self._sorted:
            self._sorted[key] = self._select(query)
        return self._sorted[key]

    def _select(self, query: Any) -> list[StandInItem]:
        if "ids" in query:
            ids = query["ids"].split(",")
            if not all(GUID.fullmatch(item_id) for item_id in ids):
                raise web.HTTPBadRequest(text="not a guid")
            return [item for item in self.items if item.item_id in ids]
        if query.get("recursive") != "true":
            return []  # the library's folders, which hold no media themselves
        types = query["includeItemTypes"].split(",") if "includeItemTypes" in query else None
        found = [item for item in self.items if types is None or item.type in types]
        if "parentId" in query:
            found = [item for item in found if self._holds(query["parentId"], item)]
        if "minDateLastSaved" in query:
            since = datetime.fromisoformat(query["minDateLastSaved"])
            found = [item for item in found if item.saved_at >= since]
        return sorted(
            found,
            key=lambda item: [_sort_key(item, name) for name in query.get("sortBy", "").split(",")],
            reverse=query.get("sortOrder") == "Descending",
        )

    def _holds(self, parent_id: str, item: StandInItem) -> bool:
        folders = [
            folder
            for library in self.libraries
            for folder in library["Locations"]
            if library["ItemId"] == parent_id
        ]
        return parent_id in item.parents or any(
            item.path.startswith(f"{folder}/") for folder in folders
        )

    async def _item_for_user(self, request: web.Request) -> web.Response:
        by_path = "user" in request.match_info
        if not by_path and self._numbers < (10, 9):
            raise web.HTTPMethodNotAllowed("GET", ["POST"])
        if not by_path and "userId" not in request.query:
            raise web.HTTPBadRequest(text="Guid can't be empty (Parameter 'id')")
        return web.json_response(self._find(request).describe(None))

    async def _update(self, request: web.Request) -> web.Response:
        item = self._find(request)
        before = set(item.tags)
        item.write(await request.json(), self._numbers)
        if item.is_group:
            self._stamp_children(item, set(item.tags) - before, before - set(item.tags))
        if LOOPING[0] <= self._numbers <= LOOPING[1]:
            self.announced.append(self.webhook_body(item))
        return web.Response(status=204)

    def _stamp_children(self, group: StandInItem, added: set[str], removed: set[str]) -> None:
        for child in self.items:
            if group.item_id in child.parents and "Tags" not in child.details.get(
                "LockedFields", []
            ):
                child.retag(*[tag for tag in child.tags if tag not in removed], *sorted(added))

    async def _sessions(self, _request: web.Request) -> web.Response:
        return web.json_response(self.sessions)

    async def _virtual_folders(self, _request: web.Request) -> web.Response:
        return web.json_response(self.libraries)

    async def _plugins(self, _request: web.Request) -> web.Response:
        return web.json_response(self.plugins)

    async def _plugin_configuration(self, request: web.Request) -> web.Response:
        self._require_plugin(request)
        return web.json_response(self.plugin_settings)

    async def _configure_plugin(self, request: web.Request) -> web.Response:
        self._require_plugin(request)
        self.plugin_settings = copy.deepcopy(await request.json())
        return web.Response(status=204)

    def _require_plugin(self, request: web.Request) -> None:
        if request.match_info["id"] not in {plugin["Id"] for plugin in self.plugins}:
            raise web.HTTPNotFound

    def _find(self, request: web.Request) -> StandInItem:
        item_id = request.match_info["id"]
        item = next((item for item in self.items if item.item_id == item_id), None)
        if item is None:
            raise web.HTTPNotFound
        return item


def library(name: str, *locations: str, has_trickplay: bool = False) -> dict[str, Any]:
    """One of ``/Library/VirtualFolders``."""
    return {
        "Name": name,
        "Locations": list(locations),
        "CollectionType": "movies",
        "ItemId": hashlib.md5(name.encode()).hexdigest(),
        "LibraryOptions": {"EnableTrickplayImageExtraction": has_trickplay},
    }


def _sort_key(item: StandInItem, name: str) -> Any:
    if name == "DateCreated":
        return item.created_at
    return item.details.get(name, 0) if name.endswith("Number") else item.name
