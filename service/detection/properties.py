"""Measured properties of an item that words can be put to, each with a strength in [0, 1].

The vocabulary's ``signals:`` name them. Each runs between the two values given beside it: absent
below the first, beyond doubt at the second. The values are perceptual landmarks, not fitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from service.detection.scoring import ramp
from service.detection.signals import PictureSignals
from service.detection.sound import SILENCE_DBFS, SoundSignals
from service.domain import Float32, Shot, SoundAnalysis


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One of NAMES, as strong as it is in this item."""

    name: str
    strength: float
    time_s: float
    """Where it is most typical."""


NAMES = frozenset(
    {
        "black_and_white",
        "dark",
        "bright",
        "colourful",
        "muted",
        "warm",
        "cold",
        "fast_cut",
        "long_takes",
        "still",
        "moving",
        "silent",
        "quiet",
        "loud",
        "dynamic",
        "fast_tempo",
        "slow_tempo",
    }
)
MIN_SHOTS_FOR_CUTTING = 4
"""Fewer shots make no rhythm."""


def measure_properties(
    picture: PictureSignals | None,
    shots: Sequence[Shot],
    sound: SoundSignals | None,
    analysis: SoundAnalysis | None,
) -> tuple[Property, ...]:
    """All properties that are there at all."""
    found = [
        *(_look(picture) if picture is not None and len(picture) else ()),
        *(_pace(shots)),
        *(_hear(sound, analysis) if sound is not None and analysis is not None else ()),
    ]
    return tuple(found_one for found_one in found if found_one.strength > 0.0)


def _look(picture: PictureSignals) -> Iterator[Property]:
    shown = picture.select(picture.luma > 15 / 255)  # fades and black leaders have no look
    if not len(shown):
        shown = picture
    grey = 1.0 - float(ramp(_most_colour(shown), 0.04, 0.08))
    colour = 1.0 - grey
    saturation, warmth, motion = shown.saturation, shown.warmth, shown.motion()

    def of(name: str, values: Float32, low: float, high: float, share: float = 1.0) -> Property:
        usual = float(np.median(values))
        typical = int(np.argmin(np.abs(values - usual)))
        strength = float(ramp(usual, low, high)) * share
        return Property(name=name, strength=strength, time_s=float(shown.times_s[typical]))

    yield Property(
        name="black_and_white", strength=grey, time_s=float(shown.times_s[len(shown) // 2])
    )
    yield of("dark", shown.luma, 0.25, 0.1)
    yield of("bright", shown.luma, 0.55, 0.75)
    yield of("colourful", saturation, 0.25, 0.5)
    yield of("muted", saturation, 0.12, 0.05, colour)
    yield of("warm", warmth, 0.08, 0.25, colour)
    yield of("cold", warmth, -0.05, -0.2, colour)
    if len(shown) > 1:
        yield of("still", motion, 0.02, 0.005)
        yield of("moving", motion, 0.25, 0.6)


def _most_colour(picture: PictureSignals) -> float:
    """Saturation of the most coloured hundredth of nearly every picture: grey roads have cars."""
    pixels = picture.thumbnails.reshape(len(picture), -1, 3)
    chroma = pixels.max(axis=2).astype(np.float32) - pixels.min(axis=2)
    return float(np.percentile(np.percentile(chroma, 99, axis=1), 90)) / 255


def _pace(shots: Sequence[Shot]) -> Iterator[Property]:
    """Films of today cut every 2.5 to 5 s (Cutting, Brunick and DeLong 2011)."""
    if len(shots) < MIN_SHOTS_FOR_CUTTING:
        return
    lengths = np.array([shot.end_s - shot.start_s for shot in shots])
    usual = float(np.median(lengths))
    time_s = float(shots[int(np.argmin(np.abs(lengths - usual)))].start_s)
    yield Property(name="fast_cut", strength=float(ramp(usual, 2.5, 1.2)), time_s=time_s)
    yield Property(name="long_takes", strength=float(ramp(usual, 10.0, 25.0)), time_s=time_s)


def _hear(sound: SoundSignals, analysis: SoundAnalysis) -> Iterator[Property]:
    loudest = float(sound.times_s[int(np.argmax(sound.level_dbfs))])

    def of(name: str, value: float, low: float, high: float) -> Property:
        return Property(name=name, strength=float(ramp(value, low, high)), time_s=loudest)

    yield of("silent", analysis.silence_ratio, 0.8, 0.98)
    if analysis.loudness_dbfs > SILENCE_DBFS:
        yield of("quiet", analysis.loudness_dbfs, -32.0, -45.0)
        yield of("loud", analysis.loudness_dbfs, -16.0, -9.0)
        yield of("dynamic", analysis.dynamic_range_db, 20.0, 35.0)
    if analysis.tempo_bpm is not None:
        yield of("fast_tempo", analysis.tempo_bpm, 130.0, 170.0)
        yield of("slow_tempo", analysis.tempo_bpm, 80.0, 60.0)
