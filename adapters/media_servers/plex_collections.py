"""Plex's collections: of one library, and of one type of things each.

They are added to as such, not by tags of the item: a tag is written with all others of the item, so
two who write at once lose one of them.
"""

from __future__ import annotations

from adapters.media_servers.http import ForbiddenError
from adapters.media_servers.plex_api import FINDINGS, PlexApi
from adapters.media_servers.plex_parsers import KINDS, TYPE_NUMBERS, parse_id
from adapters.media_servers.values import same_text, text
from service.domain import Finding, ItemRef, Json
from service.errors import (
    ConfigurationError,
    MoodreelError,
    NotFoundError,
    PermanentError,
    TransientError,
)


class PlexCollections:
    """Adds to collections, and creates those that are not there. One call at a time on one name.

    Args:
        api: Whose.
    """

    def __init__(self, api: PlexApi) -> None:
        self._api = api

    async def add(self, name: str, ref: ItemRef) -> None:
        """Add an item to the collection of its own library.

        Raises:
            NotFoundError: Plex has no such item.
            PermanentError: The collection fills itself, or holds another type of things.
            ConfigurationError: The token may not edit collections.
            TransientError: No answer, or the collection went away meanwhile.
        """
        metadata = await self._api.get_item(ref)
        if metadata.get("type") not in KINDS:
            raise PermanentError(f"{ref} holds other items: what matches is one of them")
        try:
            section = parse_id(metadata.get("librarySectionID"))
        except ValueError as error:
            raise PermanentError(f"{ref} is in no library of Plex: {error}") from error
        try:
            await self._add(name, ref, text(metadata.get("type")), section)
        except ForbiddenError as error:
            raise ConfigurationError(
                f"Plex lets this token not edit collections, so nothing was added to {name!r} "
                f"({error}). {FINDINGS.key_fix}"
            ) from error
        except NotFoundError as error:
            raise TransientError(f"{error}: the collection {name!r} is looked for anew") from error

    async def check(self) -> Finding:
        """Whether the token is the owner's: nobody else's edits anything, or sees the settings."""
        try:
            await self._api.get("/:/prefs")
        except ConfigurationError as error:
            return FINDINGS.judge_collections(error)
        except MoodreelError as error:
            return FINDINGS.collections_not_checked(error)
        return FINDINGS.judge_collections(None)

    async def _add(self, name: str, ref: ItemRef, kind: str, section: str) -> None:
        item_id = parse_id(ref.item_id)
        uri = self._api.name_uri(await self._api.get_machine_id(), item_id)
        found = await self._find(name, kind, section)
        if found is None:
            create = {"type": str(TYPE_NUMBERS[kind]), "title": name, "smart": "0"}
            await self._api.http.send(
                "POST", "/library/collections", query={**create, "sectionId": section, "uri": uri}
            )
            return
        path = f"/library/collections/{parse_id(found.get('ratingKey'))}"
        async for member in self._api.list_pages(f"{path}/children", {}):
            if str(member.get("ratingKey")) == item_id:
                return
        await self._api.http.send("PUT", f"{path}/items", query={"uri": uri})

    async def _find(self, name: str, kind: str, section: str) -> Json | None:
        """The collection that is spelt exactly so, else one of other case; None without any."""
        alike = [
            entry
            async for entry in self._api.list_pages(f"/library/sections/{section}/collections", {})
            if same_text(text(entry.get("title")), name)
        ]
        alike.sort(key=lambda entry: text(entry.get("title")) != name)
        fitting = [entry for entry in alike if entry.get("subtype") == kind]
        if alike and not fitting:
            raise PermanentError(
                f"Plex's collection {name!r} holds things of type {text(alike[0].get('subtype'))}, "
                f"to which no {kind} can be added: name another collection"
            )
        if fitting and str(fitting[0].get("smart")).lower() in {"1", "true"}:
            raise PermanentError(
                f"Plex's collection {name!r} is a smart one, which fills itself: name another"
            )
        return fitting[0] if fitting else None
