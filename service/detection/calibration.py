"""What much and various media have in common in a model's space, measured once and kept as data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from service.detection.scoring import FLAT_SHARE, compare
from service.domain import Calibration, Float32

VECTORS_PER_ITEM = 64
"""Kept of each item, evenly spread over it: a few hundred items fit into memory, and a film of two
hours counts no more than a clip."""


class CalibrationMeter:
    """Takes the vectors of one item after another.

    A few dozen items of all sorts will do. From a handful of similar ones the centre would be what
    they show, and taking it off would hide just that.
    """

    def __init__(self) -> None:
        self._means: list[Float32] = []
        self._vectors: list[Float32] = []

    def __len__(self) -> int:
        """Items so far."""
        return len(self._means)

    def add(self, vectors: Float32) -> None:
        """Take an item; one without vectors is ignored.

        Args:
            vectors: ``(N, V, D)`` or ``(N, D)`` unit vectors, V views of N moments.

        Raises:
            ValueError: Of another dimension than the items before, or not finite.
        """
        if not len(vectors):
            return
        flat = vectors.reshape(-1, vectors.shape[-1])
        if self._means and flat.shape[1] != len(self._means[0]):
            raise ValueError(f"vectors of {flat.shape[1]} dimensions after {len(self._means[0])}")
        if not np.isfinite(flat).all():
            raise ValueError("vectors that are not finite")
        self._means.append(np.asarray(flat.mean(axis=0, dtype=np.float64), np.float32))
        count = min(len(vectors), VECTORS_PER_ITEM)
        chosen = np.linspace(0, len(vectors) - 1, count).round().astype(int)
        self._vectors.append(vectors.reshape(len(vectors), -1, vectors.shape[-1])[chosen])

    def result(self, calibration: Calibration, texts: Float32) -> Calibration:
        """The model's calibration with what was measured.

        Args:
            calibration: Its logit scale and bias, which stay.
            texts: ``(T, D)`` unit vectors of what is looked for, such as all tags' concepts.

        Returns:
            With ``centre``, the mean of the items' means (not normalised: its length says how much
            they have in common), and ``flat_range``, a tenth of how far an item's best text usually
            leads the middle one.

        Raises:
            ValueError: There was no item, or no text.
        """
        if not self._means or not len(texts):
            raise ValueError("nothing to calibrate with: an item and a text at least are needed")
        centre = np.stack(self._means).mean(axis=0, dtype=np.float64)
        measured = replace(calibration, centre=tuple(round(float(x), 7) for x in centre))
        spread = np.percentile([_lead(compare(v, texts, measured)) for v in self._vectors], 95)
        return replace(measured, flat_range=round(FLAT_SHARE * float(spread), 7))


def _lead(cosines: Float32) -> float:
    """How far the best text of an item is above the middle one; of each text the best view."""
    best_view = cosines.max(axis=1)
    return float(np.percentile(best_view.max(axis=1) - np.median(best_view, axis=1), 95))
