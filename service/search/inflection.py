"""Regular forms of words, as far as a list of words needs them: more than there are, never stems.

Forms are made where the list is compiled, and looked up whole: "walk" gives "walking", and nothing
gives "what" to "hat". Letters are folded (``plain_letters``) before they come here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator

from service.folding import ACCENT, LETTERS

NOUNS = frozenset({"people", "things", "places", "lights", "sounds"})
VERBS = frozenset({"doings", "says", "talks", "seen", "hears"})
_VOWELS = frozenset("aeiou")


def plain_letters(text: str) -> str:
    """Fold case and accents; what is a letter of its own stays one (が is not か)."""
    if text.isascii():
        return text.lower()
    letters = ACCENT.sub("", unicodedata.normalize("NFKD", text.casefold()))
    return unicodedata.normalize("NFC", letters.translate(LETTERS))


def inflect(language: str, section: str, word: str) -> set[str]:
    """All forms of one word, itself among them; of an unknown language only itself."""
    return {word, *_RULES.get(language, _none)(section, word)}


def _none(_section: str, _word: str) -> Iterable[str]:
    return ()


def _english(section: str, word: str) -> Iterator[str]:
    if section in NOUNS:
        yield word + "s"
        if word.endswith("y") and word[-2:-1] not in _VOWELS:
            yield word[:-1] + "ies"
        elif re.search(r"(s|x|z|ch|sh)$", word):
            yield word + "es"
    elif section in VERBS:
        yield from _english_verb(word)


def _english_verb(word: str) -> Iterator[str]:
    yield word + "s"
    if re.search(r"(s|x|z|ch|sh|o)$", word):
        yield word + "es"
    if word.endswith("ie"):
        stems = [word[:-2] + "y"]
        yield word + "d"
    elif word.endswith("e") and not word.endswith("ee"):
        stems = [word[:-1]]
    elif re.search(r"^[^aeiou]*[aeiou][^aeiouwxy]$", word):  # run, hug, stop: the last one doubles
        stems = [word + word[-1]]
    else:
        stems = [word]
    for stem in stems:
        yield stem + "ing"
        yield stem + "ed"
    if word.endswith("y") and word[-2:-1] not in _VOWELS:
        yield word[:-1] + "ies"
        yield word[:-1] + "ied"


def _german(section: str, word: str) -> Iterator[str]:
    if section in {"people", "things", "places", "lights"}:
        yield from (word + end for end in ("n", "en", "s", "es") if len(word) > 2)  # noqa: PLR2004  no "es" of "s"
    elif section == "looks":
        stem = word.removesuffix("e")
        yield from (stem + end for end in ("e", "er", "es", "en", "em"))
    elif section in {"doings", "says", "talks"} and word.endswith("en"):
        stem = word[:-2]
        ends = ("t", "et", "te", "ten", "ete", "eten")
        yield from (stem + end for end in (*ends, "end", "ende", "enden", "ender", "endes", "st"))
        yield from ("ge" + stem + end for end in ("t", "et", "en"))
    elif section in {"doings", "says", "talks"} and word.endswith(("eln", "ern")):
        yield from (word[:-1] + end for end in ("t", "te", "ten", "nd", "nde", "nden"))
        yield "ge" + word[:-1] + "t"


def _romance_noun(word: str) -> Iterator[str]:
    yield word + "s"
    if word[-1:] not in _VOWELS:
        yield word + "es"


def _spanish(section: str, word: str) -> Iterator[str]:
    if section in {"people", "things", "places", "lights", "sounds"}:
        yield from _romance_noun(word)
    elif section == "looks":
        stem = word.removesuffix("o")
        ends = ("o", "a", "os", "as") if stem != word else ("s", "a", "as", "es")
        yield from (stem + end for end in ends)
    elif section in VERBS and re.search(r"[aei]r$", word):
        stem, kind = word[:-2], word[-2]
        ar = ("a", "an", "ando", "ado", "ada", "ados", "adas", "o", "aron", "aba", "aban")
        er = ("e", "en", "iendo", "ido", "ida", "io", "ieron", "ia", "ian")
        yield from (stem + end for end in (ar if kind == "a" else er))
        yield from (stem + end + "se" for end in ("ando", "iendo"))


def _french(section: str, word: str) -> Iterator[str]:
    if section in {"people", "things", "places", "lights", "sounds"}:
        yield word + "s"
    elif section == "looks":
        yield from (word + end for end in ("s", "e", "es"))
    elif section in VERBS and word.endswith("er"):
        stem = word[:-2]
        ends = ("e", "es", "ent", "ant", "ons", "ait", "aient", "ee", "es", "ees", "a", "erent")
        yield from (stem + end for end in ends)
        if stem.endswith("g"):
            yield stem + "eant"


_RULES: dict[str, Callable[[str, str], Iterable[str]]] = {
    "en": _english,
    "de": _german,
    "es": _spanish,
    "fr": _french,
}
