"""Decides by the words of a query what part pictures, speech and sounds shall take in its search.

The scores and their thresholds are Heimdex', whose router matched parts of words ("hat" in "what");
where ours decides otherwise it says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from service.query import Route, SearchChannel, SearchMode
from service.search.inflection import plain_letters
from service.search.lexicon import Lexicon, Match, compile_lexicon
from service.search.told import HEARS, SAYS, SEEN, ignored
from service.vocabulary.signals import VISUAL, load_signals

QUOTES = (
    '""',
    "\u201c\u201d\u201e\u201f",  # English, German, Polish: in whichever order
    "\u00ab\u00bb",
    "\u2039\u203a",
    "\u300c\u300d\u300e\u300f",  # Japanese
    "\u300a\u300b\u3008\u3009",  # Chinese
)
"""Marks in pairs; single ones, which are apostrophes too, are looked at closer."""
QUOTE = re.compile(
    "|".join(f"[{marks}]([^{marks}]+)[{marks}]" for marks in QUOTES)
    + r"|(?<!\w)['\u201a]([^\n]+?)'(?!\w)"
)
PHRASE_WORDS = 2
"""A signal of so many words is two: "he says", "the line where" (Heimdex)."""
PICTURE_WORDS = 2
"""Signals from which on a query describes a picture (Heimdex)."""
WORDS_OF_A_QUESTION = 3
"""That has no question word, but a mark: "sunset?" asks for a sunset."""
ASKS_ANYWHERE = frozenset({"ko", "ja", "zh"})
"""Where question words stand in the place of the answer."""
CERTAIN, LIKELY, PERHAPS, TORN, UNKNOWN = 0.9, 0.7, 0.5, 0.4, 0.3
"""Heimdex' confidences."""
PICTURE, SPEECH, SOUND = SearchChannel.VISUAL, SearchChannel.TRANSCRIPT, SearchChannel.AUDIO
QUOTED = {SPEECH: 2.0, SearchChannel.LEXICAL: 1.5, PICTURE: 0.5, SOUND: 0.5}
"""Who quotes remembers words; titles and names are quoted, too. Factors here and below are ours."""
SAID = {SPEECH: 1.5}
LOOKED_FOR = {PICTURE: 1.2, SPEECH: 0.75}
"""A transcript seldom names what is seen, and where it does it is seldom on screen."""
LISTENED_FOR = {SOUND: 2.0, SearchChannel.LEXICAL: 2.0, PICTURE: 0.4}
"""What was heard has vectors of sounds, and is tagged by its classes; a picture seldom shows it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for pictures, speech and sounds."""

    seen: tuple[Match, ...]
    said: tuple[Match, ...]
    heard: tuple[Match, ...]
    ignored: tuple[tuple[Match, str], ...]
    """And why."""
    quotes: tuple[str, ...]
    question: str
    """The word or mark that makes it one; empty: it is none."""
    is_why: bool
    """No picture answers it."""


def route(text: str, lexicon: Lexicon | None = None) -> Route:
    """Choose a mode for a query, and factors on the weights of channels.

    Deterministic, and without regard to case, accents and kinds of quotation marks. Takes well
    under a millisecond once the words are loaded.

    Args:
        text: As it was asked, in any language, of any length.
        lexicon: Of other words than those that come with Moodreel.
    """
    evidence = _gather(text, lexicon or default_lexicon())
    visual = len(_distinct(evidence.seen))
    speech = sum(_strength(match) for match in _distinct(evidence.said))
    speech += sum(min(len(quote.split()), PHRASE_WORDS) for quote in evidence.quotes)
    if evidence.question and visual < PICTURE_WORDS:
        # "who wears the red hat" asks for a picture: what is named to be seen outweighs the form.
        speech += 1
        if evidence.is_why:
            visual = 0
    mode, confidence = _decide(visual, speech, evidence)
    return Route(
        mode=mode,
        confidence=confidence,
        reasons=tuple(_explain(evidence)),
        visual=visual,
        speech=speech,
        weights=_weigh(mode, speech, evidence),
        quotes=evidence.quotes,
    )


@cache
def default_lexicon() -> Lexicon:
    """Of the words that come with Moodreel."""
    return compile_lexicon(load_signals())


def _decide(visual: int, speech: int, evidence: Evidence) -> tuple[SearchMode, float]:
    recall, rerank, skip = SearchMode.RECALL, SearchMode.RERANK, SearchMode.SKIP
    # Two signals are a picture ("red car", Heimdex' own example of recall, which its threshold of 3
    # sends to rerank), unless they say only who or only what it is like ("person in crowd").
    kinds = {_kind(match) for match in evidence.seen}
    is_picture = visual == PICTURE_WORDS and kinds not in ({"people"}, {"looks"}, {"shows"})
    rules = (
        (visual > PICTURE_WORDS and speech == 0, recall, CERTAIN),
        (is_picture and speech == 0, recall, LIKELY),
        (visual >= PICTURE_WORDS and speech <= 1, rerank, LIKELY),
        (visual > 0 and speech == 0, rerank, PERHAPS),
        (visual == 0 and speech > 1, skip, CERTAIN),
        (visual == 0 and speech == 1, skip, LIKELY),
        (visual > 0, rerank, TORN),
        (bool(evidence.heard), rerank, PERHAPS),
    )
    return next(((mode, sure) for holds, mode, sure in rules if holds), (rerank, UNKNOWN))


def _kind(match: Match) -> str:
    return next(section for section in VISUAL if section in match.sections)


def _distinct(matches: Iterable[Match]) -> list[Match]:
    """Whoever repeats a word has not said more."""
    return list({plain_letters(match.text): match for match in matches}.values())


def _strength(match: Match) -> int:
    """A phrase counts twice, and so does a verb that follows somebody: "he says"."""
    is_phrase = match.length > 1 or ("says" in match.sections and match.position > 0)
    return PHRASE_WORDS if is_phrase else 1


def _weigh(mode: SearchMode, speech: int, evidence: Evidence) -> Mapping[SearchChannel, float]:
    weights: dict[SearchChannel, float] = {}
    if evidence.quotes:
        weights |= QUOTED
    elif mode is SearchMode.SKIP and speech:
        weights |= SAID
    elif mode is SearchMode.RECALL:
        weights |= LOOKED_FOR
    if evidence.heard:
        weights |= LISTENED_FOR
    return weights


def _gather(text: str, lexicon: Lexicon) -> Evidence:
    text, found, count = lexicon.read(text)
    quotes = list(QUOTE.finditer(text))
    spans = [quote.span() for quote in quotes]
    free = [match for match in found if not any(a <= match.start < b for a, b in spans)]
    left_out = ignored(free, text)
    used = [match for match in free if match not in left_out]
    says = any("says" in match.sections for match in used)
    question = _question(text, free, count)
    return Evidence(
        seen=tuple(match for match in used if _is_seen(match, says=says)),
        said=tuple(match for match in used if match.sections & SAYS),
        heard=tuple(match for match in used if match.sections & HEARS),
        ignored=tuple(left_out.items()),
        quotes=tuple(filter(None, (_inside(quote) for quote in quotes))),
        question=question,
        is_why=any(match.text == question and "reasons" in match.sections for match in free),
    )


def _inside(quote: re.Match[str]) -> str:
    return next(text for text in quote.groups() if text is not None).strip()


def _is_seen(match: Match, *, says: bool) -> bool:
    """Whether it asks for a picture: "show me" does, but not "show me where he says goodbye"."""
    return bool(match.sections & SEEN) and not (says and "shows" in match.sections)


def _question(text: str, found: list[Match], count: int) -> str:
    """Its question word: the first of the query, or any in Asian languages; or else its mark."""
    for match in found:
        if "asks" in match.sections and (match.position == 0 or match.language in ASKS_ANYWHERE):
            return match.text
    has_mark = text.rstrip().endswith(("?", "\u061f"))
    return "?" if has_mark and count >= WORDS_OF_A_QUESTION else ""


def _explain(evidence: Evidence) -> Iterator[str]:
    for match in evidence.seen:
        yield f"{_kind(match)}: {match.text}"
    for match in evidence.said:
        yield f"speech: {match.text}"
    for quote in evidence.quotes:
        yield f"quote: {quote}"
    for match in evidence.heard:
        yield f"sound: {match.text}"
    if evidence.question:
        yield f"question: {evidence.question}"
    for match, why in evidence.ignored:
        yield f"not counted: {match.text} ({why})"
