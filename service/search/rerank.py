"""Puts candidates into a better order with CLIP, where CLIP has something to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from service.domain import Float32, Tag
from service.query import Part, SceneKey

if TYPE_CHECKING:
    from service.search.fusion import Fused

CLIP = "clip"
"""The part of a hit that reranking added."""

CLIP_WEIGHT = 0.3
"""Heimdex's and ours: CLIP corrects the order, it does not make it."""
FLAT_RANGE = 0.01
"""Raw CLIP cosines within this range are all alike: a tenth of the 0.1 within which CLIP's
cosines differ at all (Heimdex's 0.05 throws half of the useful rankings away)."""


def rerank(
    base: Float32, clip: Float32, *, weight: float = CLIP_WEIGHT, flat_range: float = FLAT_RANGE
) -> Float32:
    """Blend two scores after min-max on both sides, and return to the base's own range.

    ``final = (1 - weight) * base + weight * clip``. The range of the base is kept, so that an
    absolute score stays one. Candidates without a CLIP score keep their base.

    Args:
        base: ``(N,)`` scores.
        clip: ``(N,)`` cosines; NaN where there is none.
        weight: Of CLIP, in [0, 1].
        flat_range: Skipped when CLIP's scores differ by less.
    """
    known = ~np.isnan(clip)
    if known.sum() <= 1:
        return base
    low, high = float(clip[known].min()), float(clip[known].max())
    base_low, base_high = float(base.min()), float(base.max())
    if high - low < flat_range or base_high <= base_low:
        return base
    scaled = base_low + (clip - low) / (high - low) * (base_high - base_low)
    return np.where(known, (1.0 - weight) * base + weight * scaled, base).astype(np.float32)


def rerank_tags(
    tags: Sequence[Tag],
    clip: Float32,
    *,
    weight: float = CLIP_WEIGHT,
    flat_range: float | None = None,
) -> tuple[Tag, ...]:
    """The same tags with blended scores, the strongest first.

    Args:
        tags: N candidates.
        clip: ``(N,)`` cosines; NaN where there is none.
        weight: Of CLIP, in [0, 1].
        flat_range: As measured for the model (``Calibration.flat_range``); None: CLIP's own.
    """
    base = np.array([tag.score for tag in tags], np.float32)
    flat = FLAT_RANGE if flat_range is None else flat_range
    scores = rerank(base, clip, weight=weight, flat_range=flat)
    moved = (
        replace(tag, score=round(float(score), 4)) for tag, score in zip(tags, scores, strict=True)
    )
    return tuple(sorted(moved, key=lambda tag: (-tag.score, tag.label)))


def rerank_hits(
    hits: Sequence[Fused],
    cosines: Mapping[SceneKey, float],
    *,
    weight: float = CLIP_WEIGHT,
    flat_range: float = FLAT_RANGE,
    top: int | None = None,
) -> tuple[Fused, ...]:
    """The same hits with blended scores, the best first.

    Those without a cosine keep their base. Where the base holds several for equally good, the
    cosines decide; one without a cosine then stands in the middle.

    Args:
        hits: The pool.
        cosines: Of those scenes that have a vector.
        weight: Of the cosines, in [0, 1].
        flat_range: Nothing moves when the cosines differ by less.
        top: How many are shown; what comes behind is in its place, but keeps the score that it had
            (unless it is exact), for to tell each of a large pool takes long.
    """
    clip = np.array([cosines.get(hit.scene, np.nan) for hit in hits], np.float32)
    known = clip[~np.isnan(clip)]
    if len(known) <= 1 or float(known.max() - known.min()) < flat_range or weight <= 0.0:
        return tuple(hits)
    base = np.array([hit.score for hit in hits], np.float32)
    blended = rerank(base, clip, weight=weight, flat_range=flat_range)
    between = np.where(np.isnan(clip), np.median(known), clip).tolist()
    ranks = {cosine: rank for rank, cosine in enumerate(sorted(known.tolist(), reverse=True), 1)}
    scores = np.where(np.isnan(clip), base, blended).tolist()
    order = sorted(range(len(hits)), key=lambda at: (-scores[at], -between[at], hits[at].scene))
    told = clip.tolist()
    wanted = len(hits) if top is None else top
    return tuple(
        _with_part(hits[at], cosine, ranks[cosine], scores[at])
        if (cosine := told[at]) in ranks and (place < wanted or hits[at].is_exact)
        else hits[at]
        for place, at in enumerate(order)
    )


def _with_part(hit: Fused, cosine: float, rank: int, score: float) -> Fused:
    part = Part(score=cosine, rank=rank, share=score - hit.score)
    return replace(hit, score=score, parts={**hit.parts, CLIP: part})
