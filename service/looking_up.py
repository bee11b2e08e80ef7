"""Asks the index what a query needs: all channels, what words mean, what is quoted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from service.ports import SceneIndex
from service.query import TEXT_CHANNELS, Candidate, Filters, Lookup, Query, SearchChannel
from service.search.fusion import WHOLE_ITEM
from service.search.meanings import Meant, join_candidates, rate_items

Found = Mapping[SearchChannel, Sequence[Candidate]]

FindMeanings = Callable[[str], Sequence[Meant]]
"""Which tags and moods each word of a query means (``Meanings.find``)."""

LABELLED = 200
"""Items of a tag or mood, the surest: as many as a channel gives candidates."""
FAINT = 0.25
"""Share of a query below which its texts were as good as not found: by its small words alone."""


async def look_up(
    index: SceneIndex, lookup: Lookup, text: str, *, meanings: FindMeanings, quoted: str = ""
) -> Found:
    """What all channels found; what is asked beside them is asked at the same time.

    Args:
        index: Where scenes are found.
        lookup: The query as the index takes it.
        text: The query as it was asked.
        meanings: What its words mean.
        quoted: What it quotes, folded: exact is then whoever has that, not all of the query.
    """
    texts = tuple(channel for channel in lookup.channels if channel in TEXT_CHANNELS)
    quote = replace(lookup, terms=quoted, channels=texts, vectors={})
    is_part = bool(quoted and lookup.terms) and quoted != lookup.terms
    words = meanings(text) if SearchChannel.LEXICAL in texts else ()
    found, meant, exact = await asyncio.gather(
        index.look_up(lookup),
        _find_meant(index, words, lookup.filters),
        index.look_up(quote) if is_part else _nothing(),
    )
    joined = dict(found)
    if meant:
        joined[SearchChannel.LEXICAL] = join_candidates(joined[SearchChannel.LEXICAL], meant)
    for channel, rows in exact.items():
        joined[channel] = _mark_exact(joined[channel], rows)
    return joined


def is_faint(found: Found) -> bool:
    """Whether no text has more than a query's small words."""
    return all(one.score < FAINT for channel in TEXT_CHANNELS for one in found.get(channel, ()))


def count_texts(found: Found) -> int:
    """Hits that texts alone make, but for those that have only small words: scenes, and items of
    which no scene was found, for what is found of a whole item goes to its best scene.
    """
    rows = (one for channel in TEXT_CHANNELS for one in found.get(channel, ()))
    scenes = {one.scene for one in rows if one.score >= FAINT}
    shown = {scene.ref for scene in scenes if scene.position != WHOLE_ITEM}
    return sum(scene.position != WHOLE_ITEM or scene.ref not in shown for scene in scenes)


def without_examples(found: Found, query: Query) -> Found:
    """All but what others shall be like."""
    examples = {example.scene for example in query.examples if example.scene is not None}
    if not examples:
        return found
    items = {scene.ref for scene in examples if scene.position == WHOLE_ITEM}
    return {
        channel: [one for one in rows if one.scene not in examples and one.scene.ref not in items]
        for channel, rows in found.items()
    }


async def _find_meant(
    index: SceneIndex, words: Sequence[Meant], filters: Filters
) -> Sequence[Candidate]:
    labels = sorted({label for meant in words for label in meant})
    if not labels:
        return ()
    return rate_items(words, await index.find_labels(labels, filters, LABELLED))


async def _nothing() -> Found:
    return {}


def _mark_exact(known: Sequence[Candidate], quoted: Sequence[Candidate]) -> Sequence[Candidate]:
    exact = {one.scene: one for one in quoted if one.is_exact}
    others = (replace(one, is_exact=False) for one in known if one.scene not in exact)
    return [*exact.values(), *others]
