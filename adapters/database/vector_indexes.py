"""Knows the spaces of vectors: how they are searched, how much is found, which model is current."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from adapters.database.transports import Transport
from service.configuration import Configuration
from service.domain import Json
from service.query import VectorKind

NEIGHBOURS = 10
ENOUGH_RECALL = 0.95
"""Of the ten nearest, how many an index must find to be used."""
NOISES = (0.5, 1.5)
"""How far a probe is from a stored vector, in its own length: a still of the same scene, and words,
which lie further off."""


class VectorSettings(Configuration):
    """When vectors are found by an index."""

    index_from: int = Field(
        50_000,
        ge=1_000,
        alias="MOODREEL_VECTOR_INDEX_FROM",
        description="How many vectors of a model and kind are worth an index (`moodreel index "
        "build`). Fewer are all compared, which finds the nearest for certain.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSpace:
    """Vectors that compare with each other: of one model, dimension and kind."""

    model: str
    dimension: int
    kind: VectorKind
    count: int
    width: int | None
    """How widely its index is searched; None: it is searched exactly."""
    index_name: str
    """What its index is called, or would be."""
    has_index: bool = False
    is_whole: bool = False
    """False for an index whose building was interrupted."""
    size_bytes: int = 0

    @property
    def name(self) -> str:
        """Such as ``clip-vit-b-32 scene 512``."""
        return f"{self.model} {self.kind.value} {self.dimension}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentModel:
    """By which model's vectors a kind is searched."""

    model: str
    dimension: int
    successor: str
    """The model that takes over once nothing waits for it; empty: none does."""
    waiting_count: int
    """Items that the successor has not seen yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """What some searches found, beside what there was to find."""

    recall: float
    """Share of the true ten nearest, 0 to 1."""
    seconds: float
    """Median of a search as it is made."""
    exact_seconds: float
    """Median of comparing with all."""


class VectorIndexes:
    """Knows the spaces of a database, over any transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def spaces(self) -> tuple[VectorSpace, ...]:
        """All there are, by model and kind."""
        rows = await self._transport.call("moodreel_vector_spaces", {})
        return tuple(_load_space(row) for row in rows)

    async def current_models(
        self, wanted: Mapping[VectorKind, str]
    ) -> Mapping[VectorKind, CurrentModel]:
        """Which model's vectors to compare with; kinds without vectors are absent.

        Args:
            wanted: The configured models. One that others' vectors wait for takes over by itself
                once it knows every item that they know.
        """
        request = {"wanted": {kind.value: model for kind, model in wanted.items()}}
        found = await self._transport.call("moodreel_current_models", request)
        return {
            VectorKind(kind): CurrentModel(
                model=row["model"],
                dimension=row["dimension"],
                successor=row["successor"],
                waiting_count=row["waiting"],
            )
            for kind, row in found.items()
        }

    async def measure(
        self, space: VectorSpace, *, share: float = 1.0, count: int = 20, width: int | None = None
    ) -> Recall | None:
        """Search for vectors that are near to stored ones; None where none are stored any more.

        Args:
            space: Where.
            share: Of all items, chosen anew for each search, that may be found.
            count: Searches.
            width: How widely its index is searched; by default what a search does by itself.
        """
        request = {
            "model": space.model,
            "dimension": space.dimension,
            "kind": space.kind.value,
            "limit": NEIGHBOURS,
            "share": share,
            "width": width,
        }
        rows = []
        for number in range(count):
            noise = NOISES[number % len(NOISES)]
            row = await self._transport.call("moodreel_probe_vectors", {**request, "noise": noise})
            if row is not None:
                rows.append(row)
        wanted_count = sum(row["of"] for row in rows)
        if not wanted_count:
            return None
        return Recall(
            recall=sum(row["found"] for row in rows) / wanted_count,
            seconds=statistics.median(row["seconds"] for row in rows),
            exact_seconds=statistics.median(row["exact_seconds"] for row in rows),
        )


def _load_space(row: Json) -> VectorSpace:
    index = row["index"] or {}
    return VectorSpace(
        model=row["model"],
        dimension=row["dimension"],
        kind=VectorKind(row["kind"]),
        count=row["count"],
        width=row["width"],
        index_name=row["index_name"],
        has_index=bool(index),
        is_whole=index.get("valid", False),
        size_bytes=index.get("size_bytes", 0),
    )
