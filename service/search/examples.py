"""Arithmetic with vectors: "like this, but at night", "like this one, and unlike that one"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.detection.moments import unit
from service.domain import Float32

CANCELLED = 1e-3
"""Length below which what is left of unit vectors is rounding."""


def mix(vectors: Sequence[Float32], weights: Sequence[float]) -> Float32 | None:
    """The direction of a weighted sum of directions; None where they cancel each other out.

    Args:
        vectors: ``(D,)`` each, of any length: only their direction counts.
        weights: One for each; negative for what shall be avoided.
    """
    if not vectors:
        return None
    total = np.asarray(weights, np.float32) @ unit(np.stack(vectors))
    if float(np.linalg.norm(total)) <= CANCELLED * float(np.abs(weights).max()):
        return None
    return unit(total)


def average(vectors: Sequence[Float32]) -> Float32:
    """The direction of several scenes, or sentences, together: ``(D,)``, zero without any."""
    return unit(unit(np.stack(vectors)).mean(axis=0))
