"""Finds items by how their mood goes: "calm start, tense end"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from service.domain import Float32, ItemRef
from service.ports import SceneIndex
from service.query import Filters, Part, SceneKey
from service.search.courses import explain_curve, score_curves
from service.search.fusion import WHOLE_ITEM, Fused
from service.search.shapes import Shape

SHAPE = "shape"
"""The part of a hit whose mood goes as asked."""
SHAPE_WEIGHT = 0.5
"""Beside other words: by how much of itself a hit gains whose mood goes wholly as asked. What words
found stays ahead of what they hardly found."""
LEAST_FIT = 0.2
"""Curves below it go otherwise: they show less than an eighth of the change that is asked for."""


async def find_by_shape(
    index: SceneIndex, shape: Shape, filters: Filters, limit: int
) -> Sequence[Fused]:
    """Items whose mood goes so, as a whole, the best first."""
    curves = await index.load_curves(filters)
    scores = _score(curves, shape)
    best = [ref for ref, score in scores.items() if score >= LEAST_FIT][:limit]
    return [
        Fused(
            scene=SceneKey(ref=ref, position=WHOLE_ITEM),
            score=scores[ref],
            parts={SHAPE: Part(score=scores[ref], rank=rank, share=scores[ref])},
            snippet="; ".join(explain_curve(curves[ref], shape)),
        )
        for rank, ref in enumerate(best, 1)
    ]


async def prefer_shape(
    index: SceneIndex, shape: Shape, filters: Filters, hits: Sequence[Fused]
) -> Sequence[Fused]:
    """The same hits; those of items whose mood goes so gain by it."""
    refs = {hit.scene.ref for hit in hits}
    if not refs:
        return hits
    curves = await index.load_curves(replace(filters, items=tuple(sorted(refs, key=str))))
    scores = _score(curves, shape)
    ranks = {ref: rank for rank, ref in enumerate(scores, 1)}
    gained = [_gain(hit, scores, ranks) for hit in hits]
    return sorted(gained, key=lambda hit: -hit.score)


def _score(curves: Mapping[ItemRef, Float32], shape: Shape) -> dict[ItemRef, float]:
    """By item, the best first; equals in order of their names."""
    if not curves:
        return {}
    scores = score_curves(np.stack(list(curves.values())), shape).tolist()
    return dict(sorted(zip(curves, scores, strict=True), key=lambda pair: (-pair[1], str(pair[0]))))


def _gain(hit: Fused, scores: Mapping[ItemRef, float], ranks: Mapping[ItemRef, int]) -> Fused:
    ref = hit.scene.ref
    if ref not in scores:
        return hit
    share = SHAPE_WEIGHT * scores[ref] * hit.score
    part = Part(score=scores[ref], rank=ranks[ref], share=share)
    return replace(hit, score=hit.score + share, parts={**hit.parts, SHAPE: part})
