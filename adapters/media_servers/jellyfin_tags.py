"""An item's tags in Jellyfin: its whole description is read, changed and written back.

``POST /Items/{id}`` has no way of changing one field. It overwrites what is absent with nothing
(title, overview, ratings, the lock) and before 12.0 stops halfway when genres, tags or provider ids
are absent. So nothing is written before everything that would be overwritten has been read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from adapters.media_servers.jellyfin_api import JellyfinApi
from adapters.media_servers.jellyfin_parsers import KINDS, parse_id
from service.domain import ItemRef, Json
from service.errors import NotFoundError, PermanentError

EDIT_FIELDS = (
    "Tags,Genres,ProviderIds,Settings,Overview,OriginalTitle,CustomRating,Studios,Taglines,"
    "ProductionLocations,SpecialEpisodeNumbers,DateCreated"
)
"""All that a description holds on request only and the write overwrites (``DtoService`` beside
``ItemUpdateController``); ``Settings`` brings the lock, the sort title and the metadata's language,
``SpecialEpisodeNumbers`` where a special is shown."""
ALWAYS_SENT = {
    "Name": str,
    "Tags": list,
    "Genres": list,
    "ProviderIds": dict,
    "LockData": bool,
    "LockedFields": list,
    "Studios": list,
    "Taglines": list,
}
"""What Jellyfin sends even where it is empty: without these, what was asked for was not read."""
LOSSY = ("People", "AlbumArtists", "ArtistItems", "Artists", "AlbumArtist")
"""What a description does not hold whole (artists without a page of their own are left out), and
what the write leaves alone when it is absent."""


class JellyfinTags:
    """Reads and writes tags.

    Args:
        api: Whose items.
    """

    def __init__(self, api: JellyfinApi) -> None:
        self._api = api

    async def read(self, ref: ItemRef) -> Sequence[str]:
        """An item's tags. Raises NotFoundError where there is no such item."""
        return _tags(await self._api.item(ref, "Tags"))

    async def edit(self, ref: ItemRef, *, add: Collection[str], remove: Collection[str]) -> None:
        """Add tags that are not there in any case, and remove those that are there exactly so.

        Raises:
            NotFoundError: Jellyfin has no such item.
            PermanentError: It is a show, season or album, whose tags would be written into all that
                it holds; or not all of its description could be read.
        """
        await self._api.version()  # so that it is known whether this edit comes back as news
        dto = await self._read_whole(ref)
        kind = str(dto.get("Type") or "")
        if kind not in KINDS or dto.get("IsFolder") is True:
            raise PermanentError(
                f"{ref} is a {kind or 'nameless thing'}: its tags would be written into everything "
                "in it, so they are left alone"
            )
        before = _tags(dto)
        after = _edited(before, add=add, remove=remove)
        if after == before:
            return
        _require_whole(ref, dto)
        body = {name: value for name, value in dto.items() if name not in LOSSY}
        await self._api.http.send(
            "POST", f"/Items/{parse_id(ref.item_id)}", body={**body, "Tags": after}
        )

    async def _read_whole(self, ref: ItemRef) -> Json:
        user_id = self._api.settings.user_id
        try:
            parse_id(ref.item_id)
        except ValueError as error:
            raise NotFoundError(f"{ref}: {error}") from error
        if user_id:
            return await self._api.item_as_user(ref, user_id)
        return await self._api.item(ref, EDIT_FIELDS)


def _tags(dto: Json) -> list[str]:
    tags = dto.get("Tags")
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def _edited(before: Sequence[str], *, add: Collection[str], remove: Collection[str]) -> list[str]:
    after = [tag for tag in before if tag not in remove]
    known = {tag.casefold() for tag in after}
    for tag in add:
        if tag.casefold() not in known:
            known.add(tag.casefold())
            after.append(tag)
    return after


def _require_whole(ref: ItemRef, dto: Json) -> None:
    missing = [name for name, kind in ALWAYS_SENT.items() if not isinstance(dto.get(name), kind)]
    if missing:
        raise PermanentError(
            f"{ref}: Jellyfin did not show {', '.join(missing)}; writing the tags would erase "
            "that, so they are left alone; an administrator's JELLYFIN_API_KEY may read everything"
        )
