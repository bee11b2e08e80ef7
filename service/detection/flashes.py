"""Light that flashes: where it may hurt, and where samples are too few to tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.detection.signals import LUMA_WEIGHTS, PICTURES_AT_ONCE, PictureSignals
from service.domain import ComfortWarning, Discomfort, SampleSpan, UInt8

Float64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

FLASH_CHANGE, FLASH_DARK = 0.1, 0.8
"""A flash is a pair of opposing changes in relative luminance by so much, of which the darker side
is below the second value (WCAG 2.2, 2.3.1, general flash)."""
FLASH_AREA = 0.24
"""A quarter of the picture, less what thumbnails blur at its edge. WCAG asks for a quarter of the
middle ten degrees of sight, which is less or more, as people sit; a quarter is what broadcasters
take (ITU-R BT.1702)."""
FLASHES, FLASH_WINDOW_S = 3, 1.0
"""So many within so long may hurt: WCAG 2.2 (2.3.1) allows no more than three, and we warn of
three."""
APART_S = 1.0
"""Stretches nearer than this are one."""
SUSPECT_CHANGES = 3
"""To, fro and to within a second, on the same picture: it may well be more than was sampled."""
SUSPECT_RETURN = 0.5
"""It is the same picture when it differs by less than this share of the change between: not a cut
to another."""
BURST_COUNT = 3
BURST_STEP_S = (0.6, 1.25)
"""x264 sets no two keyframes nearer than 25 frames, 0.8 to 1.05 s: where light flashes it sets them
as often as it may. The fine pass samples at 2 Hz and more, which is no burst."""
BURST_SHARE, BURST_JITTER_S = 0.67, 0.1
"""A burst's steps are shorter than the medium's usual step by this share, and alike."""
BURST_ALIKE = 0.12
"""Two of its pictures differ by less (mean over pixels, full scale 1): a cut shows others."""
SUSPECT_RATE_HZ, DENSE_STEP_S = 30.0, 0.05
"""Full frame rate shows flashes up to 15 a second; what was sampled at 20 Hz needs no second look.
"""
SUSPECT_MARGIN_S, SUSPECT_LONGEST_S = 0.5, 6.0
"""A look takes the stretch and a little around it; of a long one its beginning says enough."""
SRGB_KNEE, SRGB_SLOPE, SRGB_OFFSET, SRGB_POWER = 0.04045, 12.92, 0.055, 2.4
"""From a channel's value to light (IEC 61966-2-1), as WCAG's relative luminance has it."""


def find_flashing(picture: PictureSignals) -> list[ComfortWarning]:
    """Stretches of three flashes or more a second over a quarter of the picture or more.

    Flashes are counted among the samples: sparse samples may miss some but never add any, so that
    nothing is said where it is not known.
    """
    found: list[tuple[float, float, float]] = []
    for light in _regions(picture.thumbnails):
        turns = _find_turns(light)
        darker = np.minimum(light[turns.extremes[:-1]], light[turns.extremes[1:]])
        counts = (darker < FLASH_DARK) & (_changed(picture, turns) >= FLASH_AREA)
        found += _stretches(picture.times_s[turns.changes[counts]])
    return [
        ComfortWarning(
            kind=Discomfort.FLASHING,
            start_s=round(start_s, 3),
            end_s=round(end_s, 3),
            amount=max(rate for begin_s, _, rate in found if start_s <= begin_s <= end_s),
        )
        for start_s, end_s in _join([(start_s, end_s) for start_s, end_s, _ in found], APART_S)
    ]


def _changed(picture: PictureSignals, turns: _Turns) -> Float64:
    """Share of the picture that changed along with each change of light: ``(K,)``."""
    light = _LINEAR[picture.thumbnails[turns.extremes]] @ LUMA_WEIGHTS
    change = np.diff(light, axis=0)
    brighter, darker = change >= FLASH_CHANGE, change <= -FLASH_CHANGE
    return np.asarray(np.maximum(brighter.mean(axis=(1, 2)), darker.mean(axis=(1, 2))), np.float64)


def find_suspects(signals: PictureSignals) -> tuple[SampleSpan, ...]:
    """Short stretches in which light goes to and fro so fast that samples may have missed more.

    They deserve a look at full frame rate. Cuts to other pictures are none. Where samples are a
    second and more apart, bursts of keyframes at the encoder's shortest distance are what tells.
    """
    spans = _find_bursts(signals)
    times_s, steps_s = signals.times_s, signals.steps_s()
    for light in _regions(signals.thumbnails):
        turns = _find_turns(light)
        for first in range(len(turns.changes) - SUSPECT_CHANGES + 1):
            changes = turns.changes[first : first + SUSPECT_CHANGES]
            extremes = turns.extremes[first : first + SUSPECT_CHANGES + 1]
            is_fast = times_s[changes[-1]] - times_s[changes[0]] <= FLASH_WINDOW_S
            is_sparse = steps_s[changes[0] : changes[-1] + 1].max() > DENSE_STEP_S
            if is_fast and is_sparse and _returns(signals.thumbnails[extremes]):
                spans.append((float(times_s[changes[0]]), float(times_s[changes[-1]])))
    return tuple(
        SampleSpan(
            start_s=max(0.0, start_s - SUSPECT_MARGIN_S),
            end_s=min(end_s, start_s + SUSPECT_LONGEST_S) + SUSPECT_MARGIN_S,
            rate_hz=SUSPECT_RATE_HZ,
        )
        for start_s, end_s in _join(spans, 2 * SUSPECT_MARGIN_S)
    )


def _find_bursts(signals: PictureSignals) -> list[tuple[float, float]]:
    """Stretches in which an encoder set keyframes as often as it may, although little is new."""
    steps_s = np.diff(signals.times_s)
    if len(steps_s) < BURST_COUNT:
        return []
    low_s, high_s = BURST_STEP_S
    high_s = min(high_s, BURST_SHARE * float(np.median(steps_s)))
    is_short = ((steps_s >= low_s) & (steps_s <= high_s)).astype(np.int8)
    edges = np.flatnonzero(np.diff(is_short, prepend=0, append=0)).reshape(-1, 2)
    return [
        (float(signals.times_s[first]), float(signals.times_s[last]))
        for first, last in edges.tolist()
        if last - first + 1 >= BURST_COUNT
        and np.ptp(steps_s[first:last]) <= BURST_JITTER_S
        and _has_twins(signals.thumbnails[first : last + 1])
    ]


def _has_twins(thumbnails: UInt8) -> bool:
    """Whether any two of the first few pictures show nearly the same."""
    pictures = thumbnails[: 2 * BURST_COUNT].astype(np.float32) / 255.0
    apart = np.abs(pictures[:, None] - pictures[None]).mean(axis=(2, 3, 4))
    return bool((apart[np.triu_indices(len(pictures), 1)] < BURST_ALIKE).any())


def _returns(thumbnails: UInt8) -> bool:
    """Whether the same picture comes back after each change of light."""
    pictures = thumbnails.astype(np.float32)
    change = np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3))
    back = np.abs(pictures[2:] - pictures[:-2]).mean(axis=(1, 2, 3))
    return bool((back < SUSPECT_RETURN * np.minimum(change[1:], change[:-1])).all())


def _stretches(changes_s: Float64) -> list[tuple[float, float, float]]:
    """Start, end and flashes a second of each second with enough changes of light."""
    ends = np.searchsorted(changes_s, changes_s + FLASH_WINDOW_S - 1e-6)
    counts = (ends - np.arange(len(changes_s))) // 2
    return [
        (
            float(changes_s[first]),
            float(changes_s[ends[first] - 1]),
            float(counts[first]) / FLASH_WINDOW_S,
        )
        for first in np.flatnonzero(counts >= FLASHES)
    ]


def _regions(thumbnails: UInt8) -> Float64:
    """``(10, N)`` mean relative luminance of the whole and of nine overlapping quarters.

    What flashes in less than a quarter of the picture, or in places of it against each other as
    leaves do, is levelled out.
    """
    parts = [np.zeros((10, 0))]
    for start in range(0, len(thumbnails), PICTURES_AT_ONCE):
        light = _LINEAR[thumbnails[start : start + PICTURES_AT_ONCE]] @ LUMA_WEIGHTS
        height, width = light.shape[1] // 2, light.shape[2] // 2
        quarters = [
            light[:, top : top + height, left : left + width].mean(axis=(1, 2))
            for top in (0, height // 2, height)
            for left in (0, width // 2, width)
        ]
        parts.append(np.stack([light.mean(axis=(1, 2)), *quarters]))
    return np.concatenate(parts, axis=1)


def _linear() -> npt.NDArray[np.float32]:
    value = np.arange(256) / 255
    curve = ((value + SRGB_OFFSET) / (1.0 + SRGB_OFFSET)) ** SRGB_POWER
    return np.where(value <= SRGB_KNEE, value / SRGB_SLOPE, curve).astype(np.float32)


_LINEAR = _linear()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Turns:
    """How light goes to and fro."""

    extremes: Indices
    """``(K + 1,)`` highs and lows in turn, each a flash's change from the last."""
    changes: Indices
    """``(K,)`` the first sample at which each change is known."""


def _find_turns(light: Float64) -> _Turns:
    extremes: list[int] = []
    changes: list[int] = []
    low = high = direction = 0
    values = light.tolist()
    for index, value in enumerate(values):
        if value > values[high]:
            high = index
        if value < values[low]:
            low = index
        if direction >= 0 and values[high] - value >= FLASH_CHANGE:
            extremes.append(high)
            changes.append(index)
            low, direction = index, -1
        elif direction <= 0 and value - values[low] >= FLASH_CHANGE:
            extremes.append(low)
            changes.append(index)
            high, direction = index, 1
    if direction:
        extremes.append(high if direction > 0 else low)
    return _Turns(extremes=np.array(extremes, np.intp), changes=np.array(changes, np.intp))


def _join(spans: list[tuple[float, float]], gap_s: float) -> list[tuple[float, float]]:
    """Spans in order of time, those nearer than the gap made one."""
    joined: list[tuple[float, float]] = []
    for start_s, end_s in sorted(spans):
        if joined and start_s - joined[-1][1] <= gap_s:
            joined[-1] = (joined[-1][0], max(end_s, joined[-1][1]))
        else:
            joined.append((start_s, end_s))
    return joined
