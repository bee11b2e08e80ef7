"""Collections of Jellyfin and of Emby, which come of one ancestor and go the same way.

A collection is a folder named after it. One that is created again, by its name or by another that
makes the same folder, begins anew there, without what was in it (``CollectionManager`` of both). So
all collections are looked at before one is created, by name and by folder, as no user sees them
but as the server has them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import PurePosixPath
from typing import Final

from adapters.media_servers.http import ForbiddenError, JsonClient
from adapters.media_servers.values import same_text, text
from service.domain import Json
from service.errors import ConfigurationError, PermanentError, TransientError

LIST: Final = {"recursive": "true", "includeItemTypes": "BoxSet", "sortBy": "SortName"}
"""Query for all collections, in Jellyfin's spelling."""
SUFFIX = " [boxset]"
"""Of a collection's folder."""


class BoxSets:
    """Adds to collections, and creates those that are not there. One call at a time on one name.

    Args:
        http: The server.
        list_all: All collections, with ``Id``, ``Name`` and, to administrators, ``Path``.
        parameters: What the server calls a collection's name, items' ids, and the lock.
        title: What people call the server.
        fix: What gives the right to edit collections.
    """

    def __init__(
        self,
        http: JsonClient,
        list_all: Callable[[], AsyncIterator[Json]],
        *,
        parameters: tuple[str, str, str],
        title: str,
        fix: str,
    ) -> None:
        self._http = http
        self._list_all = list_all
        self._name, self._ids, self._is_locked = parameters
        self._title = title
        self._fix = fix

    async def add(self, name: str, item_ids: Sequence[str]) -> None:
        """Add items; what is in it already is not doubled by the server.

        Raises:
            ConfigurationError: The key may not edit collections.
            TransientError: No answer, or the collection went away meanwhile.
        """
        ids = ",".join(item_ids)
        found = await self.find(name)
        try:
            if not found:
                # Locked: else the server looks a film series of that name up, and renames it.
                create = {self._name: name, self._ids: ids, self._is_locked: "true"}
                await self._http.send("POST", "/Collections", query=create)
                return
            await self._extend(found, name, ids)
        except ForbiddenError as error:
            raise ConfigurationError(
                f"{self._title} lets this key not edit collections, so nothing was added to "
                f"{name!r} ({error}). {self._fix}"
            ) from error

    async def _extend(self, found: str, name: str, ids: str) -> None:
        try:
            await self._http.send("POST", f"/Collections/{found}/Items", query={self._ids: ids})
        except PermanentError as error:  # 400 as well as 404, where the collection is gone
            if await self.find(name) == found:
                raise
            raise TransientError(f"{error}: the collection {name!r} went away") from error

    async def find(self, name: str) -> str:
        """Id of the collection; empty where there is none that it would be, or take the place of.

        Of several the one that is spelt exactly so, then one of other case, then one whose folder
        has the name: its owner renamed it.
        """
        ranks: dict[int, str] = {}
        async for dto in self._list_all():
            named, folder = text(dto.get("Name")), _folder_name(text(dto.get("Path")))
            likeness = [named == name, same_text(named, name), same_text(folder, name)]
            if True in likeness:
                ranks.setdefault(likeness.index(True), text(dto.get("Id")))
        return ranks[min(ranks)] if ranks else ""


def _folder_name(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name.removesuffix(SUFFIX)
