"""The course of a mood: understood from words, and compared with curves worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import MoodPoint
from service.errors import ConfigurationError
from service.search.courses import score_shape
from service.search.shapes import compile_shapes, parse_shape
from service.vocabulary.shapes import load_shape_words


def course(text: str) -> str:
    """Signs of valence and arousal by part: ``start +-; end -+``; a blank where it says nothing."""
    shape = parse_shape(text)
    if shape is None:
        return ""
    return "; ".join(
        f"{part.start:.2g}-{part.end:.2g} {sign(part.valence)}{sign(part.arousal)}"
        for part in shape.parts
    )


def sign(value: float | None) -> str:
    if value is None:
        return "."
    return "0" if value == 0 else "+" if value > 0 else "-"


def draw(*moods: tuple[float, float], duration_s: float = 100.0) -> list[MoodPoint]:
    """A curve of equally long, level stretches of (valence, arousal)."""
    step = duration_s / (len(moods) * 50)
    return [
        MoodPoint(time_s=(index * 50 + k) * step, valence=valence, arousal=arousal)
        for index, (valence, arousal) in enumerate(moods)
        for k in range(50)
    ]


def score(text: str, *moods: tuple[float, float]) -> float:
    shape = parse_shape(text)
    assert shape is not None
    return score_shape(draw(*moods), shape).score


CALM, TENSE = (0.3, -0.6), (-0.4, 0.6)


@pytest.mark.parametrize(
    "text",
    [
        "calm start, tense end",
        "calm start tense end",
        "Starts calm and ends tense.",
        "a film that starts calm and ends tense",
        "calm at the beginning, tense at the end",
        "tense finale, calm opening",
        "ruhiger Anfang, spannendes Ende",
        "fängt ruhig an und endet spannend",
        "am Anfang ruhig, am Ende spannend",
        "inicio tranquilo, final tenso",
        "empieza tranquila y termina tensa",
        "début calme, fin tendue",
        "commence calme et finit tendu",
    ],
)
def test_a_start_and_an_end_are_understood_in_any_order(text) -> None:
    assert course(text) == "0-0.25 +-; 0.75-1 -+"


@pytest.mark.parametrize(
    "text",
    [
        "quiet then loud",
        "quiet, then loud",
        "from quiet to loud",
        "quiet -> loud",
        "quiet → loud",
        "erst leise, dann laut",
        "silencioso, luego ruidoso",
        "silencieux puis bruyant",
    ],
)
def test_what_follows_each_other_shares_the_time(text) -> None:
    assert course(text) == "0-0.5 .-; 0.5-1 .+"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("calm, then tense, then happy", "0-0.33 +-; 0.33-0.67 -+; 0.67-1 +."),
        ("happy first half, dark second half", "0-0.5 +.; 0.5-1 -."),
        ("loud start, quiet middle, loud end", "0-0.25 .+; 0.33-0.67 .-; 0.75-1 .+"),
        ("builds up", "0-0.25 .-; 0.37-0.62 .0; 0.75-1 .+"),
        ("wird immer spannender", "0-0.25 .-; 0.37-0.62 .0; 0.75-1 .+"),
        ("calms down", "0-0.25 .+; 0.37-0.62 .0; 0.75-1 .-"),
        ("gets darker and darker", "0-0.25 +.; 0.75-1 -."),
        ("builds up to a triumphant finale", "0-0.25 .-; 0.37-0.62 .0; 0.75-1 ++"),
        ("happy ending", "0.75-1 +."),
        ("Happy End", "0.75-1 +."),
        ("trauriges Ende", "0.75-1 --"),
        ("final feliz", "0.75-1 +."),
        ("fin heureuse", "0.75-1 +."),
        ("melancholic ending", "0.75-1 --"),
    ],
)
def test_courses_are_understood(text, wanted) -> None:
    assert course(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "sad", "calm, tense", "red car", "the end of the world", "then"]
)
def test_what_tells_no_course_is_none(text) -> None:
    assert parse_shape(text) is None


def test_words_that_are_about_something_else_are_handed_back() -> None:
    shape = parse_shape("a happy ending in the factory")
    assert shape is not None
    assert shape.rest == ("factory",)


def test_a_curve_that_goes_as_asked_fits_and_its_mirror_does_not() -> None:
    assert score("calm start, tense end", CALM, TENSE) == pytest.approx(1.0)
    assert score("calm start, tense end", TENSE, CALM) == 0.0
    assert score("calm start, tense end", TENSE, TENSE) == 0.0


def test_half_of_a_difference_suffices_and_a_quarter_is_half_a_fit() -> None:
    half = score("quiet then loud", (0, -0.3), (0, 0.3))
    quarter = score("quiet then loud", (0, -0.15), (0, 0.15))
    assert half == pytest.approx(0.6 + 0.4 * 0.7)
    assert quarter == pytest.approx((0.6 + 0.4 * 0.55) / 2)


def test_a_rise_fits_better_than_a_rise_and_fall() -> None:
    rising = [(0.0, value / 10) for value in range(-6, 7)]
    falling_back = [(0.0, 0.6 - abs(value) / 5) for value in range(-6, 7)]
    assert score("builds up", *rising) > 0.9
    assert score("builds up", *falling_back) < 0.5
    assert score("calms down", *reversed(rising)) > 0.9


def test_a_happy_ending_asks_nothing_of_what_comes_before() -> None:
    assert score("happy ending", (-1, 1), (-1, -1), (0, 0), (0.9, 0)) == pytest.approx(1.0)
    assert score("happy ending", (1, 0), (1, 0), (1, 0), (-0.9, 0)) == 0.0


def test_times_are_shares_of_the_whole_item() -> None:
    shape = parse_shape("happy ending")
    assert shape is not None
    curve = [MoodPoint(time_s=0.0, valence=-1.0, arousal=0.0)]
    curve.append(MoodPoint(time_s=50.0, valence=-1.0, arousal=0.0))
    curve.append(MoodPoint(time_s=50.1, valence=1.0, arousal=0.0))
    assert score_shape(curve, shape, duration_s=100.0).score == pytest.approx(1.0)
    assert score_shape(curve, shape, duration_s=50.1).score < 0.1


def test_a_score_names_what_was_asked_and_what_is_there() -> None:
    shape = parse_shape("happy ending")
    assert shape is not None
    match = score_shape(draw((0.2, 0.1)), shape)
    assert match.reasons == ("75% to 100%: valence +0.20 (asked +0.70)",)
    assert match.score == pytest.approx(0.5)


def test_without_a_curve_nothing_fits() -> None:
    shape = parse_shape("builds up")
    assert shape is not None
    assert score_shape([], shape).score == 0.0


POINTS = st.tuples(st.floats(0, 1e5), st.floats(-1, 1), st.floats(-1, 1))


@given(
    st.lists(POINTS, max_size=20),
    st.sampled_from(["builds up", "calm start, tense end", "happy ending", "quiet then loud"]),
)
def test_scores_lie_between_0_and_1_for_any_curve(points, text) -> None:
    shape = parse_shape(text)
    assert shape is not None
    curve = [MoodPoint(time_s=t, valence=v, arousal=a) for t, v, a in sorted(points)]
    assert 0.0 <= score_shape(curve, shape).score <= 1.0


WORDS = ["calm", "end", "start", "then", ",", "and", "builds up", "car", "middle", "sad", "dann"]


@given(st.one_of(st.text(max_size=100), st.lists(st.sampled_from(WORDS)).map(" ".join)))
def test_any_text_can_be_read(text) -> None:
    shape = parse_shape(text)
    assert shape == parse_shape(text)
    if shape is not None:
        assert all(0.0 <= part.start < part.end <= 1.0 for part in shape.parts)
        assert all(part.valence is not None or part.arousal is not None for part in shape.parts)


def test_users_may_add_words_and_change_them(tmp_path) -> None:
    (tmp_path / "shapes.yaml").write_text(
        "feels:\n  cosy: {valence: 0.5, en: snug}\nwhen:\n  end: {from: 0.9, to: 1, en: end}\n"
    )
    shape = parse_shape("snug end", compile_shapes(load_shape_words(tmp_path)))
    assert shape is not None
    assert (shape.parts[0].start, shape.parts[0].valence) == (0.9, 0.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("moods: {}", "expected entries of"),
        ("feels: {odd: {valence: 7}}", "from -1 to 1"),
        ("when: {odd: {from: 1, to: 0}}", "no part of the time"),
        ("courses: {odd: {parts: [1]}}", "odd"),
        ("then: {en: [1]}", "separated by commas"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named(tmp_path, content, message) -> None:
    (tmp_path / "shapes.yaml").write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        load_shape_words(tmp_path)
