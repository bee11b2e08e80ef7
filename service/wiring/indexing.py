"""What ``moodreel index`` does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from adapters.database.refolding import fold_more
from adapters.database.settings import DatabaseSettings
from adapters.database.store import DatabaseStore, open_store
from adapters.database.vector_building import (
    Builder,
    Built,
    OnProgress,
    Outcome,
    is_due,
    statements,
)
from adapters.database.vector_indexes import (
    ENOUGH_RECALL,
    CurrentModel,
    Recall,
    VectorIndexes,
    VectorSettings,
    VectorSpace,
)
from adapters.models.settings import ModelSettings
from service.errors import ConfigurationError
from service.query import VectorKind
from service.settings import ServiceSettings
from service.wiring.current_models import wanted_models
from service.wiring.database import open_database

__all__ = ["Built", "Checked", "IndexCare", "SpaceStatus", "open_index_care"]

PROBES = 40
"""Searches of a check: at a recall of .95, what is measured lies within .03 of it."""
FILTERED_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceStatus:
    """How a space is searched, and why."""

    space: VectorSpace
    is_current: bool
    """Whether searches compare with this model's vectors now."""
    why: str
    is_settled: bool = True
    """False where `moodreel index build` would make searches faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What searches of a space find."""

    status: SpaceStatus
    all: Recall
    """Among all items."""
    filtered: Recall | None
    """Among a tenth of them; None where that tenth was empty."""

    @property
    def is_enough(self) -> bool:
        """Whether either finds what it should."""
        return all(
            found.recall >= ENOUGH_RECALL
            for found in (self.all, self.filtered)
            if found is not None
        )


class IndexCare:
    """Looks after what searches need of one database.

    Args:
        store: The database, through its API.
        settings: From how many vectors on an index is worth it.
        dsn: A login; None where there is only a project's API.
        wanted: The configured models.
    """

    def __init__(
        self,
        store: DatabaseStore,
        settings: VectorSettings,
        dsn: str | None,
        wanted: dict[VectorKind, str],
    ) -> None:
        self._store = store
        self._indexes = VectorIndexes(store.transport)
        self._settings = settings
        self._dsn = dsn
        self._wanted = wanted

    async def current(self) -> dict[VectorKind, CurrentModel]:
        """Which model each kind is searched by, and which one is to take over."""
        return dict(await self._indexes.current_models(self._wanted))

    async def status(self) -> Sequence[SpaceStatus]:
        """How every space is searched."""
        current = await self.current()
        return [
            SpaceStatus(
                space=space,
                is_current=space.kind in current
                and (current[space.kind].model, current[space.kind].dimension)
                == (space.model, space.dimension),
                why=_why(space, self._settings),
                is_settled=_is_settled(space, self._settings),
            )
            for space in await self._indexes.spaces()
        ]

    async def check(self, on_checked: Callable[[], None]) -> Sequence[Checked]:
        """Search each space for what is near to its own vectors, and see what is found."""
        checked = []
        for status in await self.status():
            found = await self._indexes.measure(status.space, count=PROBES)
            filtered = await self._indexes.measure(status.space, share=FILTERED_SHARE, count=PROBES)
            on_checked()
            if found is not None:
                checked.append(Checked(status=status, all=found, filtered=filtered))
        return checked

    async def fold(self, on_progress: OnProgress) -> int:
        """Make the words of what was analysed before there was a search; return of how many items.

        May be interrupted, and goes on where it was.
        """
        counts = await self._store.counts()
        total = sum(count for noun, count in counts.items() if noun.startswith("items_"))
        folded = 0
        while folded <= total and (more := await fold_more(self._store)):
            folded += more
            on_progress("words", folded, total)
        return folded

    async def build(self, on_progress: OnProgress, *, memory_mb: int) -> Sequence[Built]:
        """Bring all indexes to where they should be.

        Raises:
            ConfigurationError: There is no login, somebody else builds, or pgvector is too old.
        """
        spaces = await self._indexes.spaces()
        if self._dsn is None and all(_is_settled(space, self._settings) for space in spaces):
            return [
                Built(
                    space=space,
                    outcome=Outcome.KEPT if space.has_index else Outcome.EXACT,
                    width=space.width,
                )
                for space in spaces
            ]
        if self._dsn is None:
            raise ConfigurationError(
                "a Supabase project's API builds no indexes: set DATABASE_URL to its session "
                "pooler or direct connection for this command, or run what `moodreel index build "
                "--print` prints in its SQL editor"
            )
        return await Builder(
            self._dsn, self._indexes, self._settings, on_progress, memory_mb=memory_mb
        ).run()

    async def statements(self, *, memory_mb: int) -> str:
        """SQL that builds what is missing; empty where nothing is."""
        return statements(await self._indexes.spaces(), self._settings, most_mb=memory_mb)


@asynccontextmanager
async def open_index_care(settings: ServiceSettings) -> AsyncIterator[IndexCare]:
    """Where results are kept. On the main thread: the embedded Postgres is its child."""
    database, models = DatabaseSettings.read(), ModelSettings.read()
    async with AsyncExitStack() as stack:
        dsn = database.dsn or None  # beside a project, for this command: its own database
        if not database.supabase_url:
            dsn = await open_database(stack, settings, database)
        store = await open_store(database, dsn)
        stack.push_async_callback(store.aclose)
        yield IndexCare(store, VectorSettings.read(), dsn, wanted_models(models))


def _is_settled(space: VectorSpace, settings: VectorSettings) -> bool:
    return space.width is not None or not is_due(space, settings)


def _why(space: VectorSpace, settings: VectorSettings) -> str:
    if space.width is not None:
        return f"by its index, {space.width} candidates wide"
    if not is_due(space, settings):
        return f"exactly: fewer than {settings.index_from:,} vectors need no index"
    if space.has_index and not space.is_whole:
        return "exactly: building its index was interrupted (`moodreel index build`)"
    if space.has_index:
        return "exactly: nobody has measured its index (`moodreel index build`)"
    return "exactly, which takes long by now (`moodreel index build`)"
