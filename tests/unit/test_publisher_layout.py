"""Layouts and languages: data that is checked, and that cannot do anything."""

from __future__ import annotations

import pytest

from publisher.card import build_card
from publisher.layout import PLACEHOLDERS, Look, load_layout
from publisher.template import Template
from publisher.values import Text
from publisher.words import LANGUAGES, Words, read_words
from service.errors import ConfigurationError
from tests.support.announcements import make_announcement
from tests.support.discord_cards import EXAMPLES, HOWTO, render


def fill(text, limit=100, **values):
    template = Template.parse(text, known=values)
    return template.fill({name: Text(value) for name, value in values.items()}, limit)


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "layout.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def read_problem(path):
    with pytest.raises(ConfigurationError) as caught:
        load_layout(path)
    return str(caught.value)


# Templates ---------------------------------------------------------------------------------------


def test_what_is_in_brackets_shows_where_all_that_it_names_is_there():
    def title(**values):
        return fill("[$series [$number ]- ]$title[ ($year)]", **values)

    assert title(series="A", number="S1", title="T", year="") == "A S1 - T"
    assert title(series="A", number="", title="T", year="1999") == "A - T (1999)"
    assert title(series="", number="S1", title="T", year="") == "T"


def test_a_line_that_has_nothing_to_say_is_empty():
    assert fill("Mood: $mood", mood="") == ""
    assert fill("[$mood]", mood="") == ""
    assert fill("always there") == "always there"


def test_a_dollar_sign_is_written_twice_and_a_name_may_stand_in_braces():
    assert fill("$$5 ${a}b", a="x") == "$5 xb"


def test_the_short_stays_whole_and_the_long_shares_the_room():
    filled = fill("$a · $b · $c", 60, a="S01E02", b="b" * 100, c="c" * 100)
    assert filled.startswith("S01E02 · b")
    assert len(filled) == 60
    assert abs(filled.count("b") - filled.count("c")) <= 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("$nobody", "nothing is called \\$nobody"),
        ("${a.__class__}", "names nothing"),
        ("$a[0]]", "closes nothing"),
        ("[$a", "never closed"),
        ("costs 5 $", "names nothing"),
        ("<@123>", "may not contain '<'"),
        ("`$a`", "may not contain '`'"),
        ("\\$a", "may not contain"),
        ("a\u202eb", "may not contain"),
        ("x" * 1001, "more than 1000"),
    ],
)
def test_what_is_no_template_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        Template.parse(text, known={"a"})


# Layouts -----------------------------------------------------------------------------------------


def test_an_owners_layout_says_what_is_shown_in_which_order_and_colour(write):
    layout = load_layout(
        write(
            """
            colours: {calm: "#010203"}
            counts: {tags: 1}
            item:
              author: ""
              title: "$title"
              fields:
                - {name: Drin, value: "$tags"}
                - {name: "$say_mood", value: "fühlt sich $mood an", inline: true}
            """
        )
    )
    card = build_card(make_announcement(), Look(layout=layout, words=read_words("de")))
    assert "author" not in card
    assert card["title"] == "The Long Road"
    assert card["color"] == 0x010203
    assert card["fields"] == [
        {"name": "Drin", "value": "`car`", "inline": False},
        {"name": "Stimmung", "value": "fühlt sich calm an", "inline": True},
    ]
    assert card["footer"] == {"text": "jellyfin · home"}  # what he did not name is ours


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("item:\n  titel: $title\n", 2, "titel"),
        ("item:\n  title: $titel\n", 2, "nothing is called $titel"),
        ("shapes: {}\n", 1, "shapes"),
        ("counts:\n  moods: 3\n  tags: lots\n", 3, "counts.tags"),
        ("counts:\n  moods: 3\n  moods: 4\n", 3, "there twice"),
        ("colours:\n  calm: green\n", 2, "must be a colour"),
        ("pictures:\n  poster: 1\n", 2, "pictures.poster"),
        ("item:\n  fields:\n    - {name: a, value: b}\n    - {name: a}\n", 4, "value"),
        ("item:\n  fields:\n    - name: a\n      value: b\n      url: c\n", 5, "url"),
        ("item:\n  footer: $highlights\n", 2, "only stand in a description"),
        ("item:\n  description: '|$highlights|'\n", 2, "lay them open"),
        ("group:\n  member: $overview\n", 2, "nothing is called $overview"),
        ("item:\n  description_limit: 4097\n", 2, "description_limit"),
        ("- item\n", 1, "sections"),
    ],
)
def test_a_mistake_in_a_layout_is_named_with_its_line(write, text, line, reason):
    problem = read_problem(write(text))
    assert problem.startswith("DISCORD_LAYOUT: ")
    assert f"line {line}: " in problem
    assert reason in problem


def test_a_layout_that_is_no_yaml_or_not_there_is_named(write, tmp_path):
    assert "line 2" in read_problem(write("item:\n\tx: 1\n"))
    assert "nowhere.yaml" in read_problem(tmp_path / "nowhere.yaml")
    assert "over 100000" in read_problem(write("#" * 100_001))


def test_a_layout_cannot_execute(write, tmp_path):
    trap = tmp_path / "trap"
    read_problem(write(f"item: !!python/object/apply:pathlib.Path.touch ['{trap}']\n"))
    assert not trap.exists()


def test_26_fields_are_one_too_many(write):
    field = "    - {name: a, value: b}\n"
    assert len(load_layout(write("item:\n  fields:\n" + field * 25)).item.fields_) == 25
    assert "item.fields" in read_problem(write("item:\n  fields:\n" + field * 26))


# Languages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_word_with_its_number(language):
    words, english = read_words(language), read_words("en")
    for name in Words.model_fields:
        word = getattr(words, name)
        assert word.strip()
        assert word.count("$") == word.count("$n") == getattr(english, name).count("$n")
        assert not set(word) & set("*_`~|[]<>@\\")


def test_an_unknown_language_is_refused_with_those_we_know():
    with pytest.raises(ConfigurationError, match=r"DISCORD_LANGUAGE.*'tlh'.*en, de"):
        read_words("tlh")


def test_every_placeholder_is_told_of_in_the_guide():
    guide = (HOWTO / "lay-out-discord-cards.md").read_text("utf-8")
    assert [name for name in sorted(PLACEHOLDERS) if f"${name}" not in guide] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_guides_example_cards_are_what_the_code_makes(name):
    assert (HOWTO / name).read_text("utf-8") == render(EXAMPLES[name]), (
        "run: python -m tests.support.discord_cards"
    )


def test_the_guides_own_layout_can_be_read(write):
    guide = (HOWTO / "lay-out-discord-cards.md").read_text("utf-8")
    layout = load_layout(write(guide.split("```yaml\n")[1].split("```")[0]))
    assert [field.name.literals for field in layout.item.fields_] == ["", "Look out for"]
