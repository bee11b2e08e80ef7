"""A Plex that is as strict as what is known of it, for tests and the demo.

It takes its token in ``X-Plex-Token`` alone, answers in JSON only where that is asked for, refuses
to list a whole library at once, tells of streams and labels only one item at a time, forgets
labels that are not sent again and writes them with a capital, keeps whole seconds, and can be told
to fail or to hang.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from tests.support.stand_in import JPEG, SUBRIP, StandIn

TOKEN = "xyzzy-Plex_token-0123"
MACHINE_ID = "54664a3d8acc39983675640ec9ce00b70af9cc36"
TYPES = {
    "movie": 1,
    "show": 2,
    "season": 3,
    "episode": 4,
    "artist": 8,
    "album": 9,
    "track": 10,
    "clip": 12,
}
SECTIONS = {
    "movie": 1,
    "clip": 1,
    "show": 2,
    "season": 2,
    "episode": 2,
    "artist": 3,
    "album": 3,
    "track": 3,
}
"""Where things are kept."""
LEAVES = frozenset({"movie", "episode", "track", "clip"})
FILTERS = frozenset({"addedAt>", "updatedAt>"})
WINDOW = frozenset({"X-Plex-Container-Start", "X-Plex-Container-Size"})
LARGEST_PAGE = 1000
_ids = itertools.count(40_001)


@dataclass(kw_only=True)
class PlexItem:
    """One item of the library; change its fields at will between requests."""

    title: str
    type: str = "movie"
    section: int = 0
    """Key of its library; chosen by type when left at 0."""
    path: str = ""
    """As the server sees it."""
    file: Path | None = None
    """What is streamed."""
    item_id: str = field(default_factory=lambda: str(next(_ids)))
    parents: tuple[str, ...] = ()
    """Ids of what holds it, the nearest first."""
    size_bytes: int | None = None
    duration_s: float = 60.0
    year: int | None = None
    labels: list[str] = field(default_factory=list)
    are_labels_locked: bool = False
    added_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime | None = None
    is_scanned: bool = True
    """False: no media yet."""
    streams: list[dict[str, Any]] = field(default_factory=list)
    """Of its part."""
    preview: Callable[[float], bytes] | None = None
    """Draws the preview picture of a time in seconds, where Plex has drawn any."""
    details: dict[str, Any] = field(default_factory=dict)
    """Further keys, such as ``grandparentTitle``."""

    def __post_init__(self) -> None:
        self.path = self.path or f"/media/{self.title}.mkv"
        self.section = self.section or SECTIONS[self.type]

    def relabel(self, *labels: str) -> None:
        """Edit the labels as a user or a tool does: the item counts as saved just now."""
        self.labels = list(labels)
        self.updated_at = datetime.now(UTC)


@dataclass(kw_only=True)
class PlexCollection:
    """A collection of one library; of one type of things, unless it fills itself."""

    title: str
    section: int = 1
    subtype: str = "movie"
    is_smart: bool = False
    members: list[str] = field(default_factory=list)
    item_id: str = field(default_factory=lambda: str(next(_ids)))


class StandInPlex(StandIn):
    """Libraries behind the parts of Plex's HTTP API that Moodreel speaks.

    Args:
        items: What they hold.
        token: The only one it takes.
        version: What it says it is.
    """

    def __init__(
        self,
        items: Iterable[PlexItem] = (),
        *,
        token: str = TOKEN,
        version: str = "1.41.3.9314",
    ) -> None:
        super().__init__()
        self.items = list(items)
        self.token = token
        self.version = version
        self.sections = {1: ("Films", "movie"), 2: ("Shows", "show"), 3: ("Music", "artist")}
        """Title and type by key."""
        self.merges_labels = False
        """Whether it keeps labels that are not sent again until they are taken away by name: what
        is known of Plex goes one way and the other.
        """
        self.collections: list[PlexCollection] = []
        self.is_owner = True
        """False: the token is that of somebody with whom the library is shared."""
        self.has_pass = True
        self.sends_webhooks = True
        self.sessions: list[dict[str, Any]] = []
        self.artwork: dict[str, bytes] = {}
        """By its key."""
        self.subtitles = SUBRIP

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/identity", self._identity),
            web.get("/", self._root),
            web.get("/:/prefs", self._prefs),
            web.get("/library/sections", self._sections),
            web.get("/library/sections/{key}/collections", self._collections),
            web.post("/library/collections", self._create_collection),
            web.get("/library/collections/{id}/children", self._members),
            web.put("/library/collections/{id}/items", self._extend_collection),
            web.get("/library/sections/{key}/all", self._all),
            web.put("/library/sections/{key}/all", self._edit),
            web.get("/library/metadata/{id}", self._metadata),
            web.get("/library/metadata/{id}/{below:allLeaves|children}", self._below),
            web.get("/library/parts/{id}/{stamp}/{name}", self._part),
            web.get("/library/parts/{id}/indexes/sd/{offset}", self._preview),
            web.get("/library/streams/{id}", self._subtitle),
            web.get("/photo/:/transcode", self._photo),
            web.get("/status/sessions", self._sessions),
        ]

    def admits(self, request: web.Request) -> bool:
        if "X-Plex-Token" in request.query:
            return False
        if not self.is_owner and (request.method != "GET" or request.path == "/:/prefs"):
            raise web.HTTPForbidden
        return request.path == "/identity" or request.headers.get("X-Plex-Token") == self.token

    def webhook_body(self, item: PlexItem, event: str = "library.new") -> tuple[bytes, str]:
        """What Plex sends, a form with a picture beside the JSON, and its content type."""
        payload = {
            "event": event,
            "user": True,
            "owner": True,
            "Account": {"id": 1, "title": "owner"},
            "Server": {"title": "Stand-in", "uuid": MACHINE_ID},
            "Metadata": {"ratingKey": item.item_id, "type": item.type, "title": item.title},
        }
        edge = "------------------------d74496d66958873e"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="payload"\r\n\r\n'
        thumb = (
            f'\r\n--{edge}\r\nContent-Disposition: form-data; name="thumb"; filename="t.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        body = head.encode() + json.dumps(payload).encode() + thumb.encode() + JPEG
        return body + f"\r\n--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"

    def find(self, item_id: str) -> PlexItem:
        found = next((item for item in self.items if item.item_id == item_id), None)
        if found is None:
            raise web.HTTPNotFound
        return found

    async def _identity(self, request: web.Request) -> web.Response:
        return _answer(request, {"machineIdentifier": MACHINE_ID, "version": self.version})

    async def _root(self, request: web.Request) -> web.Response:
        about = {"machineIdentifier": MACHINE_ID, "version": self.version}
        return _answer(request, {**about, "myPlexSubscription": self.has_pass})

    async def _prefs(self, request: web.Request) -> web.Response:
        setting = {"id": "WebHooksEnabled", "type": "bool", "value": self.sends_webhooks}
        return _answer(request, {"Setting": [setting]})

    async def _sections(self, request: web.Request) -> web.Response:
        photos = {"key": "9", "type": "photo", "title": "Photos"}
        found = [
            {"key": str(key), "type": kind, "title": title}
            for key, (title, kind) in self.sections.items()
        ]
        return _answer(request, {"size": len(found) + 1, "Directory": [*found, photos]})

    async def _all(self, request: web.Request) -> web.Response:
        query, key = request.query, int(request.match_info["key"])
        if query.keys() - {"type", "sort"} - FILTERS - WINDOW:
            raise web.HTTPBadRequest(text="unknown parameter")
        if key not in self.sections:
            raise web.HTTPNotFound
        number = int(query.get("type", TYPES[self.sections[key][1]]))
        found = [item for item in self.items if item.section == key and TYPES[item.type] == number]
        for name in FILTERS & query.keys():
            since = int(query[name])
            found = [item for item in found if _time(item, name.removesuffix(">")) >= since]
        if query.get("sort", "").startswith("addedAt"):
            is_falling = query["sort"].startswith("addedAt:desc")
            found.sort(key=lambda item: (_time(item, "addedAt"), item.title), reverse=is_falling)
        return self._page(request, found)

    async def _collections(self, request: web.Request) -> web.Response:
        key = int(request.match_info["key"])
        entries = [
            {
                "ratingKey": one.item_id,
                "type": "collection",
                "title": one.title,
                "subtype": one.subtype,
                "childCount": str(len(one.members)),
                **({"smart": "1"} if one.is_smart else {}),
            }
            for one in self.collections
            if one.section == key
        ]
        return self._page_of(request, entries)

    async def _create_collection(self, request: web.Request) -> web.Response:
        """Names may be there twice, as in Plex."""
        query = request.query
        if query.keys() != {"type", "title", "smart", "sectionId", "uri"} or query["smart"] != "0":
            raise web.HTTPBadRequest(text="unknown parameter")
        item = self._named(query["uri"])
        is_its = query["sectionId"] == str(item.section) and query["type"] == str(TYPES[item.type])
        if not is_its:
            raise web.HTTPBadRequest(text="another library or type")
        made = PlexCollection(title=query["title"], section=item.section, subtype=item.type)
        made.members.append(item.item_id)
        self.collections.append(made)
        return web.Response(status=200)

    async def _extend_collection(self, request: web.Request) -> web.Response:
        found, item = self._collection(request), self._named(request.query["uri"])
        if found.is_smart or item.type != found.subtype or item.section != found.section:
            raise web.HTTPBadRequest(text="does not belong there")
        found.members.append(item.item_id)
        return web.Response(status=200)

    async def _members(self, request: web.Request) -> web.Response:
        found = self._collection(request)
        return self._page(request, [self.find(member) for member in found.members])

    def _collection(self, request: web.Request) -> PlexCollection:
        wanted = request.match_info["id"]
        found = next((one for one in self.collections if one.item_id == wanted), None)
        if found is None:
            raise web.HTTPNotFound
        return found

    def _named(self, uri: str) -> PlexItem:
        start = f"server://{MACHINE_ID}/com.plexapp.plugins.library/library/metadata/"
        if not uri.startswith(start):
            raise web.HTTPBadRequest(text="no item of this server")
        return self.find(uri.removeprefix(start))

    def _page(self, request: web.Request, found: list[PlexItem]) -> web.Response:
        return self._page_of(request, [self._entry(item) for item in found])

    def _page_of(self, request: web.Request, found: list[dict[str, Any]]) -> web.Response:
        if not request.query.keys() >= WINDOW:
            raise web.HTTPBadRequest(text="the whole library at once")
        start, size = (int(request.query[f"X-Plex-Container-{name}"]) for name in ("Start", "Size"))
        if size > LARGEST_PAGE:
            raise web.HTTPBadRequest(text="the whole library at once")
        page = found[start : start + size]
        container = {"size": len(page), "totalSize": len(found), "offset": start}
        return _answer(request, {**container, "Metadata": page} if page else container)

    def _entry(self, item: PlexItem, *, is_whole: bool = False) -> dict[str, Any]:
        title, _ = self.sections[item.section]
        size = item.size_bytes
        if size is None:
            size = item.file.stat().st_size if item.file else 1000
        part: dict[str, Any] = {
            "id": int(item.item_id) + 100_000,
            "key": f"/library/parts/{int(item.item_id) + 100_000}/1691115281/file.mkv",
            "duration": int(item.duration_s * 1000),
            "file": item.path,
            "size": size,
            "container": "mkv",
        }
        if item.preview is not None:
            part["indexes"] = "sd"
        found: dict[str, Any] = {
            "ratingKey": item.item_id,
            "key": f"/library/metadata/{item.item_id}",
            "guid": f"plex://{item.type}/{item.item_id}",
            "type": item.type,
            "title": item.title,
            "summary": f"About {item.title}.",
            "addedAt": int(item.added_at.timestamp()),
            "Genre": [{"tag": "Drama"}],
        }
        if item.updated_at is not None:
            found["updatedAt"] = int(item.updated_at.timestamp())
        if item.year is not None:
            found["year"] = item.year
        if item.type in LEAVES and item.is_scanned:
            whole = {"Stream": item.streams} if is_whole else {}
            found["duration"] = int(item.duration_s * 1000)
            found["Media"] = [{"id": int(item.item_id) + 1, "Part": [{**part, **whole}]}]
        if is_whole:
            found |= {"librarySectionID": item.section, "librarySectionTitle": title}
            found["Label"] = [{"id": 1 + n, "tag": tag} for n, tag in enumerate(item.labels)]
        return {**found, **item.details}

    async def _metadata(self, request: web.Request) -> web.Response:
        item = self.find(request.match_info["id"])
        return _answer(request, {"size": 1, "Metadata": [self._entry(item, is_whole=True)]})

    async def _below(self, request: web.Request) -> web.Response:
        """``children`` are one level down, ``allLeaves`` those of a show or an artist."""
        parent = self.find(request.match_info["id"])
        if request.match_info["below"] == "children":
            found = [item for item in self.items if item.parents[:1] == (parent.item_id,)]
        elif parent.type in {"show", "artist"}:
            below = [item for item in self.items if parent.item_id in item.parents]
            found = [item for item in below if item.type in LEAVES]
        else:
            raise web.HTTPBadRequest
        return self._page(request, found)

    async def _edit(self, request: web.Request) -> web.Response:
        query = request.query
        item = self.find(query.get("id", ""))
        is_its = int(request.match_info["key"]) == item.section
        if not is_its or query.get("type") != str(TYPES[item.type]):
            raise web.HTTPBadRequest(text="another library or type")
        sent = {name for name in query if re.fullmatch(r"label\[\d+\]\.tag\.tag", name)}
        if query.keys() - sent - {"id", "type", "label.locked", "label[].tag.tag-"}:
            raise web.HTTPBadRequest(text="unknown parameter")
        labels = [query[name] for name in query if name in sent]
        if self.merges_labels or not sent:
            labels = [*item.labels, *(label for label in labels if label not in item.labels)]
        gone = {unquote(label) for label in query.get("label[].tag.tag-", "").split(",")}
        item.relabel(*(label[:1].upper() + label[1:] for label in labels if label not in gone))
        if "label.locked" in query:
            item.are_labels_locked = query["label.locked"] == "1"
        return web.Response(status=200)

    async def _photo(self, request: web.Request) -> web.Response:
        query = request.query
        if not {"url", "width", "height"} <= query.keys() or not query["url"].startswith("/"):
            raise web.HTTPBadRequest(text="no picture of this server")
        if query["url"] not in self.artwork:
            raise web.HTTPNotFound
        return web.Response(body=self.artwork[query["url"]], content_type="image/jpeg")

    async def _subtitle(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.subtitles)

    async def _sessions(self, request: web.Request) -> web.Response:
        return _answer(request, {"size": len(self.sessions), "Metadata": self.sessions})

    async def _preview(self, request: web.Request) -> web.Response:
        item = self.find(str(int(request.match_info["id"]) - 100_000))
        time_s = int(request.match_info["offset"]) / 1000
        if item.preview is None or time_s >= item.duration_s:
            raise web.HTTPNotFound
        return web.Response(body=item.preview(time_s), content_type="image/jpeg")

    async def _part(self, request: web.Request) -> web.StreamResponse:
        item = self.find(str(int(request.match_info["id"]) - 100_000))
        if item.file is None:
            raise web.HTTPNotFound
        return web.FileResponse(item.file)


def show(title: str, *, season_count: int = 1, episode_count: int = 3) -> list[PlexItem]:
    """A show, its seasons and their episodes."""
    top = PlexItem(title=title, type="show")
    found = [top]
    for season_number in range(1, season_count + 1):
        season = PlexItem(title=f"Season {season_number}", type="season", parents=(top.item_id,))
        found.append(season)
        found.extend(
            PlexItem(
                title=f"{title} {season_number}x{number}",
                type="episode",
                parents=(season.item_id, top.item_id),
                details={
                    "grandparentTitle": title,
                    "grandparentRatingKey": top.item_id,
                    "parentTitle": season.title,
                    "parentIndex": season_number,
                    "index": number,
                },
            )
            for number in range(1, episode_count + 1)
        )
    return found


def _answer(request: web.Request, container: Mapping[str, Any]) -> web.Response:
    """JSON where it is asked for; XML, which is what Plex prefers, elsewhere."""
    if request.headers.get("Accept") != "application/json":
        return web.Response(text="<MediaContainer/>", content_type="text/xml")
    return web.json_response({"MediaContainer": container})


def _time(item: PlexItem, name: str) -> int:
    moment = item.added_at if name == "addedAt" else item.updated_at
    return int(moment.timestamp()) if moment else -1
