"""Where to look closely: the coarse pass shows where something happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.detection.signals import Float64, PictureSignals, histogram_distance
from service.domain import SamplePlan, SampleSpan

RATES_HZ = (2.0, 4.0, 8.0)
"""Where something happened unseen: each such gap gets the first, then the most active ones the
next, while the budget lasts."""
ACTIVE_DISTANCE = 0.015
"""Coarse frames that differ by less show the same: a fifth of a typical cut (0.05 to 0.1), five
times the drift of a still camera (0.001 to 0.003), measured on the reference clips."""
FORCED_SHARE = 0.97
"""Of the longest gap between keyframes: where one is that long, the encoder set the next keyframe
because it had to, not because of a cut. What differs there happened in between."""
UNSEEN_SHARE = 0.2
"""Of the frames, and of the time that may be decoded for single looks, as much again at most for
such gaps."""
LOOK_S = 1.5
"""How far behind a keyframe to look once more. A shot's first
frame says little of it, and each second further costs 44 ms of decoding. On five films spliced from
the reference clips the mean AUC of a moment is 0.860 (two pictures a second, four to nine times as
many: 0.884). Where packets are large says little of where to look: neither their sizes nor their
rate follow what a model sees change (rank correlations of 0.0 to 0.4 on three films)."""
NEXT_S = 3.0
"""How far behind a look the next one is: context is pooled over as much."""
STILL_S = 0.01
"""Shorter than any frame."""
EDGE_S = 0.2
"""So near to the next keyframe there is nothing more to see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How densely to sample."""

    fixed_rate_hz: float | None = None
    """Everywhere the same, whatever happens; None adapts."""
    frames_per_hour: float = 1800.0
    """Budget of both passes together."""
    close_base_s: float = 30.0
    close_share: float = 0.12
    """Of a long medium, that single looks may have decoded, beside the base. A second of 1080p
    costs 44 ms of CPU, a keyframe 8."""
    short_s: float = 120.0
    """Up to this duration everything is looked at closely."""
    short_rate_hz: float = 12.0
    """Then at this rate: enough to tell a whip of the camera from a cut."""
    pictures_per_hour: float = 600.0
    """Earned for views of the centre, beside the full pictures; short media get all of them."""

    def close_s(self, duration_s: float) -> float:
        """Seconds that the fine pass may have decoded."""
        return self.close_base_s + self.close_share * duration_s

    def is_even(self, duration_s: float) -> bool:
        """Whether a medium is sampled at one rate throughout."""
        return self.fixed_rate_hz is not None or duration_s <= self.short_s


def plan_looks(keyframes_s: Sequence[float], duration_s: float, sampling: Sampling) -> SamplePlan:
    """Plan single looks behind keyframes before anything has been read.

    Args:
        keyframes_s: All of them, rising; with none there is no plan.
        duration_s: Of the medium; a plan never exceeds it.
        sampling: Budget.
    """
    if sampling.is_even(duration_s) or len(keyframes_s) <= 1:
        return SamplePlan(spans=())
    times = np.minimum(np.array(keyframes_s, np.float64), duration_s)
    lengths_s = np.diff(times, append=duration_s)
    frames = sampling.frames_per_hour * duration_s / 3600.0 - len(times)
    nowhere = np.zeros(len(times), np.bool_)
    looks = _spread_looks(lengths_s, nowhere, sampling.close_s(duration_s), frames)
    return SamplePlan(spans=tuple(_look_spans(times, lengths_s, looks)))


def plan_samples(
    coarse: PictureSignals, duration_s: float, sampling: Sampling, *, has_looked: bool = False
) -> SamplePlan:
    """Plan the fine pass.

    Args:
        coarse: Signals of the keyframes, and of other frames; may be empty, then the whole is
            sampled evenly.
        duration_s: Of the medium; a plan never exceeds it.
        sampling: Rates and budget.
        has_looked: Whether the coarse pass took single looks: only what is left is planned.
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
    is_key = coarse.is_keyframe
    gaps = _Gaps.between(
        coarse.select(is_key) if has_looked and is_key.any() else coarse, duration_s
    )
    close_s, frames = sampling.close_s(duration_s), budget - len(coarse)
    rates = _spend(gaps, UNSEEN_SHARE * frames, UNSEEN_SHARE * close_s)
    if has_looked:
        return SamplePlan(spans=tuple(_dense_spans(gaps, rates)))
    frames -= float(np.ceil(rates * gaps.lengths_s).sum())
    unseen_s = np.where(rates > 0.0, 0.0, gaps.lengths_s)
    looks = _spread_looks(unseen_s, gaps.is_still, close_s, frames)
    return SamplePlan(spans=tuple(_make_spans(gaps, rates, looks)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Gaps:
    """From each coarse frame to the next one: nothing is known of them yet. In order of time."""

    starts_s: Float64
    lengths_s: Float64
    activity: Float64
    """0 where nothing says that anything happened unseen."""
    is_still: npt.NDArray[np.bool_]
    """Whether both ends show the same."""

    @classmethod
    def between(cls, coarse: PictureSignals, duration_s: float) -> _Gaps:
        """Find what lies between coarse frames, and how much happens there.

        Where neighbours differ that is a cut at the second of them, as a rule: encoders put
        keyframes at cuts. Only where a keyframe was forced it happened before.
        """
        times = np.minimum(coarse.times_s, duration_s)
        lengths = np.diff(times, append=duration_s)
        change = histogram_distance(coarse.histograms[:-1], coarse.histograms[1:])
        moved = coarse.motion()[1:] * np.minimum(np.diff(coarse.times_s), 1.0)
        happened = np.maximum(change, moved / 2)  # a pan moves pixels that the histogram keeps
        is_forced = lengths[:-1] >= FORCED_SHARE * lengths[:-1].max()
        is_unseen = is_forced & (happened >= ACTIVE_DISTANCE)
        return cls(
            starts_s=times,
            lengths_s=lengths,
            activity=np.append(np.where(is_unseen, happened, 0.0), 0.0).astype(np.float64),
            is_still=np.append(happened < ACTIVE_DISTANCE, False),
        )


def _spend(gaps: _Gaps, budget: float, close_s: float) -> Float64:
    """Frames per second for each gap in which something happened unseen, the most active first."""
    rates = np.zeros(len(gaps.lengths_s))
    order = np.argsort(-gaps.activity, kind="stable")
    order = order[(gaps.activity[order] > 0.0) & (gaps.lengths_s[order] > 0.0)]
    order = order[_affordable(gaps.lengths_s[order], close_s)]
    for rate_hz in RATES_HZ:
        cost = np.ceil((rate_hz - rates[order]) * gaps.lengths_s[order])
        is_paid = _affordable(cost, budget)
        budget -= float(cost[is_paid].sum())
        order = order[is_paid]
        rates[order] = rate_hz
    return rates


def _affordable(costs: Float64, budget: float) -> npt.NDArray[np.bool_]:
    """Those that can be paid one after another; what is too dear is passed over."""
    chosen = np.zeros(len(costs), np.bool_)
    for index, cost in enumerate(costs.tolist()):
        if cost <= budget:
            chosen[index] = True
            budget -= cost
    return chosen


def _spread_looks(
    lengths_s: Float64, is_still: npt.NDArray[np.bool_], close_s: float, budget: float
) -> npt.NDArray[np.intp]:
    """How many looks each gap gets: the next one goes to where each stands for most time.

    So a long gap gets several before a short one gets its first: the keyframe of a short shot says
    enough of it. A gap whose ends show the same counts half: most often there is nothing to be
    seen, but somebody may have passed by.
    """
    most = np.maximum((lengths_s - EDGE_S - LOOK_S) // NEXT_S + 1.0, 0.0).astype(np.intp)
    gaps = np.repeat(np.arange(len(most)), most)
    number = np.arange(len(gaps)) - np.repeat(np.cumsum(most) - most, most)
    for_each_s = lengths_s[gaps] / (number + 1) * np.where(is_still[gaps], 0.5, 1.0)
    order = np.argsort(-for_each_s, kind="stable")
    costs_s = np.cumsum(np.where(number[order] > 0, NEXT_S, LOOK_S))
    count = min(int(np.searchsorted(costs_s, close_s, side="right")), max(0, int(budget)))
    return np.bincount(gaps[order[:count]], minlength=len(most)).astype(np.intp)


def _make_spans(gaps: _Gaps, rates: Float64, looks: npt.NDArray[np.intp]) -> Iterator[SampleSpan]:
    """Spans in order of time that do not overlap.

    A gap that nobody looks into is represented by the coarse frame at its beginning.
    """
    unseen = (rates <= 0.0) & (looks == 0) & (gaps.lengths_s > 0.0)
    spans = [
        *_dense_spans(gaps, rates),
        *_look_spans(gaps.starts_s, gaps.lengths_s, looks),
        *(
            still(start_s, start_s + length_s)
            for start_s, length_s in zip(
                gaps.starts_s[unseen].tolist(), gaps.lengths_s[unseen].tolist(), strict=True
            )
        ),
    ]
    yield from sorted(spans, key=lambda span: span.start_s)


def _dense_spans(gaps: _Gaps, rates: Float64) -> Iterator[SampleSpan]:
    for start_s, length_s, rate_hz in zip(
        gaps.starts_s.tolist(), gaps.lengths_s.tolist(), rates.tolist(), strict=True
    ):
        if rate_hz > 0.0 and length_s > 0.0:
            yield SampleSpan(start_s=start_s, end_s=start_s + length_s, rate_hz=rate_hz)


def _look_spans(
    starts_s: Float64, lengths_s: Float64, looks: npt.NDArray[np.intp]
) -> Iterator[SampleSpan]:
    for start_s, length_s, count in zip(
        starts_s.tolist(), lengths_s.tolist(), looks.tolist(), strict=True
    ):
        if count:
            first_s = start_s + LOOK_S
            end_s = min(first_s + NEXT_S * (count - 0.5), start_s + length_s)
            yield SampleSpan(start_s=first_s, end_s=end_s, rate_hz=1 / NEXT_S)


def still(time_s: float, until_s: float = np.inf) -> SampleSpan:
    """A span that holds one frame."""
    return SampleSpan(start_s=time_s, end_s=min(time_s + STILL_S, until_s), rate_hz=1.0)
