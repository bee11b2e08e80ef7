"""The engine of search with the real router over the real index, by both transports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from adapters.database.index import DatabaseIndex
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.domain import Modality, Scene, Tag, TranscriptLine
from service.errors import TransientError
from service.finder import Finder
from service.folding import fold
from service.query import Example, Filters, Query, SceneKey, SearchMode
from service.query_vectors import QueryVectors
from service.search.router import route
from service.settings import SearchSettings
from service.text_vectors import Wording
from service.vocabulary import load_vocabulary
from tests.support.searching import PICTURES, KnownEncoder, KnownShelf, direction
from tests.support.stores import make_analysis, make_item

VOCABULARY = load_vocabulary(None)


async def save(store, item_id, *seen, tags=(), lines=(), **changes):
    """An item of ten-second scenes of which is known what is seen, in words of the space."""
    item = make_item(item_id, **changes)
    scenes = tuple(
        Scene(
            start_s=10.0 * place,
            end_s=10.0 * place + 10.0,
            keyframe_s=10.0 * place + 5.0,
            quality=0.5,
            embedding=direction(words) if words else None,
        )
        for place, words in enumerate(seen)
    )
    analysis = make_analysis(
        item,
        scenes=scenes,
        embedding_model=PICTURES,
        tags=tuple(Tag(label=label, kind="subject", score=0.9) for label in tags),
    )
    await store.save(analysis, await store.begin(item))
    await store.save_transcript(item.ref, lines)
    return item.ref


@pytest.fixture
async def library(store):
    """Three films."""
    line = TranscriptLine(start_s=12.0, end_s=14.0, text="We'll always have Paris.")
    return {
        "pets": await save(store, "pets", "cat", "car", "cat at night", tags=["cat"]),
        "coast": await save(store, "coast", "beach", "", title="Á la plage"),
        "war": await save(store, "war", "rain", "night", lines=[line], title="Casablanca"),
    }


@asynccontextmanager
async def open_finder(store, encoder: KnownEncoder) -> AsyncIterator[Finder]:
    index = DatabaseIndex(store.transport)
    with ThreadPoolExecutor(1) as pool:
        vectors = QueryVectors(
            index=index,
            shelf=KnownShelf(encoder),
            vocabulary=VOCABULARY,
            reader=ProcessReader(ReaderSettings.read()),
            pool=pool,
            text_timeout_s=20.0,
        )
        finder = Finder(
            index=index, vectors=vectors, settings=SearchSettings(), route=route, fold=fold
        )
        yield finder
        await finder.aclose()


@pytest.fixture
async def finder(store, library) -> AsyncIterator[Finder]:
    async with open_finder(store, KnownEncoder()) as opened:
        yield opened


def places(answer):
    return [(hit.card.scene.ref.item_id, hit.card.scene.position) for hit in answer.hits]


async def test_what_is_said_is_found_at_its_line(finder):
    answer = await finder.find(Query(text='"always have paris"'))
    assert places(answer)[0] == ("war", 1)
    [best] = answer.hits[:1]
    assert (best.start_s, best.end_s) == (12.0, 14.0)
    assert best.card.title == "Casablanca"
    assert {"transcript", "exact"} <= set(best.parts)
    assert "Paris" in best.snippet


async def test_what_is_seen_is_found_by_its_picture(finder):
    answer = await finder.find(Query(text="a cat at night", mode=SearchMode.RECALL))
    assert answer.degraded == ()
    assert places(answer)[0] == ("pets", 2)


async def test_a_title_is_found_without_its_accents(finder):
    answer = await finder.find(Query(text="a la plage", mode=SearchMode.SKIP))
    assert [place[0] for place in places(answer)] == ["coast"]


async def test_reranking_orders_what_words_found(finder, store):
    await save(store, "other", "rain", tags=["cat"])
    answer = await finder.find(Query(text="cat", mode=SearchMode.RERANK))
    assert answer.mode is SearchMode.RERANK
    assert [place[0] for place in places(answer)] == ["pets", "other"]
    assert answer.hits[0].parts["clip"].rank == 1
    assert "rerank" in answer.seconds


async def test_more_like_a_scene_and_like_an_item(finder, library):
    cat = SceneKey(ref=library["pets"], position=0)
    answer = await finder.find(Query(examples=(Example(scene=cat),)))
    assert places(answer)[0] == ("pets", 2)
    assert ("pets", 0) not in places(answer)
    whole = SceneKey(ref=library["pets"], position=-1)
    answer = await finder.find(Query(examples=(Example(scene=whole),)))
    assert "pets" not in [item for item, _ in places(answer)]


async def test_filters_hold_for_all_channels(finder, library):
    query = Query(text="cat night", filters=Filters(items=(library["war"],)))
    answer = await finder.find(query)
    assert {item for item, _ in places(answer)} == {"war"}


async def test_a_query_s_vector_outlives_the_process_that_made_it(finder, store):
    await finder.find(Query(text="  A CAT, as  nobody else asks"))
    index, encoder = DatabaseIndex(store.transport), KnownEncoder()
    templates = VOCABULARY.templates_for(Modality.PICTURE, encoder.name)
    space = Wording(encoder=encoder, templates=templates).space
    async with asyncio.timeout(10):
        while await index.recall_text(space, "a cat, as nobody else asks") is None:  # noqa: ASYNC110  the database sets no event
            await asyncio.sleep(0.01)
    async with open_finder(store, KnownEncoder(error=TransientError("no memory"))) as another:
        answer = await another.find(Query(text="a cat, as nobody else asks"))
        assert answer.degraded == ()
        answer = await another.find(Query(text="a cat that nobody asked for"))
        assert answer.degraded == ("visual by clip: no memory",)
