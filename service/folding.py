"""One form for all spellings of a text: what is indexed and what is asked are folded alike."""

from __future__ import annotations

import re
import unicodedata

APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc\u02b9\u00b4\u0060\uff07", "'"))
"""What stands for an apostrophe in subtitles and on keyboards."""

CONTRACTION = re.compile(r"(?<=[^\W\d_])'(?=(?:t|s|d|m|re|ve|ll)\b)")
"""English ones are one word, with their apostrophe or without; French *l'amour* is two."""

ACCENT = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"  # on letters
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew points
    "\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"  # Arabic
)
"""Marks that people leave out. Vowel signs of Indic scripts and voicing of kana are letters."""

LETTERS = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ħ": "h",
        "\u0131": "i",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        "ð": "d",
    }
    | {"\u0640": ""}  # stretches an Arabic word, and means nothing
)
"""Letters that Unicode does not take apart, as keyboards without them write them."""

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u1100-\u11ff\uac00-\ud7ff"  # Hangul
    "\u3005-\u3007\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # kana, bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
"""Scripts that do not part words by blanks, or (Hangul) join particles to them."""

NO_LETTER = re.compile(r"[\W_]")
RUN = re.compile(f"([{UNSPACED}]+)|[^ {UNSPACED}]+")
CHUNK = 2
"""Letters: bigrams, as Lucene's CJKAnalyzer cuts Chinese, Japanese and Korean."""
WORD_LIMIT = 64
"""Letters of a word that count: what is longer is no word."""


def fold(text: str) -> str:
    """Lower case, no accents, no punctuation: letters and digits of any script, single blanks.

    Scripts without blanks are cut into overlapping pairs of letters; a single letter stays. What
    is folded already stays as it is.
    """
    text = unicodedata.normalize("NFKC", text.translate(APOSTROPHES)).casefold()
    text = CONTRACTION.sub("", text)
    if not text.isascii():
        text = ACCENT.sub("", unicodedata.normalize("NFKD", text).casefold())
        text = unicodedata.normalize("NFC", text.translate(LETTERS))
    text = NO_LETTER.sub(_part, text)
    return " ".join(word for run in RUN.finditer(text) for word in _cut(run))


def _part(found: re.Match[str]) -> str:
    """Marks belong to the letter before them; what is invisible parts no words."""
    category = unicodedata.category(found[0])
    if category == "Cf":
        return ""
    return found[0] if category[0] == "M" else " "


def _cut(run: re.Match[str]) -> list[str]:
    letters = run[1]
    if not letters:
        return [run[0][:WORD_LIMIT]]
    return [letters[i : i + CHUNK] for i in range(max(1, len(letters) - CHUNK + 1))]
