"""Finds what a query names and yet asks neither to see nor to hear: what is denied or told."""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.search.lexicon import Match
from service.vocabulary.signals import VISUAL

SEEN = frozenset(VISUAL)
SAYS = frozenset({"says", "talks", "about"})
HEARS = frozenset({"hears", "sounds"})
CONTENT = SEEN | SAYS | HEARS
STOPS = frozenset({"breaks", "says", "hears"})
"""What ends what is said: "while", or the next who says something and goes on from there."""
REACH = 3
"""How many words a negation reaches: "no tall people"."""
REACH_BACK = 2
"""Where it follows, as in Korean and Japanese: 사람이 전혀 없는."""
BEFORE = frozenset({"ko", "ja"})
"""Languages in which negations, and "about", follow what they mean."""
SUBJECT = re.compile("[이가은는]$|께서$")
"""Korean particles of who says it, written with the word."""
SUBJECT_AFTER = ("が", "は")
"""Japanese ones."""
TOPIC = frozenset({"über", "ueber", "von", "vom"})
"""German; what is said ends its clause, and stands behind one of these: "über Geld gesagt"."""
TOPIC_WORDS = 5
"""That may stand between: "über das kleine rote Auto gesagt" has four."""
HEARD_BEFORE = frozenset({"ko", "ja", "zh"})
"""Where "sound of" follows what sounds."""


def ignored(found: list[Match], text: str) -> dict[Match, str]:
    """What is named, and yet neither shown nor said; and why."""
    reasons: dict[Match, str] = {}
    content = [match for match in found if match.sections & CONTENT]
    for cause in found:
        for match in _negated(cause, content):
            reasons.setdefault(match, f"after {cause.text!r}")
    for index, cause in enumerate(found):
        if cause in reasons:
            continue
        for match in _told(index, found, text):
            reasons.setdefault(match, f"told by {cause.text!r}")
    return reasons


def _negated(cause: Match, content: list[Match]) -> Iterator[Match]:
    """The next thing that is named, with its adjectives: "no tall people" on a beach."""
    if "negations" not in cause.sections:
        return
    if cause.language in BEFORE:
        reached = [m for m in content if 0 <= cause.position - m.after < REACH_BACK][-1:]
    else:
        reached = [m for m in content if 0 <= m.position - cause.after < REACH][:1]
    for match in reached:
        yield match
        for other in content:
            is_beside = other.position == match.after or match.position == other.after
            is_behind = (other.position > cause.position) != (cause.language in BEFORE)
            if is_beside and is_behind and "looks" in (match.sections | other.sections):
                yield other


def _told(index: int, found: list[Match], text: str) -> Iterator[Match]:
    """Who says it and what is said, or what it is that makes a sound: words for no picture."""
    cause = found[index]
    if cause.language in BEFORE:
        if "about" in cause.sections:
            yield from _told_before(index, found, text)
    elif "says" in cause.sections:
        yield from _until_stop(index, found)
        yield from _speaker(index, found[index].position, found)
    if cause.language == "de" and cause.sections & SAYS:
        yield from _topic(index, found)
    if "hears" in cause.sections:
        if cause.language not in HEARD_BEFORE:
            yield from _until_stop(index, found)
        elif index and found[index - 1].after == cause.position:
            yield found[index - 1]


def _told_before(index: int, found: list[Match], text: str) -> Iterator[Match]:
    """What stands between who says it and "about"; or all, where nobody is named."""
    for at in range(index):
        if _is_subject(found[at], text):
            yield from _speaker(at + 1, found[at].after, found)
            yield from (match for match in found[at + 1 : index] if match.sections & SEEN)
            return
    yield from (match for match in found[:index] if match.sections & SEEN)


def _is_subject(match: Match, text: str) -> bool:
    if "people" not in match.sections:
        return False
    if match.language == "ko":
        return SUBJECT.search(match.text) is not None
    return text.startswith(SUBJECT_AFTER, match.end)


def _topic(index: int, found: list[Match]) -> Iterator[Match]:
    """What a German verb at the end of its clause says something about."""
    verb = found[index].position
    for at in range(index - 1, -1, -1):
        if verb - found[at].after > TOPIC_WORDS or found[at].sections & STOPS:
            return
        if found[at].text.casefold() in TOPIC:
            yield from (match for match in found[at:index] if match.sections & SEEN)
            return


def _speaker(index: int, position: int, found: list[Match]) -> Iterator[Match]:
    """Who stands directly before it, as in "the old man says"."""
    wanted = "people"
    while index and found[index - 1].after == position:
        index -= 1
        if wanted not in found[index].sections:
            return
        yield found[index]
        position = found[index].position
        wanted = "looks"


def _until_stop(index: int, found: list[Match]) -> Iterator[Match]:
    for after in range(index + 1, len(found)):
        match = found[after]
        if match.sections & STOPS:
            return
        if match.sections & SEEN:
            yield match
