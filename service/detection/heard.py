"""What a sound tagger heard, on a line of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.domain import Float32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeardSounds:
    """Scores of a closed set of sound classes over time."""

    model: str
    labels: tuple[str, ...]
    times_s: npt.NDArray[np.float64]
    """``(T,)`` middles of what was scored, rising."""
    scores: Float32
    """``(T, C)`` in [0, 1]."""

    def score(self, sounds: Iterable[str]) -> Float32:
        """``(T,)``: the best of the classes named; 0 for classes that the model does not know."""
        wanted = set(sounds)
        columns = [index for index, label in enumerate(self.labels) if label in wanted]
        if not columns:
            return np.zeros(len(self.times_s), np.float32)
        return np.asarray(self.scores[:, columns].max(axis=1), np.float32)


def gather_sounds(
    answers: Iterable[tuple[float, float, Float32]], labels: Sequence[str], model: str
) -> HeardSounds:
    """Put a tagger's answers on one line of time.

    Args:
        answers: For each window its start and duration in seconds, and scores ``(hops, C)``. Hops
            are taken to cover their window evenly.
        labels: The C classes.
        model: Name of the tagger.
    """
    times: list[npt.NDArray[np.float64]] = []
    scores: list[Float32] = []
    for start_s, duration_s, answer in answers:
        middles = (np.arange(len(answer)) + 0.5) / max(1, len(answer))
        times.append(start_s + middles * duration_s)
        scores.append(answer)
    all_times = np.concatenate(times) if times else np.zeros(0)
    all_scores = np.concatenate(scores) if scores else np.zeros((0, len(labels)), np.float32)
    order = np.argsort(all_times, kind="stable")
    return HeardSounds(
        model=model, labels=tuple(labels), times_s=all_times[order], scores=all_scores[order]
    )
