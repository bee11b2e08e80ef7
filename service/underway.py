"""A query on its way: what it asks for, and what that has come to so far."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.metrics import SEARCH_STEP
from service.query import VECTOR_CHANNELS, Query, Route, SearchChannel, SearchMode
from service.query_vectors import Asked
from service.search.shapes import Shape


@dataclass(slots=True, kw_only=True)
class Search:
    """One query on its way."""

    query: Query
    terms: str
    """Its text as the index folds texts."""
    route: Route
    mode: SearchMode
    is_auto: bool
    weights: Mapping[SearchChannel, float]
    shape: Shape | None = None
    """How the mood shall go, if the words say so."""
    asked: Asked = field(default_factory=Asked)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def is_course(self) -> bool:
        """Whether it asks for nothing but a course of the mood."""
        return self.shape is not None and not self.shape.rest

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        began_at = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = time.perf_counter() - began_at
            SEARCH_STEP.labels(step).observe(self.seconds[step])

    def vector_channels(self) -> Collection[SearchChannel]:
        """Those in which it needs vectors."""
        if self.is_course:  # no model knows one
            return ()
        wanted = {channel for channel in VECTOR_CHANNELS if self.weights.get(channel, 0.0) > 0.0}
        if self.mode is SearchMode.RERANK:
            wanted.add(SearchChannel.VISUAL)  # whose weight there is that of reranking
        elif self.mode is SearchMode.SKIP:
            wanted.discard(SearchChannel.VISUAL)
        return wanted

    def reads(self, channel: SearchChannel) -> bool:
        """Whether a text channel is asked. Beside examples, words say in which direction to look,
        and are looked for in texts only where somebody says so.
        """
        if not self.terms or self.weights.get(channel, 0.0) <= 0.0:
            return False
        is_direction = bool(self.query.examples) and self.mode is not SearchMode.RERANK
        return not is_direction or channel in self.query.weights

    def may_be_seen(self) -> bool:
        """Whether only the router left pictures out."""
        is_left_out = self.is_auto and self.route.mode is SearchMode.SKIP
        is_asked = self.weights.get(SearchChannel.VISUAL, 0.0) > 0.0
        return is_left_out and is_asked and not self.query.examples and not self.is_course
