"""A card asks whether it is right: by one discreet link, within every limit, people alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from publisher.card import NO_NAME, build_card
from publisher.layout import Layout, Look, default_look
from publisher.payload import build_envelope
from publisher.words import LANGUAGES, read_words
from tests.support.announcements import announcements, make_announcement, make_group
from tests.support.discord_rules import find_embed_problems, find_message_problems

URL = "https://films.example.org/feedback?link=" + "A" * 92
FULL = {
    "author": "${title}" + "x" * 250,
    "title": "${title}" + "x" * 240,
    "description": "${title}" + "y" * 990,
    "description_limit": 4096,
    "fields": [{"name": "n" * 40, "value": "z" * 150}] * 25,
    "footer": "${title}" + "x" * 250,
}
MANY = FULL | {"fields": [{"name": "n", "value": "z"}] * 25}
"""As many characters, and as many fields, as Discord takes."""


def links_of(card):
    return [field for field in card.get("fields", ()) if field["name"] == NO_NAME]


def layout_of(section):
    parts = default_look().layout
    return Layout.model_validate(
        {
            "colours": {name: f"#{value:06x}" for name, value in parts.colours},
            "pictures": parts.pictures.model_dump(),
            "counts": parts.counts.model_dump(),
            "item": section,
            "group": section | {"member": "$title"},
        }
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_card_asks_once_in_its_own_language_below_all_else(language):
    words = read_words(language)
    look = Look(layout=default_look().layout, words=words)
    card = build_card(replace(make_announcement(), feedback_url=URL), look)
    assert links_of(card) == [card["fields"][-1]]
    assert card["fields"][-1]["value"] == f"[{words.feedback}]({URL})"
    assert not any(find_embed_problems(card))


def test_without_an_address_nothing_is_asked():
    assert links_of(build_card(make_announcement())) == []
    assert links_of(build_card(make_group(10))) == []


@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=25,
    phases=(Phase.explicit, Phase.generate),  # to shrink one takes minutes
)
@given(announcements, st.integers(0, 1100), st.sampled_from([None, FULL, MANY]))
def test_with_the_question_every_limit_holds_and_the_address_is_whole(news, length, section):
    layout = layout_of(section) if section else default_look().layout
    url = URL + "B" * length
    look = Look(layout=layout, words=read_words("fr"))
    card = build_card(replace(news, feedback_url=url), look)
    message = {"embeds": [card], "allowed_mentions": {"parse": []}}
    assert not find_message_problems(message, is_edit=True)
    assert len(links_of(card)) <= 1
    assert all(field["value"].endswith(f"({url})") for field in links_of(card))


def test_where_a_layout_leaves_no_room_nothing_is_asked_and_a_whole_link_goes_before_a_field():
    look = Look(layout=layout_of(MANY), words=read_words("en"))
    assert links_of(build_card(replace(make_announcement(), feedback_url=URL), look)) == []
    look = Look(layout=layout_of(FULL), words=read_words("en"))
    card = build_card(replace(make_announcement(), feedback_url=URL), look)
    assert len(links_of(card)) == 1
    assert not find_embed_problems(card)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "https://me:secret@films.example.org/feedback?link=A",
        "https://films.example.org/a b",
        "https://films.example.org/feedback?token=A",
    ],
)
def test_what_is_no_public_address_is_not_shown(url):
    assert links_of(build_card(replace(make_announcement(), feedback_url=url))) == []


def test_brackets_in_an_address_end_no_link():
    url = "https://films.example.org/a(b)/feedback?link=A"
    (link,) = links_of(build_card(replace(make_announcement(), feedback_url=url)))
    assert link["value"].endswith("(https://films.example.org/a%28b%29/feedback?link=A)")


def test_no_event_carries_the_address():
    news = replace(make_announcement(), feedback_url=URL)
    assert build_envelope(news) == build_envelope(make_announcement())
    assert URL not in json.dumps(build_envelope(news)) + repr(news)
