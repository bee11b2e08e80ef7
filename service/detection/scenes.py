"""Groups of shots that belong together, each with its best frames and its vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from service.detection.concepts import Concepts
from service.detection.heard import HeardSounds
from service.detection.keyframes import (
    LONGEST_WINDOW_S,
    Indices,
    RatedFrames,
    Span,
    borrow_vectors,
    is_off_edge,
    mean_direction,
    note_encoding,
    part_times,
    pick_frames,
    pick_sound,
    pick_vectors,
    rate_frames,
)
from service.detection.moments import Moments
from service.detection.signals import Float64, PictureSignals, histogram_distance
from service.detection.tags import score_tags
from service.domain import Float32, RankedFrame, Scene, Shot
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
SCENE_TAGS = 6
SCENE_TAG_SCORE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Look:
    """What a shot looks like."""

    histogram: Float32
    vector: Float32 | None
    """None where none of its frames was encoded."""

    def likeness(self, other: _Look) -> float:
        """Above 0: the same place."""
        if self.vector is not None and other.vector is not None:
            return float(self.vector @ other.vector) - SAME_PLACE_COSINE
        return SAME_PLACE_DISTANCE - float(histogram_distance(self.histogram, other.histogram))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stretch:
    """A growing scene: its span, and what its shots look like."""

    start_s: float
    end_s: float
    looks: tuple[_Look, ...]

    def join(self, later: _Stretch) -> _Stretch:
        return replace(self, end_s=later.end_s, looks=(*self.looks, *later.looks))

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


def group_scenes(
    shots: Sequence[Shot],
    signals: PictureSignals,
    moments: Moments | None = None,
    listened: Moments | None = None,
    *,
    model: str = "",
) -> tuple[Scene, ...]:
    """Group shots that look alike; by embeddings where there are any, else by colours.

    Scenes cover the same time as the shots. A scene whose frames could not be encoded has no
    vector and says why; the others have theirs.

    Args:
        shots: In order of time, without gaps.
        signals: Measurements of all frames that were looked at.
        moments: Encoded frames, perhaps failures alone; None without a model.
        listened: Encoded stretches of sound at their middles; None without a model.
        model: Name of the model that encoded the frames.
    """
    if not shots or not len(signals):
        return ()
    stretches = _join_short(_join_alike(_make_stretches(shots, signals, moments)))
    spans = [span for stretch in stretches for span in _split(stretch)]
    frames = rate_frames(signals, shots[-1].end_s)
    scenes = [
        _make_scene(span, pick_frames(frames, inside, span))
        for span, inside in zip(spans, part_times(frames.times_s, spans), strict=True)
    ]
    if moments is not None:
        scenes = _add_vectors(scenes, spans, frames, moments, model)
    if listened is not None:
        heard = zip(part_times(listened.times_s, spans), spans, strict=True)
        vectors = [pick_sound(listened, inside, span) for inside, span in heard]
        scenes = [
            replace(scene, sound_embedding=vector)
            for scene, vector in zip(scenes, vectors, strict=True)
        ]
    return tuple(scenes)


def _make_stretches(
    shots: Sequence[Shot], signals: PictureSignals, moments: Moments | None
) -> list[_Stretch]:
    spans = [(shot.start_s, shot.end_s) for shot in shots]
    shown = part_times(signals.times_s, spans)
    encoded = part_times(moments.times_s, spans) if moments else [np.arange(0)] * len(spans)
    return [
        _Stretch(
            start_s=span[0],
            end_s=span[1],
            looks=(_look(span, signals, shown[index], moments, encoded[index]),),
        )
        for index, span in enumerate(spans)
    ]


def _look(
    span: Span, signals: PictureSignals, shown: Indices, moments: Moments | None, encoded: Indices
) -> _Look:
    if not len(shown):
        shown = np.array([_nearest(signals.times_s, span)])
    vector = None
    if moments is not None and len(encoded):
        vector = mean_direction(moments.vectors[_off_edge(moments.times_s, encoded, span), 0])
    rows = _off_edge(signals.times_s, shown, span)
    return _Look(histogram=signals.histograms[rows].mean(axis=0), vector=vector)


def _off_edge(times_s: Float64, inside: Indices, span: Span) -> Indices:
    """Those that lie off the edges; all of them if none does."""
    off = inside[is_off_edge(times_s[inside], span)]
    return off if len(off) else inside


def _nearest(times_s: Float64, span: Span) -> int:
    """The time that is nearest to the middle of a span."""
    return int(np.argmin(np.abs(times_s - (span[0] + span[1]) / 2)))


def _nearness(first: _Stretch, second: _Stretch) -> float:
    return max(a.likeness(b) for a in first.looks[-MEMORY:] for b in second.looks[:MEMORY])


def _join_alike(stretches: list[_Stretch]) -> list[_Stretch]:
    grouped = stretches[:1]
    for stretch in stretches[1:]:
        if _nearness(grouped[-1], stretch) > 0.0:
            grouped[-1] = grouped[-1].join(stretch)
        else:
            grouped.append(stretch)
    return grouped


def _join_short(stretches: list[_Stretch]) -> list[_Stretch]:
    """Join scenes that are too short to their more similar neighbour, the shortest first."""
    grouped = list(stretches)
    while len(grouped) > 1:
        index = min(range(len(grouped)), key=lambda i: grouped[i].length_s)
        if grouped[index].length_s >= MIN_SCENE_S:
            break
        neighbours = [i for i in (index - 1, index + 1) if 0 <= i < len(grouped)]
        other = max(neighbours, key=lambda i: _nearness(*_ordered(grouped, index, i)))
        first = min(index, other)
        grouped[first : first + 2] = [grouped[first].join(grouped[first + 1])]
    return grouped


def _ordered(grouped: list[_Stretch], one: int, other: int) -> tuple[_Stretch, _Stretch]:
    return grouped[min(one, other)], grouped[max(one, other)]


def _split(stretch: _Stretch) -> list[Span]:
    count = max(1, int(np.ceil(stretch.length_s / MAX_SCENE_S - 1e-9)))
    edges = np.linspace(stretch.start_s, stretch.end_s, count + 1)
    return [(float(a), float(b)) for a, b in pairwise(edges)]


def _make_scene(span: Span, frames: tuple[RankedFrame, ...]) -> Scene:
    return Scene(
        start_s=round(span[0], 3),
        end_s=round(span[1], 3),
        keyframe_s=frames[0].time_s,
        quality=frames[0].quality,
        frames=frames,
    )


def _add_vectors(
    scenes: Sequence[Scene],
    spans: Sequence[Span],
    frames: RatedFrames,
    moments: Moments,
    model: str,
) -> list[Scene]:
    failed_s = np.array([failure.time_s for failure in moments.failures], np.float64)
    parts = [part_times(times_s, spans) for times_s in (frames.times_s, moments.times_s, failed_s)]
    found = []
    for scene, span, shown, inside, failed in zip(scenes, spans, *parts, strict=True):
        errors = [moments.failures[index].error for index in failed]
        vectors = pick_vectors(frames, shown, moments, inside, span)
        if not len(inside) and not errors:
            vectors = borrow_vectors(frames, moments, span)
        found.append(
            replace(
                scene,
                embedding=vectors.scene,
                keyframe_embedding=vectors.keyframe,
                encoding=note_encoding(moments, inside, errors, model),
            )
        )
    return found


def tag_scenes(
    scenes: Sequence[Scene],
    vocabulary: Vocabulary,
    *,
    context: Moments | None = None,
    concepts: Concepts | None = None,
    heard: HeardSounds | None = None,
    listened: Moments | None = None,
    sound_concepts: Concepts | None = None,
) -> tuple[Scene, ...]:
    """Give each scene the tags that are strongest in it, seen or heard.

    Args:
        scenes: In order of time.
        vocabulary: Of the tags that a tagger's classes mean.
        context: Encoded frames, pooled over time; with ``concepts`` in their space.
        concepts: See ``context``.
        heard: What a tagger of sounds heard.
        listened: Encoded stretches of sound; with ``sound_concepts`` in their space.
        sound_concepts: See ``listened``.
    """
    places: list[tuple[Scene, dict[str, float]]] = [(scene, {}) for scene in scenes]
    if context is not None and concepts is not None and len(context):
        labels = [word.label for word in concepts.tags]
        # What could not be encoded is not tagged with what its neighbours show.
        seen = [entry for entry in places if entry[0].embedding is not None]
        _collect(seen, context.times_s, score_tags(context, concepts), labels)
    if listened is not None and sound_concepts is not None and len(listened):
        labels = [word.label for word in sound_concepts.tags]
        _collect(places, listened.times_s, score_tags(listened, sound_concepts), labels)
    if heard is not None and len(heard.times_s):
        words = [word for word in vocabulary.tags if word.sounds]
        scores = np.stack([heard.score(word.sounds) for word in words], axis=1)
        _collect(places, heard.times_s, scores, [word.label for word in words])
    return tuple(
        replace(scene, tags=tuple(sorted(tags, key=lambda label: -tags[label])[:SCENE_TAGS]))
        for scene, tags in places
    )


def _collect(
    places: Sequence[tuple[Scene, dict[str, float]]],
    times_s: Float64,
    scores: Float32,
    labels: Sequence[str],
) -> None:
    """Note the labels whose mean over a scene's better half is high enough."""
    for scene, tags in places:
        inside = _find(times_s, (scene.start_s, scene.end_s))
        if not len(inside):
            continue
        better = np.sort(scores[inside], axis=0)[len(inside) // 2 :].mean(axis=0)
        for column in np.flatnonzero(better >= SCENE_TAG_SCORE).tolist():
            label = labels[column]
            tags[label] = max(tags.get(label, 0.0), float(better[column]))


def _find(times_s: Float64, span: Span) -> Indices:
    """The times inside a span, off its edges if possible; else the one that covers its middle."""
    inside = np.arange(*np.searchsorted(times_s, span))
    if len(inside):
        return _off_edge(times_s, inside, span)
    nearest = _nearest(times_s, span)
    is_far = abs(times_s[nearest] - (span[0] + span[1]) / 2) > LONGEST_WINDOW_S / 2
    return inside if is_far else np.array([nearest])
