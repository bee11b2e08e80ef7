"""Jellyfin 10.8 and newer, over its HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from adapters.media_servers.artwork import POSTER_WIDTH
from adapters.media_servers.boxsets import BoxSets
from adapters.media_servers.fetching import fetch_picture
from adapters.media_servers.jellyfin_api import JellyfinApi
from adapters.media_servers.jellyfin_doctor import JellyfinDoctor
from adapters.media_servers.jellyfin_findings import COLLECTIONS_FIX, loops
from adapters.media_servers.jellyfin_parsers import (
    KINDS,
    is_extra,
    list_sources,
    parse_id,
    parse_item,
    parse_sessions,
    parse_storyboard,
)
from adapters.media_servers.jellyfin_settings import JellyfinSettings
from adapters.media_servers.jellyfin_tags import JellyfinTags
from adapters.media_servers.jellyfin_texts import TEXT_FIELDS, read_lyrics, read_subtitles
from adapters.media_servers.jellyfin_webhooks import GROUPS, parse_webhook, recognises
from adapters.media_servers.paths import locate
from service.domain import (
    Finding,
    ItemRef,
    Json,
    LibraryEvent,
    LocalFile,
    MediaItem,
    MediaKind,
    MediaLocation,
    Order,
    RemoteStream,
    TextTrack,
)
from service.errors import ConfigurationError, NotFoundError, PermanentError, TransientError

__all__ = ["JellyfinServer", "JellyfinSettings"]

FIELDS = "Path,MediaSources,Overview,Genres,Tags,DateCreated"
SORT_ORDERS = {Order.OLDEST_FIRST: "Ascending", Order.NEWEST_FIRST: "Descending"}


class JellyfinServer:
    """A Jellyfin server: its webhooks read, its items asked for, its files found."""

    def __init__(self, settings: JellyfinSettings) -> None:
        if not settings.url:
            raise ConfigurationError("JELLYFIN_URL is not set")
        if not settings.api_key.get_secret_value().strip():
            raise ConfigurationError(
                "JELLYFIN_API_KEY is not set: make one in Jellyfin under Dashboard > API Keys"
            )
        self._settings = settings
        local_sides = [mapping.local_prefix for mapping in settings.path_map]
        self._roots = (*local_sides, *settings.allowed_roots)
        self._api = JellyfinApi(settings)
        self._tags = JellyfinTags(self._api)
        self._collections = BoxSets(
            self._api.http,
            self._api.all_collections,
            parameters=("name", "ids", "isLocked"),
            title="Jellyfin",
            fix=COLLECTIONS_FIX,
        )
        self._doctor = JellyfinDoctor(self._api, find_file=self._file_of)

    @classmethod
    def from_settings(cls) -> Self | None:
        """The server that the environment asks for; None when JELLYFIN_URL is not set."""
        settings = JellyfinSettings.read()
        return cls(settings) if settings.url else None

    @property
    def name(self) -> str:
        return "jellyfin"

    @property
    def edits_loop(self) -> bool:
        """Whether this version tells of an item as if it were new when its tags are saved.

        False until its version is known: after a check, and after an edit.
        """
        return loops(self._api.known_version)

    def recognises(self, body: bytes, content_type: str) -> bool:
        return recognises(body, content_type)

    def parse_webhook(self, body: bytes, content_type: str) -> Sequence[LibraryEvent]:
        return parse_webhook(body, content_type, self.name)

    async def get_item(self, ref: ItemRef) -> MediaItem:
        """Ask for an item, its best source, its library and its trickplay pictures.

        Raises:
            NotFoundError: Jellyfin has no such item.
            PermanentError: It has no file of the server's own.
            TransientError: No answer, or the item is still being scanned.
            ConfigurationError: The key is refused.
        """
        dto = await self._api.item(ref, f"{FIELDS},Trickplay")
        item = self._with_link(parse_item(dto, self.name))
        source, path = await self._choose_source(dto, item.ref)
        return replace(
            item,
            location=LocalFile(path=path) if path else self._stream(source, item),
            library=await self._api.library_of(dto),
            storyboard=parse_storyboard(
                dto, source, base_url=self._settings.url, headers=self._api.headers
            ),
        )

    async def list_items(
        self, *, since: datetime | None = None, order: Order = Order.OLDEST_FIRST
    ) -> AsyncIterator[MediaItem]:
        """All items with media of their own, by the date that Jellyfin calls "date added".

        They carry no location: finding it costs a look at the disk for each. ``since`` counts
        from the last save, not from that date, which by default is the file's own and may be
        years ago: some that were merely edited come along.
        """
        query = {"sortBy": "DateCreated,SortName", "sortOrder": SORT_ORDERS[order]}
        async for item in self._list(**query, **_saved_since(since)):
            yield item

    async def list_changes(self, since: datetime) -> AsyncIterator[MediaItem]:
        """What Jellyfin saved since: new files, replaced ones, and what was merely edited."""
        async for item in self._list(
            sortBy="DateCreated,SortName", sortOrder="Ascending", **_saved_since(since)
        ):
            yield item

    async def list_group(self, ref: ItemRef) -> AsyncIterator[MediaItem]:
        """What a show, a season or an album holds, in its order; an item that is none, itself.

        Raises:
            NotFoundError: Jellyfin has no such item.
        """
        dto = await self._api.item(ref, FIELDS)
        if str(dto.get("Type")) in GROUPS:
            order = "ParentIndexNumber,IndexNumber,SortName"
            async for item in self._list(parentId=parse_id(ref.item_id), sortBy=order):
                yield item
        elif (alone := await self._listed(dto)) is not None:
            yield alone

    async def who_plays(self) -> str:
        """Whom Jellyfin transcodes for at the moment, in words; paused ones do not count."""
        busy = parse_sessions(await self._api.http.get_list("/Sessions"))
        return f"Jellyfin {busy}" if busy else ""

    async def read_poster(self, ref: ItemRef) -> bytes:
        """The primary picture of the item, else of its series or album; empty without one."""
        try:
            item_id = parse_id(ref.item_id)
        except ValueError as error:
            raise NotFoundError(f"{ref}: {error}") from error
        if picture := await self._picture(item_id):
            return picture
        above = parse_item(await self._api.item(ref, ""), self.name).series_id
        return await self._picture(above) if above else b""

    async def read_texts(self, ref: ItemRef, *, only_beside: bool = False) -> Sequence[TextTrack]:
        """The best text subtitles of a film, the lyrics of a song; empty without any.

        Raises:
            NotFoundError: Jellyfin has no such item.
            TransientError: No answer, or the item is still being scanned.
        """
        dto = await self._api.item(ref, TEXT_FIELDS)
        item = parse_item(dto, self.name)
        if item.kind is MediaKind.SONG:
            return await read_lyrics(self._api, item)
        source, _ = await self._choose_source(dto, item.ref)
        return await read_subtitles(self._api, item.ref, source, only_beside=only_beside)

    async def read_tags(self, ref: ItemRef) -> Sequence[str]:
        return await self._tags.read(ref)

    async def edit_tags(
        self, ref: ItemRef, *, add: Collection[str], remove: Collection[str]
    ) -> None:
        await self._tags.edit(ref, add=add, remove=remove)

    async def add_to_collection(self, name: str, refs: Sequence[ItemRef]) -> None:
        for ref in refs:
            await self._api.item(ref, "")
        await self._collections.add(name, [parse_id(ref.item_id) for ref in refs])

    async def check_collections(self) -> Finding:
        return await self._doctor.check_collections()

    async def check(self) -> Sequence[Finding]:
        """Whether it answers, takes the key, is new enough, tells us of what is new, and where its
        files are from here.
        """
        return await self._doctor.check()

    async def fix_webhook(self, address: str, token: str) -> Finding:
        """Have the webhook plugin tell us: add our destination, or correct it.

        Args:
            address: Of ``/webhooks/jellyfin`` as Jellyfin reaches it.
            token: What our address asks for.
        """
        return await self._doctor.fix_webhook(address, token)

    @property
    def ahead_s(self) -> float | None:
        """Its clock against ours, as of the latest answer."""
        return self._api.http.ahead_s

    async def aclose(self) -> None:
        await self._api.aclose()

    async def _list(self, **query: str) -> AsyncIterator[MediaItem]:
        async for dto in self._api.all_items(
            FIELDS,
            recursive="true",
            includeItemTypes=",".join(KINDS),
            excludeLocationTypes="Virtual",
            enableTotalRecordCount="false",
            **query,
        ):
            if (item := await self._listed(dto)) is not None:
                yield item

    async def _listed(self, dto: Json) -> MediaItem | None:
        """An item of a list; None for what can never be analysed, and for trailers and the like."""
        if is_extra(dto):
            return None
        try:
            item = parse_item(dto, self.name)
            list_sources(dto, item.ref, allow_remote=self._settings.allow_remote_sources)
        except PermanentError:
            return None
        except TransientError:  # not scanned yet: get_item will say when to come back
            item = parse_item(dto, self.name)
        return replace(self._with_link(item), library=await self._api.library_of(dto))

    async def _choose_source(self, dto: Json, ref: ItemRef) -> tuple[Json, Path | None]:
        """Of several versions of a film one that is on this machine, then the largest picture."""
        sources = list_sources(dto, ref, allow_remote=self._settings.allow_remote_sources)
        for source in sources:
            if (path := await self._file_of(dto, source)) is not None:
                return source, path
        return sources[0], None

    async def _file_of(self, dto: Json, source: Json) -> Path | None:
        server_path = source.get("Path") or dto.get("Path")
        if not isinstance(server_path, str):
            return None
        return await asyncio.to_thread(locate, server_path, self._settings.path_map, self._roots)

    def _stream(self, source: Json, item: MediaItem) -> MediaLocation:
        """What is not on this machine, with the key in a header."""
        try:
            source_id = parse_id(source.get("Id"))
        except ValueError as error:
            raise PermanentError(f"{item.ref}: media source: {error}") from error
        section = "Audio" if item.kind is MediaKind.SONG else "Videos"
        return RemoteStream(
            url=f"{self._settings.url}/{section}/{item.ref.item_id}/stream"
            f"?static=true&mediaSourceId={source_id}",
            headers=self._api.headers,
        )

    async def _picture(self, item_id: str) -> bytes:
        return await fetch_picture(
            self._api.http, f"/Items/{item_id}/Images/Primary", {"maxWidth": str(POSTER_WIDTH)}
        )

    def _with_link(self, item: MediaItem) -> MediaItem:
        base = self._settings.public_base_url
        if not base:
            return item
        return replace(item, url=f"{base}/web/#/details?id={item.ref.item_id}")


def _saved_since(since: datetime | None) -> dict[str, str]:
    if since is None:
        return {}
    return {"minDateLastSaved": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
