"""From a stored analysis to the same one in other words, and how the two differ. Pure.

Scenes tell less than the moments that an analysis looked at. So where it is known in which words
an item was told before, its scenes are asked in both, and what is stored moves by as much as the
answers differ: what a new word has nothing to do with stays as it was found.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from service.conclusions import TAGS_PER_KIND
from service.detection.moods import MAX_MOODS, MIN_SCORE, choose_moods
from service.detection.scenes import SCENE_TAGS
from service.detection.tags import MIN_SCORE as MIN_TAG_SCORE
from service.detection.tags import limit_tags
from service.domain import Analysis, Float32, Mood, MoodPoint, Scene, Tag
from service.retag.telling import Told, has_vectors

NOTABLE = 0.05
"""Scores that moved by less are not worth a line: two analyses of one file differ by as much where
a decoder drops a frame."""


UNSAID = 0.8
"""What a mood that is not among the stored ones had at most, of the weakest of those. On thirteen
real media and three changed vocabularies 95 % of the moods agree with a new analysis (at 1: 94)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A tag or mood that is surer, or less so, than before."""

    label: str
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What becomes of an item's tags or moods."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    """By ``NOTABLE`` or more."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def compare(before: Iterable[Tag | Mood], after: Iterable[Tag | Mood]) -> Difference:
    """How two lists differ; in the order of the lists."""
    old = {found.label: found.score for found in before}
    new = {found.label: found.score for found in after}
    moved = [label for label in new if label in old and abs(new[label] - old[label]) >= NOTABLE]
    return Difference(
        added=tuple(label for label in new if label not in old),
        removed=tuple(label for label in old if label not in new),
        changed=tuple(Change(label=label, before=old[label], after=new[label]) for label in moved),
    )


def amend(stored: Analysis, told: Told, former: Told | None = None) -> Analysis:
    """The stored analysis with tags and moods in other words; all else of it stays.

    Args:
        stored: With the vectors of its scenes.
        told: What the new vocabulary says of it.
        former: What the vocabulary says that made it; None where that one is not known: then only
            scenes, and what is kept, say what is in it.
    """
    moods, curve = _moods(stored, told, former)
    audio = stored.audio
    if audio is not None:
        audio = replace(audio, tags=_heard(stored, told, former))
    return replace(
        stored,
        scenes=tuple(_scenes(stored, told, former)),
        tags=_tags(stored, told, former),
        moods=moods,
        mood_curve=curve,
        audio=audio,
    )


def _tags(stored: Analysis, told: Told, former: Told | None) -> tuple[Tag, ...]:
    if former is None:
        return limit_tags(told.tags.values(), TAGS_PER_KIND)
    words, before = told.words, {tag.label: tag for tag in stored.tags}
    found = [
        tag
        for label in dict.fromkeys((*before, *told.tags))
        if label in words and (tag := _tag(label, before.get(label), told, former)) is not None
    ]
    named = (replace(tag, kind=words[tag.label].kind) for tag in found)
    return limit_tags(sorted(named, key=lambda tag: (-tag.score, tag.label)), TAGS_PER_KIND)


def _tag(label: str, before: Tag | None, told: Told, former: Told) -> Tag | None:
    """What is stored, moved by what the words' change does to the scenes."""
    new, old = told.tags.get(label), former.tags.get(label)
    if told.words[label] != former.words.get(label):  # a new word, or one that means another thing
        return new
    if before is None:  # moments said no to it where scenes said yes
        return new if old is None else None
    if new is None:
        return before if old is None else None
    if old is None:
        return before if before.score >= new.score else new
    score = round(float(np.clip(before.score + new.score - old.score, 0.0, 1.0)), 4)
    return replace(before, score=score) if score >= MIN_TAG_SCORE else None


def _scenes(stored: Analysis, told: Told, former: Told | None) -> Iterable[Scene]:
    if former is None:
        for scene, tags in zip(stored.scenes, told.scene_tags, strict=True):
            yield replace(scene, tags=tags[:SCENE_TAGS])
        return
    words = told.words
    reworded = {label for label, word in words.items() if word != former.words.get(label)}
    rows = zip(stored.scenes, told.scene_tags, former.scene_tags, strict=True)
    for scene, new, old in rows:
        yield replace(scene, tags=_moved(scene.tags, new, old, words, reworded)[:SCENE_TAGS])


def _moved(
    before: Sequence[str],
    new: Sequence[str],
    old: Sequence[str],
    words: Container[str],
    reworded: AbstractSet[str],
) -> tuple[str, ...]:
    """Labels without those that went with the words' change, and those that came by it in front."""
    gone = (set(old) | reworded) - set(new)
    came = [label for label in new if label not in before and (label not in old)]
    stay = [label for label in before if label in words and label not in gone]
    return tuple(dict.fromkeys((*came, *stay)))


def _heard(stored: Analysis, told: Told, former: Told | None) -> tuple[str, ...]:
    """Labels of what is heard; what a captioner called it in words of its own stays behind them."""
    before = stored.audio.tags if stored.audio else ()
    if former is None:
        return _after(told.heard, before, told)
    stay = [label for label in before if label not in set(former.heard) - set(told.heard)]
    came = [label for label in told.heard if label not in before and label not in former.heard]
    unsaid = set(former.words) - set(told.words)
    return tuple(label for label in dict.fromkeys((*stay, *came)) if label not in unsaid)


def _after(heard: Sequence[str], before: Sequence[str], told: Told) -> tuple[str, ...]:
    own = [label for label in before if label not in told.words]
    return tuple(dict.fromkeys((*heard[:TAGS_PER_KIND], *own)))


def _moods(
    stored: Analysis, told: Told, former: Told | None
) -> tuple[tuple[Mood, ...], tuple[MoodPoint, ...]]:
    new, old = told.felt, former.felt if former else None
    words = told.terms.vocabulary.moods
    if new is None:
        return _in_words(stored, told), stored.mood_curve
    if old is None:
        if not has_vectors(stored):  # of a song no more is kept than what was said of it
            return _in_words(stored, told), stored.mood_curve
        return choose_moods(words, new.scores()), new.curve()
    known = {mood.label: mood.score for mood in stored.moods}
    least = min(known.values()) if len(known) >= MAX_MOODS else MIN_SCORE
    scores, before = new.scores(), dict(zip(old.words, old.scores().tolist(), strict=True))

    def moved(index: int) -> float:
        word, score = words[index], float(scores[index])
        if word not in before:
            return score
        said = known.get(word.label, min(before[word], UNSAID * least))
        return float(np.clip(said + score - before[word], 0.0, 1.0))

    amended: Float32 = np.array([moved(index) for index in range(len(words))], np.float32)
    return choose_moods(words, amended), _curve(stored.mood_curve, new.curve(), old.curve())


def _in_words(stored: Analysis, told: Told) -> tuple[Mood, ...]:
    """The moods that the vocabulary still has, where it puts them now."""
    words = {word.label: word for word in told.terms.vocabulary.moods}
    return tuple(
        replace(mood, valence=words[mood.label].valence, arousal=words[mood.label].arousal)
        for mood in stored.moods
        if mood.label in words
    )


def _curve(
    stored: Sequence[MoodPoint], new: Sequence[MoodPoint], old: Sequence[MoodPoint]
) -> tuple[MoodPoint, ...]:
    if not len(stored) == len(new) == len(old):
        return tuple(new)

    def moved(said: float, after: float, before: float) -> float:
        return round(min(max(said + after - before, -1.0), 1.0), 4)

    return tuple(
        MoodPoint(
            time_s=point.time_s,
            valence=moved(point.valence, after.valence, before.valence),
            arousal=moved(point.arousal, after.arousal, before.arousal),
        )
        for point, after, before in zip(stored, new, old, strict=True)
    )
