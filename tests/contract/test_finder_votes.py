"""Votes on results move them for the query that they were results of, by both transports."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from adapters.database.feedback import DatabaseVotes
from adapters.database.index import DatabaseIndex
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.errors import TransientError
from service.feedback import Feedback
from service.finder import Finder
from service.folding import fold
from service.query import Query, Route, SearchMode, VoteSubject
from service.query_vectors import QueryVectors
from service.settings import SearchSettings
from service.vocabulary import load_vocabulary
from tests.support.searching import KnownShelf
from tests.support.stores import make_analysis, make_item

ASKED = "the harbour"


@pytest.fixture
async def library(store):
    """Three films of much the same words, the first of which is found first."""
    titles = {"1": "The harbour", "2": "At the harbour, at night", "3": "A harbour, the storm"}
    for item_id, title in titles.items():
        item = make_item(item_id, title=title)
        await store.save(make_analysis(item), await store.begin(item))
    return Feedback(DatabaseVotes(store.transport), store)


@asynccontextmanager
async def finder_of(store, votes=None):
    index = DatabaseIndex(store.transport)
    with ThreadPoolExecutor(1) as pool:
        vectors = QueryVectors(
            index=index,
            shelf=KnownShelf(None),
            vocabulary=load_vocabulary(None),
            reader=ProcessReader(ReaderSettings.read()),
            pool=pool,
        )
        finder = Finder(
            index=index,
            vectors=vectors,
            settings=SearchSettings(),
            route=lambda _text: Route(mode=SearchMode.RECALL, confidence=1.0),
            fold=fold,
            votes=votes or DatabaseVotes(store.transport),
        )
        yield finder
        await finder.aclose()


async def ask(finder, text=ASKED):
    """Items in their order, and the parts of each hit."""
    answer = await finder.find(Query(text=text, limit=10))
    return [hit.card.scene.ref for hit in answer.hits], answer


async def test_what_was_rejected_comes_last_for_that_query_alone_and_stays(store, library):
    async with finder_of(store) as finder:
        before, answer = await ask(finder)
        assert len(before) == 3
        assert not any("votes" in hit.parts for hit in answer.hits)

        said = {"is_right": False, "voter": "owner"}
        await library.vote(before[0], VoteSubject.RESULT, "The HARBOUR!", **said)
        after, answer = await ask(finder)
        assert after == [*before[1:], before[0]]
        assert [hit.parts["votes"].score for hit in answer.hits if "votes" in hit.parts] == [-1.0]
        assert [hit.score for hit in answer.hits] == sorted(
            (hit.score for hit in answer.hits), reverse=True
        )
        assert (await ask(finder, "harbour"))[0][0] == before[0], "another query"

        await library.withdraw(before[0], VoteSubject.RESULT, ASKED, voter="owner")
        assert (await ask(finder))[0] == before


async def test_what_was_confirmed_decides_between_what_is_about_as_good(store, library):
    async with finder_of(store) as finder:
        before, _ = await ask(finder, "harbour the")
        for voter in ("owner", "api", "guest/1"):
            said = {"is_right": True, "voter": voter}
            await library.vote(before[2], VoteSubject.RESULT, "harbour the", **said)
        after, answer = await ask(finder, "harbour the")
        assert after.index(before[2]) < 2
        (lifted,) = [hit for hit in answer.hits if "votes" in hit.parts]
        assert lifted.parts["votes"].score == 3.0
        assert lifted.parts["votes"].share == pytest.approx(0.06)


async def test_without_votes_the_rest_is_searched_and_the_answer_says_so(store, library):
    class Away:
        async def weigh_results(self, label):
            raise TransientError("the database is away")

    async with finder_of(store, votes=Away()) as finder:
        found, answer = await ask(finder)
        assert len(found) == 3
        assert any("votes" in reason for reason in answer.degraded)
