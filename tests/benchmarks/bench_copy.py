"""How fast a library is copied, straight and through PostgREST, by the size of a batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing

from adapters.database import copied, copying
from adapters.database.copying import Copy
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.pruning import Pruner, PruneSettings
from adapters.database.snapshot import open_snapshot
from tests.support.postgres import reachable_directory
from tests.support.stores import (
    MODEL,
    Database,
    make_analysis,
    make_full_scenes,
    make_item,
    migrated_database,
)

ITEM_COUNT = 30
SCENE_COUNT = 60
"""Of an episode; each has three vectors."""
DIMENSION = 512
BATCHES_BYTES = (500_000, 2_000_000, 4_000_000, 16_000_000)

Row = dict[str, object]


def run() -> list[Row]:
    """Vectors a second for each size of a batch and each way, and what pruning costs."""
    copying.SAMPLE_SIZE = 1  # of a library it is little; of so few items it would be all
    return list(_rows())


def _rows() -> Iterator[Row]:
    with reachable_directory(in_memory=False) as directory, EmbeddedPostgres(directory) as cluster:
        dsn = cluster.start()
        with migrated_database("psycopg", dsn) as source:
            asyncio.run(_fill(source))
            for size_bytes in BATCHES_BYTES:
                with migrated_database("psycopg", dsn) as target:
                    name = f"copy, Postgres, batches of {size_bytes / 1e6:g} MB"
                    yield asyncio.run(_copy(source, target, name, size_bytes))
            with migrated_database("postgrest", dsn) as target:
                yield asyncio.run(_copy(source, target, "copy, PostgREST", copied.BATCH_BYTES))
                yield asyncio.run(_compare(source, target))
            yield from asyncio.run(_prune(source))


async def _fill(database: Database) -> None:
    async with aclosing(await database.open_store()) as store:
        scenes = make_full_scenes(SCENE_COUNT, DIMENSION)
        for number in range(ITEM_COUNT):
            item = make_item(str(number))
            analysis = make_analysis(
                item, scenes=scenes, embedding_model=MODEL, sound_embedding_model="clap"
            )
            await store.save(analysis, await store.begin(item))


async def _copy(source: Database, target: Database, name: str, size_bytes: int) -> Row:
    usual = copied.BATCH_BYTES
    copied.BATCH_BYTES = size_bytes
    try:
        async with (
            open_snapshot(source.dsn) as snapshot,
            aclosing(await target.open_store()) as store,
        ):
            began_at = time.perf_counter()
            report = await Copy(snapshot, store.transport).run()
            seconds = time.perf_counter() - began_at
    finally:
        copied.BATCH_BYTES = usual
    assert report.is_complete
    count = report.tables["scene_embeddings"].here
    return {"name": name, "value": count / seconds, "unit": "vectors/s"}


async def _compare(source: Database, target: Database) -> Row:
    async with open_snapshot(source.dsn) as snapshot, aclosing(await target.open_store()) as store:
        began_at = time.perf_counter()
        await Copy(snapshot, store.transport).plan()
        seconds = time.perf_counter() - began_at
    return {"name": "compare what is there, PostgREST", "value": ITEM_COUNT / seconds,
            "unit": "items/s"}  # fmt: skip


async def _prune(database: Database) -> list[Row]:
    """One batch after the other; how long the longest transaction took."""
    async with aclosing(await database.open_store()) as store:
        for number in range(ITEM_COUNT):
            await store.mark_deleted(make_item(str(number)).ref)
        longest_s = 0.0

        class Timed:
            place = store.transport.place
            request_bytes = None

            async def call(self, function, request):
                nonlocal longest_s
                began_at = time.perf_counter()
                answer = await store.transport.call(function, request)
                longest_s = max(longest_s, time.perf_counter() - began_at)
                return answer

            async def aclose(self) -> None: ...

        settings = PruneSettings(keep_deleted_days=1e-9, keep_events_days=0.0)
        began_at = time.perf_counter()
        pruned = await Pruner(Timed(), settings).prune()
        seconds = time.perf_counter() - began_at
    size_mb = sum(entry.size_bytes for entry in pruned) / 1e6
    return [
        {"name": "prune", "value": size_mb / seconds, "unit": "MB/s"},
        {"name": "longest transaction of it", "value": longest_s, "unit": "s"},
    ]
