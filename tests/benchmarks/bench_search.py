"""How long a search of 100,000 scenes takes, alone and at 50 a second while a film is analysed.

The library is made up (``tests.support.large_library``): 1,000 films, 100,000 scenes with two
vectors, a caption and labels each, 400,000 spoken lines, words as frequent as a language's are.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
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
from service.query import (
    Filters,
    Lookup,
    Query,
    QueryVector,
    SceneKey,
    SearchChannel,
    SearchMode,
    VectorKind,
)
from service.query_vectors import QueryVectors
from service.search.router import route
from service.settings import SearchSettings
from service.vocabulary import load_vocabulary
from tests.benchmarks.search_baselines import cold_texts, full_ranking, plain_search
from tests.benchmarks.search_load import hold
from tests.support.api import ServedApi
from tests.support.large_library import DIMENSION, SCENES_PER_FILM, Library, fill_library
from tests.support.large_texts import Lexicon
from tests.support.postgres import fresh_database, reachable_directory
from tests.support.stores import MODEL

QUERIES = 60
"""Of each kind of words."""
POOL = 500
"""Of reranking."""
NEIGHBOURS = 10
TENTH = "A tenth"
"""The library of every tenth film."""
WORDS = {
    "common words": ((0, 20), (0, 20), (0, 20)),
    "common and rare words": ((0, 20), (500, 5000), (0, 200)),
    "rare words": ((500, 5000), (500, 5000), (1000, 8000)),
}
"""From which to which rank each word of a query is."""
Row = dict[str, Any]
Taken = Sequence[float]
"""Milliseconds."""


class Words:
    """A text tower that knows by heart: what is measured is the search, not the model."""

    name, dimension, device = MODEL, DIMENSION, "cpu"
    calibration = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0)

    def __init__(self, vectors: Mapping[str, Float32]) -> None:
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
    return [*rows, *asyncio.run(cold_texts())]


async def _measure(dsn: str, library: Library) -> list[Row]:
    _mark_tenth(dsn)
    texts = _texts()
    everything = [text for drawn in texts.values() for text in drawn]
    vectors = dict(zip(everything, library.queries(len(everything)), strict=True))
    plain = {kind: plain_search(dsn, vectors, drawn[:6]) for kind, drawn in texts.items()}
    mixed = plain["common and rare words"]
    transport = await PsycopgTransport.open(dsn)
    index = DatabaseIndex(transport)
    try:
        async with _finder(index, vectors) as finder:
            await _ask(finder, everything)  # makes the vectors of the texts, and warms up
            rows = _times("whole, all vectors compared", await _ask(finder, everything[::6]), mixed)
            builder = Builder(
                dsn, VectorIndexes(transport), VectorSettings(), lambda *_: None, memory_mb=1024
            )
            await builder.run()
            await _ask(finder, everything)
            for kind, drawn in texts.items():
                rows += _times(f"whole, {kind}", await _ask(finder, drawn), plain[kind])
            for mode in SearchMode:
                taken = await _ask(finder, everything[::3], Query(mode=mode))
                rows += _times(f"whole, {mode}", taken, mixed)
            filters = Filters(libraries=(TENTH,))
            taken = await _ask(finder, everything[::3], Query(filters=filters))
            rows += _times("whole, a tenth of the films", taken, mixed)
            rows += await _recall(index, library)
            rows += await _served(finder, everything[::3], mixed)
            rows += _times(f"score a pool of {POOL}", await _score(index, library), mixed)
            rows += _times("cards of 20 hits", await _cards(index), mixed)
            rows += await _quality(dsn, index, texts)
            rows += await hold(finder, everything)
    finally:
        await transport.aclose()
    return rows


def _mark_tenth(dsn: str) -> None:
    with psycopg.connect(dsn) as admin:
        admin.execute(
            "update media_items set library = %s where item_id::integer %% 10 = 0", [TENTH]
        )


@asynccontextmanager
async def _finder(index: DatabaseIndex, vectors: Mapping[str, Float32]) -> AsyncIterator[Finder]:
    with ThreadPoolExecutor(2) as pool:
        asked = QueryVectors(
            index=index,
            shelf=cast("ModelShelf", OneModel(Words(vectors))),
            vocabulary=load_vocabulary(None),
            reader=ProcessReader(ReaderSettings()),
            pool=pool,
        )
        finder = Finder(
            index=index, vectors=asked, settings=SearchSettings(), route=route, fold=fold
        )
        try:
            yield finder
        finally:
            await finder.aclose()


def _texts() -> dict[str, list[str]]:
    """Different questions of three words, by kind."""
    random = np.random.default_rng(3)
    words = Lexicon().words
    return {
        kind: [" ".join(words[random.integers(*of)] for of in ranks) for _ in range(QUERIES)]
        for kind, ranks in WORDS.items()
    }


async def _ask(finder: Finder, texts: Sequence[str], like: Query | None = None) -> Taken:
    like = like or Query(mode=SearchMode.RECALL)

    async def find(text: str) -> None:
        await finder.find(replace(like, text=text))

    return await _time(find, texts)


async def _time(work: Callable[[Any], Awaitable[object]], over: Sequence[Any]) -> Taken:
    taken = []
    for one in over:
        began_at = time.perf_counter()
        await work(one)
        taken.append((time.perf_counter() - began_at) * 1e3)
    return taken


async def _recall(index: DatabaseIndex, library: Library) -> list[Row]:
    """Of the ten nearest scenes of a tenth of the films, by either vector, compared by NumPy."""
    scenes = np.arange(len(library.vectors)) // SCENES_PER_FILM % 10 == 9
    shares = []
    for asked in library.queries(QUERIES):
        vector = QueryVector(model=MODEL, kind=VectorKind.SCENE, values=asked)
        lookup = Lookup(
            vectors={SearchChannel.VISUAL: vector},
            channels=(SearchChannel.VISUAL,),
            filters=Filters(libraries=(TENTH,)),
        )
        found = (await index.look_up(lookup))[SearchChannel.VISUAL][:NEIGHBOURS]
        cosines = np.max([stored @ asked for stored in library.by_kind], axis=0)
        best = np.argsort(-np.where(scenes, cosines, -2.0))[:NEIGHBOURS]
        truth = {_key(int(n)) for n in best}
        shares.append(len(truth & {one.scene for one in found}) / NEIGHBOURS)
    name = f"a tenth of the films, recall@{NEIGHBOURS} beside comparing all"
    return [{"name": name, "value": float(np.mean(shares)), "unit": ""}]


async def _served(finder: Finder, texts: Sequence[str], plain: Taken) -> list[Row]:
    """The same through HTTP, on loopback."""
    with tempfile.TemporaryDirectory() as directory:
        async with ServedApi(Path(directory), finder=finder).serving() as api:

            async def get(text: str) -> None:
                status, answer, _ = await api.get("/api/v1/search", params={"q": text})
                assert (status, bool(answer["hits"])) == (200, True)

            return _times("whole, auto, through the API", await _time(get, texts), plain)


async def _score(index: DatabaseIndex, library: Library) -> Taken:
    random = np.random.default_rng(7)

    async def score(vector: Float32) -> None:
        drawn = random.choice(len(library.vectors), POOL, replace=False)
        asked = QueryVector(model=MODEL, kind=VectorKind.SCENE, values=vector)
        assert len(await index.score_scenes(asked, [_key(int(n)) for n in drawn])) == POOL

    return await _time(score, list(library.queries(QUERIES)))


async def _cards(index: DatabaseIndex) -> Taken:
    random = np.random.default_rng(8)
    drawn = random.integers(100_000, size=(QUERIES, 20))
    return await _time(index.load_cards, [[_key(int(n)) for n in numbers] for numbers in drawn])


def _key(number: int) -> SceneKey:
    film, position = divmod(number, SCENES_PER_FILM)
    return SceneKey(ref=ItemRef(server="folder", item_id=str(film + 1)), position=position)


async def _quality(dsn: str, index: DatabaseIndex, texts: Mapping[str, Sequence[str]]) -> list[Row]:
    """What a search that rates so many lines at most finds, beside one that rates all."""
    rows = []
    discounts = 1 / np.log2(np.arange(NEIGHBOURS) + 2)
    for kind, drawn in texts.items():
        shares = []
        for text in drawn[:15]:
            ideal = np.array(full_ranking(dsn, fold(text), NEIGHBOURS))
            lookup = Lookup(terms=fold(text), channels=(SearchChannel.TRANSCRIPT,))
            found = (await index.look_up(lookup))[SearchChannel.TRANSCRIPT][:NEIGHBOURS]
            gains = np.array([one.score for one in found])
            if len(ideal):
                best = ideal @ discounts[: len(ideal)]
                shares.append(gains @ discounts[: len(gains)] / best)
        name = f"lines, {kind}: nDCG@{NEIGHBOURS}, gain their score"
        rows.append({"name": name, "value": float(np.mean(shares)), "unit": ""})
        rows[-1]["baseline"] = "all lines that have a word rated: 1"
    return rows


def _times(name: str, taken: Taken, plain: Taken) -> list[Row]:
    rows = []
    for share in (50, 95):
        value, base = float(np.percentile(taken, share)), float(np.percentile(plain, share))
        baseline = f"plain SQL, words and vectors: {base:.3g} ms"
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
