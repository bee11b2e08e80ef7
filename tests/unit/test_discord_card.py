"""The card: what a person in a channel sees, within Discord's limits whatever the library holds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.card import MOOD_CURVE, POSTER, build_card
from publisher.findings import format_time
from publisher.layout import FieldLayout, Look, default_look
from publisher.text import clean, escape_markdown, shorten, units
from publisher.words import read_words
from service.domain import (
    Highlight,
    ItemMatch,
    ItemRef,
    MediaKind,
    Mood,
    SoundAnalysis,
    Tag,
)
from tests.support.announcements import (
    make_announcement,
    make_group,
    make_item,
    texts,
)
from tests.support.discord_rules import find_message_problems

PLAIN = default_look().layout.colours.plain


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
        "Highlights": "||0:00:41-0:00:55 a car on the road||\n"
        "||1:05:05-1:05:21 sunset over the sea||",
        "Sound": "wistful · Soft acoustic guitar over steady rain.",
        "Comfort": "Sudden loudness 0:00:12-0:00:13\nFlashing light 0:01:01-0:01:04",
    }


def test_what_was_not_found_has_no_line():
    item = make_item(overview="", url="")
    card = make_card(
        item,
        duration_s=0.0,
        tags=(),
        moods=(),
        highlights=(),
        audio=None,
        best_match=None,
        comfort=(),
    )
    assert set(card) == {"author", "title", "color", "footer", "timestamp"}
    assert card["color"] == PLAIN


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
    assert len(card["fields"]) == 7
    message = {"embeds": [card], "allowed_mentions": {"parse": []}}
    assert find_message_problems(message) == []
    assert card["title"].endswith("… (2019)")


def test_fields_share_what_the_rest_of_a_card_leaves_and_the_first_go_first():
    built_in = default_look().layout
    greedy = FieldLayout.model_validate({"name": "$say_sound", "value": "$overview"})
    item = built_in.item.model_copy(update={"description_limit": 4096, "fields_": (greedy,) * 25})
    look = Look(layout=built_in.model_copy(update={"item": item}), words=read_words("en"))
    card = build_card(make_announcement(make_item(overview="on and on " * 1000)), look)
    message = {"embeds": [card], "allowed_mentions": {"parse": []}}
    assert find_message_problems(message) == []
    assert [len(field["value"]) > 1000 for field in card["fields"]] == [True, False]
    told = card["description"] + "".join(field["value"] for field in card["fields"])
    assert 5900 < len(told) < 6000


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
        "||0:04:00", "||0:05:00", "||0:06:00", "||0:12:00", "||0:13:00"
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
    assert len({*corners, PLAIN}) == 5
    assert colour(0.05, -0.05) == colour(math.nan, 0.5) == PLAIN


def test_an_overview_is_shortened_at_a_word():
    shown = make_card(make_item(overview="nothing happens here " * 100))["description"]
    assert shown.endswith(("nothing…", "happens…", "here…"))
    assert 580 < len(shown) <= 600


@pytest.mark.parametrize(
    ("time_s", "shown"),
    [(0, "0:00:00"), (59.4, "0:00:59"), (59.6, "0:01:00"), (3599.9, "1:00:00"), (4e4, "11:06:40")],
)
def test_times_are_written_with_their_hours(time_s, shown):
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


# Groups ------------------------------------------------------------------------------------------


def test_a_season_names_each_of_its_episodes_in_their_order():
    card = build_card(make_group(10))
    assert card["title"] == "Severance - Season 1"
    assert card["author"]["name"] == "10 new episodes"
    assert card["description"].splitlines() == [
        f"**{n}** Part {n} · calm · `car`" for n in range(1, 11)
    ]
    assert card["url"].startswith("https://jf.example.org/")
    assert read_fields(card)["Duration"] == "17:01:44"
    assert read_fields(card)["Comfort"] == "Flashing light, Sudden loudness"


def test_a_season_tells_its_best_moments_with_their_episodes():
    lines = read_fields(build_card(make_group(2)))["Highlights"].splitlines()
    assert lines == [
        "||1. 0:00:41-0:00:55 a car on the road||",
        "||1. 1:05:05-1:05:21 sunset over the sea||",
        "||2. 0:00:41-0:00:55 a car on the road||",
        "||2. 1:05:05-1:05:21 sunset over the sea||",
    ]


def test_ten_episodes_are_all_named_however_long_their_titles_are():
    wide = "*\U0001f600 " * 200
    card = build_card(make_group(10, title=wide, series=wide))
    assert len(card["description"].splitlines()) == 10
    assert card["title"].endswith("… - Season 1")


def test_of_hundreds_of_episodes_those_that_fit_are_named_and_the_rest_counted():
    lines = build_card(make_group(300))["description"].splitlines()
    assert 60 < len(lines) < 301
    assert lines[-1] == f"and {301 - len(lines)} more"


def test_an_album_is_told_as_its_artists():
    def song(**changes):
        return make_group(3, kind=MediaKind.SONG, series="", album="Homework", **changes)

    card = build_card(song(artist="Daft Punk"))
    assert card["title"] == "Daft Punk - Homework"
    assert card["author"]["name"] == "3 new songs"


def test_specials_are_no_season_zero():
    assert build_card(make_group(2, season_number=0))["title"] == "Severance - Specials"
    assert build_card(make_group(2, season_number=None))["title"] == "Severance"


# Pictures and languages --------------------------------------------------------------------------


def test_pictures_are_shown_where_they_travel_along():
    card = build_card(make_announcement(), pictures={POSTER, MOOD_CURVE})
    assert card["thumbnail"] == {"url": "attachment://poster.jpg"}
    assert card["image"] == {"url": "attachment://moods.png"}
    assert not {"thumbnail", "image"} & set(make_card())


def test_a_card_speaks_the_readers_language():
    look = Look(layout=default_look().layout, words=read_words("de"))
    card = build_card(make_group(2), look)
    assert card["title"] == "Severance - Staffel 1"
    assert card["author"]["name"] == "2 neue Folgen"
    assert "Stimmung" in read_fields(card)


def test_what_a_highlight_shows_cannot_leave_its_spoiler_marks():
    highlights = tuple(
        Highlight(start_s=5, end_s=9, peak_s=7, score=1, reasons=(reason,))
        for reason in ("he || dies", "in the end||", "|", "\\")
    )
    for line in read_fields(make_card(highlights=highlights))["Highlights"].splitlines():
        assert line.startswith("||0:00:05-0:00:09")
        assert line.endswith("||")
        assert line.count("|") == 4
