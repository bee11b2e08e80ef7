"""Finds scenes in the database, by words and by vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from adapters.database.curves import DatabaseCurves
from adapters.database.filters import dump_filters
from adapters.database.records import dump_ref, dump_vectors, storable
from adapters.database.text_vectors import DatabaseTextVectors
from service.domain import Float32, ItemRef, Json
from service.query import (
    Candidate,
    Lookup,
    QueryVector,
    SceneCard,
    SceneKey,
    SearchChannel,
    VectorKind,
)

_CARD = TypeAdapter(SceneCard)


class DatabaseIndex(DatabaseTextVectors, DatabaseCurves):
    """The port ``SceneIndex``. Every method is one call of a SQL function.

    Keys of scenes travel as they are, and come back as their numbers.
    """

    async def look_up(self, lookup: Lookup) -> Mapping[SearchChannel, Sequence[Candidate]]:
        request = {
            "terms": storable(lookup.terms),
            "channels": [channel.value for channel in lookup.channels],
            "vectors": {
                channel.value: dump_query_vector(vector)
                for channel, vector in lookup.vectors.items()
            },
            "filters": dump_filters(lookup.filters),
            "limit": lookup.limit,
        }
        found: Json = await self._transport.call("moodreel_search", request)
        return {
            channel: [_load_candidate(row) for row in found.get(channel.value, [])]
            for channel in lookup.channels
        }

    async def score_scenes(
        self, vector: QueryVector, scenes: Sequence[SceneKey]
    ) -> Mapping[SceneKey, float]:
        """Cosines of these scenes; of an item as a whole, that of the nearest of some of its."""
        request = dump_query_vector(vector) | {"scenes": dump_keys(scenes)}
        rows = await self._transport.call("moodreel_score_scenes", request)
        return {scenes[number]: float(score) for number, score in rows}

    async def load_cards(self, scenes: Sequence[SceneKey]) -> Mapping[SceneKey, SceneCard]:
        rows = await self._transport.call("moodreel_load_cards", {"scenes": dump_keys(scenes)})
        keys = [scenes[row.pop("number")] for row in rows]
        return {
            key: _CARD.validate_python(row | {"scene": key})
            for key, row in zip(keys, rows, strict=True)
        }

    async def load_vectors(
        self, scenes: Sequence[SceneKey], kind: VectorKind, model: str
    ) -> Mapping[SceneKey, Float32]:
        request = {"scenes": dump_keys(scenes), "kind": kind.value, "model": model}
        rows = await self._transport.call("moodreel_load_vectors", request)
        return {
            SceneKey(ref=scenes[number].ref, position=position): load_vector(text)
            for number, position, text in rows
        }


def dump_query_vector(vector: QueryVector) -> Json:
    [values] = dump_vectors(vector.values[None])
    return {"model": vector.model, "kind": vector.kind.value, "values": values}


def dump_keys(scenes: Sequence[SceneKey]) -> list[list[str | int]]:
    return [[*dump_ref(scene.ref).values(), scene.position] for scene in scenes]


def load_vector(text: str) -> Float32:
    """Read what pgvector writes: it comes as a text over PostgREST, too."""
    return np.array(json.loads(text), np.float32)


def _load_candidate(row: Sequence[Any]) -> Candidate:
    server, item_id, position, score, is_exact, start_s, end_s, snippet = row
    return Candidate(
        scene=SceneKey(ref=ItemRef(server=server, item_id=item_id), position=position),
        score=float(score),
        is_exact=is_exact,
        start_s=None if start_s is None else float(start_s),
        end_s=None if end_s is None else float(end_s),
        snippet=snippet or "",
    )
