"""The parts of Jellyfin's HTTP API that answer with items, for all versions from 10.8 on."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping

from adapters.media_servers.boxsets import LIST
from adapters.media_servers.http import JsonClient
from adapters.media_servers.jellyfin_parsers import find_library, parse_id, parse_version
from adapters.media_servers.jellyfin_settings import JellyfinSettings, sign_in
from adapters.media_servers.paging import each_once
from service.domain import ItemRef, Json
from service.errors import ConfigurationError, NotFoundError, TransientError

KEPT_FOR_S = 300.0
"""How long the version and the list of libraries are believed: both change by hand only."""
USERLESS_SINCE = (10, 9)
"""From here on ``GET /Items/{id}``; before it only ``GET /Users/{user}/Items/{id}``."""


class JellyfinApi:
    """Asks for items.

    Args:
        settings: With address and key.
    """

    def __init__(self, settings: JellyfinSettings) -> None:
        self.settings = settings
        self.headers = sign_in(settings.api_key)
        self.http = JsonClient(
            subject="Jellyfin",
            base_url=settings.url,
            headers=self.headers,
            timeout_s=settings.timeout_s,
            url_setting="JELLYFIN_URL",
            key_setting="JELLYFIN_API_KEY",
        )
        self._version: tuple[float, tuple[int, ...]] = (float("-inf"), ())
        self._folders: tuple[float, list[Json]] = (float("-inf"), [])

    async def item(self, ref: ItemRef, fields: str) -> Json:
        """Ask for an item by ``GET /Items?ids=``, the only way that all versions know.

        Raises:
            NotFoundError: Jellyfin has no such item.
            TransientError: No answer.
            ConfigurationError: The key is refused.
        """
        try:
            item_id = parse_id(ref.item_id)
        except ValueError as error:
            raise NotFoundError(f"{ref}: {error}") from error
        items = await self.items(fields, ids=item_id)
        dto = next((dto for dto in items if _has_id(dto, item_id)), None)
        if dto is None:
            raise NotFoundError(f"{ref}: Jellyfin has no such item")
        return dto

    async def item_as_user(self, ref: ItemRef, user_id: str) -> Json:
        """Ask for an item with every field that it has: only users are told them all."""
        item_id = parse_id(ref.item_id)
        if await self.version() < USERLESS_SINCE:
            return await self.http.get(f"/Users/{user_id}/Items/{item_id}")
        return await self.http.get(f"/Items/{item_id}", {"userId": user_id})

    async def items(self, fields: str, **query: str) -> list[Json]:
        """A page of items."""
        if self.settings.user_id:
            query["userId"] = self.settings.user_id
        return await self._page({**query, "fields": fields})

    async def _page(self, query: Mapping[str, str]) -> list[Json]:
        answer = await self._known_to_all("/Items", query)
        items = answer.get("Items")
        if not isinstance(items, list):
            raise TransientError("Jellyfin answered /Items without a list of items")
        # What has no id is no item, and a list of such would have no end.
        return [dto for dto in items if isinstance(dto, dict) and dto.get("Id")]

    def all_items(self, fields: str, **query: str) -> AsyncIterator[Json]:
        """All items of a query, each once, a page at a time."""

        async def fetch(start: int, limit: int) -> list[Json]:
            return await self.items(fields, **query, startIndex=str(start), limit=str(limit))

        return each_once(fetch, "Id")

    def all_collections(self) -> AsyncIterator[Json]:
        """All collections, those that ``user_id`` does not see among them."""

        async def fetch(start: int, limit: int) -> list[Json]:
            window = {"startIndex": str(start), "limit": str(limit)}
            return await self._page({**LIST, **window, "fields": "Path"})

        return each_once(fetch, "Id")

    @property
    def known_version(self) -> tuple[int, ...]:
        """As ``version`` said it last; empty before."""
        return self._version[1]

    async def version(self) -> tuple[int, ...]:
        """Such as ``(10, 11, 6)``; empty when it does not say."""
        asked_at, known = self._version
        if time.monotonic() - asked_at > KEPT_FOR_S:
            public = await self._known_to_all("/System/Info/Public")
            known = parse_version(str(public.get("Version", "")))
            self._version = (time.monotonic(), known)
        return known

    async def libraries(self) -> list[Json]:
        """``GET /Library/VirtualFolders``: each with ``Name`` and ``Locations``.

        Raises:
            ConfigurationError: The key has no administrator's rights.
        """
        asked_at, known = self._folders
        if time.monotonic() - asked_at > KEPT_FOR_S:
            known = await self.http.get_list("/Library/VirtualFolders")
            self._folders = (time.monotonic(), known)
        return known

    async def library_of(self, dto: Json) -> str:
        """Name of the library that holds an item, by its path; empty where it cannot be told."""
        try:
            return find_library(str(dto.get("Path") or ""), await self.libraries())[0]
        except (ConfigurationError, NotFoundError):  # a user's key; doctor tells the operator
            self._folders = (time.monotonic(), [])
            return ""

    async def _known_to_all(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Ask at an address of all versions: a proxy says 404 there while Jellyfin is down."""
        try:
            return await self.http.get(path, query)
        except NotFoundError as error:
            raise TransientError(f"{error}: no Jellyfin at JELLYFIN_URL at present") from error

    async def aclose(self) -> None:
        await self.http.aclose()


def _has_id(dto: Json, item_id: str) -> bool:
    try:
        return parse_id(dto.get("Id")) == item_id
    except ValueError:
        return False
