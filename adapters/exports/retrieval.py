"""How often the right one is among the nearest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.domain import Float32

RANKS = (1, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Recall at 1, 5 and 10, in [0, 1], over queries that were held out."""

    clap_to_clip: Mapping[int, float]
    clip_to_clap: Mapping[int, float]

    def as_json(self) -> dict[str, dict[str, float]]:
        return {
            "clap_to_clip": {f"R@{rank}": value for rank, value in self.clap_to_clip.items()},
            "clip_to_clap": {f"R@{rank}": value for rank, value in self.clip_to_clap.items()},
        }


def measure(sounds: Float32, texts: Float32, groups: npt.NDArray[np.int64]) -> Retrieval:
    """Look for each sound's texts among all texts, and for each text's sound among all sounds.

    Args:
        sounds: ``(N, D)`` unit vectors; a sound with several captions stands in several rows.
        texts: ``(N, D)`` unit vectors of the captions.
        groups: ``(N,)`` equal where the sound is the same.
    """
    first_rows = np.unique(groups, return_index=True)[1]
    cosines = sounds[first_rows] @ texts.T
    is_right = groups[first_rows][:, None] == groups[None, :]
    return Retrieval(
        clap_to_clip=_recall(cosines, is_right), clip_to_clap=_recall(cosines.T, is_right.T)
    )


def _recall(cosines: Float32, is_right: npt.NDArray[np.bool_]) -> dict[int, float]:
    """A wrong one that is exactly as near counts as nearer: equal vectors find nothing."""
    best = np.where(is_right, cosines, -np.inf).max(axis=1, keepdims=True)
    places = np.sum((cosines >= best) & ~is_right, axis=1)
    return {rank: float(np.mean(places < rank)) for rank in RANKS}
