"""Builds indexes of vectors beside whatever else goes on, and keeps only those that find enough."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import sql

from adapters.database.psycopg_transport import (
    CONNECTION,
    describe_dsn,
    notice_our_end,
    probe,
    translate_psycopg,
)
from adapters.database.vector_indexes import (
    VectorIndexes,
    VectorSettings,
    VectorSpace,
)
from service.errors import ConfigurationError

ADMITTED_RECALL = 0.98
"""Above what is enough: 40 searches measure it to about .02."""
PROBES = 40
WIDTHS = (200, 400, 800, 1000)
"""Of a search, in candidates (hnsw.ef_search, which ends at 1000): the first that finds enough."""
LINKS, CANDIDATES = 16, 200
"""m and ef_construction. With pgvector's 64 candidates, searches of 200 found .88 of the ten
nearest among 100,000 clustered vectors; with 200 .98, and searches of 400 found all."""
LARGEST_DIMENSION = 4000
"""Of a halfvec that pgvector indexes."""
OLDEST_VECTOR = (0, 8)
"""Of pgvector: older indexes give up where a filter leaves little."""
OVERHEAD_BYTES = 800
"""Of a vector in an index that is built in memory: its links on all levels, and rounding up."""
LEAST_MEMORY_MB = 64
"""Postgres' own default."""
LOOK_EVERY_S = 0.5
PREFIX = "scene_embeddings_near_"
LOCK_KEY = 0x6D6F6F65
"""Of the advisory lock: one builds at a time."""

OnProgress = Callable[[str, int, int], None]
"""Which space, how far, and of how much."""
Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class Outcome(StrEnum):
    """What was done about a space's index."""

    BUILT = "built"
    KEPT = "kept"
    DROPPED = "dropped"
    """It was not needed any more."""
    REFUSED = "refused"
    """It found too little, and is gone."""
    EXACT = "exact"
    """None is needed, or none is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What became of a space's index."""

    space: VectorSpace
    outcome: Outcome
    recall: float | None = None
    """What was found by it, where that was measured."""
    width: int | None = None


class Builder:
    """Builds over a login of its own, which the statement needs: it runs in no transaction.

    Args:
        dsn: The database, directly or through a pooler of sessions.
        indexes: The same database.
        settings: From how many vectors on.
        on_progress: Told while one is built.
        memory_mb: The most that building may take, on the server.
    """

    def __init__(
        self,
        dsn: str,
        indexes: VectorIndexes,
        settings: VectorSettings,
        on_progress: OnProgress,
        *,
        memory_mb: int,
    ) -> None:
        self._dsn = dsn
        self._indexes = indexes
        self._settings = settings
        self._on_progress = on_progress
        self._memory_mb = memory_mb

    async def run(self) -> Sequence[Built]:
        """Bring all indexes to where they should be; searches and analyses go on meanwhile.

        Raises:
            ConfigurationError: Somebody else builds, or pgvector is too old.
            TransientError: The database does not answer.
        """
        async with _connected(self._dsn) as connection:
            await _prepare(connection, self._dsn)
            built = [
                await self._settle(connection, space) for space in await self._indexes.spaces()
            ]
            kept = {entry.space.index_name for entry in built}
            await _drop_orphans(connection, kept)
        return built

    async def _settle(self, connection: Connection, space: VectorSpace) -> Built:
        if not is_due(space, self._settings):
            if space.has_index:
                await _drop(connection, space.index_name)
            outcome = Outcome.DROPPED if space.has_index else Outcome.EXACT
            return Built(space=space, outcome=outcome)
        if space.width is not None:
            return Built(space=space, outcome=Outcome.KEPT, width=space.width)
        if not space.is_whole:
            if space.has_index:  # left by a build that was interrupted
                await _drop(connection, space.index_name)
            await self._build(connection, space)
        return await self._admit(connection, space)

    async def _build(self, connection: Connection, space: VectorSpace) -> None:
        memory = f"{memory_mb(space, self._memory_mb)}MB"
        await connection.execute("select set_config('maintenance_work_mem', %s, false)", [memory])
        watching = asyncio.create_task(self._watch(space))
        try:
            try:
                await connection.execute(index_sql(space, concurrently=True))
            except psycopg.errors.DiskFull:
                # Containers have a /dev/shm of 64 MB: too small for a graph that workers share.
                await _drop(connection, space.index_name)
                await connection.execute("set max_parallel_maintenance_workers = 0")
                await connection.execute(index_sql(space, concurrently=True))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        # Filters are weighed by how many items there are, as the planner last counted them.
        await connection.execute("analyze public.scene_embeddings, public.media_analyses")

    async def _watch(self, space: VectorSpace) -> None:
        async with await psycopg.AsyncConnection.connect(self._dsn, **CONNECTION) as connection:
            while True:
                cursor = await connection.execute(
                    "select blocks_done, blocks_total from pg_stat_progress_create_index "
                    "where relid = 'public.scene_embeddings'::regclass and blocks_total > 0"
                )
                for done, total in await cursor.fetchall():
                    self._on_progress(space.name, done, total)
                await asyncio.sleep(LOOK_EVERY_S)

    async def _admit(self, connection: Connection, space: VectorSpace) -> Built:
        """Use an index if it finds enough, as widely searched as that takes."""
        for width in WIDTHS:
            found = await self._indexes.measure(space, width=width, count=PROBES)
            if found is None or found.recall >= ADMITTED_RECALL:
                await connection.execute(comment_sql(space, width))
                recall = found.recall if found else None
                return Built(space=space, outcome=Outcome.BUILT, recall=recall, width=width)
        await _drop(connection, space.index_name)
        return Built(space=space, outcome=Outcome.REFUSED, recall=found.recall if found else None)


def is_due(space: VectorSpace, settings: VectorSettings) -> bool:
    """Whether a space should have an index."""
    return space.count >= settings.index_from and space.dimension <= LARGEST_DIMENSION


def statements(spaces: Sequence[VectorSpace], settings: VectorSettings, *, most_mb: int) -> str:
    """SQL that builds what is missing, for a console that a project offers instead of a login.

    Nothing measures there, so an index is searched as widely as possible.
    """
    parts = (
        "set statement_timeout = 0;\nset search_path = public, extensions;\n"
        f"set maintenance_work_mem = '{memory_mb(space, most_mb)}MB';\n"
        f"{index_sql(space, concurrently=False).as_string()};\n"
        f"{comment_sql(space, WIDTHS[-1]).as_string()};\n"
        for space in spaces
        if is_due(space, settings) and space.width is None
    )
    return "\n".join(parts)


def memory_mb(space: VectorSpace, most_mb: int) -> int:
    """What building wants, so that all of it is done in memory."""
    wanted = space.count * (2 * space.dimension + OVERHEAD_BYTES) >> 20
    return max(LEAST_MEMORY_MB, min(most_mb, wanted))


def index_sql(space: VectorSpace, *, concurrently: bool) -> sql.Composed:
    """The statement that makes a space's index."""
    return sql.SQL(
        "create index {how} {name} on public.scene_embeddings "
        "using hnsw ((embedding::halfvec({dimension})) halfvec_cosine_ops) "
        "with (m = {links}, ef_construction = {candidates}) "
        "where model = {model} and dimension = {dimension} and kind = {kind}"
    ).format(
        how=sql.SQL("concurrently" if concurrently else ""),
        name=sql.Identifier(space.index_name),
        dimension=sql.Literal(space.dimension),
        links=sql.Literal(LINKS),
        candidates=sql.Literal(CANDIDATES),
        model=sql.Literal(space.model),
        kind=sql.Literal(space.kind.value),
    )


def comment_sql(space: VectorSpace, width: int) -> sql.Composed:
    """The statement that puts a space's index to use (see ``moodreel.search_width``)."""
    comment = json.dumps({"width": width, "space": space.name}, ensure_ascii=False)
    return sql.SQL("comment on index public.{} is {}").format(
        sql.Identifier(space.index_name), sql.Literal(comment)
    )


async def _drop(connection: Connection, name: str) -> None:
    await connection.execute(
        sql.SQL("drop index concurrently if exists public.{}").format(sql.Identifier(name))
    )


async def _drop_orphans(connection: Connection, kept: Collection[str]) -> None:
    """Indexes of models whose last vectors were pruned."""
    cursor = await connection.execute(
        "select indexrelid::regclass::text from pg_index "
        "where indrelid = 'public.scene_embeddings'::regclass"
    )
    for (full_name,) in await cursor.fetchall():
        name = full_name.rpartition(".")[2]
        if name.startswith(PREFIX) and name not in kept:
            await _drop(connection, name)


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Connection]:
    await probe(dsn)
    try:
        async with await psycopg.AsyncConnection.connect(
            dsn, **CONNECTION, application_name="moodreel-index"
        ) as connection:
            await notice_our_end(connection)
            yield connection
    except psycopg.Error as error:
        raise translate_psycopg(error, tried=f"building indexes on {describe_dsn(dsn)}") from error


async def _prepare(connection: Connection, dsn: str) -> None:
    await connection.execute("set statement_timeout = 0; set search_path = public, extensions")
    cursor = await connection.execute(
        "select pg_try_advisory_lock(%s), extversion from pg_extension where extname = 'vector'",
        [LOCK_KEY],
    )
    [(is_alone, version)] = await cursor.fetchall()
    if not is_alone:
        raise ConfigurationError(f"{describe_dsn(dsn)}: indexes are being built already")
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VECTOR:
        raise ConfigurationError(
            f"{describe_dsn(dsn)}: indexes need pgvector 0.8 or newer, this is {version}; "
            "until then every vector is compared"
        )
