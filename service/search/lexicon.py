"""Finds listed words and phrases in a text: whole words only, in whichever language it is."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from service.folding import APOSTROPHES
from service.search.inflection import inflect, plain_letters
from service.search.korean import take_apart
from service.vocabulary.signals import Entry, Signals

LETTERS_READ = 240
"""Of a query: what comes after them changes no decision, and would cost time."""
UNSPACED_READ = 120
"""Of those, letters of scripts without blanks, each of which may be a word."""
HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff"
KANA = "\u3041-\u30ff"
HANGUL = "\uac00-\ud7a3"
TOKEN = re.compile(
    f"(?P<run>[{HAN}{KANA}]+)|(?P<hangul>[{HANGUL}]+)|(?P<word>[^\\W_{HAN}{KANA}{HANGUL}]+)"
)
IS_UNSPACED = re.compile(f"[{HAN}{KANA}]")
HAS_KANA = re.compile(f"[{KANA}]")
IS_KATAKANA = re.compile("[\u30a1-\u30ff]+")
IS_HIRAGANA = re.compile("[\u3041-\u3096]+")
CONTRACTED_NOT = re.compile(r"n't\b", re.IGNORECASE)
SPELT_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
"""How German umlauts are typed without their keys."""
CLEAR_LETTERS = frozenset("说說讲講问穿戴")
"""Chinese verbs (say, speak, ask, wear) beside which any word may stand; compounds are listed."""
PLAIN = frozenset({"plain", "asks", "reasons", "negations", "breaks"})
FIRST_WORD_CHANGES = frozenset({"doings", "says", "talks", "seen", "hears", "shows"})
"""Of phrases: verbs stand first ("talks about"). English nouns stand last, others' first."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a text."""

    key: str
    """Folded; empty where it cannot be a listed word."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Match:
    """A listed word or phrase that was found."""

    text: str
    """As it was written."""
    language: str
    sections: frozenset[str]
    start: int
    """Where it begins, in letters of the text as it was read."""
    end: int
    position: int
    """Of its first word among the text's words."""
    length: int
    """In words."""

    @property
    def after(self) -> int:
        """Position of the word after it."""
        return self.position + self.length


@dataclass(frozen=True, slots=True)
class Language:
    """All forms of its listed words."""

    name: str
    phrases: Mapping[tuple[str, ...], frozenset[str]]
    """Sections, by folded words."""
    known: frozenset[str]
    """Folded single words, and all words of phrases."""
    longest: Mapping[str, int]
    """How many words the longest phrase has that begins with a word."""
    lengths: Mapping[str, frozenset[int]]
    """How many letters the words have that begin with a letter; only in scripts without blanks."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The listed words of all languages."""

    spaced: tuple[Language, ...]
    """Which part words by blanks; English first, as what is tied is most likely English."""
    unspaced: tuple[Language, ...]
    korean: Language
    speakers: Mapping[str, int]
    """How many of the first know a word."""

    def read(self, text: str) -> tuple[str, list[Match], int]:
        """The text as it is read (NFKC, cut), what was found in it, and how many words it has."""
        text = unicodedata.normalize("NFKC", text[:LETTERS_READ].translate(APOSTROPHES))
        text = text[:LETTERS_READ]  # one sign may stand for eighteen letters
        if beyond := next(islice(IS_UNSPACED.finditer(text), UNSPACED_READ, None), None):
            text = text[: beyond.start()]
        text = CONTRACTED_NOT.sub(" not", text)
        found: list[Match] = []
        count = 0
        for script, group in groupby(TOKEN.finditer(text), key=lambda token: token.lastgroup):
            words, order = self._words(script or "", group, text)
            found += _matches(text, words, order, count)
            count += len(words)
        return text, found, count

    def _words(
        self, script: str, group: Iterable[re.Match[str]], text: str
    ) -> tuple[list[Token], Sequence[Language]]:
        """The words of one script in a row, and the languages in which to understand them."""
        if script == "word":
            words = [Token(plain_letters(run[0]), *run.span()) for run in group]
            return words, self._likeliest(words)
        if script == "hangul":
            return [word for run in group for word in _korean_words(run, self.korean)], [
                self.korean
            ]
        is_japanese = HAS_KANA.search(text) is not None
        order = [language for language in self.unspaced if is_japanese == (language.name == "ja")]
        if not is_japanese:  # a few Chinese characters may as well be Japanese
            order += [language for language in self.unspaced if language.name == "ja"]
        return [word for run in group for word in _cut(run, order)], order

    def _likeliest(self, words: list[Token]) -> list[Language]:
        """By how many of the words each language knows; a word of few languages says more."""
        votes = {
            language.name: sum(
                1 / self.speakers[word.key] for word in words if word.key in language.known
            )
            for language in self.spaced
        }
        return sorted(self.spaced, key=lambda language: -votes[language.name])


def compile_lexicon(signals: Signals) -> Lexicon:
    """Make all forms of all words; this takes tens of milliseconds, once."""
    languages = {name: _compile(name, sections) for name, sections in signals.items()}
    spaced = [languages[name] for name in sorted(languages, key=lambda name: name != "en")]
    spaced = [language for language in spaced if language.name not in {"ko", "ja", "zh"}]
    return Lexicon(
        spaced=tuple(spaced),
        unspaced=tuple(languages[name] for name in ("zh", "ja") if name in languages),
        korean=languages.get("ko", Language("ko", {}, frozenset(), {}, {})),
        speakers=Counter(word for language in spaced for word in language.known),
    )


def _compile(name: str, sections: Mapping[str, tuple[Entry, ...]]) -> Language:
    listed: dict[tuple[str, ...], frozenset[str]] = {}
    made: dict[tuple[str, ...], frozenset[str]] = {}
    for section, entries in sections.items():
        for words, is_listed in {f for entry in entries for f in _forms(name, section, entry)}:
            known_as = listed if is_listed else made
            known_as[words] = known_as.get(words, frozenset()) | {section}
    # A form that was made says less than a word that is listed: German "gestehen" is to confess.
    phrases = made | {words: _without_plain(meant) for words, meant in listed.items()}
    known = frozenset(word for words in phrases for word in words)
    longest: dict[str, int] = {}
    for words in phrases:
        longest[words[0]] = max(longest.get(words[0], 0), len(words))
    lengths: dict[str, frozenset[int]] = {}
    for word in known if name in {"ja", "zh"} else ():
        lengths[word[0]] = lengths.get(word[0], frozenset()) | {len(word)}
    return Language(name, phrases, known, longest, lengths)


def _without_plain(sections: frozenset[str]) -> frozenset[str]:
    """What is plain asks for nothing, whatever else it is; but it may ask, deny or part."""
    return sections & PLAIN if "plain" in sections else sections


def _forms(name: str, section: str, entry: Entry) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Folded words, and whether they are listed themselves."""
    for text in (entry.text, *entry.further):
        is_regular = text == entry.text
        spellings = {text, text.casefold().translate(SPELT_OUT)} if name == "de" else {text}
        for spelling in spellings:
            normal = unicodedata.normalize("NFKC", spelling.translate(APOSTROPHES))
            words = tuple(plain_letters(run[0]) for run in TOKEN.finditer(normal))
            if not words:
                continue
            is_first = name != "en" or section in FIRST_WORD_CHANGES
            changing = 0 if is_first else len(words) - 1
            forms = inflect(name, section, words[changing]) if is_regular else {words[changing]}
            for form in forms:
                is_listed = not is_regular or form == words[changing]
                yield (*words[:changing], form, *words[changing + 1 :]), is_listed


def _matches(
    text: str, words: list[Token], order: Sequence[Language], position: int
) -> Iterator[Match]:
    """The longest phrases first, each in the likeliest language that knows its first word."""
    index = 0
    while index < len(words):
        length = 1
        for language in order:
            if words[index].key in language.known:
                found = _longest(language, words, index)
                if found:
                    length, sections = found
                    start, end = words[index].start, words[index + length - 1].end
                    yield Match(
                        text[start:end],
                        language.name,
                        sections,
                        start,
                        end,
                        position + index,
                        length,
                    )
                    break
        index += length


def _longest(
    language: Language, words: list[Token], index: int
) -> tuple[int, frozenset[str]] | None:
    longest = language.longest.get(words[index].key, 0)
    for length in range(min(longest, len(words) - index), 0, -1):
        keys = tuple(word.key for word in words[index : index + length])
        if sections := language.phrases.get(keys):
            return length, sections
    return None


def _korean_words(run: re.Match[str], korean: Language) -> list[Token]:
    token, start = run[0], run.start()
    if pieces := take_apart(token, korean.known):
        ends = [at for _, at in pieces[1:]] + [len(token)]
        return [
            Token(word, start + at, start + end)
            for (word, at), end in zip(pieces, ends, strict=True)
        ]
    for length in range(1, min(4, len(token))):  # what is quoted may be any word: 안녕이라고
        if "about" in korean.phrases.get((token[-length:],), ()):
            middle = run.end() - length
            return [Token("", start, middle), Token(token[-length:], middle, run.end())]
    return [Token(token, start, run.end())]


def _cut(run: re.Match[str], order: Sequence[Language]) -> list[Token]:
    """Cut a run without blanks into listed words, the longest first, and single letters."""
    letters, tokens, at = run[0], list[Token](), 0
    lengths = {
        letter: sorted(
            {length for language in order for length in language.lengths.get(letter, ())},
            reverse=True,
        )
        for letter in set(letters)
    }
    while at < len(letters):
        for length in lengths[letters[at]]:
            piece = letters[at : at + length]
            is_inside = at + length <= len(letters)
            if is_inside and _is_listed(piece, order) and _is_whole(letters, at, at + length):
                break
        else:
            length, piece = 1, ""
        tokens.append(Token(piece, run.start() + at, run.start() + at + length))
        at += length
    return [_doubt(tokens, index, letters, run.start()) for index in range(len(tokens))]


def _is_listed(piece: str, order: Sequence[Language]) -> bool:
    for language in order:  # noqa: SIM110  a generator for each piece would take most of the time
        if piece in language.known:
            return True
    return False


def _is_whole(letters: str, start: int, end: int) -> bool:
    """Katakana are one word from the first to the last; nor do words begin inside hiragana."""
    before, after = letters[start - 1 : start], letters[end : end + 1]
    if IS_KATAKANA.fullmatch(letters[start:end]):
        return not (IS_KATAKANA.fullmatch(before) or IS_KATAKANA.fullmatch(after))
    return True


def _doubt(tokens: list[Token], index: int, letters: str, offset: int) -> Token:
    """A single Chinese character is part of an unknown word if an unknown one is beside it."""
    token = tokens[index]
    if len(token.key) != 1 or token.key in CLEAR_LETTERS:
        return token
    for beside in tokens[max(index - 1, 0) : index] + tokens[index + 1 : index + 2]:
        letter = letters[beside.start - offset]
        if not beside.key and not IS_HIRAGANA.match(letter) and not IS_KATAKANA.match(letter):
            return Token("", token.start, token.end)
    return token
