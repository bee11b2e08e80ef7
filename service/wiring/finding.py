"""What finds scenes: the index, the models' sides for texts, and the router."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from adapters.database.index import DatabaseIndex
from adapters.database.transports import Transport
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.finder import Finder
from service.folding import fold
from service.ports import ModelShelf, TextEncoder
from service.query_vectors import LOCAL, REMOTE, QueryVectors
from service.search.router import route
from service.settings import DetectionSettings, SearchSettings
from service.vocabulary import load_vocabulary

POOL_THREADS = 2
"""One for a text among pictures and one for the same text among sounds."""


def open_finder(
    stack: AsyncExitStack,
    transport: Transport,
    shelf: ModelShelf,
    *,
    remote: TextEncoder | None = None,
) -> Finder:
    """Put the engine of search together. Loads no model yet.

    Args:
        stack: What is opened here ends with it.
        transport: How the database is reached.
        shelf: This machine's models.
        remote: Another machine's picture model, where one is configured.
    """
    settings = SearchSettings.read()
    index = DatabaseIndex(transport)
    pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="search")
    stack.callback(pool.shutdown, wait=False, cancel_futures=True)
    vectors = QueryVectors(
        index=index,
        shelf=shelf,
        vocabulary=load_vocabulary(DetectionSettings.read().vocabulary_dir),
        reader=ProcessReader(ReaderSettings.read()),
        pool=pool,
        remote=remote,
        providers=(REMOTE, LOCAL) if settings.rerank_provider == REMOTE else (LOCAL, REMOTE),
        text_timeout_s=settings.text_timeout_s,
    )
    finder = Finder(index=index, vectors=vectors, settings=settings, route=route, fold=fold)
    stack.push_async_callback(finder.aclose)
    return finder
