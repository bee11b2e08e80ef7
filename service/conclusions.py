"""From what was seen and heard to what is in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.detection.appearance import describe_picture, without_bars
from service.detection.captions import find_caption_tags, judge_highlights
from service.detection.comfort import find_discomfort
from service.detection.concepts import Concepts
from service.detection.context import pool_within_shots
from service.detection.heard import HeardSounds
from service.detection.highlights import HighlightRules, find_highlights
from service.detection.looks import caption_scenes
from service.detection.moments import CONTEXT_S, Moments
from service.detection.moods import find_moods
from service.detection.properties import Property, measure_properties
from service.detection.scenes import group_scenes, tag_scenes
from service.detection.shots import find_shots
from service.detection.signals import PictureSignals
from service.detection.songs import find_song_highlight
from service.detection.sound import SoundSignals, summarize_sound
from service.detection.tags import (
    find_listened_tags,
    find_metadata_tags,
    find_picture_tags,
    find_signal_tags,
    find_sound_tags,
    limit_tags,
    match_tags,
    merge_tags,
)
from service.detection.voices import WEIGHTS, VoiceWeights, hear_picture, hear_signals, hear_sounds
from service.domain import (
    Analysis,
    Highlight,
    MediaInfo,
    MediaItem,
    PictureAnalysis,
    PictureCaption,
    Scene,
    Shot,
    SoundAnalysis,
    SoundCaption,
    Tag,
)
from service.search.rerank import rerank_tags
from service.senses import Heard, Seen
from service.vocabulary import Vocabulary

TAGS_PER_KIND = 8
"""Of each kind the strongest: what a card or a library can show."""

UNINTERESTING_CHAPTER = re.compile(
    r"\b(opening|intro|ending|outro|credits|recap|preview)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How to judge what was seen and heard: what an owner may turn."""

    guard_spoilers: bool = True
    """Stories keep their last quarter to themselves."""
    context_s: float = CONTEXT_S
    """In which pictures are judged together."""
    weights: VoiceWeights = WEIGHTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What language models said. Untrusted text."""

    sound: SoundCaption | None = None
    sound_model: str = ""
    pictures: tuple[tuple[float, PictureCaption], ...] = ()
    """With the time of each."""
    picture_model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observations:
    """All that is known of an item before anything is concluded."""

    item: MediaItem
    media: MediaInfo
    vocabulary: Vocabulary
    seen: Seen | None = None
    heard: Heard | None = None
    told: Told = Told()
    concepts: Concepts | None = None
    """The vocabulary in the picture model's space; None without one."""
    sound_concepts: Concepts | None = None
    """The vocabulary as it sounds, in the sound model's space; None without one."""
    manner: Manner = Manner()
    only_wanted: bool = False
    """Highlights are what the vocabulary's prompts say, and nothing else."""

    @property
    def picture(self) -> PictureSignals | None:
        return self.seen.signals if self.seen else None

    @property
    def moments(self) -> Moments | None:
        return self.seen.moments if self.seen else None

    @property
    def sound(self) -> SoundSignals | None:
        return self.heard.signals if self.heard else None

    @property
    def sounds(self) -> HeardSounds | None:
        return self.heard.sounds if self.heard else None

    @property
    def listened(self) -> Moments | None:
        return self.heard.moments if self.heard else None


def conclude(observed: Observations) -> Analysis:
    """Find shots, scenes, tags, moods and highlights."""
    picture, duration_s = observed.picture, observed.media.duration_s
    shots = find_shots(picture, duration_s) if picture else ()
    context = _pool(observed, shots)
    scenes = _find_scenes(observed, context, shots)
    appearance = _describe_picture(observed, shots)
    sound = _describe_sound(observed)
    properties = measure_properties(picture, shots, observed.sound, sound, appearance)
    moods, curve = find_moods(
        observed.vocabulary,
        duration_s,
        picture=without_bars(observed.seen.signals, observed.seen.area) if observed.seen else None,
        shots=shots,
        sound=observed.sound,
        analysis=sound,
        context=context,
        concepts=observed.concepts,
        heard=observed.sounds,
        listened=observed.listened,
        sound_concepts=observed.sound_concepts,
    )
    has_moments, has_listened = observed.moments is not None, observed.listened is not None
    return Analysis(
        item=observed.item,
        duration_s=duration_s,
        media=observed.media,
        embedding_model=observed.concepts.model if observed.concepts and has_moments else "",
        sound_embedding_model=(
            observed.sound_concepts.model if observed.sound_concepts and has_listened else ""
        ),
        shots=shots,
        scenes=scenes,
        tags=_find_tags(observed, context, scenes, properties),
        moods=moods,
        mood_curve=curve,
        highlights=_find_highlights(observed, context, shots),
        picture=appearance,
        audio=sound,
        comfort=find_discomfort(picture, observed.sound),
    )


def _pool(observed: Observations, shots: Sequence[Shot]) -> Moments | None:
    if observed.moments is None or observed.manner.context_s <= 0.0:
        return observed.moments
    return pool_within_shots(observed.moments, shots, observed.manner.context_s)


def _describe_picture(observed: Observations, shots: Sequence[Shot]) -> PictureAnalysis | None:
    if observed.seen is None:
        return None
    return describe_picture(observed.seen.signals, shots, observed.seen.area)


def _find_scenes(
    observed: Observations, context: Moments | None, shots: Sequence[Shot]
) -> tuple[Scene, ...]:
    if observed.picture is None:
        return ()
    scenes = group_scenes(
        shots,
        observed.picture,
        observed.moments,
        observed.listened,
        model=observed.concepts.model if observed.concepts else "",
    )
    tagged = tag_scenes(
        scenes,
        observed.vocabulary,
        context=context,
        concepts=observed.concepts,
        heard=observed.sounds,
        listened=observed.listened,
        sound_concepts=observed.sound_concepts,
    )
    return caption_scenes(tagged, observed.told.pictures)


def _describe_sound(observed: Observations) -> SoundAnalysis | None:
    if observed.sound is None:
        return None
    caption = observed.told.sound or SoundCaption(summary="")
    heard = [
        tag.label
        for tag in merge_tags(
            find_sound_tags(observed.sounds, observed.vocabulary),
            find_listened_tags(observed.listened, observed.sound_concepts),
        )
    ]
    labels = dict.fromkeys([*heard[:TAGS_PER_KIND], *caption.tags])
    sound = summarize_sound(observed.sound, tuple(labels))
    if sound is None:
        return None
    return replace(sound, summary=caption.summary, mood=caption.mood, confidence=caption.confidence)


def _find_tags(
    observed: Observations,
    context: Moments | None,
    scenes: Sequence[Scene],
    properties: Sequence[Property],
) -> tuple[Tag, ...]:
    """Candidates from everywhere, put into order by CLIP over the item's scenes."""
    vocabulary, concepts, told = observed.vocabulary, observed.concepts, observed.told
    spoken = [(0.0, told.sound)] if told.sound else []
    candidates = merge_tags(
        find_picture_tags(context, concepts),
        find_sound_tags(observed.sounds, vocabulary),
        find_listened_tags(observed.listened, observed.sound_concepts),
        find_signal_tags(properties, vocabulary),
        find_metadata_tags(observed.item, vocabulary),
        find_caption_tags(told.pictures, vocabulary, model=told.picture_model),
        find_caption_tags(spoken, vocabulary, model=told.sound_model),
    )
    cosines = match_tags(candidates, scenes, concepts)
    reranked = rerank_tags(
        candidates, cosines, flat_range=concepts.calibration.flat_range if concepts else None
    )
    return limit_tags(reranked, TAGS_PER_KIND)


def _find_highlights(
    observed: Observations, context: Moments | None, shots: Sequence[Shot]
) -> tuple[Highlight, ...]:
    duration_s, manner = observed.media.duration_s, observed.manner
    weights = manner.weights
    if observed.picture is None and observed.sound is not None and not observed.only_wanted:
        return find_song_highlight(observed.sound, duration_s)
    voices = [
        hear_picture(context, observed.concepts, weights.picture),
        hear_sounds(
            observed.sounds,
            observed.vocabulary,
            weights.sound,
            listened=observed.listened,
            concepts=observed.sound_concepts,
        ),
    ]
    if not observed.only_wanted:
        voices.append(hear_signals(observed.picture, observed.sound, shots, weights.signals))
    found = find_highlights(
        voices,
        duration_s,
        kind=observed.item.kind,
        shots=shots,
        picture=observed.picture,
        excluded=[
            (chapter.start_s, chapter.end_s)
            for chapter in observed.media.chapters
            if UNINTERESTING_CHAPTER.search(chapter.title)
        ],
        rules=HighlightRules(guard_spoilers=manner.guard_spoilers),
    )
    return judge_highlights(found, observed.told.pictures)
