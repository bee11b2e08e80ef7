"""How long a retag takes for each item, in a real database: a film of 100 or of 1,000 scenes.

Words as the product has them, and three more; vectors are made up, in the space of the small real
model in ../shared, or of a tiny one.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

from adapters.database.index import DatabaseIndex
from adapters.models.settings import OFF, ModelSettings
from adapters.models.shelf import Shelf
from service.detection.concepts import embed_concepts
from service.ports import Encoder
from service.retag.selection import Selection
from service.retag.walking import Outcome, Retagger
from service.vocabulary import Vocabulary, load_vocabulary
from tests.benchmarks.bench_store import cluster
from tests.support.models import colour_model
from tests.support.stores import Database, make_analysis, make_item, make_scenes, migrated_database

REAL = Path(__file__).resolve().parents[3] / "shared" / "models" / "standin-clip"
FILMS = {100: 20, 1_000: 3}
"""Scenes of a film, and how many such films."""
NEW_WORDS = (
    "subject:\n  taxi: {prompts: [a taxi, a yellow cab]}\n  loaf: {prompts: [a loaf of bread]}\n"
    "action:\n  arm wrestling: {prompts: [two people arm wrestling]}\n"
)

Row = dict[str, Any]


def run() -> list[Row]:
    """Former words known, and not."""
    with cluster() as dsn, tempfile.TemporaryDirectory() as directory, words(directory) as today:
        rows: list[Row] = []
        for scenes, films in FILMS.items():
            for is_known in (True, False):
                with migrated_database("psycopg", dsn) as database:
                    work = _measure(database, Path(directory), today, scenes, films, known=is_known)
                    rows += asyncio.run(work)
        return rows


@contextmanager
def words(directory: str) -> Iterator[Vocabulary]:
    """Today's vocabulary."""
    place = Path(directory) / "words"
    place.mkdir()
    (place / "tags.yaml").write_text(NEW_WORDS, encoding="utf-8")
    yield load_vocabulary(place)


async def _measure(
    database: Database, directory: Path, today: Vocabulary, scenes: int, films: int, *, known: bool
) -> list[Row]:
    model = REAL if REAL.is_dir() else colour_model(directory / "colours")
    shelf = Shelf(ModelSettings(visual_model=str(model), sound_model=OFF, sound_text_model=OFF))
    store = await database.open_store()
    former = load_vocabulary()
    try:
        encoder = await shelf.open_encoder()
        for number in range(films):
            item = make_item(str(number))
            analysis = make_analysis(
                item,
                pipeline=f"2:{encoder.name}@1:{former.fingerprint[:12]}:manner",
                embedding_model=encoder.name,
                scenes=make_scenes(_vectors(encoder, former, scenes, number)),
            )
            await store.save(analysis, await store.begin(item))
        with ThreadPoolExecutor(1) as pool:
            retagger = Retagger(
                store=store,
                index=DatabaseIndex(store.transport),
                shelf=shelf,
                vocabulary=today,
                former=(former,) if known else (),
                pool=pool,
            )
            return await _walk(retagger, scenes, known=known)
    finally:
        await store.aclose()
        await shelf.aclose()


def _vectors(encoder: Encoder, words: Vocabulary, count: int, seed: int) -> Any:
    """Near to what the vocabulary has prompts for, as scenes are."""
    random = np.random.default_rng(seed)
    known = embed_concepts(words, encoder).tag_vectors
    near = known[random.integers(len(known), size=count)]
    noise = random.normal(size=near.shape).astype(np.float32) / np.sqrt(near.shape[1])
    rows = near + noise
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


async def _walk(retagger: Retagger, scenes: int, *, known: bool) -> list[Row]:
    looks, writes, works, changed = [], [], [], 0
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    async for retold in retagger.walk(Selection(servers=("jellyfin",))):
        looks.append(time.perf_counter() - began_s)
        began_s = time.perf_counter()
        written = await retagger.write(retold)
        writes.append(time.perf_counter() - began_s)
        changed += written.outcome is Outcome.CHANGED
        works.append(time.process_time() - began_cpu_s)
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
    name = f"{scenes:,} scenes, former words {'known' if known else 'not known'}"
    return [
        {
            "name": f"retag: a film of {name}: {part}",
            "value": round(median(taken) * 1000, 1),
            "unit": "ms",
            "baseline": f"p95 {quantiles(taken, n=20)[-1] * 1000:.0f} ms, the first "
            f"{taken[0] * 1000:.0f} ms; {changed} of {len(taken)} changed",
        }
        for part, taken in (
            ("looking", looks),
            ("writing", writes),
            ("processor time of both, without the database's", works),
        )
    ]
