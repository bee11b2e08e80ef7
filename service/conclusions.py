"""From what was seen and heard to what is in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from service.detection.concepts import Concepts
from service.detection.highlights import HighlightRules, find_highlights
from service.detection.moments import Moments, pool_moments
from service.detection.moods import find_moods
from service.detection.properties import measure_properties
from service.detection.scenes import group_scenes, tag_scenes
from service.detection.shots import find_shots
from service.detection.songs import find_song_highlight
from service.detection.sound import summarize_sound
from service.detection.tags import (
    find_metadata_tags,
    find_picture_tags,
    find_signal_tags,
    find_sound_tags,
    limit_tags,
    match_tags,
    merge_tags,
)
from service.detection.voices import Voice, hear_picture, hear_signals, hear_sounds
from service.domain import (
    Analysis,
    Chapter,
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


def conclude(observed: Observations) -> Analysis:
    """Find shots, scenes, tags, moods and highlights."""
    seen, duration_s = observed.seen, observed.media.duration_s
    moments = seen.moments if seen else None
    context = pool_moments(moments) if moments else None
    shots = find_shots(seen.signals, duration_s) if seen else ()
    sound = _describe_sound(observed)
    scenes = group_scenes(shots, seen.signals, moments) if seen else ()
    tags = _find_tags(observed, context, shots, scenes, sound)
    moods, curve = find_moods(
        observed.vocabulary,
        duration_s,
        picture=seen.signals if seen else None,
        shots=shots,
        sound=observed.heard.signals if observed.heard else None,
        analysis=sound,
        context=context,
        concepts=observed.concepts,
        heard=observed.heard.sounds if observed.heard else None,
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
            heard=observed.heard.sounds if observed.heard else None,
        ),
        tags=tags,
        moods=moods,
        mood_curve=curve,
        highlights=_find_highlights(observed, context, shots),
        audio=sound,
    )


def _describe_sound(observed: Observations) -> SoundAnalysis | None:
    heard, caption = observed.heard, observed.caption
    if heard is None:
        return None
    tags = find_sound_tags(heard.sounds, observed.vocabulary) if heard.sounds else ()
    labels = [tag.label for tag in tags[:TAGS_PER_KIND]] + list(caption.tags if caption else ())
    sound = summarize_sound(heard.signals, tuple(dict.fromkeys(labels)))
    if sound is None or caption is None:
        return sound
    return replace(sound, summary=caption.summary, mood=caption.mood, confidence=caption.confidence)


def _find_tags(
    observed: Observations,
    context: Moments | None,
    shots: Sequence[Shot],
    scenes: Sequence[Scene],
    sound: SoundAnalysis | None,
) -> tuple[Tag, ...]:
    """Candidates from everywhere, put into order by CLIP over the item's scenes."""
    vocabulary, concepts, heard = observed.vocabulary, observed.concepts, observed.heard
    properties = measure_properties(
        observed.seen.signals if observed.seen else None,
        shots,
        heard.signals if heard else None,
        sound,
    )
    candidates = merge_tags(
        find_picture_tags(context, concepts) if context and concepts else (),
        find_sound_tags(heard.sounds, vocabulary) if heard and heard.sounds else (),
        find_signal_tags(properties, vocabulary),
        find_metadata_tags(observed.item, vocabulary),
    )
    if concepts is not None:
        candidates = rerank_tags(candidates, match_tags(candidates, scenes, concepts))
    return limit_tags(candidates, TAGS_PER_KIND)


def _find_highlights(
    observed: Observations, context: Moments | None, shots: Sequence[Shot]
) -> tuple[Highlight, ...]:
    heard, duration_s = observed.heard, observed.media.duration_s
    if observed.seen is None and heard is not None and not observed.only_wanted:
        return find_song_highlight(heard.signals, duration_s)
    return find_highlights(
        list(_voices(observed, context, shots)),
        duration_s,
        kind=observed.item.kind,
        shots=shots,
        picture=observed.seen.signals if observed.seen else None,
        excluded=list(_uninteresting(observed.media.chapters)),
        rules=HighlightRules(guard_spoilers=observed.guard_spoilers),
    )


def _voices(
    observed: Observations, context: Moments | None, shots: Sequence[Shot]
) -> Iterator[Voice]:
    """What each modality says of every moment; those that have nothing to say are silent."""
    heard, seen = observed.heard, observed.seen
    if context is not None and observed.concepts is not None:
        voice = hear_picture(context, observed.concepts)
        if voice is not None:
            yield voice
    if observed.only_wanted:
        return
    if heard is not None and heard.sounds is not None:
        voice = hear_sounds(heard.sounds, observed.vocabulary)
        if voice is not None:
            yield voice
    voice = hear_signals(seen.signals if seen else None, heard.signals if heard else None, shots)
    if voice is not None:
        yield voice


def _uninteresting(chapters: Sequence[Chapter]) -> Iterator[tuple[float, float]]:
    for chapter in chapters:
        if UNINTERESTING_CHAPTER.search(chapter.title):
            yield chapter.start_s, chapter.end_s
