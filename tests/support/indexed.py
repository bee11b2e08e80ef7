"""Items with texts and vectors in an index of scenes, and what is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from adapters.database.index import DatabaseIndex
from service.domain import (
    Analysis,
    ItemRef,
    Scene,
    TranscriptLine,
)
from service.folding import fold
from service.query import (
    TEXT_CHANNELS,
    Candidate,
    Filters,
    Lookup,
    QueryVector,
    SearchChannel,
    VectorKind,
)
from tests.support.stores import (
    MODEL,
    make_analysis,
    make_item,
    with_vectors,
)

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
NORTH_EAST = [0.8, 0.6]


async def search(
    index: DatabaseIndex, text: str, channel: SearchChannel, **filters
) -> Sequence[Candidate]:
    lookup = Lookup(terms=fold(text), channels=TEXT_CHANNELS, filters=Filters(**filters))
    return (await index.look_up(lookup))[channel]


async def names(index: DatabaseIndex, text: str, **filters) -> list[str]:
    """Which items the lexical channel finds."""
    found = await search(index, text, SearchChannel.LEXICAL, **filters)
    return [candidate.scene.ref.item_id for candidate in found]


async def said(store, item_id: str, *lines: str) -> ItemRef:
    """Save an item of ten-second scenes, and a line of its transcript every ten seconds."""
    analysis = await with_vectors(store, item_id, *([EAST] * max(1, len(lines))))
    await store.save_transcript(analysis.item.ref, spoken(*lines))
    return analysis.item.ref


def spoken(*lines: str) -> list[TranscriptLine]:
    return [
        TranscriptLine(start_s=10.0 * place + 1.0, end_s=10.0 * place + 3.0, text=text)
        for place, text in enumerate(lines)
    ]


async def titled(store, item_id: str, title: str, **changes) -> Analysis:
    item = make_item(item_id, title=title, **changes)
    analysis = make_analysis(item)
    await store.save(analysis, await store.begin(item))
    return analysis


def scenes(*scenes: Scene) -> tuple[Scene, ...]:
    """One after the other, ten seconds each."""
    return tuple(
        replace(scene, start_s=10.0 * place, end_s=10.0 * place + 10.0, keyframe_s=10.0 * place)
        for place, scene in enumerate(scenes)
    )


def scene(**changes) -> Scene:
    return Scene(start_s=0.0, end_s=0.0, keyframe_s=0.0, quality=0.5, **changes)


def asked(values: list[float], kind: VectorKind = VectorKind.SCENE, model: str = MODEL):
    return QueryVector(model=model, kind=kind, values=np.array(values, np.float32))


async def nearest(index, vector, channel=SearchChannel.VISUAL, limit=10, **filters):
    lookup = Lookup(
        vectors={channel: vector}, channels=(channel,), limit=limit, filters=Filters(**filters)
    )
    return (await index.look_up(lookup))[channel]
