"""The engine of search: from a query to hits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from service.errors import MoodreelError
from service.looking_up import (
    FindMeanings,
    Found,
    count_texts,
    is_faint,
    look_up,
    without_examples,
)
from service.metrics import SEARCHES
from service.ports import SceneIndex, VoteBook
from service.query import (
    TEXT_CHANNELS,
    Hit,
    Lookup,
    Query,
    Route,
    SceneCard,
    SearchAnswer,
    SearchChannel,
    SearchMode,
)
from service.query_vectors import QueryVectors
from service.search.feedback import judge, result_label
from service.search.fusion import Fused, fuse, keep_exact
from service.search.rerank import rerank_hits
from service.search.shapes import Shape, parse_shape
from service.settings import SearchSettings
from service.shape_search import find_by_shape, prefer_shape
from service.turns import Turns
from service.underway import Search

CANDIDATES = 100
"""Of a channel. With 200 (Heimdex' K) answers were as good (``bench_search_quality``), and frequent
words took a third more of the processor's time to look up."""
TEXT_LIMIT = 1000
"""Letters of a query that count; a text tower reads some 77 words."""


class Finder:
    """Finds scenes by words, pictures, sounds and other scenes.

    Args:
        index: Where scenes are found.
        vectors: Turns queries into vectors.
        settings: Weights, modes, and how to rerank.
        route: Says what the words of a query ask for.
        fold: Folds a text as the index folded its own.
        votes: What people said of results; None: nobody asks.
        meanings: Says which tags and moods words mean beside those that are called so.
        shapes: Understands the course of a mood.
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
        meanings: FindMeanings = lambda _text: (),
        shapes: Callable[[str], Shape | None] = parse_shape,
    ) -> None:
        self._index = index
        self._vectors = vectors
        self._settings = settings
        self._route = route
        self._fold = fold
        self._votes = votes
        self._meanings = meanings
        self._shapes = shapes
        self._turns = Turns("searching the database")

    async def find(self, query: Query) -> SearchAnswer:
        """Answer a query. What cannot be used is named in the answer, and the rest is searched.

        Raises:
            UnreadableMediaError: An uploaded example cannot be decoded.
            TransientError: The database did not answer, or so many search that there was no turn.
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

    def _plan(self, query: Query) -> Search:
        text = query.text.strip()[:TEXT_LIMIT]
        route = self._route(text)
        shape = None if query.examples or route.quotes else self._shapes(text)
        if shape is not None:
            parts = (f"mood: {part.start:.0%} to {part.end:.0%}" for part in shape.parts)
            route = replace(route, reasons=(*route.reasons, *parts))
        wished = query.mode if query.mode is not SearchMode.AUTO else self._settings.visual_mode
        is_auto = wished is SearchMode.AUTO
        weights = self._settings.weights()
        if is_auto:
            weights = {
                channel: weight * route.weights.get(channel, 1.0)
                for channel, weight in weights.items()
            }
        return Search(
            query=replace(query, text=text),
            terms=self._fold(text),
            route=route,
            mode=self._choose_mode(query, text, wished, route),
            is_auto=is_auto,
            shape=shape,
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

    async def _search(self, search: Search) -> tuple[Hit, ...]:
        with search.timed("vectors"):
            search.asked = await self._vectors.ask(search.query, search.vector_channels())
        if SearchChannel.VISUAL not in search.asked.vectors:
            search.mode = SearchMode.SKIP
        lookup = self._lookup(search)
        if not lookup.channels:
            return ()
        async with self._turns.take():
            return await self._read(search, lookup)

    async def _read(self, search: Search, lookup: Lookup) -> tuple[Hit, ...]:
        with search.timed("look_up"):
            found = await self._find(search, lookup)
        hits = await self._order(search, found, lookup.limit)
        if search.shape is not None:
            hits = await self._follow_shape(search, search.shape, hits)
        if search.route.quotes:
            hits = self._quote(search, hits)
        kept = keep_exact(hits, max(1, search.query.limit))
        kept = await self._judge(search.query.text, kept, search.asked.lose)
        with search.timed("cards"):
            cards = await self._index.load_cards([hit.scene for hit in kept]) if kept else {}
        return tuple(_show(hit, cards[hit.scene]) for hit in kept if hit.scene in cards)

    def _quote(self, search: Search, hits: Sequence[Fused]) -> Sequence[Fused]:
        """What has the quoted words in a row: first; alone, where nothing else is asked for."""
        exact = [hit for hit in hits if hit.is_exact]
        if exact and search.terms == self._fold(" ".join(search.route.quotes)):
            return exact
        return [*exact, *(hit for hit in hits if not hit.is_exact)]

    async def _find(self, search: Search, lookup: Lookup) -> Found:
        quoted = " ".join(self._fold(quote) for quote in search.route.quotes)
        found = await look_up(
            self._index, lookup, search.query.text, meanings=self._meanings, quoted=quoted
        )
        if search.may_be_seen() and is_faint(found):
            return {**found, **await self._see(search, lookup)}
        is_tried = search.mode is SearchMode.RERANK and search.is_auto
        if is_tried and count_texts(found) < search.query.limit:
            search.mode = SearchMode.RECALL
            return {**found, **await self._look(search, lookup)}
        return found

    async def _see(self, search: Search, lookup: Lookup) -> Found:
        """What is seen, where words that seemed to be said are nowhere: so seldom that most queries
        of the kind are spared the model's time.
        """
        seen = await self._vectors.ask(search.query, (SearchChannel.VISUAL,))
        search.asked.degraded += seen.degraded
        if not seen.vectors:
            return {}
        search.mode = SearchMode.RECALL
        search.asked.vectors |= seen.vectors
        search.asked.flat_ranges |= seen.flat_ranges
        return await self._look(search, lookup)

    async def _look(self, search: Search, lookup: Lookup) -> Found:
        """Pictures alone, where words found too little."""
        channel = SearchChannel.VISUAL
        vectors = {channel: search.asked.vectors[channel]}
        return await self._index.look_up(
            replace(lookup, terms="", channels=(channel,), vectors=vectors)
        )

    async def _follow_shape(
        self, search: Search, shape: Shape, hits: Sequence[Fused]
    ) -> Sequence[Fused]:
        """A course alone finds items by their curves, behind what is called so word for word."""
        filters = search.query.filters
        with search.timed("curves"):
            if shape.rest:
                return await prefer_shape(self._index, shape, filters, hits)
            limit = max(1, search.query.limit)
            named = [hit for hit in hits if hit.is_exact]
            return [*named, *await find_by_shape(self._index, shape, filters, limit)]

    def _lookup(self, search: Search) -> Lookup:
        """All channels at once; pictures not where they shall but reorder."""
        vectors = dict(search.asked.vectors)
        if search.mode is SearchMode.RERANK:
            vectors.pop(SearchChannel.VISUAL, None)
        texts = [channel for channel in TEXT_CHANNELS if search.reads(channel)]
        limit = max(CANDIDATES, search.query.limit)
        if search.mode is SearchMode.RERANK and not search.is_auto:
            limit = max(limit, self._settings.rerank_pool_size)  # any channel may fill it alone
        return Lookup(
            terms=search.terms if texts else "",
            vectors=vectors,
            channels=(*texts, *vectors),
            filters=search.query.filters,
            limit=limit,
        )

    async def _order(self, search: Search, found: Found, cut_at: int) -> Sequence[Fused]:
        is_reranked = search.mode is SearchMode.RERANK
        if is_reranked and search.is_auto and self._turns.is_crowded:
            search.asked.lose("reranking", "many search at once")
            is_reranked = False
        hits = fuse(
            without_examples(found, search.query),
            search.weights,
            flat_ranges=search.asked.flat_ranges,
            cut_at=cut_at,
            top=max(search.query.limit, self._settings.rerank_pool_size * is_reranked),
        )
        if not is_reranked:
            return hits
        with search.timed("rerank"):
            return await self._rerank(search, hits)

    async def _rerank(self, search: Search, hits: Sequence[Fused]) -> Sequence[Fused]:
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
        shown = None if search.shape else max(1, search.query.limit)
        order = rerank_hits(pool, cosines, weight=weight, flat_range=flat_range, top=shown)
        return (*order, *rest)  # the pool keeps its own range of scores: the rest stays below it


def _show(hit: Fused, card: SceneCard) -> Hit:
    return Hit(
        card=card,
        score=hit.score,
        parts=hit.parts,
        snippet=hit.snippet,
        start_s=hit.start_s,
        end_s=hit.end_s,
    )
