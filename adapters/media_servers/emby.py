"""Emby 4.7 and newer as a media server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import quote

from adapters.media_servers import emby_parsers as parsers
from adapters.media_servers import emby_webhooks as webhooks
from adapters.media_servers.artwork import POSTER_WIDTH
from adapters.media_servers.boxsets import BoxSets
from adapters.media_servers.emby_api import FINDINGS, EmbyApi, EmbySettings
from adapters.media_servers.fetching import fetch_picture, fetch_track
from adapters.media_servers.http import ForbiddenError
from adapters.media_servers.paths import locate
from adapters.media_servers.values import edit_names, text
from service.domain import (
    Finding,
    IllegibleItem,
    ItemRef,
    Json,
    LibraryEvent,
    ListedItem,
    LocalFile,
    MediaItem,
    MediaKind,
    MediaLocation,
    Order,
    RemoteStream,
    TextTrack,
)
from service.errors import (
    ConfigurationError,
    MoodreelError,
    PermanentError,
    TransientError,
)

OF_MEDIA = {"Recursive": "true", "IncludeItemTypes": ",".join(parsers.KINDS)}
"""Query for what has media of its own, wherever it lies."""


class EmbyServer:
    """An Emby server: its webhooks read, its items asked for and tagged, its files found."""

    def __init__(self, settings: EmbySettings) -> None:
        self._api = EmbyApi(settings)
        self._settings = settings
        local_sides = [mapping.local_prefix for mapping in settings.path_map]
        self._roots = (*local_sides, *settings.allowed_roots)
        self._libraries: Mapping[str, str] = {}
        self._collections = BoxSets(
            self._api.http,
            self._api.list_collections,
            parameters=("Name", "Ids", "IsLocked"),
            title="Emby",
            fix=FINDINGS.key_fix,
        )

    @classmethod
    def from_settings(cls) -> Self | None:
        """The server that the environment asks for; None when EMBY_URL is not set."""
        settings = EmbySettings.read()
        return cls(settings) if settings.url else None

    @property
    def name(self) -> str:
        return "emby"

    def recognises(self, body: bytes, content_type: str) -> bool:
        return webhooks.recognises(body, content_type)

    def parse_webhook(self, body: bytes, content_type: str) -> Sequence[LibraryEvent]:
        return webhooks.parse_webhook(body, content_type, self.name)

    async def get_item(self, ref: ItemRef) -> MediaItem:
        """Ask for an item by ``GET /Items?Ids=``.

        Raises:
            NotFoundError: Emby has no such item.
            PermanentError: It has no file of the server's own.
            TransientError: No answer, or the item is still being scanned.
            ConfigurationError: The key is refused.
        """
        dto = await self._api.get_item(ref)
        item = await self._described(dto)
        source = parsers.require_file(dto, item.ref)
        return replace(item, location=await self._locate(dto, source, item))

    async def list_items(
        self, *, since: datetime | None = None, order: Order = Order.OLDEST_FIRST
    ) -> AsyncIterator[ListedItem]:
        """All items with media of their own, a page at a time.

        They carry no location: finding it costs a look at the disk for each. ``since`` counts
        from the last save, not from the date added, which may be the file's own, years ago: some
        that were merely edited come along.
        """
        is_newest_first = order is Order.NEWEST_FIRST
        query = {
            "SortBy": "DateCreated,SortName",
            "SortOrder": "Descending" if is_newest_first else "Ascending",
        }
        if since is not None:
            query["MinDateLastSaved"] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        async for item in self._list(query):
            yield item

    async def list_changes(self, since: datetime) -> AsyncIterator[ListedItem]:
        async for item in self.list_items(since=since):
            yield item

    async def list_group(self, ref: ItemRef) -> AsyncIterator[ListedItem]:
        dto = await self._api.get_item(ref)
        if text(dto.get("Type")) in parsers.KINDS:
            yield await self._described(dto)
            return
        query = {"ParentId": ref.item_id, "SortBy": "ParentIndexNumber,IndexNumber,SortName"}
        async for item in self._list(query):
            yield item

    async def who_plays(self) -> str:
        sessions = await self._api.http.get_list("/Sessions")
        busy = "; ".join(filter(None, map(parsers.transcoding, sessions)))
        return f"Emby {busy}" if busy else ""

    async def read_poster(self, ref: ItemRef) -> bytes:
        dto = await self._api.get_item(ref)
        owners = (dto.get("Id"), dto.get("SeriesId"), dto.get("AlbumId"))
        size = {"MaxWidth": str(POSTER_WIDTH), "Quality": "90"}
        for owner in owners:
            try:
                path = f"/Items/{parsers.parse_id(owner)}/Images/Primary"
            except ValueError:
                continue
            if picture := await fetch_picture(self._api.http, path, size):
                return picture
        return b""

    async def read_texts(self, ref: ItemRef, *, only_beside: bool = False) -> Sequence[TextTrack]:
        dto = await self._api.get_item(ref)
        path, language = parsers.transcript_path(dto, only_beside=only_beside)
        return await fetch_track(self._api.http, path, language)

    async def read_tags(self, ref: ItemRef) -> Sequence[str]:
        return parsers.tag_names(await self._api.get_item(ref))

    async def edit_tags(
        self, ref: ItemRef, *, add: Collection[str], remove: Collection[str]
    ) -> None:
        """Read the whole item as a user sees it, and write it back with other tags.

        Emby wipes what is absent from the body, so all of it goes back as it came.
        """
        found = await self._api.get_item(ref)
        if text(found.get("Type")) not in parsers.KINDS:
            raise PermanentError(f"{ref} holds other items: its tags would count for all of them")
        dto = await self._api.get_whole(ref)
        present = parsers.tag_names(dto)
        tags = edit_names(present, add=add, remove=remove)
        if tags != present:
            await self._api.http.send(
                "POST", f"/Items/{ref.item_id}", body=parsers.retag(dto, tags)
            )

    async def add_to_collection(self, name: str, refs: Sequence[ItemRef]) -> None:
        for ref in refs:
            await self._api.get_item(ref)
        await self._collections.add(name, [ref.item_id for ref in refs])

    async def check_collections(self) -> Finding:
        """Whether the key is an administrator's, as far as Emby tells without an edit."""
        try:
            await self._api.http.get("/Library/VirtualFolders/Query")
        except ForbiddenError as error:
            return FINDINGS.judge_collections(error)
        except MoodreelError as error:
            return FINDINGS.collections_not_checked(error)
        return FINDINGS.judge_collections(None)

    async def check(self) -> Sequence[Finding]:
        """Whether it answers, takes the key, is new enough, and where its files are from here."""
        try:
            public = await self._api.http.get("/System/Info/Public")
            if "ServerName" not in public or "ProductName" in public:  # Jellyfin names itself
                return [FINDINGS.stranger()]
            info = await self._api.http.get("/System/Info")
        except ConfigurationError as error:
            return [FINDINGS.key_refused(error)]
        except MoodreelError as error:
            return [FINDINGS.unreachable(error)]
        return [FINDINGS.judge_version(text(info.get("Version"))), await self._check_paths()]

    @property
    def ahead_s(self) -> float | None:
        """Its clock against ours, as of the latest answer."""
        return self._api.http.ahead_s

    async def aclose(self) -> None:
        await self._api.http.aclose()

    async def _list(self, query: Mapping[str, str]) -> AsyncIterator[ListedItem]:
        self._libraries = await self._api.get_libraries()
        async for dto in self._api.list_items({**query, **OF_MEDIA}):
            if (item := self._listed(dto)) is not None:
                yield item

    def _listed(self, dto: Json) -> ListedItem | None:
        """An item of a page; None when nothing in it can ever be analysed."""
        try:
            item = self._completed(parsers.parse_item(dto, self.name), dto)
        except PermanentError:
            return None
        except TransientError as error:
            ref = ItemRef(server=self.name, item_id="")
            return IllegibleItem(ref=ref, title=text(dto.get("Name")), reason=str(error))
        try:
            parsers.require_file(dto, item.ref)
        except PermanentError:
            return None
        except TransientError:  # not scanned yet: get_item will say when to come back
            pass
        return item

    async def _described(self, dto: Json) -> MediaItem:
        item = self._completed(parsers.parse_item(dto, self.name), dto)
        if item.library:
            return item
        self._libraries = await self._api.get_libraries()
        return self._completed(item, dto)

    def _completed(self, item: MediaItem, dto: Json) -> MediaItem:
        """With its library's name, and a link where the owner configured a public address."""
        base, server_id = self._settings.public_base_url, quote(text(dto.get("ServerId")), safe="")
        link = f"{base}/web/index.html#!/item?id={item.ref.item_id}&serverId={server_id}"
        library = parsers.library_of(text(dto.get("Path")), self._libraries)
        return replace(item, library=library, url=link if base else "")

    async def _locate(self, dto: Json, source: Json, item: MediaItem) -> MediaLocation:
        """The file itself where it can be seen, else its stream, with the key in a header."""
        path = await self._local_path(dto, source)
        if path is not None:
            return LocalFile(path=path)
        try:
            source_id = parsers.parse_source_id(source)
        except ValueError as error:
            raise PermanentError(f"{item.ref}: {error}") from error
        section = "Audio" if item.kind is MediaKind.SONG else "Videos"
        return RemoteStream(
            url=f"{self._api.base_url}/{section}/{item.ref.item_id}/stream"
            f"?static=true&MediaSourceId={source_id}",
            headers=self._api.headers,
        )

    async def _local_path(self, dto: Json, source: Json) -> Path | None:
        server_path = text(source.get("Path") or dto.get("Path"))
        if not server_path:
            return None
        return await asyncio.to_thread(locate, server_path, self._settings.path_map, self._roots)

    async def _check_paths(self) -> Finding:
        """Try the path mapping on one real item."""
        try:
            page = await self._api.get_items({**OF_MEDIA, "Limit": "1"})
            if not page:
                return FINDINGS.no_media()
            source = parsers.require_file(page[0], parsers.parse_item(page[0], self.name).ref)
            path = await self._local_path(page[0], source)
        except MoodreelError as error:
            return FINDINGS.paths_not_tried(error)
        if path is not None:
            return FINDINGS.files_seen(path)
        return FINDINGS.files_not_seen(text(source.get("Path") or page[0].get("Path")))
