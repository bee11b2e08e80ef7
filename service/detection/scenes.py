"""Groups of shots that belong together, each with its best frame and its vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from service.detection.concepts import Concepts
from service.detection.heard import HeardSounds
from service.detection.moments import Moments, unit
from service.detection.signals import Float64, PictureSignals, histogram_distance
from service.detection.tags import score_tags
from service.domain import Float32, Scene, Shot
from service.vocabulary import Vocabulary

MIN_SCENE_S = 2.0
"""A shorter one joins the neighbour it resembles more."""
MAX_SCENE_S = 60.0
"""Longer ones are cut evenly: whoever searches wants the minute, not the half hour."""
MEMORY = 3
"""Shots back within which a scene may return to a picture: shot and counter-shot."""
SAME_PLACE_COSINE = 0.85
"""CLIP's image vectors of one place are nearer than this as a rule, of any two pictures of one
film 0.5 to 0.8."""
SAME_PLACE_DISTANCE = 0.025
"""Histogram distance, where there is no model: half of what a typical cut makes."""
EDGE_S = 0.1
"""Frames this near to a cut may still show the other shot."""
BEST_FRAMES = 3
SCENE_TAGS = 6
SCENE_TAG_SCORE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stretch:
    """A growing scene: its span, and what its shots look like."""

    start_s: float
    end_s: float
    looks: tuple[Float32, ...]

    def join(self, later: _Stretch) -> _Stretch:
        return replace(self, end_s=later.end_s, looks=(*self.looks, *later.looks))

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


def group_scenes(
    shots: Sequence[Shot], signals: PictureSignals, moments: Moments | None = None
) -> tuple[Scene, ...]:
    """Group shots that look alike; by embeddings if there are any, else by colours.

    Scenes cover the same time as the shots. Their embedding is the unit mean of the vectors of
    their three best frames, None without moments.
    """
    if not shots or not len(signals):
        return ()
    use_vectors = moments is not None and len(moments) > 0
    stretches = [
        _Stretch(
            start_s=shot.start_s,
            end_s=shot.end_s,
            looks=(_look(shot, signals, moments if use_vectors else None),),
        )
        for shot in shots
    ]
    grouped = _join_short(_join_alike(stretches, use_vectors), use_vectors)
    quality = signals.quality()
    return tuple(
        _make_scene(start_s, end_s, signals.times_s, quality, moments if use_vectors else None)
        for stretch in grouped
        for start_s, end_s in _split(stretch)
    )


def _look(shot: Shot, signals: PictureSignals, moments: Moments | None) -> Float32:
    if moments is None:
        chosen = _inside(signals.times_s, shot.start_s, shot.end_s)
        return np.asarray(signals.histograms[chosen].mean(axis=0), np.float32)
    chosen = _inside(moments.times_s, shot.start_s, shot.end_s)
    return unit(moments.vectors[chosen, 0].mean(axis=0))


def _inside(times_s: Float64, start_s: float, end_s: float) -> npt.NDArray[np.intp]:
    """Samples inside a span, off its edges if possible; else the one nearest to its middle."""
    for edge_s in (EDGE_S, 0.0):
        chosen = np.flatnonzero((times_s >= start_s + edge_s) & (times_s < end_s - edge_s))
        if len(chosen):
            return chosen
    return np.array([np.argmin(np.abs(times_s - (start_s + end_s) / 2))])


def _likeness(first: Float32, second: Float32, use_vectors: bool) -> float:
    """Above 0: the same place."""
    if use_vectors:
        return float(first @ second) - SAME_PLACE_COSINE
    return SAME_PLACE_DISTANCE - float(histogram_distance(first, second))


def _nearness(first: _Stretch, second: _Stretch, use_vectors: bool) -> float:
    return max(
        _likeness(a, b, use_vectors) for a in first.looks[-MEMORY:] for b in second.looks[:MEMORY]
    )


def _join_alike(stretches: list[_Stretch], use_vectors: bool) -> list[_Stretch]:
    grouped = stretches[:1]
    for stretch in stretches[1:]:
        if _nearness(grouped[-1], stretch, use_vectors) > 0.0:
            grouped[-1] = grouped[-1].join(stretch)
        else:
            grouped.append(stretch)
    return grouped


def _join_short(stretches: list[_Stretch], use_vectors: bool) -> list[_Stretch]:
    """Join scenes that are too short to their more similar neighbour, the shortest first."""
    grouped = list(stretches)
    while len(grouped) > 1:
        index = min(range(len(grouped)), key=lambda i: grouped[i].length_s)
        if grouped[index].length_s >= MIN_SCENE_S:
            break
        neighbours = [i for i in (index - 1, index + 1) if 0 <= i < len(grouped)]
        other = max(neighbours, key=lambda i: _nearness(*_ordered(grouped, index, i), use_vectors))
        first = min(index, other)
        grouped[first : first + 2] = [grouped[first].join(grouped[first + 1])]
    return grouped


def _ordered(grouped: list[_Stretch], one: int, other: int) -> tuple[_Stretch, _Stretch]:
    return grouped[min(one, other)], grouped[max(one, other)]


def _split(stretch: _Stretch) -> list[tuple[float, float]]:
    count = max(1, int(np.ceil(stretch.length_s / MAX_SCENE_S - 1e-9)))
    edges = np.linspace(stretch.start_s, stretch.end_s, count + 1)
    return [(float(a), float(b)) for a, b in pairwise(edges)]


def _make_scene(
    start_s: float, end_s: float, times_s: Float64, quality: Float32, moments: Moments | None
) -> Scene:
    inside = _inside(times_s, start_s, end_s)
    best = inside[np.argmax(quality[inside])]
    return Scene(
        start_s=round(start_s, 3),
        end_s=round(end_s, 3),
        keyframe_s=round(float(np.clip(times_s[best], start_s, end_s)), 3),
        quality=round(float(quality[best]), 4),
        embedding=_embed_scene(start_s, end_s, times_s, quality, moments),
    )


def _embed_scene(
    start_s: float, end_s: float, times_s: Float64, quality: Float32, moments: Moments | None
) -> Float32 | None:
    if moments is None:
        return None
    inside = _inside(moments.times_s, start_s, end_s)
    at = np.clip(np.searchsorted(times_s, moments.times_s[inside] - 1e-3), 0, len(times_s) - 1)
    order = np.argsort(-quality[at], kind="stable")[:BEST_FRAMES]
    shown = order[quality[at[order]] > 0.0]  # black frames say nothing, unless there is no other
    best = inside[shown if len(shown) else order]
    return unit(moments.vectors[best, 0].mean(axis=0))


def tag_scenes(
    scenes: Sequence[Scene],
    vocabulary: Vocabulary,
    *,
    context: Moments | None = None,
    concepts: Concepts | None = None,
    heard: HeardSounds | None = None,
) -> tuple[Scene, ...]:
    """Give each scene the tags that are strongest in it, seen or heard."""
    found: list[dict[str, float]] = [{} for _ in scenes]
    if context is not None and concepts is not None and len(context):
        labels = [word.label for word in concepts.tags]
        _collect(found, scenes, context.times_s, score_tags(context, concepts), labels)
    if heard is not None and len(heard.times_s):
        words = [word for word in vocabulary.tags if word.sounds]
        scores = np.stack([heard.score(word.sounds) for word in words], axis=1)
        _collect(found, scenes, heard.times_s, scores, [word.label for word in words])
    return tuple(
        replace(scene, tags=tuple(sorted(tags, key=lambda label: -tags[label])[:SCENE_TAGS]))
        for scene, tags in zip(scenes, found, strict=True)
    )


def _collect(
    found: list[dict[str, float]],
    scenes: Sequence[Scene],
    times_s: Float64,
    scores: Float32,
    labels: Sequence[str],
) -> None:
    """Note the labels whose mean over a scene's better half is high enough."""
    for tags, scene in zip(found, scenes, strict=True):
        inside = np.sort(scores[_inside(times_s, scene.start_s, scene.end_s)], axis=0)
        better = inside[len(inside) // 2 :].mean(axis=0)
        for column in np.flatnonzero(better >= SCENE_TAG_SCORE).tolist():
            label = labels[column]
            tags[label] = max(tags.get(label, 0.0), float(better[column]))
