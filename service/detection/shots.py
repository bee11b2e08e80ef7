"""Where one recording ends and the next begins."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from service.detection.dissolves import DISSOLVE_REST, DISSOLVE_S, blend, find_dissolves
from service.detection.signals import MIN_STEP_S, PictureSignals
from service.domain import Float32, Shot

MIN_CHANGE, CHANGE_PER_S, MAX_CHANGE_S = 0.11, 0.12, 0.25
"""Mean change of the thumbnail's channels (0 to 1) below which nothing is a cut, and what it rises
by with the time between two samples. Two unrelated pictures differ by 0.15 to 0.35; movement
inside a shot, the camera's own subtracted, by less than 0.1 in an eighth of a second (the reference
clips, docs/explanation/detection.md)."""
FULL_LUMA, LEAST_LUMA = 0.3, 0.05
"""Darker pictures differ by less: the limit falls with their light, down to near black."""
STANDS_OUT = 2.5
"""A cut changes this many times as much as the steps around it: PySceneDetect's adaptive detector
has 3 on full frame rates, where the steps around are smaller."""
NEIGHBOURS = 4
"""Steps on either side that say how restless the picture is."""
SPARSE_S, SPARSE_STANDS_OUT = 1.0, 2.0
"""Longer steps come of long media, where every second one may hold a cut: no mean around it tells
what is usual then, and a cut changes twice as much as the quietest step around it. On ten minutes
spliced from the reference clips, 141 cuts sampled at keyframes and every two seconds, that finds
0.74 of the cuts, 0.85 of what it finds is one; with means it found 0.09."""
REGULAR_SHARE = 0.03
"""By which distances of keyframes differ where the encoder sets them by the clock. One that comes
earlier was set because the encoder itself saw a cut."""
KEYFRAME_SHARE = 0.85
"""Of the least change, that is enough at such a keyframe, however restless the picture around it
is. On twelve minutes spliced from the reference clips, with 125 cuts, that finds 0.99 of them
instead of 0.89; 0.91 of what it finds are cuts, as before."""
MOVEMENT_SHARE = 0.75
"""A cut takes one step. Where the next step is nearly as large, something moved fast, unless the
sample between is a blend of both pictures."""
BURST_STEPS, BURST_SHARE = 3, 1.8
"""How many steps beyond it a step of a burst outdoes, and by how much."""
RETURN_STEPS, RETURN_S = 3, 0.7
"""Within so many steps and seconds the old picture comes back after a flash or a passing object."""
RETURN_SHARE = 0.6
"""It has come back when it differs by less than this share of the change."""
BLURRED, SWEPT_SHARE, SWEPT_S = 60.0, 0.33, 1.0
"""A camera that is swept blurs the picture, to less than this sharpness and this share of what it
had and soon has again. A cut leads to a picture as sharp as it stays (sweep of a reference clip:
165, then 9 to 22, then 223 within a second; its cuts: 177 and more)."""
MIN_SHOT_S = 0.4
"""Ten frames of a film; what is shorter is a flash, or a cut seen twice."""
BLACK_LUMA, BLACK_CONTRAST = 0.05, 0.02
"""Video black decodes to 0; coding noise and dim corners leave a little."""
MAX_SHIFT_X, MAX_SHIFT_Y = 6, 3
"""How far, in thumbnail pixels, a camera may have panned between two samples: a sixth of it."""
PAIRS_AT_ONCE = 256
"""Bounds memory on restless films."""
PAN_PER_S = 32.0
"""And how far in a second: the whole width, which is a whip."""


def find_shots(signals: PictureSignals, duration_s: float) -> tuple[Shot, ...]:
    """Cut the medium into shots that cover all of it.

    A boundary is the time of the first sample of the new shot: as exact as the sampling there.
    """
    if duration_s <= 0.0:
        return ()
    cuts, strengths = _hard_cuts(signals)
    fades = _fades(signals)
    soft = _apart(find_dissolves(signals, cuts, _is_black(signals)), 2 * max(DISSOLVE_S))
    found = [(float(signals.times_s[i]), float(s)) for i, s in zip(cuts, strengths, strict=True)]
    found += [(time_s, 1.0) for time_s in fades] + [(time_s, 0.0) for time_s in soft]
    inside = [(t, s) for t, s in found if MIN_SHOT_S / 2 <= t <= duration_s - MIN_SHOT_S / 2]
    edges = [0.0, *_apart(inside), duration_s]
    return tuple(Shot(start_s=start, end_s=end) for start, end in pairwise(edges))


def _hard_cuts(signals: PictureSignals) -> tuple[npt.NDArray[np.intp], Float32]:
    """Indices of first frames of new shots, and how much changed there."""
    if len(signals) <= 1:
        return np.zeros(0, np.intp), np.zeros(0, np.float32)
    steps_s = signals.steps_s()[1:]
    is_told = _is_set_early(signals)[1:] & (steps_s > MAX_CHANGE_S)
    least = _least_changes(signals) * np.where(is_told, KEYFRAME_SHARE, 1.0).astype(np.float32)
    change = _step_changes(signals, least)
    likely = np.flatnonzero(change >= least).tolist()
    cuts = [
        step
        for step in likely
        if (is_told[step] or change[step] >= _restlessness(change, steps_s, step))
        and not _is_movement(signals, change, step)
        and not _is_swept(signals, step)
    ]
    indices = np.array(_lasting(signals, change, cuts), np.intp) + 1
    return indices, change[indices - 1]


def _is_set_early(signals: PictureSignals) -> npt.NDArray[np.bool_]:
    """Which frames are keyframes that do not come by the clock."""
    keys = np.flatnonzero(signals.is_keyframe)
    is_early = np.zeros(len(signals), np.bool_)
    if len(keys) > 1:
        gaps = np.diff(signals.times_s[keys])
        usual, longest = float(np.median(gaps)), float(gaps.max())
        is_regular = np.abs(gaps - usual) <= REGULAR_SHARE * usual
        is_early[keys[1:]] = ~is_regular & (gaps < (1.0 - REGULAR_SHARE) * longest)
    return is_early


def _least_changes(signals: PictureSignals) -> Float32:
    """From how much change on each step may be a cut; into and out of black are fades."""
    later = CHANGE_PER_S * np.minimum(signals.steps_s()[1:], MAX_CHANGE_S)
    luma = (signals.luma[1:] + signals.luma[:-1]) / 2
    light = np.clip(luma / FULL_LUMA, LEAST_LUMA / FULL_LUMA, 1.0)
    black = _is_black(signals)
    least = np.where(black[1:] | black[:-1], np.inf, (MIN_CHANGE + later) * light)
    return np.asarray(least, np.float32)


def _step_changes(signals: PictureSignals, least: Float32) -> Float32:
    """How much each frame differs from the one before, camera movement subtracted.

    The costly search for the camera's shift is made only around steps that matter.
    """
    pictures = signals.thumbnails
    change = _difference(pictures[:-1], pictures[1:])
    near = np.zeros(len(change), bool)
    for step in np.flatnonzero(change >= least):
        near[max(0, step - NEIGHBOURS) : step + NEIGHBOURS + 1] = True
    where = np.flatnonzero(near)
    change[where] = _pair_changes(signals, where, where + 1)
    return change


def _pair_changes(
    signals: PictureSignals, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]
) -> Float32:
    """How much frames differ from others, camera movement subtracted."""
    pictures, apart_s = signals.thumbnails, signals.times_s[second] - signals.times_s[first]
    changes = [np.zeros(0, np.float32)]
    for start in range(0, len(first), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        changes.append(
            _shifted_difference(pictures[first[part]], pictures[second[part]], apart_s[part])
        )
    return np.concatenate(changes)


def _difference(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Float32:
    difference = np.abs(first.astype(np.int16) - second.astype(np.int16))
    return np.asarray(difference.mean(axis=(-3, -2, -1), dtype=np.float32) / 255, np.float32)


def _shifted_difference(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], steps_s: npt.NDArray[np.float64]
) -> Float32:
    """The smallest difference over shifts of the whole picture: what a pan of that time leaves."""
    reach = np.ceil(np.abs(steps_s) * PAN_PER_S)
    best = np.full(first.shape[:-3], np.inf, np.float32)
    for dy in range(-MAX_SHIFT_Y, MAX_SHIFT_Y + 1):
        for dx in range(-MAX_SHIFT_X, MAX_SHIFT_X + 1):
            near = np.flatnonzero(reach >= max(abs(dx), abs(dy)))
            ours, theirs = _overlap(first[near], dy, dx), _overlap(second[near], -dy, -dx)
            best[near] = np.minimum(best[near], _difference(ours, theirs))
    return best


def _overlap(pictures: npt.NDArray[np.uint8], dy: int, dx: int) -> npt.NDArray[np.uint8]:
    height, width = pictures.shape[-3:-1]
    rows = slice(max(0, dy), height + min(0, dy))
    columns = slice(max(0, dx), width + min(0, dx))
    return pictures[..., rows, columns, :]


def _restlessness(change: Float32, steps_s: npt.NDArray[np.float64], step: int) -> float:
    """The change that a cut at a step has to make, by what is usual around it.

    The quieter side counts: a cut may follow a fast pan. Movement accumulates like a random walk,
    so its change grows with the square root of time.
    """
    sides = (slice(max(0, step - NEIGHBOURS), step), slice(step + 1, step + 1 + NEIGHBOURS))
    levels = []
    for side in sides:
        if len(change[side]):
            ratio = steps_s[step] / np.maximum(steps_s[side], 1e-3)
            levels.append(change[side] * np.clip(np.sqrt(ratio), 0.5, 2.0))
    if steps_s[step] > SPARSE_S:
        return SPARSE_STANDS_OUT * min((float(level.min()) for level in levels), default=0.0)
    return STANDS_OUT * min((float(level.mean()) for level in levels), default=0.0)


def _is_movement(signals: PictureSignals, change: Float32, step: int) -> bool:
    """Whether the step is part of a fast movement rather than one leap.

    The step beside it is then nearly as large. In a short burst it may be so for its length in
    time; a steady pan that ends in a cut is no burst, and its steps are smaller than the cut.
    """
    times, steps_s = signals.times_s, signals.steps_s()[1:]
    for side in (-1, 1):
        other, middle = step + side, step + max(side, 0)
        if not 0 <= other < len(change) or times[middle + 1] - times[middle - 1] > MAX_CHANGE_S:
            continue
        ratio = float(steps_s[step] / max(steps_s[other], MIN_STEP_S))
        beyond = change[max(0, other - BURST_STEPS) : other] if side < 0 else change[other + 1 :]
        usual = float(beyond[:BURST_STEPS].mean()) if len(beyond) else 0.0
        is_burst = change[other] >= BURST_SHARE * usual
        scale = min(max(ratio, 0.5), 2.0) if is_burst else 1.0
        if change[other] * scale >= MOVEMENT_SHARE * change[step]:
            pictures = signals.thumbnails[middle - 1 : middle + 2].astype(np.float32)
            _, rest = blend(pictures)
            return bool(rest.max() > DISSOLVE_REST)
    return False


def _is_swept(signals: PictureSignals, step: int) -> bool:
    """Whether the new picture is only blurred, by a sweep too fast for the sampling."""
    times, sharpness = signals.times_s, signals.sharpness
    first, last = np.searchsorted(
        times, [times[step] - SWEPT_S, times[step + 1] + SWEPT_S + MIN_STEP_S]
    )
    blurred = float(sharpness[step + 1])
    before, after = sharpness[first : step + 1].max(), sharpness[step + 1 : last].max()
    return blurred < BLURRED and blurred < SWEPT_SHARE * min(float(before), float(after))


def _lasting(signals: PictureSignals, change: Float32, steps: list[int]) -> list[int]:
    """Those steps after which the old picture does not come back, nor the new one was there."""
    times, last = signals.times_s, len(signals)
    pairs = [
        (step, mine, other)
        for step in steps
        for mine, near, others in (
            (step, step + 1, range(step + 2, step + 2 + RETURN_STEPS)),
            (step + 1, step, range(step - RETURN_STEPS, step)),
        )
        for other in others
        if 0 <= other < last and abs(times[other] - times[near]) <= RETURN_S
    ]
    owners, mine, others = np.array(pairs, np.intp).reshape(-1, 3).T
    back = _pair_changes(signals, mine, others)
    returned = set(owners[back < RETURN_SHARE * change[owners]].tolist())
    return [step for step in steps if step not in returned]


def _is_black(signals: PictureSignals) -> npt.NDArray[np.bool_]:
    return np.asarray((signals.luma < BLACK_LUMA) & (signals.contrast < BLACK_CONTRAST), np.bool_)


def _fades(signals: PictureSignals) -> list[float]:
    """Ends of black stretches inside the medium, but for blinks."""
    black = _is_black(signals)
    ends = np.flatnonzero(black[:-1] & ~black[1:]) + 1
    last_shown = np.maximum.accumulate(np.where(black, -1, np.arange(len(black))))
    return [
        float(signals.times_s[end])
        for end in ends.tolist()
        if not _is_blink(signals, int(last_shown[end - 1]), end)
    ]


def _is_blink(signals: PictureSignals, before: int, after: int) -> bool:
    """Whether the same picture comes back after a moment of black, as between flashes of light.

    The brightest pictures near it are compared: at a fade the nearest ones are dark themselves.
    """
    times = signals.times_s
    if before < 0 or times[after] - times[before] > RETURN_S:
        return False
    first, last = np.searchsorted(times, [times[before] - RETURN_S, times[after] + RETURN_S])
    old = first + int(np.argmax(signals.luma[first : before + 1]))
    new = after + int(np.argmax(signals.luma[after : max(last, after + 1)]))
    light = float(np.clip(signals.luma[[old, new]].mean() / FULL_LUMA, LEAST_LUMA / FULL_LUMA, 1.0))
    return bool(_pair_changes(signals, np.array([old]), np.array([new]))[0] < MIN_CHANGE * light)


def _apart(found: list[tuple[float, float]], gap_s: float = MIN_SHOT_S) -> list[float]:
    """Times in order, the strongest first chosen, none nearer than a gap to another."""
    chosen: list[float] = []
    for time_s, _ in sorted(found, key=lambda boundary: -boundary[1]):
        if all(abs(time_s - other) >= gap_s for other in chosen):
            chosen.append(time_s)
    return sorted(chosen)
