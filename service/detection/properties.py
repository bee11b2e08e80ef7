"""Measured properties of an item that words can be put to, each with a strength in [0, 1].

The vocabulary's ``signals:`` name them. Each runs between the two values given beside it: absent
below the first, beyond doubt at the second. The values are perceptual landmarks, not fitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from service.detection.appearance import describe_picture, shown_rows, unhurried
from service.detection.palette import pick_thumbnails
from service.detection.scoring import ramp
from service.detection.signals import PictureSignals
from service.detection.sound import SILENCE_DBFS, SoundSignals
from service.domain import PictureAnalysis, Shot, SoundAnalysis, UInt8


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
STILL_PERCENTILE = 85
"""Of movement: what moves for a sixth of the time is no still picture."""


def measure_properties(
    picture: PictureSignals | None,
    shots: Sequence[Shot],
    sound: SoundSignals | None,
    analysis: SoundAnalysis | None,
    appearance: PictureAnalysis | None = None,
) -> tuple[Property, ...]:
    """All properties that are there at all.

    Args:
        picture: Signals of all frames.
        shots: That cover the item.
        sound: Signals of all windows.
        analysis: What they add up to.
        appearance: What the picture's signals add up to; made here where it is not given.
    """
    appearance = appearance or (describe_picture(picture, shots) if picture is not None else None)
    found = [
        *(
            _look(picture, shots, appearance)
            if picture is not None and appearance is not None
            else ()
        ),
        *(_pace(shots)),
        *(_hear(sound, analysis) if sound is not None and analysis is not None else ()),
    ]
    return tuple(found_one for found_one in found if found_one.strength > 0.0)


def _look(
    picture: PictureSignals, shots: Sequence[Shot], appearance: PictureAnalysis
) -> Iterator[Property]:
    shown = picture.select(shown_rows(picture))
    pictures = pick_thumbnails(shown, appearance.picture_area)
    grey = 1.0 - float(ramp(_most_colour(pictures), 0.04, 0.08))
    colour = 1.0 - grey
    luma, warmth = appearance.luma, appearance.warmth
    colours = _colourfulness(pictures)

    def of(name: str, value: float, low: float, high: float, share: float = 1.0) -> Property:
        # Where luma is usual, as a rule the rest is.
        typical = int(np.argmin(np.abs(shown.luma - np.median(shown.luma))))
        strength = float(ramp(value, low, high)) * share
        return Property(name=name, strength=strength, time_s=float(shown.times_s[typical]))

    yield of("black_and_white", grey, 0.0, 1.0)
    yield of("dark", luma, 0.25, 0.1)
    yield of("bright", luma, 0.55, 0.75)
    yield of("colourful", colours, 55.0, 85.0)
    yield of("muted", colours, 25.0, 12.0, colour)
    yield of("warm", warmth, 0.08, 0.25, colour)
    yield of("cold", warmth, -0.05, -0.2, colour)
    if len(shown) > 1:
        moved = unhurried(shown).motion([shot.start_s for shot in shots])
        liveliest = float(np.percentile(moved, STILL_PERCENTILE))
        yield of("still", liveliest, 0.02, 0.005)
        yield of("moving", appearance.motion, 0.25, 0.5)


def _colourfulness(pictures: UInt8) -> float:
    """Median of Hasler and Suesstrunk's measure (2003): people call 15 slightly, 33 moderately, 59
    quite and 82 highly colourful. It takes variety of hues for more than one strong hue.
    """
    red, green, blue = (pictures[..., channel].astype(np.float32) for channel in range(3))
    opponents = np.stack([red - green, (red + green) / 2.0 - blue])
    spread = np.linalg.norm(opponents.std(axis=(2, 3)), axis=0)
    strength = np.linalg.norm(opponents.mean(axis=(2, 3)), axis=0)
    return float(np.median(spread + 0.3 * strength))


def _most_colour(pictures: UInt8) -> float:
    """Saturation of the most coloured hundredth of nearly every picture: grey roads have cars."""
    pixels = pictures.reshape(len(pictures), -1, 3)
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
    level, heard = sound.level_dbfs, sound.level_dbfs >= SILENCE_DBFS
    loudest, quietest = int(np.argmax(level)), int(np.argmin(level))
    usual = float(np.median(level[heard])) if heard.any() else float(level[quietest])
    typical = int(np.argmin(np.abs(level - usual)))

    def of(name: str, value: float, low: float, high: float, cell: int = typical) -> Property:
        time_s = float(sound.times_s[cell])
        return Property(name=name, strength=float(ramp(value, low, high)), time_s=time_s)

    yield of("silent", analysis.silence_ratio, 0.8, 0.98, quietest)
    if analysis.loudness_lufs is not None:
        # Of the mono mix, 3 LU below what a meter reads on both channels: broadcasts are at -26,
        # music at -17 (streaming) to -11 (masters that are crushed), a talk by the fire at -40.
        yield of("quiet", analysis.loudness_lufs, -34.0, -44.0)
        yield of("loud", analysis.loudness_lufs, -16.0, -10.0, loudest)
    if analysis.loudness_range_lu is not None:
        # Above 20 LU soft parts are lost at home where loud ones are bearable (EBU Tech 3342).
        yield of("dynamic", analysis.loudness_range_lu, 15.0, 25.0, loudest)
    if analysis.tempo_bpm is not None:
        yield of("fast_tempo", analysis.tempo_bpm, 130.0, 170.0)
        yield of("slow_tempo", analysis.tempo_bpm, 80.0, 60.0)
