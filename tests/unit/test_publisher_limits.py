"""Every limit of Discord's, for any library and layout, and no markup that a stranger wrote."""

from __future__ import annotations

import contextlib
import re

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from publisher.card import MOOD_CURVE, POSTER, build_card
from publisher.discord import THREAD_NAME_LIMIT
from publisher.findings import describe
from publisher.layout import PLACEHOLDERS, Layout, Look, default_look, parse_line
from publisher.template import Template
from publisher.text import clean, units
from publisher.words import LANGUAGES, read_words
from tests.support.announcements import announcements, groups
from tests.support.discord_rules import find_message_problems

PICTURES = {
    0: (POSTER, b"\xff\xd8\xff"),
    1: (MOOD_CURVE, b"\x89PNG\r\n\x1a\n"),
}
_LITERALS = (" ", " · ", "**", "# ", "- ", "x" * 300, "$$", "😀" * 40, ":", "__", "~~", "> ", "(")
_ONE_LINE = sorted(PLACEHOLDERS - {"highlights", "members"})


def templates(names, *, limit=6):
    part = st.one_of(st.sampled_from(_LITERALS), st.sampled_from(names).map("${{{}}}".format))
    optional = st.lists(part, max_size=3).map(lambda parts: f"[{''.join(parts)}]")
    return st.lists(st.one_of(part, optional), max_size=limit).map("".join)


lines = templates(_ONE_LINE)
passages = templates(sorted(PLACEHOLDERS))
fields = st.fixed_dictionaries(
    {
        "name": lines,
        "value": passages,
        "inline": st.booleans(),
        "limit": st.integers(1, 1024),
    }
)
cards = {
    "author": lines,
    "title": st.one_of(lines.map("${title}".__add__), st.just("$say_mood")),
    "description": passages,
    "description_limit": st.sampled_from((1, 100, 4096)),
    "fields": st.lists(fields, max_size=25),
    "footer": lines,
}
counts = st.fixed_dictionaries(
    dict.fromkeys(("moods", "tags", "highlights", "comfort"), st.sampled_from((0, 1, 5, 50)))
)
BUILT_IN = default_look().layout
layouts = st.builds(
    lambda item, group, counts: Layout.model_validate(
        {
            "colours": BUILT_IN.colours.model_dump()
            | {name: f"#{n:06x}" for name, n in BUILT_IN.colours},
            "pictures": BUILT_IN.pictures.model_dump(),
            "counts": counts,
            "item": item,
            "group": group,
        }
    ),
    st.fixed_dictionaries(cards),
    st.fixed_dictionaries(
        cards | {"member": templates(["number", "title", "mood", "tag", "artist", "duration"])}
    ),
    counts,
)
looks = st.builds(
    lambda layout, language: Look(layout=layout, words=read_words(language)),
    st.one_of(st.just(BUILT_IN), layouts),
    st.sampled_from(LANGUAGES),
)
anything = st.one_of(announcements, groups)
often = settings(
    max_examples=100,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink 300 episodes takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@often
@given(announcement=anything, look=looks, thread_name=lines)
def test_no_library_and_no_layout_makes_what_discord_refuses_or_obeys(
    announcement, look, thread_name
):
    """One drawing for all checks: to draw takes longer than to check."""
    card = build_card(announcement, look, pictures={POSTER, MOOD_CURVE})
    message = {
        "embeds": [card],
        "allowed_mentions": {"parse": []},
        "attachments": [{"id": n, "filename": name} for n, (name, _) in PICTURES.items()],
    }
    assert find_message_problems(message, files=PICTURES) == []
    for text in markdown_of(card):
        see_that_nothing_is_obeyed(text)
    values = describe(announcement, look)
    name = parse_line(thread_name).fill(values, THREAD_NAME_LIMIT, is_markdown=False)
    assert units(name) <= THREAD_NAME_LIMIT
    assert not name or clean(name)


def markdown_of(card):
    fields = card.get("fields", [])
    named = [field[key] for field in fields for key in ("name", "value")]
    return [card["title"], card.get("description", ""), *named]


def see_that_nothing_is_obeyed(text):
    # What Discord still reads as markup: no escaped character, nothing within a code span.
    active = re.sub(r"\\.|`[^`\n]*`", "", text, flags=re.DOTALL)
    assert not set(active) & set("[]<`\\")
    assert not re.search("@(?!\u200b)", active)
    assert not re.search(r"\w://", active)


@settings(often, max_examples=60)
@given(announcement=anything)
def test_every_moment_of_a_built_in_card_is_behind_spoiler_marks(announcement):
    for field in build_card(announcement).get("fields", []):
        if field["name"] != "Highlights":
            continue
        for line in field["value"].split("\n"):
            assert re.fullmatch(r"\|\|[^|]+\|\|", line)


@given(text=st.text(max_size=60))
def test_any_text_is_a_template_or_no_value(text):
    with contextlib.suppress(ValueError):
        assert Template.parse(text, known=PLACEHOLDERS).names <= PLACEHOLDERS
