"""A plain directory as a media server: what lies in it is the library."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

from adapters.media_servers import sidecars
from adapters.media_servers.folder_settings import FolderSettings
from adapters.media_servers.names import read_name
from adapters.media_servers.paths import resolve_inside
from adapters.media_servers.tree import FoundFile, Root, Tree, by_arrival, plan_roots
from adapters.media_servers.watching import FolderChanges, Noticed
from service.domain import (
    Change,
    Finding,
    ItemRef,
    LibraryEvent,
    LocalFile,
    MediaItem,
    MediaKind,
    Order,
    Severity,
    TextTrack,
)
from service.errors import (
    BadPayloadError,
    ConfigurationError,
    NotFoundError,
    TransientError,
)

__all__ = ["FolderServer", "FolderSettings"]

PAGE_SIZE = 200
"""Files looked at in one visit to a thread; a few milliseconds on a local disk."""
AWAY_RETRY_S = 60.0
"""How long to leave a share alone that is not mounted."""

T = TypeVar("T")


class FolderServer:
    """Lists, opens and watches the media files below some directories."""

    def __init__(self, settings: FolderSettings) -> None:
        if not settings.media_dirs:
            raise ConfigurationError("MOODREEL_MEDIA_DIRS names no directory")
        self._settings = settings
        self._tree = Tree(plan_roots(settings.media_dirs), settings.allowed_roots)
        self._paths: dict[str, str] = {}
        self._scan_started_at = float("-inf")
        self._scan_lock = asyncio.Lock()

    @classmethod
    def from_settings(cls) -> Self | None:
        """The server that the environment asks for; None when it names no directory."""
        settings = FolderSettings.read()
        return cls(settings) if settings.media_dirs else None

    @property
    def name(self) -> str:
        return "folder"

    def recognises(self, body: bytes, content_type: str) -> bool:  # noqa: ARG002  the port's
        return False

    def parse_webhook(self, body: bytes, content_type: str) -> Sequence[LibraryEvent]:  # noqa: ARG002  the port's
        raise BadPayloadError("a directory sends no webhooks: it is watched instead")

    async def get_item(self, ref: ItemRef) -> MediaItem:
        """Find a file again by its id.

        Raises:
            NotFoundError: No file that may be read has this id (any more).
            TransientError: The file is still being written, or the directory is not mounted.
        """
        found = await self._look_up(ref)
        item = await asyncio.to_thread(self._item, found)
        if item is None:
            raise NotFoundError(f"{ref}: no such file in {self._names()}")
        quiet_s = time.time() - found.changed_at_s  # below zero: a clock is wrong, no waiting helps
        if 0 <= quiet_s < self._settings.settle_s:
            raise TransientError(
                f"{ref}: {found.path.name!r} was written {quiet_s:.0f} s ago and may still grow",
                retry_after_s=self._settings.settle_s - quiet_s,
                costs_attempt=False,
            )
        return item

    async def list_items(
        self, *, since: datetime | None = None, order: Order = Order.OLDEST_FIRST
    ) -> AsyncIterator[MediaItem]:
        """All media files in the order in which they were written or put here.

        The whole tree is walked first; of each file a few words are kept until it is its turn.

        Raises:
            ConfigurationError: A directory does not exist.
        """
        self._require_roots()
        since_s = since.timestamp() if since else float("-inf")
        arrivals = await asyncio.to_thread(by_arrival, self._tree.walk(), since_s, order)
        async for page in _pages(map(self._item, arrivals)):
            for item in page:
                if item is not None:
                    yield item

    async def list_changes(self, since: datetime) -> AsyncIterator[MediaItem]:
        """What was written, renamed or put here since."""
        async for item in self.list_items(since=since):
            yield item

    async def list_group(self, ref: ItemRef) -> AsyncIterator[MediaItem]:
        """The file itself: a directory knows no shows, seasons or albums.

        Raises:
            NotFoundError: There is no such file.
        """
        yield await self.get_item(ref)

    async def read_poster(self, ref: ItemRef) -> bytes:
        """The picture beside a file, else that of its folder, or of an episode's show."""
        found = await self._look_up(ref)
        return await asyncio.to_thread(
            sidecars.read_poster,
            found.path,
            root=found.root.path,
            is_episode=read_name(found.relative).kind is MediaKind.EPISODE,
            allowed=self._tree.allowed,
        )

    async def read_texts(
        self,
        ref: ItemRef,
        *,
        only_beside: bool = False,  # noqa: ARG002  a directory has nothing else
    ) -> Sequence[TextTrack]:
        """The subtitles or lyrics beside a file, one of each language."""
        found = await self._look_up(ref)
        return await asyncio.to_thread(sidecars.read_texts, found.path, allowed=self._tree.allowed)

    async def watch(self) -> AsyncIterator[LibraryEvent]:
        """Events of all files that are there, then of each that comes, changes or goes.

        A directory that vanishes takes no items with it: it may be a share that is not mounted.
        """
        settings = self._settings
        changes = FolderChanges(
            self._tree,
            settle_s=settings.settle_s,
            polling_interval_s=settings.polling_interval_s,
            force_polling=settings.force_polling,
        )
        pages: asyncio.Queue[list[Noticed]] = asyncio.Queue(maxsize=1)
        following = asyncio.create_task(changes.follow(pages.put))
        try:
            while True:
                for change, found in await _next_page(pages, following):
                    yield self._event(change, found)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def check(self) -> Sequence[Finding]:
        """One finding per directory: there, empty, or missing."""
        return await asyncio.to_thread(lambda: [*map(self._check_root, self._tree.roots)])

    async def aclose(self) -> None:
        """Nothing to close: a watch ends with its listener."""

    def _event(self, change: Change, found: FoundFile) -> LibraryEvent:
        item_id = found.item_id
        if change is Change.DELETED:
            self._paths.pop(item_id, None)
        else:
            self._paths[item_id] = str(found.path)
        return LibraryEvent(
            change=change,
            ref=ItemRef(server=self.name, item_id=item_id),
            title=read_name(found.relative).title,
        )

    def _item(self, found: FoundFile) -> MediaItem | None:
        resolved = resolve_inside(found.path, self._tree.allowed)
        if resolved is None:  # gone since, or a link was bent outwards since
            return None
        facts = read_name(found.relative)
        return MediaItem(
            ref=ItemRef(server=self.name, item_id=found.item_id),
            kind=facts.kind,
            title=facts.title,
            location=LocalFile(path=resolved),
            revision=found.revision,
            year=facts.year,
            series=facts.series,
            season_number=facts.season_number,
            episode_number=facts.episode_number,
            artist=facts.artist,
            album=facts.album,
            added_at=datetime.fromtimestamp(found.changed_at_s, tz=UTC),
            library=found.root.label,
        )

    async def _look_up(self, ref: ItemRef) -> FoundFile:
        """Raises NotFoundError, or TransientError while its directory is away."""
        known = self._paths.get(ref.item_id) or await self._find(ref)
        path = Path(known) if known else None
        found = await asyncio.to_thread(self._tree.look_at, path) if path else None
        if found is None:
            await asyncio.to_thread(self._explain_absence, ref, path)
            raise NotFoundError(f"{ref}: no such file in {self._names()}")
        return found

    async def _find(self, ref: ItemRef) -> str | None:
        """Scan for an id that is not known yet; those who ask meanwhile share the next scan."""
        asked_at = time.monotonic()
        async with self._scan_lock:
            if self._scan_started_at < asked_at:
                self._scan_started_at = time.monotonic()
                self._paths = await asyncio.to_thread(
                    lambda: {found.item_id: str(found.path) for found in self._tree.walk()}
                )
        return self._paths.get(ref.item_id)

    def _explain_absence(self, ref: ItemRef, path: Path | None) -> None:
        """Raise TransientError when the file may be away with its whole directory."""
        root = self._tree.root_of(path) if path else None
        for away in (root,) if root else self._tree.roots:
            if away.identity is None or not away.is_populated():
                raise TransientError(
                    f"{ref}: {away.path} is missing or empty; is it mounted?",
                    retry_after_s=AWAY_RETRY_S,
                    costs_attempt=False,
                )

    def _require_roots(self) -> None:
        missing = [str(root.path) for root in self._tree.roots if root.identity is None]
        if missing:
            raise ConfigurationError(
                f"MOODREEL_MEDIA_DIRS: no such directory: {', '.join(missing)}"
            )

    def _names(self) -> str:
        return ", ".join(root.label for root in self._tree.roots)

    def _check_root(self, root: Root) -> Finding:
        if root.identity is None or not root.path.is_dir():
            return Finding(
                subject=self.name,
                severity=Severity.ERROR,
                message=f"{root.path} is not a directory that can be seen from here",
                fix=f"Create or mount {root.path}, or correct MOODREEL_MEDIA_DIRS.",
            )
        if next(self._tree.walk(root.path), None) is None:
            return Finding(
                subject=self.name,
                severity=Severity.WARNING,
                message=f"{root.path} holds no media file that can be read",
                fix=f"Put media into {root.path}; or see that it is mounted and may be read.",
            )
        return Finding(subject=self.name, severity=Severity.OK, message=f"{root.path} holds media")


async def _pages(items: Iterator[T]) -> AsyncIterator[list[T]]:
    """Take from a slow iterator in a thread, a page at a time."""
    while page := await asyncio.to_thread(lambda: [*itertools.islice(items, PAGE_SIZE)]):
        yield page


async def _next_page(
    pages: asyncio.Queue[list[Noticed]], following: asyncio.Task[None]
) -> list[Noticed]:
    """The next page, or the error that ended the one who makes them."""
    getting = asyncio.ensure_future(pages.get())
    try:
        await asyncio.wait({getting, following}, return_when=asyncio.FIRST_COMPLETED)
        if not getting.done():
            following.result()
        return await getting
    finally:
        getting.cancel()
