"""Folds texts that were kept before there was a search."""

from __future__ import annotations

import asyncio

from adapters.database.records import dump_item, dump_ref, storable
from adapters.database.store import DatabaseStore
from adapters.database.texts import found_texts
from service.domain import Analysis, ItemRef

PAGE_SIZE = 20
"""Items of a call: a film's texts and lines take 0.2 s."""


async def fold_more(store: DatabaseStore, *, limit: int = PAGE_SIZE) -> int:
    """Fold texts and transcripts of some items that were not folded yet.

    May be interrupted, and run beside whoever saves: what was saved since it was read stays.

    Returns:
        How many items; 0 when all are folded.
    """
    rows = await store.transport.call("moodreel_unfolded", {"limit": limit})
    for row in rows:
        ref = ItemRef(**row["ref"])
        if row["texts"] and (analysis := await store.load(ref)) is not None:
            await _put_texts(store, analysis)
        if row["lines"]:
            await store.refold_transcript(ref, await store.load_transcript(ref))
    return len(rows)


async def _put_texts(store: DatabaseStore, analysis: Analysis) -> None:
    texts = await asyncio.to_thread(found_texts, analysis)
    document = {
        "item": dump_item(analysis.item),
        "pipeline": storable(analysis.pipeline),
        "texts": texts,
    }
    await store.transport.call("moodreel_put_texts", dump_ref(analysis.item.ref) | document)
