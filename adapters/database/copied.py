"""What is compared when a database is copied to another: things, their parts, and how they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

ITEMS = "items"
KINDS = (ITEMS, "groups", "events", "reconciliations", "triggers", "votes")
"""In the order in which they refer to each other."""

BATCH_BYTES = 4_000_000
"""Of what is taken at once, roughly; see tests/benchmarks/bench_copy.py."""
VECTOR_BYTES = 6_000
"""Of a vector of 512 dimensions as text."""
ROW_BYTES = 300

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something of a thing that is newer or older as a whole."""

    name: str
    at: str
    """Its age, ISO 8601."""
    digest: str
    rows: Mapping[str, int]
    """By table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Something of one of the ``KINDS``."""

    key: Key
    place: list[Any]
    """In the order of its database."""
    parts: Mapping[str, Part]


class Comparison(StrEnum):
    """How a part is on the other side."""

    SAME = "same"
    NEWER = "newer"
    """It stays as it is."""
    WANTED = "wanted"
    """Absent there, or older; or as old and different."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A thing here, and the same there."""

    here: Thing
    there: Thing | None

    @property
    def found(self) -> dict[str, Comparison]:
        """How each of its parts is there."""
        there = self.there.parts if self.there else {}
        return {name: compare(part, there.get(name)) for name, part in self.here.parts.items()}

    @property
    def wanted(self) -> list[str]:
        return [name for name, found in self.found.items() if found is Comparison.WANTED]

    @property
    def asked(self) -> list[str]:
        """The parts to take: findings say little without the item that they are of."""
        return list(dict.fromkeys((*self.wanted, *(("item",) if "item" in self.found else ()))))

    @property
    def has_same_vectors(self) -> bool:
        part = self.here.parts.get("findings")
        return (
            part is not None
            and part.rows["scene_embeddings"] > 0
            and self.found["findings"] is Comparison.SAME
        )

    @property
    def size_bytes(self) -> int:
        """Of what is wanted, roughly."""
        rows: Counter[str] = Counter()
        for name in self.wanted:
            rows.update(self.here.parts[name].rows)
        vector_count = rows.pop("scene_embeddings", 0)
        return VECTOR_BYTES * vector_count + ROW_BYTES * rows.total()


def compare(here: Part, there: Part | None) -> Comparison:
    """Say how a part is on the other side: what is newer there stays, what is as old is ours."""
    if there is None:
        return Comparison.WANTED
    if here.digest == there.digest:
        return Comparison.SAME
    is_newer = datetime.fromisoformat(there.at) > datetime.fromisoformat(here.at)
    return Comparison.NEWER if is_newer else Comparison.WANTED


def read_things(rows: Sequence[Any]) -> list[Thing]:
    return [
        Thing(
            key=tuple(key),
            place=place,
            parts={
                name: Part(name=name, at=at, digest=digest, rows=counted)
                for name, at, digest, counted in parts
            },
        )
        for place, key, parts in rows
    ]


def batches(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """What is wanted, in portions of about ``BATCH_BYTES``; a larger thing makes one alone."""
    batch: list[Pair] = []
    size = 0
    for pair in pairs:
        if not pair.wanted:
            continue
        if batch and size + pair.size_bytes > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(pair)
        size += pair.size_bytes
    if batch:
        yield batch
