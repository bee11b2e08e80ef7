"""Embeddings on a line of time whose points are not evenly spaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from service.detection.novelty import NEW_PICTURE_DISTANCE, histogram_distance, is_other_shot
from service.detection.signals import PictureSignals
from service.domain import Float32

Float64 = npt.NDArray[np.float64]

CONTEXT_S = 3.0
"""Window of temporal context: about as long as a film's average shot, shorter than most actions.
On car-detection.mp4 windows of 2 to 4 s separate equally well (AUC 0.96 to 0.99)."""

HELD_S = 0.25
"""How long before the next picture the last one is still there: twice the least distance at which
scenes and shots take a frame to be off their edge."""
LENT_S = 1.0
"""Measured frames nearer than this to a moment need none of their own."""
COLUMNS_AT_ONCE = 128
"""Bounds the memory of long films: sums need double precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingFailure:
    """A frame or window that a model could not encode."""

    time_s: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Encoded frames, or stretches of sound, in order of time."""

    times_s: Float64
    """``(M,)``, rising."""
    vectors: Float32
    """``(M, V, D)`` unit vectors: V views of each frame, the full frame first; of sound one."""
    device: str = ""
    """What the model ran on."""
    encode_ms: Float64 | None = None
    """``(M,)`` what each cost, 0 where a vector was taken over from a picture that looks the same;
    None when it was not measured."""
    failures: tuple[EncodingFailure, ...] = ()
    """What has no vector, in order of time."""

    def __len__(self) -> int:
        return len(self.times_s)


def gather_moments(
    times_s: Sequence[float] | Float64,
    vectors: Float32,
    encode_ms: Sequence[float] | None = None,
    *,
    device: str = "",
    failures: Sequence[EncodingFailure] = (),
) -> Moments:
    """Put encoded frames of all passes into order; a frame encoded twice counts once.

    Args:
        times_s: M times in any order.
        vectors: ``(M, D)`` or ``(M, V, D)``.
        encode_ms: What each cost.
        device: What the model ran on.
        failures: What has no vector, in order of time.
    """
    times = np.asarray(times_s, np.float64)
    views = vectors.shape[1:-1] or (1,)
    stacked = vectors.reshape(len(vectors), *views, vectors.shape[-1])
    _, order = np.unique(np.round(times, 3), return_index=True)
    return Moments(
        times_s=times[order],
        vectors=stacked[order],
        encode_ms=None if encode_ms is None else np.asarray(encode_ms, np.float64)[order],
        device=device,
        failures=tuple(failures),
    )


def lend_moments(moments: Moments, signals: PictureSignals) -> tuple[Moments, Float64]:
    """Give frames that were only measured the vector of a near moment that looks like them.

    Returns:
        The moments with theirs, at no cost; and the times of the frames that look like neither of
        their neighbours.
    """
    times = moments.times_s
    if not len(signals) or not len(times):
        return moments, signals.times_s
    after = np.searchsorted(times, signals.times_s - 1e-3)
    before, after = (after - 1).clip(0), after.clip(0, len(times) - 1)
    nearest_s = np.minimum(
        np.abs(times[before] - signals.times_s), np.abs(times[after] - signals.times_s)
    )
    alone = np.flatnonzero(nearest_s > LENT_S)
    shown = np.searchsorted(signals.times_s, times - 1e-3).clip(0, len(signals) - 1)
    # By colours alone: things move within a shot, and between keyframes there is rarely a cut.
    is_next = ~_is_recoloured(signals, alone, shown[after[alone]])
    is_last = ~_is_recoloured(signals, alone, shown[before[alone]])
    lender = np.where(is_next, after[alone], before[alone])
    is_lent = is_next | is_last
    chosen = alone[is_lent]
    return (
        _insert(moments, signals.times_s[chosen], lender[is_lent]),
        signals.times_s[alone[~is_lent]],
    )


def hold_moments(moments: Moments, signals: PictureSignals) -> Moments:
    """Let a picture last until the next one that looks quite different.

    A keyframe stands at the beginning of a shot, and nothing may have been looked at from there to
    the next cut. Without this, half of that stretch would count as what comes after the cut.
    """
    times = moments.times_s
    if len(times) <= 1 or not len(signals):
        return moments
    rows = np.searchsorted(signals.times_s, times - 1e-3).clip(0, len(signals) - 1)
    seen, following = rows[:-1], rows[1:]
    last = np.maximum(following - 1, seen)  # the last frame that was looked at before the next one
    is_over = _looks_other(signals, seen, following)
    is_still_there = ~_is_recoloured(signals, seen, last)
    lasting = np.flatnonzero(is_over & is_still_there & (np.diff(times) > 2 * HELD_S))
    return _insert(moments, times[lasting + 1] - HELD_S, lasting)


def _insert(moments: Moments, times_s: Float64, lenders: npt.NDArray[np.intp]) -> Moments:
    """More moments at rising times, each with another one's vector, at no cost."""
    at = np.searchsorted(moments.times_s, times_s)
    spent = moments.encode_ms
    return replace(
        moments,
        times_s=np.insert(moments.times_s, at, times_s),
        vectors=np.insert(moments.vectors, at, moments.vectors[lenders], axis=0),
        encode_ms=None if spent is None else np.insert(spent, at, 0.0),
    )


def _looks_other(
    signals: PictureSignals, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    looks, pictures = signals.histograms, signals.thumbnails
    return is_other_shot(looks[first], looks[second], pictures[first], pictures[second])


def _is_recoloured(
    signals: PictureSignals, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    change = histogram_distance(signals.histograms[first], signals.histograms[second])
    return np.asarray(change >= NEW_PICTURE_DISTANCE, np.bool_)


def pool_moments(moments: Moments, window_s: float = CONTEXT_S) -> Moments:
    """Average each moment with what is around it in time, and renormalise.

    Every frame stands for the time that is nearer to it than to any other; the mean is taken over
    time, so that densely sampled stretches weigh no more than others. At the ends the window is
    cut, not padded.
    """
    if len(moments) <= 1:
        return moments
    times = moments.times_s
    edges = np.concatenate([times[:1], (times[1:] + times[:-1]) / 2, times[-1:]])
    flat = moments.vectors.reshape(len(times), -1)
    pooled = np.empty_like(flat)
    for start in range(0, flat.shape[1], COLUMNS_AT_ONCE):
        columns = slice(start, start + COLUMNS_AT_ONCE)
        pooled[:, columns] = _average(flat[:, columns], times, edges, window_s)
    return replace(moments, vectors=unit(pooled.reshape(moments.vectors.shape)))


def _average(flat: Float32, times: Float64, edges: Float64, window_s: float) -> Float64:
    """Means over the window, but for their length."""
    integral = np.zeros((len(flat) + 1, flat.shape[1]), np.float64)
    np.cumsum(flat * np.diff(edges)[:, None], axis=0, out=integral[1:])

    def up_to(at_s: Float64) -> Float64:
        clipped = np.clip(at_s, edges[0], edges[-1])
        cell = np.clip(np.searchsorted(edges, clipped, side="right") - 1, 0, len(flat) - 1)
        rest: Float64 = integral[cell] + flat[cell] * (clipped - edges[cell])[:, None]
        return rest

    return up_to(times + window_s / 2) - up_to(times - window_s / 2)


def unit(vectors: npt.NDArray[np.floating]) -> Float32:
    """Scale the last axis to length 1; zero vectors stay zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)
