"""What ``moodreel highlights`` and ``moodreel reel`` do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.database.settings import DatabaseSettings
from adapters.database.store import open_store
from adapters.media.settings import ReaderSettings
from service.domain import Analysis, ItemRef, LocalFile, MediaKind, MediaLocation
from service.errors import ConfigurationError, NotFoundError, PermanentError
from service.highlights import best, line_of, plan_reel
from service.ports import MediaServer, Store
from service.settings import ServiceSettings
from service.wiring.database import open_database
from service.wiring.house import open_servers

SONG_S = 30.0
"""What detection takes for the characteristic stretch of a song."""
REEL_SUFFIXES, SONG_SUFFIXES, POSTER_SUFFIXES = (
    (".mp4",),
    (".m4a", ".mp3"),
    (".jpg", ".jpeg", ".png"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """Analysed items, and their media."""

    store: Store
    servers: Mapping[str, MediaServer]

    async def find(self, ref: ItemRef) -> Analysis:
        """An item's analysis, with highlights in it.

        Raises:
            NotFoundError: It was not analysed.
            PermanentError: There is nothing to show.
        """
        analysis = await self.store.load(ref)
        if analysis is None:
            raise NotFoundError(
                f"{ref} has not been analysed; `moodreel status` shows what has been"
            )
        if not analysis.highlights:
            raise PermanentError(
                f"{line_of(analysis.item.title)} has no highlights: nothing in it stood out"
            )
        return analysis

    async def locate(self, ref: ItemRef) -> MediaLocation:
        """Where an item's medium is, according to its server.

        Raises:
            ConfigurationError: Its server is not configured.
            NotFoundError, PermanentError, TransientError: As the server says.
        """
        server = self.servers.get(ref.server)
        if server is None:
            known = ", ".join(self.servers) or "none"
            raise ConfigurationError(
                f"no media server is called {ref.server!r}; configured: {known}"
            )
        item = await server.get_item(ref)
        if item.location is None:
            raise PermanentError(f"{ref}: its server does not say where it can be read")
        return item.location


@dataclass(frozen=True, slots=True, kw_only=True)
class ReelOrder:
    """What to make of an item."""

    analysis: Analysis
    max_s: float
    limit_bytes: int
    path: Path
    poster: Path | None = None
    """Where a picture of the best highlight goes besides."""

    @property
    def is_sound(self) -> bool:
        """Whether there is sound alone."""
        media = self.analysis.media
        is_song = self.analysis.item.kind is MediaKind.SONG
        return is_song or (media is not None and media.video is None)

    @property
    def spans(self) -> list[tuple[float, float]]:
        """What is shown, in order of time; of a song the one stretch that stands for it."""
        found, duration_s = self.analysis.highlights, self.analysis.duration_s
        if self.is_sound:
            found, max_s = (best(found),), min(self.max_s, SONG_S)
        else:
            max_s = self.max_s
        planned = plan_reel(found, max_s=max_s, duration_s=duration_s)
        return [(highlight.start_s, highlight.end_s) for highlight in planned]

    @property
    def length_s(self) -> float:
        return sum(end_s - start_s for start_s, end_s in self.spans)


def check_order(order: ReelOrder, location: MediaLocation) -> None:
    """See that an order can be carried out, before anything is done for it.

    Raises:
        ConfigurationError: A file cannot be written as it is called, or is the medium itself.
        PermanentError: There is nothing to show.
    """
    what = order.analysis.item.title
    _check_suffix(order.path, SONG_SUFFIXES if order.is_sound else REEL_SUFFIXES, what)
    if order.poster is not None:
        if order.is_sound:
            raise ConfigurationError(f"{line_of(what)} has no picture to make a poster of")
        _check_suffix(order.poster, POSTER_SUFFIXES, "a poster")
    if not order.spans:
        raise PermanentError(f"{line_of(what)} has no highlight that fits into {order.max_s:g} s")
    for path in filter(None, (order.path, order.poster)):
        if not path.absolute().parent.is_dir():
            raise ConfigurationError(f"{path.parent} is no directory")
        if isinstance(location, LocalFile) and path.exists() and path.samefile(location.path):
            raise ConfigurationError(f"{path} is the medium itself")


async def make_reel(
    order: ReelOrder, location: MediaLocation, on_progress: Callable[[float], None]
) -> list[Path]:
    """Carry an order out; return the files.

    Raises:
        ConfigurationError, PermanentError: As ``check_order``; or FFmpeg is missing, or failed.
        TransientError: The medium could not be read just now.
    """
    # FFmpeg's bindings would cost every command 50 ms at its start.
    from adapters.media.reels import ReelMaker  # noqa: PLC0415

    await asyncio.to_thread(check_order, order, location)
    maker, spans = ReelMaker(ReaderSettings.read()), order.spans
    if order.is_sound:
        await maker.make_excerpt(location, spans[0], order.path, on_progress=on_progress)
        return [order.path]
    await maker.make_reel(
        location, spans, order.path, limit_bytes=order.limit_bytes, on_progress=on_progress
    )
    if order.poster is None:
        return [order.path]
    peak_s = min(best(order.analysis.highlights).peak_s, max(0.0, order.analysis.duration_s - 0.1))
    await maker.make_poster(location, peak_s, order.poster)
    return [order.path, order.poster]


@asynccontextmanager
async def open_screening(settings: ServiceSettings) -> AsyncIterator[Screening]:
    """The store and the servers. Raises as ``open_moodreel`` does."""
    database = DatabaseSettings.read()
    async with AsyncExitStack() as stack:
        dsn = await open_database(stack, settings, database)
        store = await open_store(database, dsn)
        stack.push_async_callback(store.aclose)
        yield Screening(store=store, servers=open_servers(stack))


def _check_suffix(path: Path, suffixes: tuple[str, ...], what: str) -> None:
    if path.suffix.lower() not in suffixes:
        raise ConfigurationError(
            f"{path.name}: of {line_of(what)} a file ending in {' or '.join(suffixes)} can be made"
        )
