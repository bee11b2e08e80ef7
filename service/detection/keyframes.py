"""Which frames could stand for a scene, and which vectors do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.detection.highlights import find_dead_spans
from service.detection.moments import Moments, unit
from service.detection.signals import Float64, PictureSignals
from service.domain import EncodingNote, Float32, RankedFrame, UInt8

Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Span = tuple[float, float]

EDGE_S = 0.1
"""Frames this near to a cut may still show the other shot."""
BEST_FRAMES = 3
SECONDS_PER_FRAME = 2.0
"""Heimdex keeps a frame of a scene for each two seconds of it: at least one, at most three."""
APART = 1 / 6
"""Of a scene's length: three frames this far apart always find room, and are not the same frame
three times."""
BLURRED_SHARPNESS = 50.0
"""Variance of the Laplacian below which Heimdex refuses a frame."""
SAME_PICTURE = 0.06
"""Mean difference of thumbnails' pixels, full scale 1, below which two frames show the same: half
of the least between frames of two shots of bikes.mp4; frames 0.25 s apart differ by 0.005 to 0.05
there and in car-detection.mp4."""
LONGEST_WINDOW_S = 10.0
"""Of sound, for one vector: a middle within half of it means that the window covers a time."""
SHORTEST_MEAN = 1e-3
"""A mean of unit vectors shorter than this points nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RatedFrames:
    """All frames of an item, and how well each could stand for its scene. Arrays have N rows."""

    times_s: Float64
    quality: Float32
    """In [0, 1]; 0 for black, white and blur."""
    sharpness: Float32
    is_visible: Flags
    """Neither black nor white."""
    is_worthy: Flags
    """Visible, sharp, and not of the credits."""
    thumbnails: UInt8
    """``(N, 18, 32, 3)`` RGB."""

    def nearest(self, times_s: Float64) -> Indices:
        """The frames that were shown at these times."""
        after = np.searchsorted(self.times_s, times_s).clip(0, len(self.times_s) - 1)
        before = (after - 1).clip(0)
        is_before = times_s - self.times_s[before] < self.times_s[after] - times_s
        return np.where(is_before, before, after)


def rate_frames(signals: PictureSignals, duration_s: float) -> RatedFrames:
    """Rate the frames of an item; at least one."""
    quality = signals.quality()
    is_sharp = signals.sharpness >= BLURRED_SHARPNESS
    is_dead = np.zeros(len(signals), np.bool_)
    for start_s, end_s in find_dead_spans(signals, duration_s):
        is_dead |= (signals.times_s >= start_s) & (signals.times_s < end_s)
    # The first frame of credits moves, for it differs from the story's last.
    is_dead[:-1] |= (is_dead & (quality > 0.0))[1:]
    return RatedFrames(
        times_s=signals.times_s,
        quality=np.where(is_sharp, quality, 0.0).astype(np.float32),
        sharpness=signals.sharpness,
        is_visible=np.asarray(quality > 0.0),
        is_worthy=is_sharp & ~is_dead,
        thumbnails=signals.thumbnails,
    )


def part_times(times_s: Float64, spans: Sequence[Span]) -> list[Indices]:
    """Which times lie in which span: each in one.

    Args:
        times_s: Rising.
        spans: In order, without gaps. The first takes what is before it, the last what is after.
    """
    edges = np.searchsorted(times_s, [start_s for start_s, _ in spans[1:]])
    bounds = [0, *edges.tolist(), len(times_s)]
    return [np.arange(bounds[index], bounds[index + 1]) for index in range(len(spans))]


def is_off_edge(times_s: Float64, span: Span) -> Flags:
    start_s, end_s = span
    return (times_s >= start_s + EDGE_S) & (times_s < end_s - EDGE_S)


def pick_frames(frames: RatedFrames, inside: Indices, span: Span) -> tuple[RankedFrame, ...]:
    """The frames that could stand for a scene, the best first, apart in time.

    What is black, white, blurred or credits is taken only where there is nothing else. Where no
    frame was sampled in the scene, the one nearest to its middle stands for it.
    """
    start_s, end_s = span
    length_s = end_s - start_s
    if not len(inside):
        inside = frames.nearest(np.array([(start_s + end_s) / 2]))
    times = frames.times_s[inside].clip(start_s, end_s)
    count = min(BEST_FRAMES, max(1, int(length_s / SECONDS_PER_FRAME)))
    order = _rank(frames, inside, times, span)
    return tuple(
        RankedFrame(
            time_s=round(float(times[index]), 3),
            quality=round(float(frames.quality[inside[index]]), 4),
        )
        for index in _pick_apart(order, times, count, APART * length_s)
    )


def _rank(frames: RatedFrames, rows: Indices, times_s: Float64, span: Span) -> list[int]:
    """Positions in ``rows`` of those frames that are fit to be shown, the best first."""
    worthy, visible = frames.is_worthy[rows], frames.is_visible[rows]
    inner, fit = is_off_edge(times_s, span), np.ones(len(rows), np.bool_)
    for better in (worthy & inner, worthy, visible & inner, visible, inner):
        if better.any():
            fit = better
            break
    order = np.lexsort((-frames.sharpness[rows], -frames.quality[rows]))
    ranked: list[int] = order[fit[order]].tolist()
    return ranked


def _pick_apart(order: Sequence[int], times_s: Float64, count: int, gap_s: float) -> list[int]:
    """The first ones in order that keep their distance from each other."""
    picked: list[int] = []
    for index in order:
        if len(picked) == count:
            break
        if all(abs(times_s[index] - times_s[other]) >= gap_s for other in picked):
            picked.append(index)
    return picked


# Vectors ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SceneVectors:
    """What stands for a scene in search."""

    scene: Float32 | None = None
    keyframe: Float32 | None = None


def pick_vectors(
    frames: RatedFrames, shown: Indices, moments: Moments, inside: Indices, span: Span
) -> SceneVectors:
    """The vector of a scene's best frame, and the unit mean of its three best.

    Three frames apart in time, if there are so many; else the next best fill up.

    Args:
        frames: All frames of the item.
        shown: Those of the scene.
        moments: All encoded frames of the item, and times at which one of them still lasts.
        inside: Those of the scene.
        span: Of the scene.
    """
    if not len(inside):
        return SceneVectors()
    times = moments.times_s[inside]
    rows = frames.nearest(times)
    if len(shown):
        rows = rows.clip(shown[0], shown[-1])
    order = _rank(frames, rows, times, span)
    picked = _pick_apart(order, times, BEST_FRAMES, APART * (span[1] - span[0]))
    picked += [index for index in order if index not in picked][: BEST_FRAMES - len(picked)]
    vectors = moments.vectors[inside[picked], 0]
    return SceneVectors(scene=mean_direction(vectors), keyframe=unit(vectors[0]))


def borrow_vectors(frames: RatedFrames, moments: Moments, span: Span) -> SceneVectors:
    """The vector of the neighbouring frame that looks the same: still pictures are encoded once.

    None where neither of them does.
    """
    if not len(moments):
        return SceneVectors()
    middle = np.array([(span[0] + span[1]) / 2])
    after = int(np.searchsorted(moments.times_s, middle[0]))
    near = np.unique(np.array([after - 1, after]).clip(0, len(moments) - 1))
    shown = frames.thumbnails[frames.nearest(middle)].astype(np.float32)
    others = frames.thumbnails[frames.nearest(moments.times_s[near])]
    differences = np.abs(others - shown).mean(axis=(1, 2, 3)) / 255.0
    best = int(np.argmin(differences))
    if differences[best] >= SAME_PICTURE:
        return SceneVectors()
    vector = unit(moments.vectors[near[best], 0])
    return SceneVectors(scene=vector, keyframe=vector)


def pick_sound(sounds: Moments, inside: Indices, span: Span) -> Float32 | None:
    """The unit mean of what is heard in a scene; a short one takes the window that covers it."""
    if not len(sounds):
        return None
    if not len(inside):
        away = np.abs(sounds.times_s - (span[0] + span[1]) / 2)
        inside = np.flatnonzero(away == away.min())[:1]
        if away[inside[0]] > LONGEST_WINDOW_S / 2:
            return None
    return mean_direction(sounds.vectors[inside, 0])


def note_encoding(
    moments: Moments, inside: Indices, errors: Sequence[str], model: str
) -> EncodingNote:
    """How a scene's vectors came to be; each error once.

    Frames that took over the vector of one that looks the same cost nothing, and do not count.
    """
    spent_ms = np.zeros(0) if moments.encode_ms is None else moments.encode_ms[inside]
    return EncodingNote(
        model=model,
        dimension=moments.vectors.shape[-1],
        device=moments.device,
        frame_count=len(inside) if moments.encode_ms is None else int(np.count_nonzero(spent_ms)),
        inference_ms=round(float(spent_ms.sum()), 3),
        error="; ".join(dict.fromkeys(errors)),
    )


def mean_direction(vectors: Float32) -> Float32:
    """The unit mean of ``(N, D)`` vectors; the first one's direction where they cancel out."""
    mean = vectors.mean(axis=0)
    return unit(mean if np.linalg.norm(mean) > SHORTEST_MEAN else vectors[0])
