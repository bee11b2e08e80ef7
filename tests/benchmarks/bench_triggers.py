"""What standing queries cost a new item, in a library of 100,000 scenes.

100 triggers of two words each are compared with one film of 100 scenes after another. The baseline
is an index asked for nothing at all, once for each trigger: round trips alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.index import DatabaseIndex
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.domain import ItemRef
from service.ports import ModelShelf, TriggerBook
from service.query import Trigger
from service.query_vectors import QueryVectors
from service.triggers import Triggers
from service.vocabulary import load_vocabulary
from tests.benchmarks.bench_search import OneModel, Words
from tests.support.large_library import Library, fill_library
from tests.support.large_texts import Lexicon
from tests.support.postgres import fresh_database, reachable_directory
from tests.support.stores import MODEL

COUNTS = (1, 10, 100)
ITEMS = 8
"""Films that are compared; the first warms up."""
THRESHOLD = 0.9
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Book:
    """Triggers that are kept nowhere."""

    triggers: Sequence[Trigger]

    async def list_triggers(self) -> Sequence[Trigger]:
        return self.triggers


def run() -> list[Row]:
    """Measure on a cluster as users have it."""
    with reachable_directory(in_memory=False) as directory:
        server = EmbeddedPostgres(directory)
        with fresh_database(server.start()) as dsn:
            asyncio.run(migrate.apply(dsn))
            library = fill_library(dsn, texts=True)
            rows = asyncio.run(_measure(dsn, library))
        server.stop()
    return rows


async def _measure(dsn: str, library: Library) -> list[Row]:
    texts = [" ".join(words[:2]) for words in Lexicon(seed=5).texts(max(COUNTS), 4)]
    vectors = dict(zip(texts, library.queries(len(texts)), strict=True))
    transport = await PsycopgTransport.open(dsn)
    index = DatabaseIndex(transport)
    rows = []
    try:
        with ThreadPoolExecutor(1) as pool:
            asked = QueryVectors(
                index=index,
                shelf=cast("ModelShelf", OneModel(Words(vectors))),
                vocabulary=load_vocabulary(None),
                reader=ProcessReader(ReaderSettings()),
                pool=pool,
            )
            for count in COUNTS:
                kept = [
                    Trigger(name=f"t{number}", text=text, threshold=THRESHOLD, model=MODEL)
                    for number, text in enumerate(texts[:count])
                ]
                triggers = Triggers(cast("TriggerBook", Book(kept)), index, asked)
                baseline = await _trips(index, count)
                rows.append(_row(f"{count} triggers, one film", await _compare(triggers), baseline))
            await asked.aclose()
    finally:
        await transport.aclose()
    return rows


async def _compare(triggers: Triggers) -> float:
    """Milliseconds for a film."""
    taken = []
    for number in range(1, ITEMS + 1):
        began_at = time.perf_counter()
        await triggers.find_matching(ItemRef(server="folder", item_id=str(number)))
        taken.append(1000 * (time.perf_counter() - began_at))
    return float(np.median(taken[1:]))


async def _trips(index: DatabaseIndex, count: int) -> float:
    began_at = time.perf_counter()
    for number in range(count):
        await index.recall_text("nothing", str(number))
    return 1000 * (time.perf_counter() - began_at)


def _row(name: str, value: float, baseline: float) -> Row:
    return {
        "name": name,
        "value": round(value, 1),
        "unit": "ms",
        "baseline": f"round trips alone {baseline:.1f} ms",
        "ratio": round(value / baseline, 2),
    }
