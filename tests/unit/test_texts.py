"""Subtitles and lyrics as they are found in the wild."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain import TranscriptLine
from service.subtitles import MAX_LINE_CHARS, MAX_LINES, clean_text, parse_text

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>They wait</i>
at the harbour.

2
00:01:00,250 --> 00:01:01,000 X1:10 X2:20
{\\an8}Gulls &amp; boats.
"""
VTT = """WEBVTT

NOTE a comment

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.500 align:start
<v Ada>They <00:01.500><c.red>wait</c></v>

01:00:00.000 --> 01:00:01.000
Later.
"""
ASS = """[Script Info]
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,Nobody says this
Dialogue: 0,0:00:01.00,0:00:02.50,Default,Ada,0,0,0,,{\\i1}They{\\k20} wait,\\Nat the {\\fs9}pier.
Dialogue: 0,0:00:03.00,0:00:04.00,Sign,,0,0,0,,{\\an7\\p1}m 0 0 l 100 0 100 100{\\p0}
Dialogue: 0,0:00:05.00,0:00:05.04,Sign,,0,0,0,,{\\pos(1,1)}Pier
Dialogue: 0,0:00:05.04,0:00:05.08,Sign,,0,0,0,,{\\pos(2,1)}Pier
"""
SBV = """0:00:01.000,0:00:02.500
They wait.

0:01:00.250,0:01:01.000
Gulls.
"""
LRC = """[ti:Salt]
[00:10.50]First
[00:30.00][00:20.00]Twice
[01:00]Last
not a line
"""


def lines(data, extension=".srt"):
    raw = data if isinstance(data, bytes) else data.encode()
    return [(line.start_s, line.end_s, line.text) for line in parse_text(raw, extension)]


def test_subrip_is_read_without_its_tags():
    assert lines(SRT) == [
        (1.0, 2.5, "They wait at the harbour."),
        (60.25, 61.0, "Gulls & boats."),
    ]


def test_webvtt_is_read_without_notes_styles_and_tags():
    assert lines(VTT, ".vtt") == [(1.0, 2.5, "They wait"), (3600.0, 3601.0, "Later.")]


def test_substation_is_read_without_comments_shapes_and_pictures_of_one_sign():
    assert lines(ASS, ".ass") == [
        (1.0, 2.5, "They wait, at the pier."),
        (5.0, 5.08, "Pier"),
    ]


def test_youtubes_own_format_is_read():
    assert lines(SBV, ".sbv") == [(1.0, 2.5, "They wait."), (60.25, 61.0, "Gulls.")]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("[door slams]", ""),
        ("[ADA] Come in.", "Come in."),
        ("(sighs) Come in.", "Come in."),
        ("Come (if you must) in.", "Come (if you must) in."),
        ("MRS. WHITE: Come in.", "Come in."),
        ("JÖRG: Herein.", "Herein."),
        ("Note: come in.", "Note: come in."),
        ("- Who is there?\n- Ada.", "Who is there? Ada."),
        ("\u2013 Wer da?\\N\u2013 Ada.", "Wer da? Ada."),
        (">> Good evening.", "Good evening."),
        ("-5 degrees", "-5 degrees"),
        ("♪ Salt and wind ♪", "Salt and wind"),
        ("♪♪", ""),
        ("...", ""),
        ("\uff08笑\uff09行こう", "行こう"),
        ("{\\an8}{\\pos(1,2)}Up", "Up"),
        ("{\\fad(", ""),
        ("<font color='red'>Red</font>", "Red"),
        ("a &lt; b", "a < b"),
        ("\u202bدریں\u202c", "دریں"),
    ],
)
def test_only_what_is_said_is_kept(raw, said):
    assert clean_text(raw) == said


@pytest.mark.parametrize(
    ("encoding", "words", "language"),
    [
        ("cp932", "港で彼らは待っている。", ""),
        ("cp949", "우리는 항구에서 기다린다.", ""),
        ("gb18030", "我们在港口等待。你说的是真的吗", ""),
        ("big5", "我們在港口等待。你說的是真的嗎", ""),
        ("cp1251", "Мы ждём в гавани.", ""),
        ("cp1250", "Čekáme v přístavu, žluťoučký kůň.", "ces"),
        ("cp1253", "Περιμένουμε στο λιμάνι.", "ell"),
        ("cp1252", "Größer, müßig: señor übt café.", ""),
        ("utf-16-le", "They wait.", ""),
        ("utf-16-be", "They wait.", ""),
    ],
)
def test_an_encoding_without_a_mark_is_known_by_its_letters_or_its_language(
    encoding, words, language
):
    data = f"1\n00:00:01,000 --> 00:00:02,000\n{words}\n".encode(encoding)

    (line,) = parse_text(data, ".srt", language)

    assert line.text == words


def test_a_file_that_was_cut_within_a_character_is_read_up_to_there():
    data = "1\n00:00:01,000 --> 00:00:02,000\né 待".encode()

    (line,) = parse_text(data[:-1], ".srt")

    assert line.text == "é"


def test_a_lyrics_line_lasts_until_the_next_begins():
    assert lines(LRC, ".lrc") == [
        (10.5, 20.0, "First"),
        (20.0, 30.0, "Twice"),
        (30.0, 60.0, "Twice"),
        (60.0, 65.0, "Last"),
    ]


def test_a_positive_offset_brings_lyrics_earlier():
    assert lines("[offset:+500]\n[00:10.00]Salt", ".lrc") == [(9.5, 14.5, "Salt")]


@pytest.mark.parametrize(
    "encoded",
    [
        "\ufeffé".encode(),
        "é".encode("utf-16"),
        "é".encode("cp1252"),
        "é".encode(),
    ],
    ids=["utf8-mark", "utf16", "cp1252", "utf8"],
)
def test_any_usual_encoding_is_understood(encoded):
    mark = b"\xff\xfe" if encoded.startswith(b"\xff\xfe") else b""
    cue = "1\n00:00:01,000 --> 00:00:02,000\n"
    head = cue.encode("utf-16-le") if mark else cue.encode()
    body = encoded.removeprefix(mark).removeprefix(b"\xef\xbb\xbf")

    assert lines(mark + head + body) == [(1.0, 2.0, "é")]


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\r"])
def test_any_line_break_is_understood(break_):
    assert len(lines(SRT.replace("\n", break_))) == 2


def test_cues_without_text_or_that_end_before_they_begin_are_left_out():
    text = (
        "00:00:01,000 --> 00:00:02,000\n\n"
        "00:00:05,000 --> 00:00:04,000\nbackwards\n\n"
        "00:00:06,000 --> 00:00:07,000\nkept\n"
    )

    assert lines(text) == [(6.0, 7.0, "kept")]


def test_cues_without_an_empty_row_between_them_are_told_apart():
    text = "00:01.0 --> 00:02.0\none\n00:03.0 --> 00:04.0\ntwo"

    assert [words for _, _, words in lines(text)] == ["one", "two"]


def test_lines_come_in_order_of_time_and_only_once():
    text = "00:03.0 --> 00:04.0\nb\n\n00:01.0 --> 00:02.0\na\n\n00:01.0 --> 00:02.0\na\n"

    assert lines(text) == [(1.0, 2.0, "a"), (3.0, 4.0, "b")]


def test_a_number_of_endless_digits_is_no_character_and_no_error():
    (line,) = parse_text(b"[00:01.00]Salt &#" + b"9" * 5000 + b";", ".lrc")
    assert line.text.startswith("Salt")


def test_an_endless_line_that_comes_at_many_times_is_cut_before_it_is_cleaned():
    found = parse_text(b"[0:01][0:02]" * 60_000 + b"na " * 300_000, ".lrc")
    assert found
    assert all(len(line.text) <= MAX_LINE_CHARS for line in found)


def test_one_endless_line_at_half_a_million_times_is_cleaned_once():
    """Cleaned for each of its times it would take hours."""
    notes = "\u266a ".encode() * 1000
    assert parse_text(b"[00:01]" * 500_000 + notes, ".lrc") == ()


def test_blanks_without_end_before_a_word_are_passed_over_at_once():
    """Looking for an aside at each two of them would take a minute."""
    rows = (f"00:{at // 60:02}:{at % 60:02} --> 00:59:59\n{' ' * 1990}Salt\n" for at in range(1800))
    found = parse_text("\n".join(rows).encode(), ".srt")
    assert {line.text for line in found} == {"Salt"}


@pytest.mark.parametrize("aside", ["(sighs)", "  ( sighs )", "- (sighs)", " \u2013   (sighs)"])
def test_an_aside_is_not_said_wherever_its_dash_stands(aside):
    assert clean_text(f"{aside} Salt") == "Salt"


def test_what_is_far_too_much_is_cut_off():
    long = "00:01.0 --> 00:02.0\n" + "x" * 10_000
    many = "".join(
        f"{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}.0 --> 09:59:59.0\na{n}\n\n"
        for n in range(MAX_LINES + 5)
    )

    assert len(lines(long)[0][2]) == MAX_LINE_CHARS
    assert len(lines(many)) == MAX_LINES


times = st.from_regex(r"\A\d{0,3}:?\d{1,2}:\d{1,2}[.,]?\d{0,3}\Z")
pieces = st.lists(times | st.sampled_from(["-->", "\n", "[", "]", "<i>", "{\\a", "\0"]) | st.text())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary() | pieces.map(lambda found: " ".join(found).encode("utf-8", "replace")),
    st.sampled_from([".srt", ".vtt", ".lrc", ".ass", ".sbv", ".SRT", ""]),
)
def test_anything_at_all_is_lines_in_order(data, extension):
    found = parse_text(data, extension)

    assert all(isinstance(line, TranscriptLine) and line.text for line in found)
    assert all(0 <= line.start_s <= line.end_s for line in found)
    assert [line.start_s for line in found] == sorted(line.start_s for line in found)
    "".join(line.text for line in found).encode()
