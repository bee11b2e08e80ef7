"""What is in an item: candidates from picture, sound, signals and metadata, with their evidence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from service.detection.concepts import Concepts
from service.detection.heard import HeardSounds
from service.detection.moments import Moments
from service.detection.properties import Property
from service.detection.scoring import compare, score_concepts
from service.domain import (
    Evidence,
    Float32,
    MediaItem,
    Modality,
    Scene,
    Tag,
)
from service.vocabulary import TagWord, Vocabulary

Float64 = npt.NDArray[np.float64]

MIN_SCORE = 0.2
"""A candidate below is noise: about three times its share among the rivals of the smallest kind."""
EVIDENCE_COUNT = 3
EVIDENCE_GAP_S = 2.0
"""Two moments nearer than this are one piece of evidence."""
SOUND_SUPPORT = 2
"""Hops of a tagger, one to two seconds, that must agree: single hops startle. With YAMNet 92 of
120 ESC-10 clips get their tag (three hops: 88, one: 95 with a quarter more of wrong ones)."""
PICTURE_SUPPORT, SUPPORT_SHARE = 8, 0.005
"""Moments, about 2 s, and share of all moments that must agree: the more moments an item has, the
more often one of them looks like anything by chance."""
LISTENED_SUPPORT = 1
"""Vectors of a sound-text model that must agree: each is made of ten seconds already."""
KEYWORD_SCORE, TITLE_SCORE = 0.9, 0.5
"""People who tag mean it; words in titles are often meant otherwise."""


def find_picture_tags(
    context: Moments | None, concepts: Concepts | None, *, support: int = PICTURE_SUPPORT
) -> tuple[Tag, ...]:
    """Zero-shot tags of pooled moments; concepts of one kind compete with each other.

    Args:
        context: Moments, or whatever stands for them.
        concepts: In their space.
        support: How many of them must agree at least.
    """
    return _find_zero_shot(context, concepts, Modality.PICTURE, support)


def find_listened_tags(listened: Moments | None, concepts: Concepts | None) -> tuple[Tag, ...]:
    """Zero-shot tags of stretches of sound, by concepts of ``embed_sound_concepts``."""
    return _find_zero_shot(listened, concepts, Modality.SOUND, LISTENED_SUPPORT)


def _find_zero_shot(
    moments: Moments | None, concepts: Concepts | None, modality: Modality, support: int
) -> tuple[Tag, ...]:
    if moments is None or concepts is None:
        return ()
    scores = score_tags(moments, concepts)
    return _strongest_first(
        tag
        for column, word in enumerate(concepts.tags)
        if (
            tag := _tag(
                word,
                moments.times_s,
                scores[:, column],
                modality=modality,
                model=concepts.model,
                support=max(support, round(SUPPORT_SHARE * len(moments))),
                prompt=word.prompts[0],
            )
        )
    )


def score_tags(context: Moments, concepts: Concepts) -> Float32:
    """``(M, T)`` scores of all tags that have prompts at all moments."""
    return score_concepts(
        context.vectors,
        concepts.tag_vectors,
        concepts.background_vectors,
        concepts.calibration,
        [word.kind for word in concepts.tags],
    )


def find_sound_tags(heard: HeardSounds | None, vocabulary: Vocabulary) -> tuple[Tag, ...]:
    """Tags whose sounds a tagger heard."""
    if heard is None:
        return ()
    return _strongest_first(
        tag
        for word in vocabulary.tags
        if word.sounds
        if (
            tag := _tag(
                word,
                heard.times_s,
                heard.score(word.sounds),
                modality=Modality.SOUND,
                model=heard.model,
                support=SOUND_SUPPORT,
            )
        )
    )


def find_signal_tags(properties: Iterable[Property], vocabulary: Vocabulary) -> tuple[Tag, ...]:
    """Tags whose signals were measured."""
    strongest = {found.name: found for found in properties if found.strength >= MIN_SCORE}
    return tuple(
        Tag(
            label=word.label,
            kind=word.kind,
            score=round(max(found.strength for found in measured), 4),
            evidence=tuple(
                Evidence(
                    time_s=round(found.time_s, 3),
                    score=round(found.strength, 4),
                    modality=Modality.SIGNAL,
                    model="signals",
                )
                for found in measured
            ),
        )
        for word in vocabulary.tags
        if (measured := [strongest[name] for name in word.signals if name in strongest])
    )


def find_metadata_tags(item: MediaItem, vocabulary: Vocabulary) -> tuple[Tag, ...]:
    """Tags whose words stand in the item's genres, keywords or titles, as whole words."""
    named = " | ".join((*item.genres, *item.keywords)).casefold()
    titled = f"{item.title} | {item.series} | {item.album}".casefold()
    found = []
    for word in vocabulary.tags:
        words = (*word.words, word.label.casefold())
        score = _mention(words, named) * KEYWORD_SCORE
        score = score or (_mention(word.words, titled) * TITLE_SCORE)
        if score:
            evidence = Evidence(
                time_s=0.0, score=score, modality=Modality.METADATA, model="metadata"
            )
            found.append(Tag(label=word.label, kind=word.kind, score=score, evidence=(evidence,)))
    return tuple(found)


def _mention(words: Iterable[str], text: str) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in words)


def _tag(
    word: TagWord,
    times_s: Float64,
    scores: Float32,
    *,
    modality: Modality,
    model: str,
    support: int,
    prompt: str = "",
) -> Tag | None:
    """A tag from its scores over time: the mean of its best moments; None when too weak."""
    if not len(scores):
        return None
    best = np.sort(scores)[-support:]
    score = float(best.mean())
    if score < MIN_SCORE:
        return None
    evidence = tuple(
        Evidence(
            time_s=round(float(times_s[index]), 3),
            score=round(float(scores[index]), 4),
            modality=modality,
            model=model,
            prompt=prompt,
        )
        for index in _best_moments(times_s, scores)
    )
    return Tag(label=word.label, kind=word.kind, score=round(score, 4), evidence=evidence)


def _best_moments(times_s: Float64, scores: Float32) -> list[int]:
    chosen: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if scores[index] < MIN_SCORE or len(chosen) == EVIDENCE_COUNT:
            break
        if all(abs(times_s[index] - times_s[other]) >= EVIDENCE_GAP_S for other in chosen):
            chosen.append(int(index))
    return chosen


def merge_tags(*groups: Iterable[Tag]) -> tuple[Tag, ...]:
    """One tag per label, the strongest first; sources that agree strengthen each other.

    Modalities are independent witnesses, whose scores combine as ``1 - (1 - a)(1 - b)``. Two models
    that heard the same sound are not, for what misleads the one misleads the other: of them the
    surer one counts. All keep their evidence.
    """
    merged: dict[str, list[Tag]] = {}
    for tag in (tag for group in groups for tag in group):
        merged.setdefault(tag.label, []).append(tag)
    return _strongest_first(_combine(tags) for tags in merged.values())


def _strongest_first(tags: Iterable[Tag]) -> tuple[Tag, ...]:
    return tuple(sorted(tags, key=lambda tag: (-tag.score, tag.label)))


def _combine(tags: Sequence[Tag]) -> Tag:
    witnesses: dict[tuple[Modality, ...], float] = {}
    for tag in tags:
        senses = tuple(sorted({evidence.modality for evidence in tag.evidence}))
        witnesses[senses] = max(witnesses.get(senses, 0.0), tag.score)
    score = 1.0 - float(np.prod([1.0 - score for score in witnesses.values()]))
    evidence = tuple(evidence for tag in tags for evidence in tag.evidence)
    return replace(tags[0], score=round(score, 4), evidence=evidence)


def match_tags(tags: Sequence[Tag], scenes: Sequence[Scene], concepts: Concepts | None) -> Float32:
    """Best cosine of each tag with the item's scenes; NaN for tags that have no prompts.

    Less what a text gets from any picture, where that was measured.

    Returns:
        ``(N,)`` in the order of the tags.
    """
    cosines = np.full(len(tags), np.nan, np.float32)
    embedded = [scene.embedding for scene in scenes if scene.embedding is not None]
    if concepts is None or not embedded:
        return cosines
    columns = {word.label: column for column, word in enumerate(concepts.tags)}
    best = compare(np.stack(embedded), concepts.tag_vectors, concepts.calibration).max(axis=0)
    for row, tag in enumerate(tags):
        if tag.label in columns:
            cosines[row] = best[columns[tag.label]]
    return cosines


def limit_tags(tags: Iterable[Tag], per_kind: int) -> tuple[Tag, ...]:
    """The first N of each kind, in the order given."""
    counts: dict[str, int] = {}
    kept = []
    for tag in tags:
        counts[tag.kind] = counts.get(tag.kind, 0) + 1
        if counts[tag.kind] <= per_kind:
            kept.append(tag)
    return tuple(kept)
