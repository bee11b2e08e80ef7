"""Where to look closely: the coarse pass shows where something happens."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d

from service.detection.signals import Float64, PictureSignals, histogram_distance
from service.domain import SamplePlan, SampleSpan

CELL_S = 0.5
"""Resolution of the plan: the time between two frames at its lowest rate."""
RATES_HZ = (2.0, 4.0, 8.0)
"""Each active cell gets the first, then the most active ones the next, while the budget lasts."""
ACTIVE_DISTANCE = 0.015
"""Coarse frames that differ by less show the same: a fifth of a typical cut (0.05 to 0.1), five
times the drift of a still camera (0.001 to 0.003), measured on the reference clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How densely to sample."""

    fixed_rate_hz: float | None = None
    """Everywhere the same, whatever happens; None adapts."""
    frames_per_hour: float = 1800.0
    """Budget of both passes together."""
    margin_s: float = 1.0
    """Added on both sides of what is active."""
    short_s: float = 120.0
    """Up to this duration everything is looked at closely."""
    short_rate_hz: float = 12.0
    """Then at this rate: enough to tell a whip of the camera from a cut."""


def plan_samples(coarse: PictureSignals, duration_s: float, sampling: Sampling) -> SamplePlan:
    """Plan the fine pass.

    Args:
        coarse: Signals of the keyframes; may be empty, then the whole is sampled evenly.
        duration_s: Of the medium; a plan never exceeds it.
        sampling: Rates and budget.
    """
    if duration_s <= 0.0:
        return SamplePlan(spans=())
    rate_hz = sampling.fixed_rate_hz
    if rate_hz is None and duration_s <= sampling.short_s:
        rate_hz = sampling.short_rate_hz
    if rate_hz is not None:
        return SamplePlan(spans=(SampleSpan(start_s=0.0, end_s=duration_s, rate_hz=rate_hz),))
    budget = sampling.frames_per_hour * duration_s / 3600.0
    if len(coarse) <= 1:
        rate_hz = min(RATES_HZ[0], budget / duration_s)
        return SamplePlan(spans=(SampleSpan(start_s=0.0, end_s=duration_s, rate_hz=rate_hz),))
    activity = _cell_activity(coarse, duration_s, sampling.margin_s)
    rates = _spend(activity, budget - len(coarse))
    return SamplePlan(spans=_join(rates, duration_s))


def _cell_activity(coarse: PictureSignals, duration_s: float, margin_s: float) -> Float64:
    """How much happens in each cell: what its two neighbouring coarse frames differ by."""
    change = histogram_distance(coarse.histograms[:-1], coarse.histograms[1:])
    moved = coarse.motion()[1:] * np.minimum(np.diff(coarse.times_s), 1.0)
    per_step = np.maximum(change, moved / 2)  # a pan moves pixels that the histogram keeps
    centres = np.arange(CELL_S / 2, max(duration_s, CELL_S), CELL_S)
    step = np.clip(np.searchsorted(coarse.times_s, centres) - 1, 0, len(per_step) - 1)
    reach = 2 * round(margin_s / CELL_S) + 1
    active: Float64 = maximum_filter1d(per_step[step].astype(np.float64), reach, mode="nearest")
    return active


def _spend(activity: Float64, budget: float) -> Float64:
    """Frames per second for each cell, the most active cells first."""
    rates = np.zeros(len(activity))
    order = np.argsort(-activity, kind="stable")
    order = order[activity[order] >= ACTIVE_DISTANCE]
    for rate_hz in RATES_HZ:
        cost = (rate_hz - rates[order]) * CELL_S
        affordable = order[np.cumsum(cost) <= budget]
        budget -= float(((rate_hz - rates[affordable]) * CELL_S).sum())
        rates[affordable] = rate_hz
    return rates


def _join(rates: Float64, duration_s: float) -> tuple[SampleSpan, ...]:
    edges: npt.NDArray[np.intp] = np.flatnonzero(np.diff(rates, prepend=-1.0, append=-1.0))
    return tuple(
        SampleSpan(
            start_s=float(start * CELL_S),
            end_s=float(min(end * CELL_S, duration_s)),
            rate_hz=float(rates[start]),
        )
        for start, end in pairwise(edges)
        if rates[start] > 0 and start * CELL_S < duration_s
    )
