"""Where one picture slowly becomes another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from service.detection.signals import PictureSignals
from service.domain import Float32

LEAST_DISSOLVE = 0.11
"""Mean change of the thumbnail's channels (0 to 1) from first to last: that of a cut."""
DISSOLVE_S = (0.5, 1.0, 2.0)
"""Usual lengths of a dissolve."""
DISSOLVE_STEPS = 4
"""Samples needed to tell a blend from a leap."""
DISSOLVE_REST = 0.25
"""What is left of a sample when the blend is taken away, as a share of the whole change: in a
dissolve the movement of both shots, in a pan or a walk about half."""
SAME_STRUCTURE = 0.7
"""Correlation above which two pictures are one place in another light."""
DISSOLVE_STEP = 0.6
"""No step makes more than this share of the way, else it is a cut."""
WIDESPREAD_CHANGE, WIDESPREAD_SHARE = 0.05, 0.6
"""A dissolve changes most of the picture; what passes through it does not."""


def find_dissolves(
    signals: PictureSignals, cuts: npt.NDArray[np.intp], black: npt.NDArray[np.bool_]
) -> list[tuple[float, float]]:
    """Middles of stretches in which one picture slowly becomes another, everywhere at once.

    Every sample on the way has to be a blend of the first and the last, further along than the
    sample before.

    Args:
        signals: Of all frames.
        cuts: Indices of first frames after hard cuts, near which nothing dissolves.
        black: Which frames are black: through these it is a fade.

    Returns:
        Times and strengths, several for one dissolve.
    """
    times = signals.times_s
    pictures = np.asarray(signals.thumbnails, np.float32) / np.float32(255)
    pictures -= pictures.mean(axis=(1, 2), keepdims=True)  # automatic exposure is no dissolve
    cut_times = times[cuts]
    found: list[tuple[float, float]] = []
    for length_s in DISSOLVE_S:
        first = np.searchsorted(times, times - length_s / 2, side="right") - 1
        last = np.searchsorted(times, times + length_s / 2)
        for middle in np.flatnonzero((first >= 0) & (last < len(times))).tolist():
            a, b, time_s = int(first[middle]), int(last[middle]), float(times[middle])
            is_cut = len(cut_times) and np.abs(cut_times - time_s).min() <= length_s
            if b - a >= DISSOLVE_STEPS and not is_cut and not black[a : b + 1].any():
                found.append((time_s, _blend_strength(np.asarray(pictures[a : b + 1]))))
    return [(time_s, strength) for time_s, strength in found if strength > 0.0]


def _blend_strength(pictures: Float32) -> float:
    """How well the pictures are blends of the first and the last, in order; 0 for not at all."""
    change = pictures[-1] - pictures[0]
    whole = float(np.abs(change).mean())
    everywhere = float((np.abs(change).max(axis=-1) > WIDESPREAD_CHANGE).mean())
    is_other = _likeness(pictures[0], pictures[-1]) < SAME_STRUCTURE
    if whole < LEAST_DISSOLVE or everywhere < WIDESPREAD_SHARE or not is_other:
        return 0.0
    progress, rest = blend(pictures)
    steps = np.diff(np.concatenate([[0.0], progress, [1.0]]))
    if rest.max() > DISSOLVE_REST or steps.min() < 0.0 or steps.max() > DISSOLVE_STEP:
        return 0.0
    return 1.0 - float(rest.max())


def blend(pictures: Float32) -> tuple[Float32, Float32]:
    """Each inner picture as a mixture of the first and the last.

    Returns:
        The share of the last in each, and what the mixture leaves of it as a share of the whole
        change.
    """
    change = pictures[-1] - pictures[0]
    inner = pictures[1:-1] - pictures[0]
    progress = (inner * change).sum(axis=(1, 2, 3)) / max(float((change**2).sum()), 1e-9)
    left = np.abs(inner - progress[:, None, None, None] * change).mean(axis=(1, 2, 3))
    return progress, np.asarray(left / max(float(np.abs(change).mean()), 1e-9), np.float32)


def _likeness(first: Float32, second: Float32) -> float:
    """Correlation of two pictures' luma: what no change of light alters."""
    one, other = (picture.mean(axis=-1).ravel() for picture in (first, second))
    one, other = one - one.mean(), other - other.mean()
    length = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / length if length > 0.0 else 0.0
