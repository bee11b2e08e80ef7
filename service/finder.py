"""The engine of search: from a query to hits."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from service.errors import MoodreelError
from service.metrics import SEARCH_STEP, SEARCHES
from service.ports import SceneIndex, VoteBook
from service.query import (
    TEXT_CHANNELS,
    VECTOR_CHANNELS,
    Candidate,
    Hit,
    Lookup,
    Query,
    Route,
    SceneCard,
    SearchAnswer,
    SearchChannel,
    SearchMode,
)
from service.query_vectors import Asked, QueryVectors
from service.search.feedback import judge, result_label
from service.search.fusion import WHOLE_ITEM, Fused, fuse, keep_exact
from service.search.rerank import rerank_hits
from service.settings import SearchSettings

CANDIDATES = 200
"""Of a channel (Heimdex' K); reranking asks for as many as its pool takes."""
TEXT_LIMIT = 1000
"""Letters of a query that count; a text tower reads some 77 words."""

Found = Mapping[SearchChannel, Sequence[Candidate]]


@dataclass(slots=True, kw_only=True)
class _Search:
    """One query on its way."""

    query: Query
    terms: str
    """Its text as the index folds texts."""
    route: Route
    mode: SearchMode
    is_auto: bool
    weights: Mapping[SearchChannel, float]
    asked: Asked = field(default_factory=Asked)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        began_at = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = time.perf_counter() - began_at
            SEARCH_STEP.labels(step).observe(self.seconds[step])


class Finder:
    """Finds scenes by words, pictures, sounds and other scenes.

    Args:
        index: Where scenes are found.
        vectors: Turns queries into vectors.
        settings: Weights, modes, and how to rerank.
        route: Says what the words of a query ask for.
        fold: Folds a text as the index folded its own.
        votes: What people said of results; None: nobody asks.
    """

    def __init__(
        self,
        *,
        index: SceneIndex,
        vectors: QueryVectors,
        settings: SearchSettings,
        route: Callable[[str], Route],
        fold: Callable[[str], str],
        votes: VoteBook | None = None,
    ) -> None:
        self._index = index
        self._vectors = vectors
        self._settings = settings
        self._route = route
        self._fold = fold
        self._votes = votes

    async def find(self, query: Query) -> SearchAnswer:
        """Answer a query. What cannot be used is named in the answer, and the rest is searched.

        Raises:
            UnreadableMediaError: An uploaded example cannot be decoded.
            TransientError: The database did not answer.
        """
        search = self._plan(query)
        try:
            with search.timed("total"):
                hits = await self._search(search)
        except MoodreelError:
            SEARCHES.labels(search.mode, "failed").inc()
            raise
        degraded = tuple(search.asked.degraded)
        outcome = "degraded" if degraded else "found" if hits else "empty"
        SEARCHES.labels(search.mode, outcome).inc()
        return SearchAnswer(
            hits=hits,
            route=search.route,
            mode=search.mode,
            degraded=degraded,
            seconds=dict(search.seconds),
        )

    async def _judge(
        self, text: str, hits: tuple[Fused, ...], lose: Callable[[str, str], None]
    ) -> tuple[Fused, ...]:
        """In the order that votes on results of the same words give; all of them stay."""
        label = result_label(text)
        if self._votes is None or not hits or not label:
            return hits
        try:
            return judge(hits, await self._votes.weigh_results(label))
        except MoodreelError as error:
            lose("votes", str(error))
            return hits

    async def aclose(self) -> None:
        """Let go of vectors that are still being made."""
        await self._vectors.aclose()

    def _plan(self, query: Query) -> _Search:
        text = query.text.strip()[:TEXT_LIMIT]
        route = self._route(text)
        wished = query.mode if query.mode is not SearchMode.AUTO else self._settings.visual_mode
        is_auto = wished is SearchMode.AUTO
        weights = self._settings.weights()
        if is_auto:
            weights = {
                channel: weight * route.weights.get(channel, 1.0)
                for channel, weight in weights.items()
            }
        return _Search(
            query=replace(query, text=text),
            terms=self._fold(text),
            route=route,
            mode=self._choose_mode(query, text, wished, route),
            is_auto=is_auto,
            weights={**weights, **query.weights},
        )

    def _choose_mode(self, query: Query, text: str, wished: SearchMode, route: Route) -> SearchMode:
        if query.examples:  # they are there to be compared with, whatever the words are like
            return wished if wished is SearchMode.RERANK and text else SearchMode.RECALL
        is_auto = wished is SearchMode.AUTO
        mode = route.mode if is_auto else wished
        if mode is SearchMode.RERANK and self._settings.rerank_provider == "none":
            return SearchMode.RECALL if is_auto else SearchMode.SKIP
        return mode

    async def _search(self, search: _Search) -> tuple[Hit, ...]:
        with search.timed("vectors"):
            search.asked = await self._vectors.ask(search.query, _vector_channels(search))
        if SearchChannel.VISUAL not in search.asked.vectors:
            search.mode = SearchMode.SKIP
        lookup = self._lookup(search)
        if not lookup.channels:
            return ()
        with search.timed("look_up"):
            found = await self._index.look_up(lookup)
        hits = await self._order(search, found, lookup.limit)
        kept = keep_exact(hits, max(1, search.query.limit))
        kept = await self._judge(search.query.text, kept, search.asked.lose)
        with search.timed("cards"):
            cards = await self._index.load_cards([hit.scene for hit in kept]) if kept else {}
        return tuple(_show(hit, cards[hit.scene]) for hit in kept if hit.scene in cards)

    def _lookup(self, search: _Search) -> Lookup:
        """All channels at once. Who has the router decide has pictures searched in any case: they
        stand in where words find too little to rerank.
        """
        vectors = dict(search.asked.vectors)
        if search.mode is SearchMode.RERANK and not search.is_auto:
            vectors.pop(SearchChannel.VISUAL, None)
        texts = [channel for channel in TEXT_CHANNELS if _is_read(search, channel)]
        limit = max(CANDIDATES, search.query.limit)
        if search.mode is SearchMode.RERANK:
            limit = max(limit, self._settings.rerank_pool_size)
        return Lookup(
            terms=search.terms if texts else "",
            vectors=vectors,
            channels=(*texts, *vectors),
            filters=search.query.filters,
            limit=limit,
        )

    async def _order(self, search: _Search, found: Found, cut_at: int) -> Sequence[Fused]:
        if search.mode is SearchMode.RERANK and search.is_auto:
            if _count_texts(found) < search.query.limit:
                search.mode = SearchMode.RECALL
            else:
                found = {one: found[one] for one in found if one is not SearchChannel.VISUAL}
        is_reranked = search.mode is SearchMode.RERANK
        hits = fuse(
            _without_examples(found, search.query),
            search.weights,
            flat_ranges=search.asked.flat_ranges,
            cut_at=cut_at,
            top=max(search.query.limit, self._settings.rerank_pool_size * is_reranked),
        )
        if not is_reranked:
            return hits
        with search.timed("rerank"):
            return await self._rerank(search, hits)

    async def _rerank(self, search: _Search, hits: Sequence[Fused]) -> Sequence[Fused]:
        settings, channel = self._settings, SearchChannel.VISUAL
        pool, rest = hits[: settings.rerank_pool_size], hits[settings.rerank_pool_size :]
        if len(pool) < 2:  # noqa: PLR2004  there is no order of one
            return hits
        try:
            cosines = await self._index.score_scenes(
                search.asked.vectors[channel], [hit.scene for hit in pool]
            )
        except MoodreelError as error:
            search.asked.lose("reranking", str(error))
            return hits
        flat_range = settings.rerank_min_score_range
        if flat_range is None:
            flat_range = search.asked.flat_ranges[channel]
        weight = settings.rerank_clip_weight
        # The pool keeps its own range of scores, so that the rest stays below it.
        return (*rerank_hits(pool, cosines, weight=weight, flat_range=flat_range), *rest)


def _vector_channels(search: _Search) -> Collection[SearchChannel]:
    wanted = {channel for channel in VECTOR_CHANNELS if search.weights.get(channel, 0.0) > 0.0}
    if search.mode is SearchMode.RERANK:
        wanted.add(SearchChannel.VISUAL)  # whose weight there is that of reranking
    elif search.mode is SearchMode.SKIP:
        wanted.discard(SearchChannel.VISUAL)
    return wanted


def _is_read(search: _Search, channel: SearchChannel) -> bool:
    """Whether a text channel is asked. Beside examples, words say in which direction to look, and
    are looked for in texts only where somebody says so.
    """
    if not search.terms or search.weights.get(channel, 0.0) <= 0.0:
        return False
    is_direction = bool(search.query.examples) and search.mode is not SearchMode.RERANK
    return not is_direction or channel in search.query.weights


def _count_texts(found: Found) -> int:
    """Scenes and items in whose texts something was found."""
    return len({one.scene for channel in TEXT_CHANNELS for one in found.get(channel, ())})


def _without_examples(found: Found, query: Query) -> Found:
    """All but what others shall be like."""
    examples = {example.scene for example in query.examples if example.scene is not None}
    if not examples:
        return found
    items = {scene.ref for scene in examples if scene.position == WHOLE_ITEM}
    return {
        channel: [one for one in rows if one.scene not in examples and one.scene.ref not in items]
        for channel, rows in found.items()
    }


def _show(hit: Fused, card: SceneCard) -> Hit:
    return Hit(
        card=card,
        score=hit.score,
        parts=hit.parts,
        snippet=hit.snippet,
        start_s=hit.start_s,
        end_s=hit.end_s,
    )
