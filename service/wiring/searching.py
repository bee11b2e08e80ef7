"""What ``moodreel search`` does: the engine, the pictures of what it finds, and where files lie."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from adapters.database.index import DatabaseIndex
from adapters.database.store import DatabaseStore
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.domain import Analysis, ItemRef, LocalFile
from service.errors import MoodreelError, NotFoundError
from service.politeness import Politeness, PolitenessSettings
from service.query import Query, SceneKey, SearchAnswer
from service.settings import ServiceSettings, prepare_data_dir
from service.web.pictures import Pictures
from service.web.session import ApiSettings
from service.web.thumbnails import Thumbnails
from service.wiring.api import MEGABYTE, PICTURE_SIDE_PX
from service.wiring.house import Moodreel, open_moodreel

PLAIN_FILES = "folder"
"""The server whose items are files and have no page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searching:
    """The engine of search, and what its hits look like."""

    moodreel: Moodreel
    thumbnails: Thumbnails

    async def find(self, query: Query) -> SearchAnswer:
        """As ``Finder.find``."""
        return await self.moodreel.finder.find(query)

    async def scene_at(self, ref: ItemRef, at_s: float) -> SceneKey:
        """The scene of an item at a time.

        Raises:
            NotFoundError: The item has no analysis, or no scene then.
        """
        analysis = await self.moodreel.store.load(ref)
        if analysis is None:
            raise _not_analyzed(ref)
        return SceneKey(ref=ref, position=_position(analysis, at_s))

    async def require(self, ref: ItemRef) -> None:
        """Look whether there is something to be like.

        Raises:
            NotFoundError: The item has no analysis.
        """
        if await self.moodreel.store.saved_at(ref) is None:
            raise _not_analyzed(ref)

    async def picture(self, scene: SceneKey, width: int) -> bytes:
        """A JPEG of a scene, at most so wide; empty where there is none to be had now."""
        try:
            return await self.thumbnails.load(await self.thumbnails.find(scene), width)
        except MoodreelError:
            return b""

    async def file_of(self, ref: ItemRef) -> Path | None:
        """Where an item's file lies, of items that have no page of their own."""
        if ref.server != PLAIN_FILES or ref.server not in self.moodreel.servers:
            return None
        try:
            location = (await self.moodreel.server(ref.server).get_item(ref)).location
        except MoodreelError:
            return None
        return location.path if isinstance(location, LocalFile) else None


def _not_analyzed(ref: ItemRef) -> NotFoundError:
    return NotFoundError(f"{ref} has not been analysed; `moodreel status` shows what has been")


def _position(analysis: Analysis, at_s: float) -> int:
    for position, scene in enumerate(analysis.scenes):
        if scene.start_s <= at_s < scene.end_s:
            return position
    raise NotFoundError(
        f"{analysis.item.ref} has no scene at {at_s:g} s; it is {analysis.duration_s:g} s long"
    )


@asynccontextmanager
async def open_searching(settings: ServiceSettings) -> AsyncIterator[Searching]:
    """Everything that finds and shows. On the main thread: the embedded Postgres is its child.

    Pictures are kept where the service keeps those of its API.

    Raises:
        ConfigurationError: Something that is configured cannot be used.
    """
    reader = ReaderSettings.read().model_copy(update={"short_side_px": PICTURE_SIDE_PX})
    async with AsyncExitStack() as stack:
        moodreel = await stack.enter_async_context(open_moodreel(settings))
        store = cast("DatabaseStore", moodreel.store)  # there is no other
        thumbnails = Thumbnails(
            store=store,
            index=DatabaseIndex(store.transport),
            source=Pictures(
                servers=moodreel.servers,
                reader=ProcessReader(reader),
                politeness=Politeness(moodreel.servers, PolitenessSettings.read(), patience_s=0.0),
            ),
            directory=prepare_data_dir(settings) / "thumbnails",
            limit_bytes=ApiSettings.read().thumbnails_mb * MEGABYTE,
        )
        stack.push_async_callback(thumbnails.aclose)
        yield Searching(moodreel=moodreel, thumbnails=thumbnails)
