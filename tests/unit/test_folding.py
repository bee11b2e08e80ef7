"""Texts are indexed and asked in one form."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.folding import fold

CJK = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Amélie", "amelie"),
        ("Straße ŁÓDŹ Ærø", "strasse lodz aero"),
        ("İstanbul ISTANBUL \u0131s\u0131", "istanbul istanbul isi"),
        ("Don\u2019t stop; Director's Cut", "dont stop directors cut"),
        ("l'amour aujourd\u2019hui", "l amour aujourd hui"),
        ("WALL·E (2008) - S01E02", "wall e 2008 s01e02"),
        ("\uff11\uff12\uff13 ﬁn ½", "123 fin 1 2"),
        ("千と千尋の神隠し", "千と と千 千尋 尋の の神 神隠 隠し"),
        ("猫", "猫"),
        ("映画Akira第2", "映画 akira 第 2"),
        ("기생충 게임", "기생 생충 게임"),
        ("ｶﾞﾝﾀﾞﾑ", "ガン ンダ ダム"),
        ("Ёлка й", "елка и"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّــد", "محمد"),
        ("हिन्दी", "हिन्दी"),
        ("co\u00adoperate a\u200bb", "cooperate ab"),
        ("a_b\tc\n\nd", "a b c d"),
        ("— … !", ""),
    ],
)
def test_a_text_is_folded(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_what_is_folded_stays_as_it_is(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_words_are_parted_by_single_blanks_and_hold_letters_and_digits_only(text: str) -> None:
    folded = fold(text)

    assert folded == " ".join(folded.split())
    assert all(unicodedata.category(letter)[0] in "LNM" for letter in folded if letter != " ")


@given(st.text())
def test_spellings_of_one_text_are_folded_alike(text: str) -> None:
    folded = fold(text)

    assert fold(unicodedata.normalize("NFD", text)) == folded
    assert fold(unicodedata.normalize("NFC", text)) == folded


@given(st.text(st.characters(max_codepoint=0x24F, categories=["L"])))
def test_capitals_and_accents_of_latin_letters_do_not_count(text: str) -> None:
    assert fold(text.upper()) == fold(text.lower()) or "ŉ" in text
    assert fold("".join(letter + "\u0301" for letter in text)) == fold(text)


@given(CJK, CJK, CJK)
def test_a_part_of_a_chinese_text_is_a_row_of_its_pairs(before: str, part: str, after: str) -> None:
    whole = f" {fold(before + part + after)} "

    assert (f" {fold(part)} " in whole) or len(part) == 1
