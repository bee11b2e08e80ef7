"""What a language model may say, and what is made of it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.captioners.answers import (
    BadAnswerError,
    clean,
    parse_picture_answer,
    parse_sound_answer,
)
from service.domain import PictureCaption, SoundCaption

PARSERS: dict[str, Callable[[str], SoundCaption | PictureCaption]] = {
    "summary": parse_sound_answer,
    "text": parse_picture_answer,
}
"""By the key that each cannot do without."""
LIMITS = {"summary": 600, "text": 300}

both = pytest.mark.parametrize("key", list(PARSERS))


def words_of(caption: SoundCaption | PictureCaption) -> str:
    return caption.summary if isinstance(caption, SoundCaption) else caption.text


@both
@pytest.mark.parametrize(
    "surrounding",
    [
        "{}",
        "Sure!\n```json\n{}\n```\nBye.",
        "A {curly} start: {} and an {end}.",
        "<think>Maybe {{}}? {{1}}.</think>{}",
        '{{"answer": {}}}',
        "[{}]",
        "}}}}{}{{{{",
    ],
    ids=["bare", "fence", "prose", "thoughts", "nested", "list", "braces"],
)
def test_an_answer_is_found_in_what_surrounds_it(key, surrounding):
    said = json.dumps({key: "Rain.", "tags": ["Rain", "rain ", ""]})
    text = surrounding.replace("{{", "{").replace("}}", "}").replace("{}", said)
    caption = PARSERS[key](text)
    assert (words_of(caption), caption.tags) == ("Rain.", ("rain",))


@both
def test_an_answer_is_cleaned_and_bounded(key):
    said = {
        key: "a\u202e\x00\n b\u200d\u3164 " + "c" * 5000,
        "tags": [f"tag {n} " + "d" * 500 for n in range(100)],
        "mood": "m" * 500,
        "path": "/etc/passwd",
    }
    caption = PARSERS[key](json.dumps(said))
    assert words_of(caption).startswith("a b ccc")
    assert len(words_of(caption)) == LIMITS[key]
    assert (len(caption.tags), len(caption.tags[0]), len(caption.mood)) == (12, 40, 40)


@both
@pytest.mark.parametrize(
    "changes",
    [
        {"": None},
        {"": ""},
        {"": " \u200b\u2800\n"},
        {"": 5},
        {"": ["x"]},
        {"tags": "a, b"},
        {"tags": [1]},
        {"tags": None},
        {"mood": ["calm"]},
    ],
    ids=str,
)
def test_an_answer_of_the_wrong_types_is_refused_by_name(key, changes):
    said = {key: "x"} | {name or key: value for name, value in changes.items()}
    name = next(iter(changes)) or key
    with pytest.raises(BadAnswerError, match=name):
        PARSERS[key](json.dumps(said))


@both
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        '{"summary": "x',
        '{"text": "x"',
        "null",
        "[" * 100_000,
        '{"a":' * 50_000,
        "{" * 250_000,
        '{"text": ' + "9" * 5000 + "}",
        '{"text": "\\ud800", "summary": "\\ud800"}',
    ],
    ids=lambda text: text[:12] or "empty",
)
def test_what_is_no_such_object_is_a_bad_answer(key, text):
    with pytest.raises(BadAnswerError):
        PARSERS[key](text)


@both
def test_the_reason_for_a_refusal_stays_short(key):
    with pytest.raises(BadAnswerError) as caught:
        PARSERS[key](json.dumps({key: "x", "tags": [1] * 50_000, "mood": 2}))
    assert str(caught.value).endswith("as asked for: mood, tags")
    assert len(str(caught.value.__cause__)) < 1000


@pytest.mark.parametrize("confidence", [85, "0.9", -0.1, True, float("nan"), [0.5]], ids=str)
def test_a_listener_is_asked_again_for_a_confidence_that_is_none(confidence):
    with pytest.raises(BadAnswerError, match="confidence"):
        parse_sound_answer(json.dumps({"summary": "x", "confidence": confidence}))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (0, 0.0),
        (1, 1.0),
        (0.25, 0.25),
        (None, None),
        (85, None),
        (-0.1, None),
        ("0.9", None),
        ("high", None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ({"score": 1}, None),
    ],
    ids=str,
)
def test_a_picture_keeps_its_words_and_only_a_judgement_on_the_scale(said, kept):
    caption = parse_picture_answer(json.dumps({"text": "x", "worth": said}))
    assert caption == PictureCaption(text="x", worth=kept)


def test_a_tag_that_grows_in_lower_case_stays_short():
    (tag,) = parse_picture_answer(json.dumps({"text": "x", "tags": ["\u0130" * 40]})).tags
    assert len(tag) == 40


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_ANSWERS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("summary", "text", "tags", "mood", "confidence", "worth"), _JSON),
)
_TYPED = st.fixed_dictionaries(
    {"summary": st.text(), "text": st.text(), "tags": st.lists(st.text()), "mood": st.text()},
    optional={"confidence": st.floats(), "worth": st.floats()},
)


@st.composite
def _damaged(draw: st.DrawFn) -> str:
    """An answer with something before it, and cut or interrupted somewhere."""
    said = draw(st.text()) + json.dumps(draw(_ANSWERS | _TYPED), ensure_ascii=draw(st.booleans()))
    at = draw(st.integers(0, len(said)))
    return said[:at] + draw(st.sampled_from(["", "{", '"', "</think>", "\x00"])) + said[at:]


def assert_bounded(caption: SoundCaption | PictureCaption, limit: int) -> None:
    texts = [words_of(caption), caption.mood, *caption.tags]
    assert words_of(caption)
    assert len(words_of(caption)) <= limit
    assert len(caption.tags) <= 12
    assert all(len(text) <= 40 for text in texts[1:])
    assert all(text == text.strip() for text in texts)
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs"} for text in texts for c in text)


@both
@given(text=st.text(st.characters()) | _damaged())
@example(text='{"summary": "\ud800", "text": "\ud800"}')
def test_no_answer_breaks_the_parser_or_its_bounds(key, text):
    try:
        caption = PARSERS[key](text)
    except BadAnswerError:
        return
    assert_bounded(caption, LIMITS[key])


@both
@given(said=_TYPED, before=st.text(st.characters(exclude_characters="{}<")))
def test_an_answer_of_the_right_types_is_taken_wherever_it_has_words(key, said, before):
    said.pop("confidence", None)
    text = before + json.dumps(said)
    if clean(said[key]):
        assert_bounded(PARSERS[key](text), LIMITS[key])
    else:
        with pytest.raises(BadAnswerError):
            PARSERS[key](text)


@given(text=st.text(st.characters()))
def test_cleaning_twice_changes_nothing_more(text):
    once = clean(text)
    assert clean(once) == once
    once.encode()  # no half of a surrogate pair is left
