"""Plex Media Server as a media server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Self
from urllib.parse import quote

from adapters.media_servers import plex_parsers as parsers
from adapters.media_servers import plex_webhooks as webhooks
from adapters.media_servers.artwork import POSTER_WIDTH
from adapters.media_servers.fetching import fetch_picture, fetch_track
from adapters.media_servers.paging import merge
from adapters.media_servers.paths import locate
from adapters.media_servers.plex_api import FINDINGS, PlexApi, PlexSettings
from adapters.media_servers.plex_collections import PlexCollections
from adapters.media_servers.values import edit_names, objects, text
from service.domain import (
    Finding,
    IllegibleItem,
    ItemRef,
    Json,
    LibraryEvent,
    ListedItem,
    LocalFile,
    MediaItem,
    MediaLocation,
    Order,
    RemoteStream,
    TextTrack,
)
from service.errors import (
    ConfigurationError,
    MoodreelError,
    NotFoundError,
    PermanentError,
    TransientError,
)

POSTER_SIZE = {"width": str(POSTER_WIDTH), "height": str(POSTER_WIDTH * 3 // 2)}
"""A poster is half as high again as it is wide."""


class PlexServer:
    """A Plex server: its webhooks read, its items asked for and labelled, its files found."""

    def __init__(self, settings: PlexSettings) -> None:
        self._api = PlexApi(settings)
        self._collections = PlexCollections(self._api)
        self._settings = settings
        local_sides = [mapping.local_prefix for mapping in settings.path_map]
        self._roots = (*local_sides, *settings.allowed_roots)

    @classmethod
    def from_settings(cls) -> Self | None:
        """The server that the environment asks for; None when PLEX_URL is not set."""
        settings = PlexSettings.read()
        return cls(settings) if settings.url else None

    @property
    def name(self) -> str:
        return "plex"

    def recognises(self, body: bytes, content_type: str) -> bool:
        return webhooks.recognises(body, content_type)

    def parse_webhook(self, body: bytes, content_type: str) -> Sequence[LibraryEvent]:
        return webhooks.parse_webhook(body, content_type, self.name)

    async def get_item(self, ref: ItemRef) -> MediaItem:
        """Ask for an item by ``GET /library/metadata/{id}``.

        Raises:
            NotFoundError: Plex has no such item.
            PermanentError: It has no file of the server's own.
            TransientError: No answer, or the item is still being scanned.
            ConfigurationError: The token is refused.
        """
        metadata = await self._api.get_item(ref)
        item = await self._described(metadata)
        part = parsers.require_file(metadata, ref)
        return replace(
            item,
            location=await self._locate(part, ref),
            storyboard=parsers.parse_storyboard(
                part, base_url=self._api.base_url, headers=self._api.headers
            ),
        )

    async def list_items(
        self, *, since: datetime | None = None, order: Order = Order.OLDEST_FIRST
    ) -> AsyncIterator[ListedItem]:
        """All items with media of their own, a page of each library at a time.

        They carry no location (finding it costs a look at the disk for each) and no labels.
        """
        timestamp = _whole_seconds(since)
        query = {} if since is None else {"addedAt>": str(timestamp)}
        async for item in self._list(query, order, lambda entry: parsers.added(entry) >= timestamp):
            yield item

    async def list_changes(self, since: datetime) -> AsyncIterator[ListedItem]:
        """What was saved since, then what was added since and never saved."""
        timestamp = _whole_seconds(since)

        def is_saved(entry: Json) -> bool:
            return parsers.updated(entry) >= timestamp

        def is_only_added(entry: Json) -> bool:
            return parsers.added(entry) >= timestamp and not is_saved(entry)

        for field, keep in (("updatedAt>", is_saved), ("addedAt>", is_only_added)):
            async for item in self._list({field: str(timestamp)}, Order.OLDEST_FIRST, keep):
                yield item

    async def list_group(self, ref: ItemRef) -> AsyncIterator[ListedItem]:
        metadata = await self._api.get_item(ref)
        if metadata.get("type") in parsers.KINDS:
            yield await self._described(metadata)
            return
        below = parsers.GROUPS.get(text(metadata.get("type")))
        if below is None:
            return
        machine_id = await self._api.get_machine_id()
        library = {"librarySectionTitle": metadata.get("librarySectionTitle")}
        path = f"/library/metadata/{parsers.parse_id(ref.item_id)}/{below}"
        async for entry in self._api.list_pages(path, {}):
            if (item := self._listed({**library, **entry}, machine_id)) is not None:
                yield item

    async def who_plays(self) -> str:
        container = await self._api.get("/status/sessions")
        sessions = objects(container.get("Metadata"))
        busy = "; ".join(filter(None, map(parsers.transcoding, sessions)))
        return f"Plex {busy}" if busy else ""

    async def read_poster(self, ref: ItemRef) -> bytes:
        """Its poster, made small by Plex itself, from a picture of Plex's own."""
        for key in parsers.artwork_keys(await self._api.get_item(ref)):
            query = {**POSTER_SIZE, "minSize": "1", "upscale": "0", "url": key}
            if picture := await fetch_picture(self._api.http, "/photo/:/transcode", query):
                return picture
        return b""

    async def read_texts(
        self,
        ref: ItemRef,
        *,
        only_beside: bool = False,  # noqa: ARG002  Plex hands out nothing else
    ) -> Sequence[TextTrack]:
        part = parsers.primary_part(await self._api.get_item(ref)) or {}
        return await fetch_track(self._api.http, *parsers.transcript_path(part))

    async def read_tags(self, ref: ItemRef) -> Sequence[str]:
        return parsers.labels(await self._api.get_item(ref))

    async def edit_tags(
        self, ref: ItemRef, *, add: Collection[str], remove: Collection[str]
    ) -> None:
        """Edit the labels: they are the only tags that Plex leaves to people.

        Plex writes labels with a capital: ``ai:sea`` comes back as ``Ai:sea``, the same to us.
        """
        metadata = await self._api.get_item(ref)
        if metadata.get("type") not in parsers.KINDS:
            raise PermanentError(f"{ref} holds other items: its tags would count for all of them")
        present = parsers.labels(metadata)
        wanted = edit_names(present, add=add, remove=remove)
        if wanted == present:
            return
        try:
            gone = [label for label in present if label not in wanted]
            await self._api.write_labels(metadata, wanted=wanted, gone=gone)
        except ValueError as error:
            raise PermanentError(f"{ref} is in no library of Plex: {error}") from error

    async def add_to_collection(self, name: str, refs: Sequence[ItemRef]) -> None:
        for ref in refs:
            await self._collections.add(name, ref)

    async def check_collections(self) -> Finding:
        return await self._collections.check()

    async def check(self) -> Sequence[Finding]:
        """Whether it answers, takes the token and sends webhooks, and where its files are here."""
        try:
            identity = await self._api.get("/identity")
            if not identity.get("machineIdentifier"):
                return [FINDINGS.stranger()]
            info = await self._api.get("/")
        except ConfigurationError as error:
            return [FINDINGS.key_refused(error)]
        except NotFoundError:
            return [FINDINGS.stranger()]
        except MoodreelError as error:
            return [FINDINGS.unreachable(error)]
        version = FINDINGS.judge_version(text(info.get("version")))
        return [version, await self._check_webhooks(info), await self._check_paths()]

    @property
    def ahead_s(self) -> float | None:
        """Its clock against ours, as of the latest answer."""
        return self._api.http.ahead_s

    async def aclose(self) -> None:
        await self._api.http.aclose()

    async def _list(
        self, query: Mapping[str, str], order: Order, keep: Callable[[Json], bool]
    ) -> AsyncIterator[ListedItem]:
        """Items of all libraries by when they were added. Servers may know no such filter."""
        machine_id = await self._api.get_machine_id()
        sign, direction = (-1, "desc") if order is Order.NEWEST_FIRST else (1, "asc")
        query = {**query, "sort": f"addedAt:{direction},titleSort"}
        listings = [
            self._api.list_leaves(section, query) for section in await self._api.list_sections()
        ]
        async for entry in merge(listings, lambda entry: sign * parsers.added(entry)):
            if keep(entry) and (item := self._listed(entry, machine_id)) is not None:
                yield item

    def _listed(self, metadata: Json, machine_id: str) -> ListedItem | None:
        """An item of a page; None when nothing in it can ever be analysed."""
        try:
            item = parsers.parse_item(metadata, self.name)
        except PermanentError:
            return None
        except TransientError as error:
            ref = ItemRef(server=self.name, item_id="")
            return IllegibleItem(ref=ref, title=text(metadata.get("title")), reason=str(error))
        try:
            parsers.require_file(metadata, item.ref)
        except PermanentError:
            return None
        except TransientError:  # not scanned, or not there: get_item will say when to come back
            pass
        return self._with_link(item, machine_id)

    async def _described(self, metadata: Json) -> MediaItem:
        item = parsers.parse_item(metadata, self.name)
        return self._with_link(item, await self._api.get_machine_id())

    def _with_link(self, item: MediaItem, machine_id: str) -> MediaItem:
        key = quote(f"/library/metadata/{item.ref.item_id}", safe="")
        base = self._settings.public_base_url
        return replace(item, url=f"{base}/#!/server/{quote(machine_id, safe='')}/details?key={key}")

    async def _locate(self, part: Json, ref: ItemRef) -> MediaLocation:
        """The file itself where it can be seen, else its stream, with the token in a header."""
        path = await self._local_path(part)
        if path is not None:
            return LocalFile(path=path)
        try:
            key = parsers.part_key(part)
        except ValueError as error:
            raise PermanentError(f"{ref}: {error}") from error
        return RemoteStream(url=self._api.base_url + key, headers=self._api.headers)

    async def _local_path(self, part: Json) -> Path | None:
        server_path = text(part.get("file"))
        if not server_path:
            return None
        return await asyncio.to_thread(locate, server_path, self._settings.path_map, self._roots)

    async def _check_webhooks(self, info: Json) -> Finding:
        """Whether Plex would send any; whom it sends them to is kept in the owner's account."""
        if info.get("myPlexSubscription") is not True:
            return FINDINGS.ok("has no Plex Pass and sends no webhooks: it is asked what is new")
        try:
            settings = objects((await self._api.get("/:/prefs")).get("Setting"))
        except MoodreelError as error:
            return FINDINGS.warning(f"its settings for webhooks were not read: {error}")
        if any(s.get("id") == "WebHooksEnabled" and s.get("value") is False for s in settings):
            return FINDINGS.warning(
                "sends no webhooks: it is asked what is new",
                "In Plex: Settings > Network > Webhooks, tick it; then add Moodreel's address "
                "under Account > Webhooks.",
            )
        return FINDINGS.ok("sends webhooks")

    async def _check_paths(self) -> Finding:
        """Try the path mapping on one real item."""
        try:
            async for item in self.list_items(order=Order.NEWEST_FIRST):
                part = parsers.require_file(await self._api.get_item(item.ref), item.ref)
                path = await self._local_path(part)
                if path is not None:
                    return FINDINGS.files_seen(path)
                return FINDINGS.files_not_seen(text(part.get("file")))
        except MoodreelError as error:
            return FINDINGS.paths_not_tried(error)
        return FINDINGS.no_media()


def _whole_seconds(since: datetime | None) -> int:
    """Since 1970: Plex knows no fractions of them."""
    return 0 if since is None else int(since.timestamp())
