"""Plex Media Server's HTTP API, as far as Moodreel speaks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field, SecretStr

from adapters.media_servers.findings import Findings
from adapters.media_servers.http import JsonClient
from adapters.media_servers.paging import each_once
from adapters.media_servers.paths import Mappings, PathSettings
from adapters.media_servers.plex_parsers import LEAVES, TYPE_NUMBERS, parse_id
from adapters.media_servers.values import Address, objects, text
from service.domain import ItemRef, Json
from service.errors import ConfigurationError, NotFoundError, TransientError

FINDINGS = Findings(
    subject="plex",
    title="Plex",
    prefix="PLEX",
    probe="/identity",
    key_setting="PLEX_TOKEN",
    key_fix="In Plex Web: any item > ... > Get Info > View XML; the address ends with "
    "X-Plex-Token=; put what follows into PLEX_TOKEN.",
    oldest_version=(1, 20),
)


class PlexSettings(PathSettings):
    """Which Plex, and where its files are seen from here."""

    url: Address = Field(
        default="",
        alias="PLEX_URL",
        description="Address of Plex as Moodreel reaches it, such as http://plex:32400.",
    )
    token: SecretStr = Field(
        default=SecretStr(""),
        alias="PLEX_TOKEN",
        description="Token of the server's owner (X-Plex-Token).",
    )
    public_base_url: Address = Field(
        default="https://app.plex.tv/desktop",
        alias="PLEX_PUBLIC_BASE_URL",
        description="Address of Plex Web as your readers reach it: announcements link there. Your "
        "own server's is its address with /web.",
    )
    path_map: Mappings = Field(
        default=(),
        alias="PLEX_PATH_MAP",
        description="Where Plex's folders are on this machine: /media=/mnt/media pairs, separated "
        "by commas. Without a match, media are streamed over HTTP.",
    )
    timeout_s: float = Field(
        default=30.0,
        gt=0,
        alias="PLEX_TIMEOUT_S",
        description="Seconds to wait for an answer of Plex.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A library of things with media of their own."""

    key: str
    title: str
    leaf_type: str
    """What its items are: ``movie``, ``episode`` or ``track``."""


class PlexApi:
    """Asks one Plex, and writes to it. The token travels in a header alone.

    Raises everywhere: TransientError (no answer, nonsense), ConfigurationError (a refused token).
    """

    def __init__(self, settings: PlexSettings) -> None:
        if not settings.url:
            raise ConfigurationError("PLEX_URL is not set")
        token = settings.token.get_secret_value().strip()
        if not token:
            raise ConfigurationError(f"PLEX_TOKEN is not set. {FINDINGS.key_fix}")
        self.base_url = settings.url
        self.headers = {"X-Plex-Token": token}
        """Carry the token; never printed."""
        self.http = JsonClient(
            subject="Plex",
            base_url=settings.url,
            headers={**self.headers, "Accept": "application/json"},  # else it answers in XML
            timeout_s=settings.timeout_s,
            url_setting="PLEX_URL",
            key_setting="PLEX_TOKEN",
        )
        self._machine_id = ""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """The container that all of Plex's answers are in."""
        container = (await self.http.get(path, query)).get("MediaContainer")
        if not isinstance(container, dict):
            raise TransientError(f"Plex answered {path} without a MediaContainer")
        return container

    async def get_machine_id(self) -> str:
        """Identity of the server, which links need; it never changes."""
        if not self._machine_id:
            self._machine_id = text((await self.get("/identity")).get("machineIdentifier"))
        return self._machine_id

    async def get_item(self, ref: ItemRef) -> Json:
        """An item with its files, their streams and its labels.

        Raises:
            NotFoundError: Plex has no such item.
        """
        try:
            item_id = parse_id(ref.item_id)
        except ValueError as error:
            raise NotFoundError(f"{ref}: {error}") from error
        try:
            container = await self.get(f"/library/metadata/{item_id}")
        except NotFoundError as error:
            await self._require_plex(error)
            raise NotFoundError(f"{ref}: Plex has no such item") from error
        for metadata in objects(container.get("Metadata")):
            if str(metadata.get("ratingKey")) == item_id:
                return {"librarySectionTitle": container.get("librarySectionTitle"), **metadata}
        raise TransientError(f"{ref}: Plex answered without the item")

    async def list_sections(self) -> Sequence[Section]:
        """The libraries of films, shows and music."""
        container = await self.get("/library/sections")
        try:
            return [
                Section(
                    key=parse_id(section.get("key")),
                    title=text(section.get("title")),
                    leaf_type=LEAVES[section["type"]],
                )
                for section in _entries(container, "Directory")
                if section.get("type") in LEAVES
            ]
        except ValueError as error:
            raise TransientError(f"Plex lists a library without a key: {error}") from error

    async def list_leaves(self, section: Section, query: Mapping[str, str]) -> AsyncIterator[Json]:
        """A library's items, page by page, each once."""
        number = TYPE_NUMBERS[section.leaf_type]
        path = f"/library/sections/{section.key}/all"
        async for entry in self.list_pages(path, {**query, "type": str(number)}):
            yield {"librarySectionTitle": section.title, **entry}

    def list_pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Json]:
        """All entries below a path, page by page, each once."""

        async def fetch(start: int, size: int) -> Sequence[Json]:
            window = {"X-Plex-Container-Start": str(start), "X-Plex-Container-Size": str(size)}
            return _entries(await self.get(path, {**query, **window}), "Metadata")

        return each_once(fetch, "ratingKey")

    def name_uri(self, machine_id: str, item_id: str) -> str:
        """How requests name an item of this server."""
        return f"server://{machine_id}/com.plexapp.plugins.library/library/metadata/{item_id}"

    async def write_labels(
        self, metadata: Json, *, wanted: Sequence[str], gone: Sequence[str]
    ) -> None:
        """Give an item these labels: Plex forgets those that are not sent again.

        The labels are locked, as a refresh of the metadata would drop them otherwise; an item
        without any is unlocked again.
        """
        section = parse_id(metadata.get("librarySectionID"))
        query = {
            "type": str(TYPE_NUMBERS[text(metadata.get("type"))]),
            "id": parse_id(metadata.get("ratingKey")),
            **{f"label[{index}].tag.tag": label for index, label in enumerate(wanted)},
            "label.locked": "1" if wanted else "0",
        }
        if gone:
            query["label[].tag.tag-"] = ",".join(map(_quote_comma, gone))
        await self.http.send("PUT", f"/library/sections/{section}/all", query=query)

    async def _require_plex(self, error: NotFoundError) -> None:
        """Tell an item that is gone from a proxy that says 404 for all while Plex is down.

        Raises:
            TransientError: No Plex answers.
        """
        try:
            await self.get("/identity")
        except NotFoundError:
            raise TransientError(f"{error}: no Plex at PLEX_URL at present") from error


def _entries(container: Json, key: str) -> list[Json]:
    """A container's list. Plex leaves an empty one out, but then says that its size is 0.

    Raises:
        TransientError: It is left out, and nothing says that it is empty.
    """
    if key not in container and container.get("size") != 0:
        raise TransientError(f"Plex answered without a list of {key}")
    return list(objects(container.get(key)))


def _quote_comma(label: str) -> str:
    """Labels to remove come in one list, in which a comma parts them."""
    return label.replace("%", "%25").replace(",", "%2C")
