"""Which text tracks are searched, and what a decoding process may say of them."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.id3 import read_timed_lyrics
from adapters.media.texts import DIALOGUE_FIELDS, _lyrics_of, _text_of
from adapters.media.tracks import read_tracks
from adapters.media.wire import ProtocolError
from service.domain import TextTrack, TranscriptLine
from service.subtitles import (
    MAX_LINE_CHARS,
    MOST_TRACKS,
    choose_tracks,
    clean_text,
    distinct_tracks,
    join_tracks,
    language_of,
    name_of_language,
)


def track(*words, language="", **marks):
    lines = (
        TranscriptLine(start_s=float(at), end_s=at + 1.0, text=text)
        for at, text in enumerate(words)
    )
    return TextTrack(lines=tuple(lines), language=language, **marks)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("ger", "deu"),
        ("deu", "deu"),
        ("de-AT", "deu"),
        ("German", "deu"),
        ("pt_BR", "por"),
        ("und", ""),
        ("", ""),
        ("tlh", "tlh"),
    ],
)
def test_a_language_has_one_code_whatever_it_is_called(tag, code):
    assert language_of(tag) == code


@pytest.mark.parametrize(("part", "code"), [("eng", "eng"), ("zh-hans", "zho"), ("2019", "")])
def test_a_part_of_a_name_is_a_language_only_if_it_is_known(part, code):
    assert name_of_language(part) == code


def test_tracks_come_by_the_sounds_language_the_wanted_ones_and_then_the_default_one():
    tracks = [
        track("a", language="fre"),
        track("b", language="spa", is_default=True),
        track("c", language="ger"),
        track("d", language="eng", is_forced=True),
        track("e", language="eng", is_lesser=True),
        track("f", language="eng"),
    ]

    best = choose_tracks(tracks, spoken="en")
    wanted = choose_tracks(tracks, spoken="en", wanted=("de", "fr"))

    assert [each.lines[0].text for each in best] == ["f", "b", "a", "c"]
    assert [each.lines[0].text for each in wanted] == ["f", "c", "a"]


def test_a_forced_track_counts_where_there_is_no_other_of_its_language():
    [found] = choose_tracks([track("Pier", language="eng", is_forced=True)], spoken="eng")

    assert found.lines[0].text == "Pier"


def test_tracks_without_a_language_are_told_apart_by_what_they_say():
    plain, again = track("They wait.", "Gulls."), track("they wait", "gulls", "(wind)")

    assert distinct_tracks([plain, again, track("Sie warten.")]) == (plain, track("Sie warten."))


def test_no_more_tracks_are_kept_than_are_allowed_and_none_without_words():
    many = [track(name, language=name) for name in ("a1", "b1", "c1", "d1", "e1", "f1")]

    assert len(distinct_tracks([track(), *many])) == MOST_TRACKS
    assert len(join_tracks(distinct_tracks(many))) == MOST_TRACKS


def test_tracks_survive_the_wire():
    tracks = (track("Süß", language="ger", is_forced=True), track("\u4f60\u597d"))
    payload = json.dumps([asdict(each) for each in tracks]).encode()

    assert read_tracks({}, payload) == tracks


@pytest.mark.parametrize(
    "tracks",
    [
        [asdict(track("a"))] * (MOST_TRACKS + 1),
        [asdict(track("a" * (MAX_LINE_CHARS + 1)))],
        [asdict(track("a", language="e" * 17))],
        [{"lines": [{"start_s": -1.0, "end_s": 1.0, "text": "a"}]}],
        [{"lines": [{"start_s": 2.0, "end_s": 1.0, "text": "a"}]}],
        [{"lines": [{"start_s": 0.0, "end_s": float("inf"), "text": "a"}]}],
        [{"lines": [{"start_s": float("nan"), "end_s": 1.0, "text": "a"}]}],
        [{"lines": 7}],
        {},
        "",
    ],
)
def test_what_is_beyond_the_bounds_is_no_message(tracks):
    with pytest.raises(ProtocolError):
        read_tracks({}, json.dumps(tracks).encode())


@given(
    st.binary(max_size=300),
    st.sampled_from(["subrip", "ass", "webvtt", "mov_text", "text"]),
    st.sampled_from(["", "rus", "jpn", "zho", "pol"]),
)
def test_a_packet_of_anything_is_a_bounded_text(data, codec, language):
    words = clean_text(_text_of(data, codec, language))

    assert len(words) <= MAX_LINE_CHARS
    words.encode()


@given(st.text(max_size=300))
def test_cleaning_what_is_clean_changes_nothing_but_marks(raw):
    once = clean_text(raw)

    assert "\0" not in once
    assert once == " ".join(once.split())
    assert len(clean_text(once)) <= len(once)


def test_of_substation_all_commas_belong_to_the_text():
    fields = b"0," * (DIALOGUE_FIELDS - 1)

    assert _text_of(fields[:-1] + b",Well, yes, so.", "ass", "") == "Well, yes, so."


@given(st.binary(max_size=300), st.sampled_from([3, 4]), st.booleans())
def test_a_tag_of_anything_is_lyrics_or_none(tmp_path_factory, data, version, is_whole):
    body = b"SYLT" + len(data).to_bytes(4, "big") + b"\0\0" + data if is_whole else data
    path = tmp_path_factory.getbasetemp() / "wild.mp3"
    path.write_bytes(b"ID3" + bytes((version, 0, 0, 0, 0, len(body) >> 7, len(body) & 0x7F)) + body)

    for language, lines in read_timed_lyrics(path):
        assert len(language) <= 3
        assert all(time_s >= 0 and isinstance(words, str) for time_s, words in lines)


@pytest.mark.parametrize(
    ("name", "language"),
    [("lyrics-eng", "eng"), ("LYRICS", ""), ("UNSYNCEDLYRICS", ""), ("lyrics", "")],
)
def test_lyrics_are_known_by_the_names_that_tags_give_them(name, language):
    assert [*_lyrics_of({name: "Salt", "title": "Gulls", "lyricist": "Ada"})] == [
        (language, "Salt")
    ]
