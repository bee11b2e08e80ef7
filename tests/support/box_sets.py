"""Collections as Jellyfin and Emby keep them: a folder each, begun anew by whoever creates it.

Creating one whose folder is there already loses what was in it, as with the real ones; adding what
is in it already changes nothing; an unknown collection or item is a bad request.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

INVALID = '<>:"/\\|?*'
"""Characters that are no part of a folder's name."""


@dataclass(kw_only=True)
class BoxSet:
    """A collection."""

    item_id: str
    name: str
    folder: str
    members: list[str] = field(default_factory=list)
    is_locked: bool = False
    """False: it is looked up by its name, and may get another one."""


class BoxSetShelf:
    """All collections of a server.

    Args:
        spell: How the server's routes spell a parameter.
        make_id: An id from a folder.
        has_item: Whether the library has an item of this id.
    """

    def __init__(
        self,
        spell: Callable[[str], str],
        make_id: Callable[[str], str],
        has_item: Callable[[str], bool],
    ) -> None:
        self.box_sets: list[BoxSet] = []
        self.creations: list[str] = []
        """Names with which one was created, each time."""
        self.arrived = asyncio.Event()
        """Set when a creation is asked for."""
        self.resumed = asyncio.Event()
        """Clear it and creations wait until it is set again, whether or not the asker does."""
        self.resumed.set()
        self._spell = spell
        self._make_id = make_id
        self._has_item = has_item

    def put(self, name: str, *members: str, folder: str = "") -> BoxSet:
        """A collection of the owner's making; ``folder`` where it was renamed since."""
        path = f"/config/data/collections/{folder or _valid(name)} [boxset]"
        made = BoxSet(item_id=self._make_id(path), name=name, folder=path, members=list(members))
        self.box_sets = [one for one in self.box_sets if one.folder != path] + [made]
        return made

    def members(self, name: str) -> list[str]:
        """What the one collection of this name holds."""
        (found,) = [one for one in self.box_sets if one.name == name]
        return found.members

    def routes(self, below: str = "") -> list[web.RouteDef]:
        return [
            web.post(f"{below}/Collections", self._create),
            web.post(f"{below}/Collections/{{id}}/Items", self._extend),
        ]

    def describe(self, fields: set[str]) -> list[dict[str, object]]:
        """Of all, as lists of items show them."""
        return [
            {
                "Id": one.item_id,
                "Name": one.name,
                "Type": "BoxSet",
                "IsFolder": True,
                **({"Path": one.folder} if "Path" in fields else {}),
            }
            for one in sorted(self.box_sets, key=lambda one: one.name)
        ]

    async def _create(self, request: web.Request) -> web.Response:
        query = self._read(request, "name", "ids", "parentId", "isLocked")
        if not query.get("name"):
            raise web.HTTPBadRequest(text="a name is needed")
        ids = self._ids(query)
        self.arrived.set()
        await self.resumed.wait()
        self.creations.append(query["name"])
        made = self.put(query["name"], *dict.fromkeys(ids))
        made.is_locked = query.get("isLocked") == "true"
        return web.json_response({"Id": made.item_id})

    async def _extend(self, request: web.Request) -> web.Response:
        ids = self._ids(self._read(request, "ids"))
        found = [one for one in self.box_sets if one.item_id == request.match_info["id"]]
        if not found:
            raise web.HTTPBadRequest(text="No collection exists with the supplied Id")
        found[0].members += [one for one in dict.fromkeys(ids) if one not in found[0].members]
        return web.Response(status=204)

    def _read(self, request: web.Request, *known: str) -> dict[str, str]:
        query = {
            name: request.query[self._spell(name)]
            for name in known
            if self._spell(name) in request.query
        }
        if len(query) != len(request.query):
            raise web.HTTPBadRequest(text="unknown parameter")
        return query

    def _ids(self, query: dict[str, str]) -> list[str]:
        ids = [one for one in query.get("ids", "").split(",") if one]
        if not all(map(self._has_item, ids)):
            raise web.HTTPBadRequest(text="No item exists with the supplied Id")
        return ids


def hashed_id(folder: str) -> str:
    """As Jellyfin makes ids: of the path."""
    return hashlib.md5(folder.encode()).hexdigest()


def numbered_id(folder: str) -> str:
    """Emby's are whole numbers."""
    return str(int(hashed_id(folder)[:6], 16))


def _valid(name: str) -> str:
    return "".join(" " if letter in INVALID else letter for letter in name)
