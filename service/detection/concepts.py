"""The vocabulary as vectors of a model: each concept is the mean of many sentences about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from service.detection.moments import unit
from service.domain import Calibration, Float32, Modality
from service.errors import ConfigurationError
from service.ports import Encoder, SoundEncoder, TextEncoder
from service.vocabulary import HighlightCue, MoodWord, TagWord, Vocabulary, name_sounds

Word = TypeVar("Word", TagWord, MoodWord, HighlightCue)

AUDIBLE_KINDS = frozenset({"action", "event"})
"""Kinds of tags whose captions of pictures serve for sounds in a joint space: what happens makes a
sound. Things and places are heard where the vocabulary says how they sound; a style never is."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Concepts:
    """What a picture may show, or a sound may be, in the space of one model. All unit vectors."""

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
    """``(B, D)``: what fits any picture, or any sound."""


def embed_concepts(vocabulary: Vocabulary, encoder: Encoder) -> Concepts:
    """Encode what pictures are captioned with, in one call.

    About 1,300 sentences with the built-in vocabulary; whoever calls this for every item should
    hand in an encoder that remembers its texts.
    """
    templates = vocabulary.templates_for(Modality.PICTURE, encoder.name)
    return _embed_vocabulary(vocabulary, templates, encoder, encoder.calibration)


def embed_sound_concepts(
    vocabulary: Vocabulary, encoder: SoundEncoder, *, is_joint: bool = False
) -> Concepts:
    """Encode what sounds are captioned with, in one call.

    Args:
        vocabulary: Its words are heard by their captions of sounds (``hears``), else by the names
            of their AudioSet classes; the rest of them cannot be heard. The prompts of the words
            that are returned are those captions.
        encoder: A model for sounds and texts.
        is_joint: The model takes pictures as well, into the same space. Captions of pictures then
            serve too: for words that can be heard, and for all that happens.
    """
    templates = vocabulary.templates_for(Modality.SOUND, encoder.name)
    heard = _as_heard(vocabulary, is_joint)
    return _embed_vocabulary(heard, templates, encoder, encoder.sound_calibration)


def look_for(vocabulary: Vocabulary, wanted: Sequence[str], unwanted: Sequence[str]) -> Vocabulary:
    """The vocabulary with highlights of the user's own wording, to be seen or heard.

    Without unwanted texts the background prompts stand against the wanted ones.
    """
    against = unwanted or vocabulary.background
    words = repr((tuple(wanted), tuple(unwanted)))
    return replace(
        vocabulary,
        positive=tuple(HighlightCue(label=text, prompts=(text,), hears=(text,)) for text in wanted),
        negative=tuple(
            HighlightCue(label=text, prompts=(text,), hears=(text,) if unwanted else ())
            for text in against
        ),
        fingerprint=f"{vocabulary.fingerprint}+{words}",
    )


def average_prompts(text_vectors: Float32) -> Float32:
    """The unit mean of unit vectors: long vectors of some texts would outvote the others."""
    return unit(unit(text_vectors).mean(axis=0))


def _as_heard(vocabulary: Vocabulary, is_joint: bool) -> Vocabulary:
    """The vocabulary with captions of sounds in the place of captions of pictures."""

    def hear(words: Iterable[Word]) -> tuple[Word, ...]:
        return tuple(replace(word, prompts=_captions(word, is_joint)) for word in words)

    negative = hear(vocabulary.negative)
    if not any(cue.prompts for cue in negative):
        negative = _as_cues(vocabulary.sound_background)
    return replace(
        vocabulary,
        tags=hear(vocabulary.tags),
        moods=hear(vocabulary.moods),
        positive=hear(vocabulary.positive),
        negative=negative,
        background=vocabulary.sound_background,
    )


def _captions(word: TagWord | MoodWord | HighlightCue, is_joint: bool) -> tuple[str, ...]:
    captions = word.hears or name_sounds(word.sounds)
    can_be_heard = captions or (isinstance(word, TagWord) and word.kind in AUDIBLE_KINDS)
    if is_joint and can_be_heard:
        return tuple(dict.fromkeys((*captions, *word.prompts)))
    return captions


def _as_cues(prompts: Iterable[str]) -> tuple[HighlightCue, ...]:
    return tuple(HighlightCue(label=prompt, prompts=(prompt,)) for prompt in prompts)


def _embed_vocabulary(
    vocabulary: Vocabulary,
    templates: Sequence[str],
    encoder: TextEncoder,
    calibration: Calibration,
) -> Concepts:
    centre = calibration.centre
    if centre and len(centre) != encoder.dimension:
        raise ConfigurationError(
            f"{encoder.name}: its calibration was measured in {len(centre)} dimensions, and the "
            f"model has {encoder.dimension}; calibrate it again: moodreel models calibrate"
        )
    background = _as_cues(vocabulary.background)
    groups = (
        vocabulary.tags,
        vocabulary.moods,
        vocabulary.positive,
        vocabulary.negative,
        background,
    )
    lists = {word.prompts for group in groups for word in group if word.prompts}
    vectors = _embed(lists, templates, encoder)

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
        calibration=calibration,
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


def _embed(
    lists: Iterable[tuple[str, ...]], templates: Sequence[str], encoder: TextEncoder
) -> dict[tuple[str, ...], Float32]:
    """The vector of each list of prompts; lists that the model does not understand are left out."""
    sentences: dict[str, int] = {}
    filled = {prompts: _fill(templates, prompts) for prompts in sorted(lists)}
    for sentence in (sentence for texts in filled.values() for sentence in texts):
        sentences.setdefault(sentence, len(sentences))
    if not sentences:
        return {}
    encoded = np.nan_to_num(encoder.encode_texts(list(sentences)))
    averages = {
        prompts: average_prompts(encoded[[sentences[text] for text in texts]])
        for prompts, texts in filled.items()
    }
    return {prompts: vector for prompts, vector in averages.items() if vector.any()}


def _fill(templates: Sequence[str], prompts: Sequence[str]) -> list[str]:
    return [template.replace("{}", prompt) for prompt in prompts for template in templates]
