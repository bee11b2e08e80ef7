"""From what was seen and heard to what is in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.detection.concepts import Concepts
from service.detection.heard import HeardSounds
from service.detection.highlights import HighlightRules, find_highlights
from service.detection.moments import Moments, pool_moments
from service.detection.moods import find_moods
from service.detection.properties import measure_properties
from service.detection.scenes import group_scenes, tag_scenes
from service.detection.shots import find_shots
from service.detection.signals import PictureSignals
from service.detection.songs import find_song_highlight
from service.detection.sound import SoundSignals, summarize_sound
from service.detection.tags import (
    find_metadata_tags,
    find_picture_tags,
    find_signal_tags,
    find_sound_tags,
    limit_tags,
    match_tags,
    merge_tags,
)
from service.detection.voices import hear_picture, hear_signals, hear_sounds
from service.domain import (
    Analysis,
    Highlight,
    MediaInfo,
    MediaItem,
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observations:
    """All that is known of an item before anything is concluded."""

    item: MediaItem
    media: MediaInfo
    vocabulary: Vocabulary
    seen: Seen | None = None
    heard: Heard | None = None
    caption: SoundCaption | None = None
    concepts: Concepts | None = None
    """The vocabulary in the encoder's space; None without an encoder."""
    guard_spoilers: bool = True
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


def conclude(observed: Observations) -> Analysis:
    """Find shots, scenes, tags, moods and highlights."""
    picture, moments, duration_s = observed.picture, observed.moments, observed.media.duration_s
    context = pool_moments(moments) if moments else None
    shots = find_shots(picture, duration_s) if picture else ()
    scenes = group_scenes(shots, picture, moments) if picture else ()
    sound = _describe_sound(observed)
    moods, curve = find_moods(
        observed.vocabulary,
        duration_s,
        picture=picture,
        shots=shots,
        sound=observed.sound,
        analysis=sound,
        context=context,
        concepts=observed.concepts,
        heard=observed.sounds,
    )
    return Analysis(
        item=observed.item,
        duration_s=duration_s,
        media=observed.media,
        embedding_model=observed.concepts.model if observed.concepts and moments else "",
        shots=shots,
        scenes=tag_scenes(
            scenes,
            observed.vocabulary,
            context=context,
            concepts=observed.concepts,
            heard=observed.sounds,
        ),
        tags=_find_tags(observed, context, shots, scenes, sound),
        moods=moods,
        mood_curve=curve,
        highlights=_find_highlights(observed, context, shots),
        audio=sound,
    )


def _describe_sound(observed: Observations) -> SoundAnalysis | None:
    if observed.sound is None:
        return None
    caption = observed.caption or SoundCaption(summary="")
    heard = [tag.label for tag in find_sound_tags(observed.sounds, observed.vocabulary)]
    labels = dict.fromkeys([*heard[:TAGS_PER_KIND], *caption.tags])
    sound = summarize_sound(observed.sound, tuple(labels))
    if sound is None:
        return None
    return replace(sound, summary=caption.summary, mood=caption.mood, confidence=caption.confidence)


def _find_tags(
    observed: Observations,
    context: Moments | None,
    shots: Sequence[Shot],
    scenes: Sequence[Scene],
    sound: SoundAnalysis | None,
) -> tuple[Tag, ...]:
    """Candidates from everywhere, put into order by CLIP over the item's scenes."""
    vocabulary, concepts = observed.vocabulary, observed.concepts
    properties = measure_properties(observed.picture, shots, observed.sound, sound)
    candidates = merge_tags(
        find_picture_tags(context, concepts),
        find_sound_tags(observed.sounds, vocabulary),
        find_signal_tags(properties, vocabulary),
        find_metadata_tags(observed.item, vocabulary),
    )
    reranked = rerank_tags(candidates, match_tags(candidates, scenes, concepts))
    return limit_tags(reranked, TAGS_PER_KIND)


def _find_highlights(
    observed: Observations, context: Moments | None, shots: Sequence[Shot]
) -> tuple[Highlight, ...]:
    duration_s = observed.media.duration_s
    voices = [hear_picture(context, observed.concepts)]
    if not observed.only_wanted:
        if observed.picture is None and observed.sound is not None:
            return find_song_highlight(observed.sound, duration_s)
        voices.append(hear_sounds(observed.sounds, observed.vocabulary))
        voices.append(hear_signals(observed.picture, observed.sound, shots))
    return find_highlights(
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
        rules=HighlightRules(guard_spoilers=observed.guard_spoilers),
    )
