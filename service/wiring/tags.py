"""What ``moodreel tags`` does: the tags of whole libraries, looked at, written and taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from publisher.library import LibraryChannel, LibrarySettings, TagChange
from service.domain import ItemRef, ItemState
from service.errors import ConfigurationError, NotFoundError, PermanentError
from service.ports import Store, TagKeeper
from service.settings import ServiceSettings
from service.wiring.house import Moodreel, open_moodreel, tag_keepers

STATUS_COUNT = 100
"""Items whose state is asked for at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What became of one item's tags."""

    ref: ItemRef
    title: str = ""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    error: str = ""
    """Why nothing was, or would be, done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryTags:
    """The tags of the items on some servers.

    Every walk goes on after an item that is refused, and ends with TransientError where a server
    or the store is away: what was done is done, and the same walk may be begun again.
    """

    servers: Sequence[str]
    store: Store
    channel: LibraryChannel

    async def preview(self, only: ItemRef | None = None) -> AsyncIterator[Edited]:
        """What would be added and removed, item by item; nothing is changed."""
        async for change in self._changes(only):
            yield change if isinstance(change, Edited) else _told(change)

    async def write(self, only: ItemRef | None = None) -> AsyncIterator[Edited]:
        """Bring the items' tags up to what was found in them."""
        async for change in self._changes(only):
            yield change if isinstance(change, Edited) else await self._write(change)

    async def undo(self) -> AsyncIterator[Edited]:
        """Take back all that we added and that is still there."""
        for server in self.servers:
            for edit in await self.store.list_tag_edits(server):
                try:
                    removed = await self.channel.take_back(edit)
                except PermanentError as error:
                    yield Edited(ref=edit.ref, error=str(error))
                else:
                    yield Edited(ref=edit.ref, removed=tuple(removed))

    async def count_noted(self) -> int:
        """Items that carry, or carried, tags of ours."""
        return sum([len(await self.store.list_tag_edits(server)) for server in self.servers])

    async def _changes(self, only: ItemRef | None) -> AsyncIterator[TagChange | Edited]:
        is_known = only is None
        for server in self.servers:
            async for ref in self._analyzed(server, only):
                analysis = await self.store.load(ref)
                if analysis is None:
                    continue
                is_known = True
                try:
                    yield await self.channel.look(analysis)
                except PermanentError as error:
                    yield Edited(ref=ref, title=analysis.item.title, error=str(error))
        if not is_known:
            raise NotFoundError(
                f"{only} has not been analysed; `moodreel status` shows what has been"
            )

    async def _analyzed(self, server: str, only: ItemRef | None) -> AsyncIterator[ItemRef]:
        page: list[ItemRef] = []
        async for ref in self.store.list_refs(server) if only is None else _alone(only):
            page.append(ref)
            if len(page) == STATUS_COUNT:
                for known in await self._with_findings(page):
                    yield known
                page = []
        for known in await self._with_findings(page):
            yield known

    async def _with_findings(self, refs: Sequence[ItemRef]) -> Sequence[ItemRef]:
        statuses = await self.store.statuses(refs)
        return [
            ref for ref in refs if ref in statuses and statuses[ref].state is not ItemState.DELETED
        ]

    async def _write(self, change: TagChange) -> Edited:
        try:
            await self.channel.write(change)
        except PermanentError as error:
            return Edited(ref=change.ref, title=change.title, error=str(error))
        return _told(change)


@asynccontextmanager
async def open_tags(
    settings: ServiceSettings, *, server: str | None = None
) -> AsyncIterator[LibraryTags]:
    """The tags of one server's items, or of all servers' that take tags.

    Whether ``LIBRARY_TAGS`` is on does not matter here: who calls this asked for it.

    Raises:
        ConfigurationError: There is no such server, or it takes no tags.
    """
    async with open_moodreel(settings) as moodreel:
        keepers = tag_keepers(moodreel.servers)
        yield LibraryTags(
            servers=_choose(moodreel, keepers, server),
            store=moodreel.store,
            channel=LibraryChannel(keepers, moodreel.store, LibrarySettings.read()),
        )


def _choose(moodreel: Moodreel, keepers: Mapping[str, TagKeeper], name: str | None) -> list[str]:
    if name is not None:
        moodreel.server(name)
    chosen = [name] if name is not None else list(keepers)
    if not chosen:
        raise ConfigurationError(
            "no media server that takes tags is configured: set JELLYFIN_URL and "
            "JELLYFIN_API_KEY, EMBY_URL and EMBY_API_KEY, or PLEX_URL and PLEX_TOKEN"
        )
    if chosen[0] not in keepers:
        takers = ", ".join(keepers) or "none"
        raise ConfigurationError(f"{chosen[0]} takes no tags; servers that do: {takers}")
    return chosen


def _told(change: TagChange) -> Edited:
    return Edited(ref=change.ref, title=change.title, added=change.add, removed=change.remove)


async def _alone(ref: ItemRef) -> AsyncIterator[ItemRef]:
    yield ref
