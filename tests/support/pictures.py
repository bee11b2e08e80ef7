"""Small films worked by hand: textured pictures, cuts, fades, dissolves and flashes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from service.detection.signals import PictureMeter, PictureSignals
from service.domain import Frame, UInt8

HEIGHT, WIDTH = 72, 128


def place(seed: int, *, light: float = 1.0) -> UInt8:
    """A picture of large coloured patches, unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(30, 226, size=(6, 8, 3)) * light
    return np.kron(patches, np.ones((HEIGHT // 6, WIDTH // 8, 1))).astype(np.uint8)


def plain(value: int) -> UInt8:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


def mix(first: UInt8, second: UInt8, share: float) -> UInt8:
    return (first * (1.0 - share) + second * share).astype(np.uint8)


def film(
    picture_at: Callable[[float], UInt8],
    duration_s: float,
    *,
    rate_hz: float = 12.0,
    times_s: Sequence[float] | None = None,
    keyframes_s: Sequence[float] | None = None,
) -> PictureSignals:
    """Measure a film given by its picture at each time.

    Args:
        rate_hz: Of frames that are no keyframes.
        times_s: Of the frames instead, all of them keyframes unless these are named.
    """
    meter = PictureMeter()
    steady = [index / rate_hz for index in range(round(duration_s * rate_hz))]
    for time_s in steady if times_s is None else times_s:
        is_keyframe = times_s is not None and (keyframes_s is None or time_s in keyframes_s)
        meter.add(Frame(time_s=time_s, image=picture_at(time_s), is_keyframe=is_keyframe))
    return meter.signals()


def cut_at(cuts: Sequence[float], *, light: float = 1.0) -> Callable[[float], UInt8]:
    """A film of still shots with hard cuts."""
    pictures = [place(seed, light=light) for seed in range(len(cuts) + 1)]
    return lambda time_s: pictures[int(np.searchsorted(cuts, time_s, side="right"))]
