"""Emby's HTTP API, as far as Moodreel speaks it: 4.7 and newer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence

from pydantic import Field, SecretStr, field_validator

from adapters.media_servers.boxsets import LIST
from adapters.media_servers.emby_parsers import parse_id, parse_libraries
from adapters.media_servers.findings import Findings
from adapters.media_servers.http import ForbiddenError, JsonClient
from adapters.media_servers.paging import each_once
from adapters.media_servers.paths import Mappings, PathSettings
from adapters.media_servers.values import Address, child, objects, text
from service.domain import ItemRef, Json
from service.errors import ConfigurationError, NotFoundError, PermanentError, TransientError

FIELDS = "Path,MediaSources,Overview,Genres,Tags,DateCreated,ProductionYear"
ALWAYS_SENT = {
    "Name": str,
    "Genres": list,
    "TagItems": list,
    "ProviderIds": dict,
    "Studios": list,
    "LockData": bool,
}
"""What Emby shows an administrator of an item in any case; without these it was not read whole."""
_USER_ID = re.compile("[0-9a-fA-F]{32}")

FINDINGS = Findings(
    subject="emby",
    title="Emby",
    prefix="EMBY",
    probe="/emby/System/Info/Public",
    key_setting="EMBY_API_KEY",
    key_fix="In Emby: Settings > Advanced > API Keys > New API Key; put it into EMBY_API_KEY.",
    oldest_version=(4, 7),
)


class EmbySettings(PathSettings):
    """Which Emby, and where its files are seen from here."""

    url: Address = Field(
        default="",
        alias="EMBY_URL",
        description="Address of Emby as Moodreel reaches it, such as http://emby:8096.",
    )
    api_key: SecretStr = Field(
        default=SecretStr(""),
        alias="EMBY_API_KEY",
        description="API key, made in Emby under Settings > Advanced > API Keys.",
    )
    public_base_url: Address = Field(
        default="",
        alias="EMBY_PUBLIC_BASE_URL",
        description="Address of Emby as your readers reach it: announcements link there.",
    )
    user_id: str = Field(
        default="",
        alias="EMBY_USER_ID",
        description="Whose view of the library counts: 32 hex digits. Without one all items count, "
        "and tags are written as the first administrator sees an item.",
    )
    path_map: Mappings = Field(
        default=(),
        alias="EMBY_PATH_MAP",
        description="Where Emby's folders are on this machine: /media=/mnt/media pairs, separated "
        "by commas. Without a match, media are streamed over HTTP.",
    )
    timeout_s: float = Field(
        default=30.0,
        gt=0,
        alias="EMBY_TIMEOUT_S",
        description="Seconds to wait for an answer of Emby.",
    )

    @field_validator("user_id")
    @classmethod
    def _is_id(cls, value: str) -> str:
        if value and _USER_ID.fullmatch(value) is None:
            raise ValueError("must be a user's id of 32 hex digits")
        return value.lower()


class EmbyApi:
    """Asks one Emby, and writes to it.

    Raises everywhere: TransientError (no answer, nonsense), ConfigurationError (a refused key).
    """

    def __init__(self, settings: EmbySettings) -> None:
        if not settings.url:
            raise ConfigurationError("EMBY_URL is not set")
        key = settings.api_key.get_secret_value().strip()
        if not key:
            raise ConfigurationError(f"EMBY_API_KEY is not set. {FINDINGS.key_fix}")
        self._user_id = settings.user_id
        self.base_url = settings.url.removesuffix("/emby") + "/emby"
        self.headers = {"X-Emby-Token": key}
        """Carry the key; never printed."""
        self.http = JsonClient(
            subject="Emby",
            base_url=self.base_url,
            headers=self.headers,
            timeout_s=settings.timeout_s,
            url_setting="EMBY_URL",
            key_setting="EMBY_API_KEY",
        )

    async def get_item(self, ref: ItemRef) -> Json:
        """An item by ``GET /Items?Ids=``, which needs no user.

        Raises:
            NotFoundError: Emby has no such item.
        """
        try:
            item_id = parse_id(ref.item_id)
        except ValueError as error:
            raise NotFoundError(f"{ref}: {error}") from error
        items = await self.get_items({"Ids": item_id})
        dto = next((dto for dto in items if str(dto.get("Id")) == item_id), None)
        if dto is None:
            raise NotFoundError(f"{ref}: Emby has no such item")
        return dto

    async def get_items(self, query: Mapping[str, str]) -> Sequence[Json]:
        """Items, with all that is read of them."""
        user = {"UserId": self._user_id} if self._user_id else {}
        return await self._page({**query, **user, "Fields": FIELDS})

    async def _page(self, query: Mapping[str, str]) -> Sequence[Json]:
        try:
            answer = await self.http.get("/Items", query)
        except NotFoundError as error:
            # Emby always knows /Items: a proxy says this while Emby is down.
            raise TransientError(f"{error}: no Emby at EMBY_URL at present") from error
        if not isinstance(answer.get("Items"), list):
            raise TransientError("Emby answered /Items without a list of items")
        return list(objects(answer["Items"]))

    def list_items(self, query: Mapping[str, str]) -> AsyncIterator[Json]:
        """All items that are found, page by page, each once."""

        async def fetch(start: int, size: int) -> Sequence[Json]:
            return await self.get_items({**query, "StartIndex": str(start), "Limit": str(size)})

        return each_once(fetch, "Id")

    def list_collections(self) -> AsyncIterator[Json]:
        """All collections, those that ``EMBY_USER_ID`` does not see among them."""
        query = {f"{name[0].upper()}{name[1:]}": value for name, value in LIST.items()}

        async def fetch(start: int, size: int) -> Sequence[Json]:
            window = {"StartIndex": str(start), "Limit": str(size), "Fields": "Path"}
            return await self._page({**query, **window})

        return each_once(fetch, "Id")

    async def get_libraries(self) -> Mapping[str, str]:
        """Folders as Emby sees them, and the libraries they are of; a user's token sees none."""
        try:
            return parse_libraries(await self.http.get("/Library/VirtualFolders/Query"))
        except (ForbiddenError, NotFoundError):
            return {}

    async def get_whole(self, ref: ItemRef) -> Json:
        """An item with every field that Emby would wipe if it were absent from an update.

        Raises:
            PermanentError: Some are missing that Emby sends even where they are empty.
        """
        user_id = self._user_id or await self._find_administrator()
        dto = await self.http.get(f"/Users/{user_id}/Items/{ref.item_id}")
        if str(dto.get("Id")) != ref.item_id:
            raise TransientError(f"{ref}: Emby answered with another item")
        missing = [
            name for name, kind in ALWAYS_SENT.items() if not isinstance(dto.get(name), kind)
        ]
        if missing:
            raise PermanentError(
                f"{ref}: Emby did not show {', '.join(missing)}; writing tags would erase that, "
                "so they are left alone; set EMBY_USER_ID to an administrator's id"
            )
        return dto

    async def _find_administrator(self) -> str:
        for user in await self.http.get_list("/Users"):
            user_id = text(user.get("Id"))
            is_administrator = child(user, "Policy").get("IsAdministrator") is True
            if is_administrator and _USER_ID.fullmatch(user_id):
                return user_id
        raise ConfigurationError("Emby names no administrator: set EMBY_USER_ID to one's id")
