"""What is made of standing queries and of people's votes when something is analysed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from adapters.database.feedback import DatabaseVotes
from adapters.database.index import DatabaseIndex
from adapters.database.settings import DatabaseSettings
from adapters.database.store import DatabaseStore, open_store
from adapters.database.triggers import DatabaseTriggers
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.feedback import Feedback
from service.ports import ModelShelf, SceneIndex, TriggerBook
from service.query_vectors import QueryVectors
from service.settings import DetectionSettings, ServiceSettings
from service.triggers import Triggers
from service.vocabulary import load_vocabulary
from service.wiring.database import open_database

PATIENCE_S = 120.0
"""For a trigger's vector: nobody waits, and a match that is missed is missed for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """What the pipeline asks, and where it is kept."""

    book: TriggerBook
    index: SceneIndex
    triggers: Triggers
    feedback: Feedback


def open_matching(stack: AsyncExitStack, store: DatabaseStore, shelf: ModelShelf) -> Matching:
    """Put it together; models are loaded on demand.

    Vectors are not made by the finder's maker of them: while one model takes over from another,
    searches ask for the former's, and what was analysed just now has the successor's alone.
    """
    index, book = DatabaseIndex(store.transport), DatabaseTriggers(store.transport)
    pool = ThreadPoolExecutor(1, thread_name_prefix="triggers")
    stack.callback(pool.shutdown, wait=False, cancel_futures=True)
    vectors = QueryVectors(
        index=index,
        shelf=shelf,
        vocabulary=load_vocabulary(DetectionSettings.read().vocabulary_dir),
        reader=ProcessReader(ReaderSettings.read()),
        pool=pool,
        text_timeout_s=PATIENCE_S,
    )
    stack.push_async_callback(vectors.aclose)
    return Matching(
        book=book,
        index=index,
        triggers=Triggers(book, index, vectors),
        feedback=_feedback(store),
    )


@asynccontextmanager
async def open_feedback(settings: ServiceSettings) -> AsyncIterator[Feedback]:
    """Where results are kept. On the main thread: the embedded Postgres is its child."""
    database = DatabaseSettings.read()
    async with AsyncExitStack() as stack:
        dsn = None
        if not database.supabase_url:
            dsn = await open_database(stack, settings, database)
        store = await open_store(database, dsn)
        stack.push_async_callback(store.aclose)
        yield _feedback(store)


def _feedback(store: DatabaseStore) -> Feedback:
    return Feedback(DatabaseVotes(store.transport), store)
