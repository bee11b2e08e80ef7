"""The vocabulary as vectors of a model: each concept is the mean of many sentences about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from service.detection.moments import unit
from service.domain import Calibration, Float32
from service.ports import Encoder
from service.vocabulary import HighlightCue, MoodWord, TagWord, Vocabulary

_Word = TagWord | MoodWord | HighlightCue
Word = TypeVar("Word", TagWord, MoodWord, HighlightCue)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Concepts:
    """What a picture may show, in the space of one model. All vectors are unit vectors."""

    model: str
    calibration: Calibration
    tags: tuple[TagWord, ...]
    """Those that have prompts."""
    tag_vectors: Float32
    """``(T, D)``."""
    moods: tuple[MoodWord, ...]
    mood_vectors: Float32
    positive: tuple[HighlightCue, ...]
    positive_vectors: Float32
    negative: tuple[HighlightCue, ...]
    negative_vectors: Float32
    background_vectors: Float32
    """``(B, D)``: what fits any picture."""


def embed_concepts(vocabulary: Vocabulary, encoder: Encoder) -> Concepts:
    """Encode all prompts in one call.

    About 1,300 sentences with the built-in vocabulary; whoever calls this for every item should
    hand in an encoder that remembers its texts.
    """
    background = tuple(
        HighlightCue(label=prompt, prompts=(prompt,)) for prompt in vocabulary.background
    )
    groups: list[Sequence[_Word]] = [
        vocabulary.tags,
        vocabulary.moods,
        vocabulary.positive,
        vocabulary.negative,
        background,
    ]
    vectors = _embed(groups, vocabulary.picture_templates, encoder)

    def of(words: Sequence[Word]) -> tuple[tuple[Word, ...], Float32]:
        known = tuple(word for word in words if word.prompts in vectors)
        rows = [vectors[word.prompts] for word in known]
        return known, np.array(rows, np.float32).reshape(len(known), encoder.dimension)

    tags, tag_vectors = of(vocabulary.tags)
    moods, mood_vectors = of(vocabulary.moods)
    positive, positive_vectors = of(vocabulary.positive)
    negative, negative_vectors = of(vocabulary.negative)
    return Concepts(
        model=encoder.name,
        calibration=encoder.calibration,
        tags=tags,
        tag_vectors=tag_vectors,
        moods=moods,
        mood_vectors=mood_vectors,
        positive=positive,
        positive_vectors=positive_vectors,
        negative=negative,
        negative_vectors=negative_vectors,
        background_vectors=of(background)[1],
    )


def look_for(vocabulary: Vocabulary, wanted: Sequence[str], unwanted: Sequence[str]) -> Vocabulary:
    """The vocabulary with highlights of the user's own wording.

    Without unwanted texts the background prompts stand against the wanted ones.
    """
    against = unwanted or vocabulary.background
    words = repr((tuple(wanted), tuple(unwanted)))
    return replace(
        vocabulary,
        positive=tuple(HighlightCue(label=text, prompts=(text,)) for text in wanted),
        negative=tuple(HighlightCue(label=text, prompts=(text,)) for text in against),
        fingerprint=f"{vocabulary.fingerprint}+{words}",
    )


def average_prompts(text_vectors: Float32) -> Float32:
    """The unit mean of unit vectors: long vectors of some texts would outvote the others."""
    return unit(unit(text_vectors).mean(axis=0))


def _embed(
    groups: Sequence[Sequence[_Word]], templates: Sequence[str], encoder: Encoder
) -> dict[tuple[str, ...], Float32]:
    """The vector of each list of prompts; lists that the model does not understand are left out."""
    lists = {word.prompts for group in groups for word in group if word.prompts}
    sentences: dict[str, int] = {}
    for prompts in sorted(lists):
        for sentence in _fill(templates, prompts):
            sentences.setdefault(sentence, len(sentences))
    if not sentences:
        return {}
    encoded = np.nan_to_num(encoder.encode_texts(list(sentences)))
    averages = {
        prompts: average_prompts(encoded[[sentences[text] for text in _fill(templates, prompts)]])
        for prompts in lists
    }
    return {prompts: vector for prompts, vector in averages.items() if vector.any()}


def _fill(templates: Sequence[str], prompts: Sequence[str]) -> list[str]:
    return [template.replace("{}", prompt) for prompt in prompts for template in templates]
