"""Text files of unknown encoding."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

CUT_BYTES = 4
"""At the end of a file that was cut off, a character may be cut in two."""
PROBED_BYTES = 64 * 1024
"""Of a file, by which its encoding is guessed: a quarter of a film."""
WIDE_SHARE = 0.3
"""Of NULs among the bytes at odd or even places, by which UTF-16 without a mark is known."""
DAMAGE_SHARE = 0.001
"""Of characters that may be broken in what is UTF-8 otherwise."""
ENOUGH = 0.8
"""Share of foreign characters that must be of an encoding's own writing."""

BY_LANGUAGE = {
    **dict.fromkeys(("ces", "hrv", "hun", "pol", "ron", "slk", "slv"), "cp1250"),
    **dict.fromkeys(("bel", "bul", "mkd", "rus", "srp", "ukr"), "cp1251"),
    **dict.fromkeys(("est", "lav", "lit"), "cp1257"),
    "ell": "cp1253",
    "tur": "cp1254",
    "heb": "cp1255",
    "ara": "cp1256",
    "fas": "cp1256",
    "vie": "cp1258",
    "tha": "cp874",
    "jpn": "cp932",
    "kor": "cp949",
    "zho": "gb18030",
}
"""What Windows wrote such a language with (ISO 639-3)."""
OWN_LETTERS = {
    "cp932": "\u3041-\u30ff",  # kana: whatever is Japanese has them
    "cp949": "\uac00-\ud7a3",
    "gb18030": "\u4e00-\u9fff\u3001\u3002\uff01\uff0c\uff1f",
    "big5": "\u4e00-\u9fff\u3001\u3002\uff01\uff0c\uff1f",
    "cp1251": "\u0410-\u044f\u0401\u0451",
}
"""Encodings that show by themselves, the surest first, and the characters that prove them."""
KANA_SHARE = 0.2
"""Of Japanese, a third and more of whose characters are kana; the others are shared."""
HANGUL_SHARE = 0.9
"""Of Korean; Chinese that is read as Korean has half of it."""
FREQUENT = {
    "gb18030": frozenset("的一是不了在人有我他这中大来上个国到说们为子和你地出道也时年"),
    "big5": frozenset("的一是不了在人有我他這中大來上個國到說們為子和你地出道也時年"),
}
"""The most frequent characters of Chinese, simplified and traditional."""
FREQUENT_SHARE = 0.1
"""What is read as Chinese by mistake has 30 of 20,000 characters no oftener than others."""
TOGETHER = 2
"""Of two bytes of a character one may be ASCII's."""
FEWEST = 6
"""Bytes beyond ASCII, by which writing is told: two words."""


def decode_text(data: bytes, language: str = "") -> str:
    """Decode a file: what its mark says, else UTF-8, else as its language was written, else by
    the letters that come out; else Windows-1252.

    Args:
        data: Possibly cut off.
        language: Of the text (ISO 639-3), where it is known.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    plain = _utf8(data)
    if plain is not None:
        return plain
    for encoding in _candidates(data[:PROBED_BYTES], language):
        return data.decode(encoding, "replace")
    return data.decode("cp1252", "replace")


def _utf8(data: bytes) -> str | None:
    wide = _wide(data[:PROBED_BYTES])
    if wide:
        return data.decode(wide, "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        if error.start >= len(data) - CUT_BYTES and not before.isascii():
            return before.decode("utf-8-sig")
    text = data.decode("utf-8-sig", "replace")
    foreign = sum(character > "\x7f" for character in text)
    broken = text.count("\ufffd")
    return text if broken <= DAMAGE_SHARE * len(text) and broken * 4 < foreign else None


def _wide(data: bytes) -> str:
    half = len(data) // 2
    if half and data[1::2].count(0) > WIDE_SHARE * half:
        return "utf-16-le"
    return "utf-16-be" if half and data[::2].count(0) > WIDE_SHARE * half else ""


def _candidates(data: bytes, language: str) -> Iterator[str]:
    known = BY_LANGUAGE.get(language, "")
    if known and known not in OWN_LETTERS:
        yield known
    if _is_foreign(data):
        rated = {encoding: _rate(data, encoding) for encoding in OWN_LETTERS}
        best = max(rated, key=lambda encoding: (rated[encoding], encoding == known))
        if rated[best] >= ENOUGH:
            yield best
    if known:
        yield known


def _is_foreign(data: bytes) -> bool:
    """Whether bytes beyond ASCII stand together: accented letters of Latin ones stand alone."""
    high = [place for place, byte in enumerate(data) if byte >= 0x80]  # noqa: PLR2004  ASCII ends
    near = sum(after - before <= TOGETHER for before, after in pairwise(high))
    return len(high) >= FEWEST and near >= ENOUGH * (len(high) - 1)


def _rate(data: bytes, encoding: str) -> float:
    """How sure it is that a text is written so: 0 not at all, 2 as sure as can be."""
    text = _decode(data, encoding)
    foreign = re.findall(r"[^\x00-\x7f\s]", text)
    if not foreign:
        return 0.0
    own = re.compile(f"[{OWN_LETTERS[encoding]}]")
    share = sum(bool(own.match(character)) for character in foreign) / len(foreign)
    if encoding == "cp932":
        return 2.0 if share > KANA_SHARE and _is_east_asian(foreign) else 0.0
    if encoding in FREQUENT:
        often = sum(character in FREQUENT[encoding] for character in foreign) / len(foreign)
        return share + often if often >= FREQUENT_SHARE else 0.0
    return 1.9 if encoding == "cp949" and share > HANGUL_SHARE else share


def _decode(data: bytes, encoding: str) -> str:
    """Strictly; empty where it cannot be so. What is cut off at the end does not count."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if error.start < len(data) - CUT_BYTES:
            return ""
        return data[: error.start].decode(encoding, "ignore")


def _is_east_asian(characters: list[str]) -> bool:
    """Half-width kana, into which nearly any bytes can be read, do not count."""
    wide = sum("\u3000" <= character <= "\u9fff" for character in characters)
    return wide >= ENOUGH * len(characters)
