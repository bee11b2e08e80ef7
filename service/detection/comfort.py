"""Stretches that may hurt: flashing light, and sound that is suddenly loud."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from service.detection.flashes import find_flashing, find_suspects
from service.detection.loudness import SHORT_TERM_STEPS, STEP_S, moving_mean, to_lufs
from service.detection.signals import PictureSignals
from service.detection.sound import SoundSignals
from service.domain import ComfortWarning, Discomfort

__all__ = ["find_discomfort", "find_suspects"]

Float64 = npt.NDArray[np.float64]

JUMP_LU = 12.0
"""Ten decibels sound twice as loud (Stevens 1955); voices and scores of one programme move within
that, so that more is a jump and not expression."""
LOUD_LUFS = -23.0
"""The level of broadcast programmes (EBU R 128): below, nothing is loud."""
BEFORE_S, LEAST_BEFORE_S = 20.0, 10.0
"""What people have got used to: the loudest three seconds of this time, of which there must be so
much. Long enough for the pauses of a talk, short enough for the level of a scene."""
AFTER_STEPS = 10
"""A second: shorter bangs are loud on a meter, but not for long enough to be felt as loudness."""
AUDIBLE_LUFS, AUDIBLE_SHARE = -60.0, 0.5
"""The beginning of sound after silence is no jump: half of the time before must be heard."""
OVER_LU = 6.0
"""The stretch lasts while it is so much louder than before."""


def find_discomfort(
    picture: PictureSignals | None, sound: SoundSignals | None
) -> tuple[ComfortWarning, ...]:
    """All warnings, in order of time.

    Flashes are counted among the samples, so that sparse samples give no warning. The first ten
    seconds of sound, and what comes after silence, is not judged.
    """
    flashing = find_flashing(picture) if picture is not None else []
    jumps = _find_jumps(sound) if sound is not None else []
    return tuple(sorted([*flashing, *jumps], key=lambda warning: warning.start_s))


def _find_jumps(sound: SoundSignals) -> list[ComfortWarning]:
    powers, times_s = sound.powers, sound.power_times_s
    after = to_lufs(moving_mean(powers, AFTER_STEPS))
    before = _loudness_before(powers)[: len(after)]
    found: list[ComfortWarning] = []
    free = 0
    for step in np.flatnonzero((after - before >= JUMP_LU) & (after >= LOUD_LUFS)).tolist():
        if step < free:
            continue
        least = before[step] + OVER_LU
        onset = step + int(np.argmax(to_lufs(powers[step : step + AFTER_STEPS]) >= least))
        calm = np.flatnonzero(after[onset:] < least)
        free = onset + int(calm[0]) if calm.size else len(powers)
        found.append(
            ComfortWarning(
                kind=Discomfort.SUDDEN_LOUDNESS,
                start_s=round(float(times_s[onset]) - STEP_S / 2, 3),
                end_s=round(float(times_s[free - 1]) + STEP_S / 2, 3),
                amount=round(float(after[step:free].max() - before[step]), 1),
            )
        )
    return found


def _loudness_before(powers: Float64) -> Float64:
    """``(N,)`` loudest three seconds of the twenty before each step; infinite where unknown."""
    reach, least = round(BEFORE_S / STEP_S), round(LEAST_BEFORE_S / STEP_S)
    if len(powers) <= least:
        return np.full(len(powers), np.inf)
    short = to_lufs(moving_mean(powers, SHORT_TERM_STEPS))
    lead = np.full(reach - SHORT_TERM_STEPS, -np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([lead, short]), len(lead) + 1
    ).max(axis=1)
    steps = np.arange(least, len(powers))
    heard = np.concatenate([[0], np.cumsum(to_lufs(powers) > AUDIBLE_LUFS)])
    since = np.maximum(steps - reach, 0)
    is_known = heard[steps] - heard[since] >= AUDIBLE_SHARE * (steps - since)
    before = np.where(is_known, windows[steps - SHORT_TERM_STEPS], np.inf)
    return np.concatenate([np.full(least, np.inf), before])
