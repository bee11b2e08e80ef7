"""Jellyfin 10.8 and newer, over its HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self
from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator
from yarl import URL

from adapters.media_servers import jellyfin_findings as findings
from adapters.media_servers.http import JsonClient
from adapters.media_servers.jellyfin_parsers import (
    KINDS,
    parse_id,
    parse_item,
    require_file,
)
from adapters.media_servers.jellyfin_webhooks import parse_webhook, recognises
from adapters.media_servers.paths import Mappings, PathSettings, locate
from service.domain import (
    Finding,
    ItemRef,
    Json,
    LibraryEvent,
    LocalFile,
    MediaItem,
    MediaKind,
    MediaLocation,
    RemoteStream,
)
from service.errors import (
    ConfigurationError,
    MoodreelError,
    NotFoundError,
    PermanentError,
    TransientError,
)

PAGE_SIZE = 200
"""Items per page: about 1 MB of JSON with media sources."""
FIELDS = "Path,MediaSources,Overview,Genres,Tags,DateCreated"


class JellyfinSettings(PathSettings):
    """Which Jellyfin, and where its files are seen from here."""

    url: str = Field(
        default="",
        alias="JELLYFIN_URL",
        description="Address of Jellyfin as Moodreel reaches it, such as http://jellyfin:8096.",
    )
    api_key: SecretStr = Field(
        default=SecretStr(""),
        alias="JELLYFIN_API_KEY",
        description="API key, made in Jellyfin under Dashboard > API Keys.",
    )
    public_base_url: str = Field(
        default="",
        alias="JELLYFIN_PUBLIC_BASE_URL",
        description="Address of Jellyfin as your readers reach it: announcements link there.",
    )
    user_id: str = Field(
        default="",
        alias="JELLYFIN_USER_ID",
        description="Whose view of the library counts. Needed only when JELLYFIN_API_KEY is a "
        "user's token instead of an API key.",
    )
    path_map: Mappings = Field(
        default=(),
        alias="JELLYFIN_PATH_MAP",
        description="Where Jellyfin's folders are on this machine: /media=/mnt/media pairs, "
        "separated by commas. Without a match, media are streamed over HTTP.",
    )
    timeout_s: float = Field(
        default=30.0,
        gt=0,
        alias="JELLYFIN_TIMEOUT_S",
        description="Seconds to wait for an answer of Jellyfin.",
    )

    @field_validator("url", "public_base_url")
    @classmethod
    def _is_plain_address(cls, value: str) -> str:
        if not value:
            return value
        url = URL(value.strip())
        if url.scheme not in {"http", "https"} or not url.host or url.user or url.query_string:
            raise ValueError("must be an address like http://jellyfin:8096, without user or query")
        return str(url.with_fragment(None)).rstrip("/")

    @field_validator("user_id")
    @classmethod
    def _is_id(cls, value: str) -> str:
        return parse_id(value) if value else value


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
        self._headers = {"Authorization": _authorization(settings.api_key)}
        local_sides = [mapping.local_prefix for mapping in settings.path_map]
        self._roots = (*local_sides, *settings.allowed_roots)
        self._http = JsonClient(
            subject="Jellyfin",
            base_url=settings.url,
            headers=self._headers,
            timeout_s=settings.timeout_s,
            url_setting="JELLYFIN_URL",
            key_setting="JELLYFIN_API_KEY",
        )

    @classmethod
    def from_settings(cls) -> Self | None:
        """The server that the environment asks for; None when JELLYFIN_URL is not set."""
        settings = JellyfinSettings.read()
        return cls(settings) if settings.url else None

    @property
    def name(self) -> str:
        return "jellyfin"

    def recognises(self, body: bytes, content_type: str) -> bool:
        return recognises(body, content_type)

    def parse_webhook(self, body: bytes, content_type: str) -> Sequence[LibraryEvent]:
        return parse_webhook(body, content_type, self.name)

    async def get_item(self, ref: ItemRef) -> MediaItem:
        """Ask for an item by ``GET /Items?ids=``, the only way that all versions know.

        Raises:
            NotFoundError: Jellyfin has no such item.
            PermanentError: It has no file of the server's own.
            TransientError: No answer, or the item is still being scanned.
            ConfigurationError: The key is refused.
        """
        try:
            item_id = parse_id(ref.item_id)
        except ValueError as error:
            raise NotFoundError(f"{ref}: {error}") from error
        items = await self._get_items(ids=item_id)
        dto = next((dto for dto in items if _has_id(dto, item_id)), None)
        if dto is None:
            raise NotFoundError(f"{ref}: Jellyfin has no such item")
        return await self._readable(dto)

    async def list_items(self, *, since: datetime | None = None) -> AsyncIterator[MediaItem]:
        """All items with media of their own, oldest first, a page at a time.

        They carry no location: finding it costs a look at the disk for each. ``since`` counts
        from the last save, not from the date added, which may be the file's own, years ago: some
        that were merely edited come along.
        """
        query = {
            "recursive": "true",
            "includeItemTypes": ",".join(KINDS),
            "excludeLocationTypes": "Virtual",
            "sortBy": "DateCreated,SortName",
            "sortOrder": "Ascending",
            "enableTotalRecordCount": "false",
            "limit": str(PAGE_SIZE),
        }
        if since is not None:
            query["minDateLastSaved"] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        start = 0
        while page := await self._get_items(**query, startIndex=str(start)):
            for dto in page:
                if (item := _listed(dto, self.name)) is not None:
                    yield self._with_link(item)
            start += PAGE_SIZE

    async def check(self) -> Sequence[Finding]:
        """Whether it answers, takes the key, is new enough, and where its files are from here."""
        try:
            public = await self._http.get("/System/Info/Public")
            if "jellyfin" not in str(public.get("ProductName", "")).lower():
                return [findings.no_jellyfin()]
            info = await self._http.get("/System/Info")
        except ConfigurationError as error:
            return [findings.key_refused(error)]
        except MoodreelError as error:
            return [findings.unreachable(error)]
        return [findings.judge_version(str(info.get("Version", ""))), await self._check_paths()]

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _get_items(self, **query: str) -> list[Json]:
        if self._settings.user_id:
            query["userId"] = self._settings.user_id
        try:
            answer = await self._http.get("/Items", {**query, "fields": FIELDS})
        except NotFoundError as error:
            # Jellyfin knows /Items in all versions: a proxy says this while Jellyfin is down.
            raise TransientError(f"{error}: no Jellyfin at JELLYFIN_URL at present") from error
        items = answer.get("Items")
        if not isinstance(items, list):
            raise TransientError("Jellyfin answered /Items without a list of items")
        return [dto for dto in items if isinstance(dto, dict)]

    async def _readable(self, dto: Json) -> MediaItem:
        item = self._with_link(parse_item(dto, self.name))
        source = require_file(dto, item.ref)
        location = await self._locate(dto, source, item)
        return replace(item, location=location)

    async def _locate(self, dto: Json, source: Json, item: MediaItem) -> MediaLocation:
        """The file itself where it can be seen, else its stream, with the key in a header."""
        path = await self._local_path(dto, source)
        if path is not None:
            return LocalFile(path=path)
        try:
            source_id = parse_id(source.get("Id"))
        except ValueError as error:
            raise PermanentError(f"{item.ref}: media source: {error}") from error
        section = "Audio" if item.kind is MediaKind.SONG else "Videos"
        return RemoteStream(
            url=f"{self._settings.url}/{section}/{item.ref.item_id}/stream"
            f"?static=true&mediaSourceId={source_id}",
            headers=self._headers,
        )

    async def _local_path(self, dto: Json, source: Json) -> Path | None:
        server_path = source.get("Path") or dto.get("Path")
        if not isinstance(server_path, str):
            return None
        return await asyncio.to_thread(locate, server_path, self._settings.path_map, self._roots)

    def _with_link(self, item: MediaItem) -> MediaItem:
        base = self._settings.public_base_url
        if not base:
            return item
        return replace(item, url=f"{base}/web/#/details?id={item.ref.item_id}")

    async def _check_paths(self) -> Finding:
        """Try the path mapping on one real item."""
        try:
            page = await self._get_items(
                recursive="true",
                includeItemTypes=",".join(KINDS),
                excludeLocationTypes="Virtual",
                limit="1",
            )
            if not page:
                return findings.no_media()
            source = require_file(page[0], parse_item(page[0], self.name).ref)
            path = await self._local_path(page[0], source)
        except MoodreelError as error:
            return findings.paths_not_tried(error)
        if path is not None:
            return findings.files_seen(path)
        return findings.files_not_seen(str(source.get("Path") or page[0].get("Path") or ""))


def _authorization(api_key: SecretStr) -> str:
    """The one way of signing in that Jellyfin 10.8 to 12 all know; values are URL-encoded."""
    try:
        own_version = version("moodreel")
    except PackageNotFoundError:  # run from a checkout
        own_version = "0"
    key = quote(api_key.get_secret_value().strip(), safe="")
    return (
        f'MediaBrowser Token="{key}", Client="Moodreel", Device="Moodreel", '
        f'DeviceId="moodreel", Version="{own_version}"'
    )


def _has_id(dto: Json, item_id: str) -> bool:
    try:
        return parse_id(dto.get("Id")) == item_id
    except ValueError:
        return False


def _listed(dto: Json, server: str) -> MediaItem | None:
    """An item of a page; None when nothing in it can ever be analysed."""
    try:
        item = parse_item(dto, server)
        require_file(dto, item.ref)
    except PermanentError:
        return None
    except TransientError:  # not scanned yet: get_item will say when to come back
        return parse_item(dto, server)
    return item
