"""How long a search of 100,000 scenes takes, alone and at 50 a second while a film is analysed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import psycopg

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.index import DatabaseIndex
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.vector_building import Builder
from adapters.database.vector_indexes import VectorIndexes, VectorSettings
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.domain import Calibration, Float32, ItemRef, ScoreKind
from service.errors import MissingModelError
from service.finder import Finder
from service.folding import fold
from service.ports import ModelShelf
from service.query import Query, QueryVector, SceneKey, SearchMode, VectorKind
from service.query_vectors import QueryVectors
from service.search.router import route
from service.settings import SearchSettings
from service.vocabulary import load_vocabulary
from tests.support.large_library import DIMENSION, SCENES_PER_FILM, WORDS, Library, fill_library
from tests.support.media import write_film
from tests.support.postgres import ROOT, fresh_database, reachable_directory
from tests.support.scenes import PICTURES, SceneSpec
from tests.support.stores import MODEL

QUERIES = 100
POOL = 500
"""Of reranking."""
A_SECOND = 50
FOR_S = 60.0
FILM = tuple(
    SceneSpec(duration_s=4.0, picture=picture, sound="tone", frequency_hz=200.0 * (number + 1))
    for number, picture in enumerate(2 * sorted(PICTURES))
)
PLAIN = (
    "select media_item_id, position, 1 - (embedding <=> %s::halfvec) as score "
    "from scene_embeddings where model = %s and kind = 'scene' "
    "order by embedding <=> %s::halfvec limit 200"
)

Row = dict[str, Any]


class Words:
    """A text tower that knows by heart: what is measured is the search, not the model."""

    name, dimension, device = MODEL, DIMENSION, "cpu"
    calibration = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0)

    def __init__(self, vectors: dict[str, Float32]) -> None:
        self._vectors = vectors

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        known = [next(v for t, v in self._vectors.items() if t in text) for text in texts]
        return np.stack(known)


class OneModel:
    """A shelf with nothing else on it."""

    def __init__(self, encoder: Words) -> None:
        self._encoder = encoder

    async def open_encoder(self) -> Words:
        return self._encoder

    async def open_sound_encoder(self) -> Words:
        raise MissingModelError("", "there is no model of sounds")


def run() -> list[Row]:
    """Measure on a cluster as users have it."""
    with reachable_directory(in_memory=False) as directory:
        server = EmbeddedPostgres(directory)
        with fresh_database(server.start()) as dsn:
            asyncio.run(migrate.apply(dsn))
            library = fill_library(dsn, kinds=("scene", "keyframe"), texts=True)
            rows = asyncio.run(_measure(dsn, library))
        server.stop()
    return rows


async def _measure(dsn: str, library: Library) -> list[Row]:
    texts = _texts(QUERIES)
    vectors = dict(zip(texts, library.queries(QUERIES), strict=True))
    transport = await PsycopgTransport.open(dsn)
    try:
        async with _finder(transport, vectors) as finder:
            plain = await asyncio.to_thread(_plain_ms, dsn, library)
            rows = _times("whole search, all compared", await _ask(finder, texts[:30]), plain)
            indexes = VectorIndexes(transport)
            await Builder(dsn, indexes, VectorSettings(), lambda *_: None, memory_mb=1024).run()
            await _ask(finder, texts)  # makes the vectors of the texts, and warms up
            rows += _times("whole search, indexed", await _ask(finder, texts), plain)
            rerank = [Query(text=text, mode=SearchMode.RERANK) for text in texts]
            rows += _times("whole search, reranked", await _ask_all(finder, rerank), plain)
            rows += _times("score a pool of 500", await _score(transport, library), plain)
            rows += await _hold(finder, texts)
    finally:
        await transport.aclose()
    return rows


@asynccontextmanager
async def _finder(
    transport: PsycopgTransport, vectors: dict[str, Float32]
) -> AsyncIterator[Finder]:
    index = DatabaseIndex(transport)
    with ThreadPoolExecutor(2) as pool:
        asked = QueryVectors(
            index=index,
            shelf=cast("ModelShelf", OneModel(Words(vectors))),
            vocabulary=load_vocabulary(None),
            reader=ProcessReader(ReaderSettings()),
            pool=pool,
        )
        settings = SearchSettings(visual_mode=SearchMode.RECALL)
        finder = Finder(index=index, vectors=asked, settings=settings, route=route, fold=fold)
        try:
            yield finder
        finally:
            await finder.aclose()


def _texts(count: int) -> list[str]:
    """Different questions of three words."""
    random = np.random.default_rng(3)
    drawn = {
        " ".join(f"w{n}" for n in random.integers(20, WORDS // 2, 3)) for _ in range(2 * count)
    }
    return sorted(drawn)[:count]


def _plain_ms(dsn: str, library: Library) -> list[float]:
    """The visual channel alone as one writes it first."""
    taken = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set search_path = public, extensions")
        for vector in library.queries(30):
            text = str(vector.tolist())
            began_at = time.perf_counter()
            connection.execute(PLAIN, [text, MODEL, text]).fetchall()
            taken.append((time.perf_counter() - began_at) * 1e3)
    return taken


async def _ask(finder: Finder, texts: Sequence[str]) -> list[float]:
    return await _ask_all(finder, [Query(text=text) for text in texts])


async def _ask_all(finder: Finder, queries: Sequence[Query]) -> list[float]:
    taken = []
    for query in queries:
        began_at = time.perf_counter()
        answer = await finder.find(query)
        taken.append((time.perf_counter() - began_at) * 1e3)
        assert answer.hits
    return taken


async def _score(transport: PsycopgTransport, library: Library) -> list[float]:
    random = np.random.default_rng(7)
    index = DatabaseIndex(transport)
    taken = []
    for vector in library.queries(40):
        drawn = random.choice(len(library.vectors), POOL, replace=False)
        scenes = [
            SceneKey(
                ref=ItemRef(server="folder", item_id=str(1 + n // SCENES_PER_FILM)),
                position=int(n % SCENES_PER_FILM),
            )
            for n in drawn
        ]
        asked = QueryVector(model=MODEL, kind=VectorKind.SCENE, values=vector)
        began_at = time.perf_counter()
        assert len(await index.score_scenes(asked, scenes)) == POOL
        taken.append((time.perf_counter() - began_at) * 1e3)
    return taken


async def _hold(finder: Finder, texts: Sequence[str]) -> list[Row]:
    """So many searches a second, each begun at its time whether the others are done or not."""
    taken: list[float] = []
    errors: list[BaseException] = []

    async def search(text: str) -> None:
        began_at = time.perf_counter()
        try:
            await finder.find(Query(text=text))
        except Exception as error:  # noqa: BLE001  whatever it is, it is counted
            errors.append(error)
        taken.append((time.perf_counter() - began_at) * 1e3)

    with _film_that_is_analysed():
        began_at = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(A_SECOND * FOR_S)):
                await asyncio.sleep(began_at + number / A_SECOND - time.perf_counter())
                group.create_task(search(texts[number % len(texts)]))
        lasted_s = time.perf_counter() - began_at
    name = f"{A_SECOND} searches a second for {FOR_S:g} s beside an analysis"
    rows = [
        {"name": f"{name}, p{share}", "value": float(np.percentile(taken, share)), "unit": "ms"}
        for share in (50, 95, 99)
    ]
    rows.append({"name": f"{name}, errors", "value": len(errors), "unit": f"of {len(taken)}"})
    rows.append({"name": "done a second", "value": len(taken) / lasted_s, "unit": ""})
    return rows


@contextmanager
def _film_that_is_analysed() -> Iterator[None]:
    """A process that analyses a film again and again, as kindly to others as the worker is."""
    with tempfile.TemporaryDirectory() as directory:
        film = write_film(Path(directory) / "film.mkv", FILM, size=(640, 360))
        script = "while :; do {} -m service.cli analyze --json {} > /dev/null; done"
        process = subprocess.Popen(
            ["/bin/sh", "-c", script.format(sys.executable, film)],
            cwd=ROOT,
            env={**os.environ, "MOODREEL_VISUAL_MODEL": "none", "MOODREEL_OFFLINE": "1"},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def _times(name: str, taken: list[float], plain: list[float]) -> list[Row]:
    rows = []
    for share in (50, 95):
        value, base = float(np.percentile(taken, share)), float(np.percentile(plain, share))
        baseline = f"plain SQL, vectors of one kind alone: {base:.3g} ms"
        rows.append(
            {
                "name": f"{name}, p{share}",
                "value": value,
                "unit": "ms",
                "baseline": baseline,
                "ratio": value / base,
            }
        )
    return rows
