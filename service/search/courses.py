"""Compares mood curves with the course that somebody asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from service.domain import Float32, MoodPoint
from service.search.shapes import Shape
from service.vocabulary.shapes import MoodPart

GRID = 64
"""Moments at which a curve is read: stored ones have at most 240."""
NARROWING = 0.5
"""How much of the difference that words name a curve must show: curves are means over seconds and
over witnesses, and stay well inside the circumplex that words span."""
CONTRAST_SHARE = 0.6
"""Of the score, where two parts shall differ: a shape is a change first, and a level second."""
TOLERANCE = 1.0
"""Distance on one axis, half of its length, at which a level does not fit at all."""
AXES = ("valence", "arousal")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeMatch:
    """How well a curve goes so."""

    score: float
    reasons: tuple[str, ...]
    """What was asked of each part, and what the curve is there."""


def score_shape(
    curve: Sequence[MoodPoint], shape: Shape, duration_s: float | None = None
) -> ShapeMatch:
    """Say how well one curve fits, as ``score_curves`` does.

    Args:
        curve: In order of time; one without points fits nothing.
        shape: From ``parse_shape``.
        duration_s: Of the item; None: the curve's last moment ends it.
    """
    if not curve:
        return ShapeMatch(score=0.0, reasons=("no mood curve is stored",))
    levels = _resample(curve, duration_s)
    score = float(score_curves(levels[None], shape)[0])
    return ShapeMatch(score=score, reasons=tuple(explain_curve(levels, shape)))


def score_curves(curves: Float32, shape: Shape) -> Float32:
    """Say how well curves fit, in [0, 1]: ``(N,)``.

    The level of each part counts by its distance from what is asked; the differences between parts
    count by their direction, up to half of the difference that the words name. Without any of them
    nothing fits, however near the levels are.

    Args:
        curves: ``(N, 64, 2)``, valence and arousal at moments in the middle of equal parts.
        shape: From ``parse_shape``.
    """
    levels: list[Float32] = []
    contrasts: list[Float32] = []
    for axis, name in enumerate(AXES):
        asked = [
            (curves[:, _moments(part), axis].mean(axis=1), wanted)
            for part in shape.parts
            if (wanted := _wanted(part, name)) is not None
        ]
        levels += [np.maximum(0.0, 1.0 - _shortfall(m, want) / TOLERANCE) for m, want in asked]
        contrasts += [
            np.clip((other - mean) / (NARROWING * (wanted_other - wanted)), 0.0, 1.0)
            for (mean, wanted), (other, wanted_other) in combinations(asked, 2)
            if wanted != wanted_other
        ]
    level: Float32 = np.stack(levels).mean(axis=0)
    if not contrasts:
        return level
    contrast: Float32 = np.stack(contrasts).mean(axis=0)
    return contrast * (CONTRAST_SHARE + (1.0 - CONTRAST_SHARE) * level)


def explain_curve(curve: Float32, shape: Shape) -> Iterator[str]:
    """What was asked of each part, and what the curve ``(64, 2)`` is there."""
    for part in shape.parts:
        for axis, name in enumerate(AXES):
            if (wanted := _wanted(part, name)) is not None:
                yield (
                    f"{part.start:.0%} to {part.end:.0%}: {name} "
                    f"{curve[_moments(part), axis].mean():+.2f} (asked {wanted:+.2f})"
                )


def _wanted(part: MoodPart, axis: str) -> float | None:
    return part.valence if axis == "valence" else part.arousal


def _moments(part: MoodPart) -> slice:
    first = int(part.start * GRID)
    return slice(first, max(first + 1, round(part.end * GRID)))


def _shortfall(means: Float32, wanted: float) -> Float32:
    """Distance from what is asked; more of it is no fault."""
    if wanted == 0.0:
        return np.abs(means)
    lacking: Float32 = wanted - means if wanted > 0.0 else means - wanted
    return lacking.clip(min=0.0)


def _resample(curve: Sequence[MoodPoint], duration_s: float | None) -> Float32:
    times = np.array([point.time_s for point in curve], np.float64)
    end = max(duration_s or 0.0, float(times[-1]))
    moments = (np.arange(GRID) + 0.5) / GRID * end
    axes = [np.interp(moments, times, [getattr(point, axis) for point in curve]) for axis in AXES]
    return np.stack(axes, axis=1).astype(np.float32)
