"""What finds scenes: the index, the models' sides for texts, and the router."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import cache, partial
from pathlib import Path

from adapters.database.feedback import DatabaseVotes
from adapters.database.index import DatabaseIndex
from adapters.database.transports import Transport
from adapters.database.vector_indexes import VectorIndexes
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from service.finder import Finder
from service.folding import fold
from service.ports import ModelShelf
from service.query import Route
from service.query_vectors import LOCAL, REMOTE, QueryVectors
from service.search.lexicon import compile_lexicon
from service.search.meanings import Meanings, Meant, compile_meanings
from service.search.router import route
from service.search.shapes import Shape, compile_shapes, parse_shape
from service.settings import DetectionSettings, SearchSettings
from service.vocabulary import load_signals, load_vocabulary
from service.vocabulary.meanings import load_meanings
from service.vocabulary.shapes import load_shape_words
from service.wiring.borrowing import open_remote_encoder
from service.wiring.current_models import CurrentShelf

POOL_THREADS = 2
"""One for a text among pictures and one for the same text among sounds."""


def open_finder(
    stack: AsyncExitStack,
    transport: Transport,
    shelf: ModelShelf,
) -> Finder:
    """Put the engine of search together. Loads no model yet.

    Args:
        stack: What is opened here ends with it.
        transport: How the database is reached.
        shelf: This machine's models.

    Raises:
        ConfigurationError: A setting of search, or of another machine's model, is wrong.
    """
    settings = SearchSettings.read()
    current = CurrentShelf(shelf, ModelSettings.read(), VectorIndexes(transport), Shelf)
    stack.push_async_callback(current.aclose)
    index = DatabaseIndex(transport)
    pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="search")
    stack.callback(pool.shutdown, wait=False, cancel_futures=True)
    words = DetectionSettings.read().vocabulary_dir
    vectors = QueryVectors(
        index=index,
        shelf=current,
        vocabulary=load_vocabulary(words),
        reader=ProcessReader(ReaderSettings.read()),
        pool=pool,
        remote=open_remote_encoder(stack, ModelSettings.read()),
        providers=(REMOTE, LOCAL) if settings.rerank_provider == REMOTE else (LOCAL, REMOTE),
        text_timeout_s=settings.text_timeout_s,
        is_current=current.is_current,
    )
    finder = Finder(
        index=index,
        vectors=vectors,
        settings=settings,
        route=_router(words),
        fold=fold,
        votes=DatabaseVotes(transport),
        meanings=_meanings(words),
        shapes=_shapes(words),
    )
    stack.push_async_callback(finder.aclose)
    return finder


def _router(words: Path | None) -> Callable[[str], Route]:
    """What routes by the user's words too; a worker, which never searches, compiles none."""
    if words is None:
        return route
    signals = load_signals(words)  # what is wrong in them is said at the start
    lexicon = cache(partial(compile_lexicon, signals))
    return lambda text: route(text, lexicon=lexicon())


def _meanings(words: Path | None) -> Callable[[str], Sequence[Meant]]:
    """What words mean, compiled when somebody searches."""

    @cache
    def compiled() -> Meanings:
        return compile_meanings(load_vocabulary(words), load_meanings(words), load_signals(words))

    if words is not None:
        load_meanings(words)  # what is wrong in them is said at the start
    return lambda text: compiled().find(text)


def _shapes(words: Path | None) -> Callable[[str], Shape | None]:
    """Understands the course of a mood, in the user's words too."""
    if words is None:
        return parse_shape
    listed = load_shape_words(words)
    phrases = cache(partial(compile_shapes, listed, load_vocabulary(words).moods))
    return lambda text: parse_shape(text, phrases())
