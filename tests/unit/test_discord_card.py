"""The card: what a person in a channel sees, within Discord's limits whatever the library holds."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publisher.card import DEFAULT_COLOUR, build_card, format_time
from publisher.text import clean, escape_markdown, shorten, units
from service.domain import (
    Highlight,
    ItemMatch,
    ItemRef,
    MediaKind,
    Mood,
    SoundAnalysis,
    Tag,
)
from tests.support.announcements import announcements, make_announcement, make_item, texts
from tests.support.receivers import find_message_problems


def make_card(item=None, **changes):
    return build_card(make_announcement(item, **changes))


def read_fields(card):
    return {field["name"]: field["value"] for field in card["fields"]}


def test_a_full_card_tells_what_when_and_how_it_feels():
    card = make_card()
    assert card["title"] == "The Long Road (2019)"
    assert card["url"].startswith("https://jf.example.org/")
    assert card["description"] == "A family drives across the country and back."
    assert card["footer"]["text"] == "jellyfin · home"
    assert card["timestamp"] == "2026-09-20T19:03:00.000Z"
    assert read_fields(card) == {
        "Duration": "1:42:10",
        "Mood": "calm, tender",
        "Best match": "Paris, Texas (0.87)",
        "Tags": "`car` `road`",
        "Highlights": "`0:41-0:55` a car on the road\n`1:05:05-1:05:21` sunset over the sea",
        "Sound": "wistful · Soft acoustic guitar over steady rain.",
    }


def test_what_was_not_found_has_no_line():
    item = make_item(overview="", url="")
    card = make_card(
        item, duration_s=0.0, tags=(), moods=(), highlights=(), audio=None, best_match=None
    )
    assert card["fields"] == []
    assert not {"url", "description"} & set(card)
    assert card["color"] == DEFAULT_COLOUR


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(announcement=announcements)
def test_no_input_makes_a_card_that_discord_refuses(announcement):
    message = {"embeds": [build_card(announcement)], "allowed_mentions": {"parse": []}}
    assert find_message_problems(message) == []


def test_the_longest_of_everything_still_fits():
    wide = "@😀*" * 3000
    card = make_card(
        make_item(title=wide, overview=wide, ref=ItemRef(server=wide, item_id="1")),
        tags=tuple(Tag(label=f"{n}{wide}", kind="x", score=1) for n in range(50)),
        moods=tuple(Mood(label=f"{n}{wide}", score=1, valence=1, arousal=1) for n in range(9)),
        highlights=tuple(
            Highlight(start_s=n + 9e8, end_s=n + 9e8, peak_s=n, score=1, reasons=(wide,))
            for n in range(50)
        ),
        audio=SoundAnalysis(loudness_dbfs=0, dynamic_range_db=0, summary=wide, mood=wide),
        best_match=ItemMatch(ref=ItemRef(server="x", item_id="1"), title=wide, score=1),
    )
    assert len(card["fields"]) == 6
    message = {"embeds": [card], "allowed_mentions": {"parse": []}}
    assert find_message_problems(message) == []
    assert card["title"].endswith("… (2019)")


def test_the_strict_receiver_would_notice_a_card_over_the_limits():
    card = make_card()
    card["title"] = "😀" * 129  # 129 code points, 258 UTF-16 units
    card["fields"] = [{"name": "n", "value": "v" * 1024, "inline": True}] * 6
    message = {"embeds": [card], "allowed_mentions": {"parse": []}}
    assert find_message_problems(message) == [
        "title", "more than 6000 characters in all embeds"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("item", "title"),
    [
        (make_item(year=None), "The Long Road"),
        (make_item(title="Heat (1995)", year=1995), "Heat (1995)"),
        (
            make_item(
                kind=MediaKind.EPISODE,
                series="Severance",
                title="Pilot",
                season_number=1,
                episode_number=2,
            ),
            "Severance S01E02 - Pilot",
        ),
        (
            make_item(kind=MediaKind.EPISODE, series="Severance", title="Special", season_number=0),
            "Severance S00 - Special",
        ),
        (make_item(kind=MediaKind.EPISODE, title="Lost one"), "Lost one"),
        (
            make_item(kind=MediaKind.SONG, artist="Daft Punk", title="One More Time", year=2001),
            "Daft Punk - One More Time (2001)",
        ),
        (make_item(kind=MediaKind.VIDEO, title=" ", year=None), "Untitled"),
    ],
)
def test_titles_name_things_as_people_do(item, title):
    assert make_card(item)["title"] == title


def test_markup_and_mentions_in_a_title_are_shown_and_not_obeyed():
    title = "@everyone <@1> **bold** `code` [x](https://evil.example) ||s|| :smile: __u__"
    shown = make_card(make_item(title=title, year=None))["title"]
    assert "@everyone" not in shown
    assert "<@" not in shown.replace("\\<", "")
    assert "https://" not in shown
    for mark in "*`[]|_:<":
        assert shown.count(mark) == shown.count(f"\\{mark}") == title.count(mark)
    assert make_card(make_item(title="# loud", year=None))["title"] == r"\# loud"


def test_a_title_of_hundreds_of_marks_is_not_cut_inside_an_escape():
    shown = make_card(make_item(title="*" * 400, year=None))["title"]
    assert shown == r"\*" * 127 + "…"


def test_a_backtick_cannot_leave_its_tag():
    tags = (Tag(label="a` @everyone `b", kind="x", score=1),)
    value = read_fields(make_card(tags=tags))["Tags"]
    assert value == "`a' @everyone 'b`"


def test_only_the_first_twelve_tags_are_shown():
    tags = tuple(Tag(label=f"tag{n}", kind="x", score=1) for n in range(30))
    assert read_fields(make_card(tags=tags))["Tags"].count("`") == 24


def test_the_best_five_highlights_are_shown_in_order_of_time():
    highlights = tuple(
        Highlight(start_s=60.0 * n, end_s=60.0 * n + 5, peak_s=60.0 * n, score=(n % 7) / 7)
        for n in range(14)
    )
    value = read_fields(make_card(highlights=highlights))["Highlights"]
    assert [line.split("-")[0] for line in value.splitlines()] == [
        "`4:00", "`5:00", "`6:00", "`12:00", "`13:00"
    ]  # fmt: skip


def test_without_a_caption_the_recognised_sounds_are_told():
    audio = SoundAnalysis(loudness_dbfs=-20, dynamic_range_db=10, tags=("rain", "piano"))
    assert read_fields(make_card(audio=audio))["Sound"] == "rain, piano"
    silent = SoundAnalysis(loudness_dbfs=-90, dynamic_range_db=0)
    assert "Sound" not in read_fields(make_card(audio=silent))


def test_a_private_address_makes_no_link():
    assert "url" not in make_card(make_item(url="https://jf.example.org/x?api_key=abc"))


def test_four_quarters_of_feeling_have_four_colours():
    def colour(valence, arousal):
        moods = (Mood(label="m", score=1, valence=valence, arousal=arousal),)
        return make_card(moods=moods)["color"]

    corners = [colour(v, a) for v in (-0.8, 0.8) for a in (-0.8, 0.8)]
    assert len({*corners, DEFAULT_COLOUR}) == 5
    assert colour(0.05, -0.05) == colour(math.nan, 0.5) == DEFAULT_COLOUR


def test_an_overview_is_shortened_at_a_word():
    shown = make_card(make_item(overview="nothing happens here " * 100))["description"]
    assert shown.endswith(("nothing…", "happens…", "here…"))
    assert 580 < len(shown) <= 600


@pytest.mark.parametrize(
    ("time_s", "shown"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599.9, "1:00:00"), (36_061, "10:01:01")],
)
def test_times_are_written_as_players_write_them(time_s, shown):
    assert format_time(time_s) == shown


@given(text=texts, limit=st.integers(1, 400))
def test_shortened_text_fits_and_is_the_beginning_of_what_it_was(text, limit):
    short = shorten(text, limit)
    assert units(short) <= limit
    assert clean(text).startswith(short.removesuffix("…")) or short == clean(text)
    assert units(shorten(text, limit, escape=escape_markdown)) <= limit


def test_clean_text_is_one_visible_line():
    assert clean("a\x00b\r\n c\t\u202ed\ufeff \ud800e") == "ab c d e"
    assert clean("👩\u200d👧 n\u200cim") == "👩\u200d👧 n\u200cim"
    assert clean("\u200d\u200c \u2028") == ""
