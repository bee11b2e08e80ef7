"""How various a handful of media is, in a model's eyes or ears."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.detection.moments import unit
from service.domain import Float32

LEAST_DISTANCE = 0.01
"""Cosine distance under which two items are the same thing, however still each of them is."""


def count_different(items: Sequence[Float32]) -> int:
    """How many items are not like one that was counted already.

    Two are alike when their means lie nearer to each other than the moments of an item usually lie
    to its own mean: episodes before the same cameras, or ten copies of one film, count as few. The
    measure is the model's own, so it holds for models that crowd all pictures together, too.

    Args:
        items: Of each its vectors, ``(N, ..., D)`` unit vectors.
    """
    if not items:
        return 0
    flat = [vectors.reshape(-1, vectors.shape[-1]) for vectors in items]
    means = unit(np.stack([vectors.mean(axis=0) for vectors in flat]))
    inner = [
        1.0 - float((vectors @ mean).mean()) for vectors, mean in zip(flat, means, strict=True)
    ]
    distance = max(float(np.median(inner)), LEAST_DISTANCE)
    kept: list[Float32] = []
    for mean in means:
        if all(1.0 - float(other @ mean) >= distance for other in kept):
            kept.append(mean)
    return len(kept)


def text_levels(items: Sequence[Float32], texts: Float32) -> Float32:
    """What each text gets from each item on average, less what all texts get from it.

    Args:
        items: Of each its vectors, ``(N, ..., D)``.
        texts: ``(T, D)`` unit vectors.

    Returns:
        ``(items, T)`` cosines around 0: texts far above it everywhere are near to everything.
    """
    means = [vectors.reshape(-1, vectors.shape[-1]).mean(axis=0) for vectors in items]
    levels = np.stack(means) @ texts.T
    return np.asarray(levels - levels.mean(axis=1, keepdims=True), np.float32)


def items_needed(levels: Float32) -> float:
    """Of how many items a centre must be made, to take off more of the levels than it adds.

    A text's level is one part that it gets from everything, and one that the item shows. A centre
    takes off the first and adds a share of the second, which falls with the number of items. The
    two are told apart as in a one-way analysis of variance with random effects.

    Args:
        levels: ``(items, T)``, two items at least.

    Returns:
        Infinite where nothing can be seen that texts get from everything.
    """
    shown = float(levels.var(axis=0, ddof=1, dtype=np.float64).mean())
    common = float(levels.mean(axis=0, dtype=np.float64).var()) - shown / len(levels)
    return shown / common if common > 0.0 else float("inf")
