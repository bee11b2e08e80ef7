"""What a vocabulary says of an item by what is stored of it, without its media. Pure.

Vectors of scenes stand for the moments that they were made of. What was measured, what a tagger
of sounds heard and what language models wrote are no functions of them: tags that came of those
stay, as long as the vocabulary has their words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service.detection.captions import MAX_CAPTION_SCORE
from service.detection.concepts import Concepts
from service.detection.moments import Moments
from service.detection.mood_signals import place_remembered
from service.detection.moods import Felt, mood_grid, weigh_moods
from service.detection.scenes import tag_scenes
from service.detection.tags import (
    SOUND_SUPPORT,
    find_listened_tags,
    find_metadata_tags,
    find_picture_tags,
    match_tags,
    merge_tags,
)
from service.domain import Analysis, Evidence, Float32, Modality, Scene, Tag
from service.search.rerank import rerank_tags
from service.vocabulary import TagWord, Vocabulary

SCENE_SUPPORT = 1
"""Scenes that must agree on a tag: each is two seconds or more, and the mean of its best frames,
as much as the eight moments that must agree where all of them are at hand."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """A vocabulary, and what it is in the spaces of the models that made the vectors."""

    vocabulary: Vocabulary
    concepts: Concepts | None = None
    sound_concepts: Concepts | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """What a vocabulary says of an item by its scenes."""

    terms: Terms
    tags: Mapping[str, Tag]
    """By label; those that are too many for a card, too."""
    scene_tags: tuple[tuple[str, ...], ...]
    """Of each scene, the strongest first."""
    heard: tuple[str, ...]
    """Labels of what is heard, the surest first."""
    felt: Felt | None
    """None where there is neither picture nor sound."""

    words: Mapping[str, TagWord]
    """The vocabulary's, by label."""


def tell(stored: Analysis, terms: Terms) -> Told:
    """Find tags and moods anew.

    Args:
        stored: An analysis whose scenes carry their vectors.
        terms: Only concepts of the models whose vectors those are.
    """
    pictures, sounds = _pictures(stored), _sounds(stored)
    kept = _kept_tags(stored, terms.vocabulary, has_sounds=sounds is not None)
    listened = find_listened_tags(sounds, terms.sound_concepts)
    candidates = merge_tags(
        find_picture_tags(pictures, terms.concepts, support=SCENE_SUPPORT),
        listened,
        find_metadata_tags(stored.item, terms.vocabulary),
        kept,
    )
    cosines = match_tags(candidates, stored.scenes, terms.concepts)
    flat_range = terms.concepts.calibration.flat_range if terms.concepts else None
    tags = rerank_tags(candidates, cosines, flat_range=flat_range)
    heard = [tag for tag in kept if _is_of(tag, Modality.SOUND)]
    return Told(
        terms=terms,
        tags={tag.label: tag for tag in tags},
        scene_tags=_tag_scenes(stored, terms, pictures, sounds),
        heard=tuple(tag.label for tag in merge_tags(heard, listened)),
        felt=_feel(stored, terms, pictures, sounds),
        words={word.label: word for word in terms.vocabulary.tags},
    )


def _pictures(stored: Analysis) -> Moments | None:
    """Scenes as moments with two views: their three best frames together, and the best alone."""
    scenes = [scene for scene in stored.scenes if scene.embedding is not None]
    if not scenes:
        return None
    views = [(scene.embedding, _or(scene.keyframe_embedding, scene.embedding)) for scene in scenes]
    times = np.array([scene.keyframe_s for scene in scenes], np.float64)
    return Moments(times_s=times, vectors=np.array(views, np.float32))


def _or(vector: Float32 | None, other: Float32 | None) -> Float32 | None:
    return other if vector is None else vector


def _sounds(stored: Analysis) -> Moments | None:
    scenes = [scene for scene in stored.scenes if scene.sound_embedding is not None]
    if not scenes:
        return None
    times = np.array([(scene.start_s + scene.end_s) / 2 for scene in scenes], np.float64)
    vectors = np.array([[scene.sound_embedding] for scene in scenes], np.float32)
    return Moments(times_s=times, vectors=vectors)


# What stays ---------------------------------------------------------------------------------------


def _kept_tags(stored: Analysis, vocabulary: Vocabulary, *, has_sounds: bool) -> tuple[Tag, ...]:
    """Tags by what no vector of a scene tells, with the scores that their evidence gives."""
    words = {word.label: word for word in vocabulary.tags}
    groups: dict[tuple[str, Modality, str], list[Evidence]] = {}
    for tag in stored.tags:
        for evidence in tag.evidence if tag.label in words else ():
            if _is_kept(evidence, stored, has_sounds=has_sounds):
                key = (tag.label, evidence.modality, evidence.model)
                groups.setdefault(key, []).append(evidence)
    return merge_tags(
        Tag(
            label=label,
            kind=words[label].kind,
            score=_score(modality, evidence),
            evidence=tuple(evidence),
        )
        for (label, modality, _), evidence in groups.items()
    )


def _is_kept(evidence: Evidence, stored: Analysis, *, has_sounds: bool) -> bool:
    match evidence.modality:
        case Modality.PICTURE:
            return stored.embedding_model == ""
        case Modality.SOUND:  # a song has no scenes: what a model heard in it stays
            return evidence.model != stored.sound_embedding_model or not has_sounds
        case Modality.METADATA:
            return False
        case _:
            return True


def _score(modality: Modality, evidence: Sequence[Evidence]) -> float:
    scores = sorted((one.score for one in evidence), reverse=True)
    if modality is Modality.SOUND:
        best = scores[:SOUND_SUPPORT]
        return round(sum(best) / len(best), 4)
    if modality is Modality.CAPTION:
        doubt = float(np.prod([1.0 - score for score in scores]))
        return round(min(1.0 - doubt, MAX_CAPTION_SCORE), 4)
    return scores[0]


def _is_of(tag: Tag, modality: Modality) -> bool:
    return any(evidence.modality is modality for evidence in tag.evidence)


def _tag_scenes(
    stored: Analysis, terms: Terms, pictures: Moments | None, sounds: Moments | None
) -> tuple[tuple[str, ...], ...]:
    """By vectors; and what a tagger heard in a scene, behind that."""
    told = tag_scenes(
        stored.scenes,
        terms.vocabulary,
        context=pictures,
        concepts=terms.concepts,
        listened=sounds,
        sound_concepts=terms.sound_concepts,
    )
    words = {word.label for word in terms.vocabulary.tags}
    by_tagger = {
        tag.label
        for tag in stored.tags
        for evidence in tag.evidence
        if evidence.modality is Modality.SOUND and evidence.model != stored.sound_embedding_model
    }

    def stays(former: Scene, label: str) -> bool:
        return label in by_tagger & words if _has_vector(former) else label in words

    return tuple(
        tuple(dict.fromkeys((*new.tags, *(tag for tag in old.tags if stays(old, tag)))))
        for old, new in zip(stored.scenes, told, strict=True)
    )


def _has_vector(scene: Scene) -> bool:
    return scene.embedding is not None or scene.sound_embedding is not None


def _feel(
    stored: Analysis, terms: Terms, pictures: Moments | None, sounds: Moments | None
) -> Felt | None:
    grid = mood_grid(stored.duration_s)
    if not len(grid):
        return None
    return weigh_moods(
        terms.vocabulary,
        grid,
        place=place_remembered(
            grid, picture=stored.picture, shots=stored.shots, sound=stored.audio
        ),
        context=pictures,
        concepts=terms.concepts,
        listened=sounds,
        sound_concepts=terms.sound_concepts,
    )


def has_vectors(stored: Analysis) -> bool:
    """Whether anything of an item can be told anew but its metadata."""
    return any(_has_vector(scene) for scene in stored.scenes)
