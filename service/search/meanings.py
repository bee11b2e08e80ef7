"""Says which tags and moods the words of a query mean: "barking" and "Hund" mean dog.

What is seen and heard is stored by the vocabulary's labels; people ask in words of their own, and
in their own languages. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from service.domain import ItemRef
from service.folding import UNSPACED, fold
from service.query import Candidate, SceneKey
from service.search.inflection import inflect
from service.vocabulary import Signals, Vocabulary
from service.vocabulary.meanings import AskedWords

WORDS_READ = 24
"""Of a query; the database reads as many."""
OWN_NAME, OTHER_NAME = 1.0, 0.8
"""How surely a word means a tag: its own name, or another that is listed for it. A word that means
something a little different (a goat among sheep) comes after what is called so."""
NAMES_NOTHING = ("plain", "hears", "shows", "asks", "reasons", "breaks", "says", "talks", "about")
"""Sections of words that name nothing to be found: "the", "sound of", "show me"."""
REACH = 2
"""Words that a negation denies: "not a dog"."""
ARTICLE = re.compile(r"^(a|an|the) ")
REMARK = re.compile(r"\(.*?\)|etc\.")
LONGEST_NAME = 2
"""Words of a caption that is a name; a longer one tells more than that."""
WHOLE_ITEM = -1

Phrase = tuple[str, ...]
Meant = Mapping[str, float]
"""Labels, and how surely each is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meanings:
    """What words mean."""

    phrases: Mapping[Phrase, Meant]
    """By folded words."""
    unspaced: Mapping[str, Meant]
    """By words of scripts without blanks, the longest first."""
    empty: frozenset[Phrase]
    """What names nothing."""
    negations: frozenset[Phrase]

    def find(self, text: str) -> list[Meant]:
        """What each word that names something means; nothing where it is unknown.

        Args:
            text: As it was asked; what is denied ("no dog") is left out.
        """
        found, rest = self._find_unspaced(unicodedata.normalize("NFKC", text))
        words = fold(rest).split()[:WORDS_READ]
        at, denied_until = 0, 0
        while at < len(words):
            negation, named, empty = (
                _longest(words, at, known) for known in (self.negations, self.phrases, self.empty)
            )
            if negation:
                denied_until = at + negation + REACH
            elif named >= empty and at >= denied_until:
                meant = self.phrases[tuple(words[at : at + named])] if named else {}
                found += [meant] * max(named, 1)
            at += max(negation, named, empty, 1)
        return found

    def _find_unspaced(self, text: str) -> tuple[list[Meant], str]:
        found: list[Meant] = []
        for word, meant in self.unspaced.items():
            if word in text:
                found.append(meant)
                text = text.replace(word, " ")
        return found, re.sub(f"[{UNSPACED}]+", " ", text)


def compile_meanings(vocabulary: Vocabulary, asked: AskedWords, signals: Signals) -> Meanings:
    """Make all forms of all names; this takes tens of milliseconds, once."""
    empty = _phrases_of(signals, NAMES_NOTHING)
    labels = {tag.label for tag in vocabulary.tags} | {mood.label for mood in vocabulary.moods}
    phrases: dict[Phrase, dict[str, float]] = {}
    unspaced: dict[str, dict[str, float]] = {}
    for label, language, name in _names(vocabulary, asked):
        sure = OWN_NAME if name == label else OTHER_NAME
        if label not in labels or (name != label and name in labels):
            continue
        if re.search(f"[{UNSPACED}]", name):
            unspaced.setdefault(name, {})[label] = sure
            continue
        for form in _forms(language, name):
            # What is empty in one language is more often that than a name in another.
            if language == "en" or form not in empty:
                meant = phrases.setdefault(form, {})
                meant[label] = max(sure, meant.get(label, 0.0))
    return Meanings(
        phrases=phrases,
        unspaced=dict(sorted(unspaced.items(), key=lambda pair: -len(pair[0]))),
        empty=empty,
        negations=_phrases_of(signals, ("negations",)),
    )


def rate_items(
    words: Sequence[Meant], labelled: Mapping[str, Mapping[ItemRef, float]]
) -> list[Candidate]:
    """Items by what words mean, the best first.

    An item is as good as the share of the words that its tags explain. A tag explains a word by
    half in any case, since it was found, and by its score for the other half.
    """
    shares = {
        ref: sum(
            max(
                (sure * _trust(labelled[label].get(ref)) for label, sure in meant.items()),
                default=0,
            )
            for meant in words
        )
        / len(words)
        for ref in {ref for items in labelled.values() for ref in items}
    }
    found = [
        Candidate(scene=SceneKey(ref=ref, position=WHOLE_ITEM), score=share)
        for ref, share in shares.items()
    ]
    return sorted(found, key=lambda one: (-one.score, one.scene))


def join_candidates(named: Sequence[Candidate], meant: Sequence[Candidate]) -> list[Candidate]:
    """Those whose texts have the words, and those that have what the words mean: the better counts.

    Scores of texts are shares of the query as well, and 1 more for what is exact.
    """
    shares = {one.scene: one.score for one in meant}
    joined = [_better(one, shares.pop(one.scene, 0.0)) for one in named]
    joined += [one for one in meant if one.scene in shares]
    return sorted(joined, key=lambda one: (-one.score, one.scene))


def _trust(score: float | None) -> float:
    return 0.0 if score is None else 0.5 + 0.5 * score


def _better(candidate: Candidate, share: float) -> Candidate:
    text = min(1.0, candidate.score - candidate.is_exact)
    return replace(candidate, score=max(text, share) + candidate.is_exact)


def _longest(words: Sequence[str], at: int, known: Collection[Phrase]) -> int:
    lengths = range(min(len(words) - at, 4), 0, -1)
    return next((n for n in lengths if tuple(words[at : at + n]) in known), 0)


def _names(vocabulary: Vocabulary, asked: AskedWords) -> Iterator[tuple[str, str, str]]:
    """Label, language and name."""
    for tag in vocabulary.tags:
        captions = (ARTICLE.sub("", caption) for caption in tag.prompts)
        short = (name for name in captions if len(name.split()) <= LONGEST_NAME)
        heard = (
            name.strip().lower() for text in tag.sounds for name in REMARK.sub("", text).split(",")
        )
        for name in (tag.label, *tag.words, *short, *heard):
            yield tag.label, "en", name
    for mood in vocabulary.moods:
        yield mood.label, "en", mood.label
    for label, languages in asked.items():
        for language, names in languages.items():
            yield from ((label, language, name) for name in names)


def _forms(language: str, name: str) -> Iterator[Phrase]:
    *first, last = fold(name).split() or [""]
    sections = ("things",) if first or language != "en" else ("things", "doings")
    for form in {form for section in sections for form in inflect(language, section, last)}:
        if form:
            yield (*first, form)


def _phrases_of(signals: Signals, sections: Iterable[str]) -> frozenset[Phrase]:
    return frozenset(
        phrase
        for words in signals.values()
        for section in sections
        for entry in words.get(section, ())
        for text in (entry.text, *entry.further)
        if (phrase := tuple(fold(text).split()))
    )
