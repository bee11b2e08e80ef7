"""How fast and how surely vectors are found among 100,000, beside plain SQL that compares all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.vector_building import Builder, Built
from adapters.database.vector_indexes import VectorIndexes, VectorSettings
from service.domain import Float32
from tests.support.large_library import FILMS, SCENES_PER_FILM, Library, fill_library
from tests.support.postgres import fresh_database, reachable_directory
from tests.support.stores import MODEL

QUERIES = 60
NEIGHBOURS = 10
CANDIDATES = 200
"""What a search asks of a channel."""
PLAIN = (
    "select media_item_id, position, 1 - (embedding <=> %s::halfvec) as score "
    "from scene_embeddings where model = %s and kind = 'scene' {} "
    "order by embedding <=> %s::halfvec limit %s"
)

Row = dict[str, Any]
Search = Callable[[Float32, list[int] | None, int], list[tuple[int, int]]]


def run() -> list[Row]:
    """Measure on a cluster as users have it."""
    with reachable_directory(in_memory=False) as directory:
        server = EmbeddedPostgres(directory)
        with fresh_database(server.start()) as dsn:
            asyncio.run(migrate.apply(dsn))
            library = fill_library(dsn)
            rows = list(_measure(dsn, library))
        server.stop()
    return rows


def _measure(dsn: str, library: Library) -> list[Row]:
    random = np.random.default_rng(5)
    tenth = [int(n) for n in random.choice(library.ids, FILMS // 10, replace=False)]
    most = [int(n) for n in random.choice(library.ids, FILMS * 6 // 10, replace=False)]
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("set search_path = public, extensions")

        def plain(asked: Float32, items: list[int] | None, limit: int) -> list[tuple[int, int]]:
            text = str(asked.tolist())
            among = "" if items is None else "and media_item_id = any(%s)"
            values = [text, MODEL, *([] if items is None else [items]), text, limit]
            rows = connection.execute(PLAIN.format(among).encode(), values).fetchall()
            return [(film, position) for film, position, _ in rows]

        def ours(asked: Float32, items: list[int] | None, limit: int) -> list[tuple[int, int]]:
            rows = connection.execute(
                "select media_item_id, position, score "
                "from moodreel.nearest(%s, 'scene', %s::halfvec, %s::bigint[], %s)",
                [MODEL, str(asked.tolist()), items, limit],
            ).fetchall()
            return [(film, position) for film, position, _ in rows]

        rows = _compare("exactly, all", plain, ours, library, None)
        rows += _compare("exactly, a tenth of the films", plain, ours, library, tenth)
        began_at = time.perf_counter()
        [built] = asyncio.run(_build(dsn))
        rows.append({"name": f"build the index ({built.width} wide)", "unit": "s"})
        rows[-1]["value"] = time.perf_counter() - began_at
        rows += _compare("by the index, all", plain, ours, library, None)
        rows += _compare("with the index, a tenth of the films", plain, ours, library, tenth)
        rows += _compare("by the index, 60 % of the films", plain, ours, library, most)
    return rows


async def _build(dsn: str) -> list[Built]:
    transport = await PsycopgTransport.open(dsn)
    try:
        indexes = VectorIndexes(transport)
        builder = Builder(dsn, indexes, VectorSettings(), lambda *_: None, memory_mb=1024)
        return list(await builder.run())
    finally:
        await transport.aclose()


def _compare(
    name: str, plain: Search, ours: Search, library: Library, items: list[int] | None
) -> list[Row]:
    """Both in turn, so that they meet the same noise of the machine."""
    ours_ms, plain_ms, recalls = [], [], []
    for asked in library.queries(QUERIES):
        began_at = time.perf_counter()
        expected = plain(asked, items, CANDIDATES)
        plain_ms.append((time.perf_counter() - began_at) * 1e3)
        began_at = time.perf_counter()
        found = set(ours(asked, items, CANDIDATES))
        ours_ms.append((time.perf_counter() - began_at) * 1e3)
        truth = _truth(library, asked, items)
        assert len(expected) == CANDIDATES
        recalls.append(len(found & truth) / NEIGHBOURS)
    rows = []
    for share in (50, 95):
        value, base = np.percentile(ours_ms, share), np.percentile(plain_ms, share)
        rows.append(
            {
                "name": f"{name}, p{share}",
                "value": float(value),
                "unit": "ms",
                "baseline": f"plain SQL over all of them: {base:.3g} ms",
                "ratio": float(value / base),
            }
        )
    rows.append({"name": f"{name}, recall@10", "value": float(np.mean(recalls)), "unit": ""})
    return rows


def _truth(library: Library, asked: Float32, items: list[int] | None) -> set[tuple[int, int]]:
    """By NumPy, of the vectors as they are stored."""
    cosines = library.vectors @ asked
    if items is not None:
        films = np.repeat(np.isin(library.ids, items), SCENES_PER_FILM)
        cosines = np.where(films, cosines, -2.0)
    best = np.argpartition(-cosines, NEIGHBOURS)[:NEIGHBOURS]
    return {(library.ids[n // SCENES_PER_FILM], int(n % SCENES_PER_FILM)) for n in best}
