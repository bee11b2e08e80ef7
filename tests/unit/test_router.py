"""What the router makes of queries; those with a person's labels are in data/search."""

# ruff: noqa: RUF001  queries are asked in marks and letters of all kinds

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConfigurationError
from service.query import SearchChannel, SearchMode
from service.search.inflection import inflect
from service.search.lexicon import compile_lexicon
from service.search.router import default_lexicon, route
from service.vocabulary import load_signals

LABELLED = Path(__file__).parents[1] / "data" / "search" / "router-queries.yaml"
FLOOR = 0.95
"""Of the labelled queries; each language for itself reaches nine in ten."""


def read_labelled() -> list[tuple[str, str, str]]:
    document = yaml.safe_load(LABELLED.read_text("utf-8"))
    return [
        (language, mode, text)
        for language, modes in document.items()
        for mode, texts in modes.items()
        for text in texts
    ]


def reasons(text: str) -> str:
    return "; ".join(route(text).reasons)


def test_queries_are_routed_as_a_person_would() -> None:
    labelled = read_labelled()
    right = [route(text).mode == mode for _, mode, text in labelled]
    assert len(labelled) >= 400
    assert sum(right) / len(right) >= FLOOR


@pytest.mark.parametrize("language", ["en", "de", "es", "fr", "ko", "ja", "zh"])
def test_no_language_is_left_behind(language: str) -> None:
    right = [route(text).mode == mode for known, mode, text in read_labelled() if known == language]
    assert sum(right) / len(right) >= 0.9


@pytest.mark.parametrize(
    ("text", "mode", "confidence"),
    [
        ("red car driving fast", SearchMode.RECALL, 0.9),
        ("the line where he says we're in this together", SearchMode.SKIP, 0.9),
        ("tteokbokki scene", SearchMode.RERANK, 0.5),
        ("person in crowd", SearchMode.RERANK, 0.7),
        ("he says goodbye", SearchMode.SKIP, 0.9),
        ("what is the theme?", SearchMode.SKIP, 0.7),
        ("red car", SearchMode.RECALL, 0.7),
        ("a woman in a red dress says hello", SearchMode.RERANK, 0.4),
        ("Interstellar", SearchMode.RERANK, 0.3),
        ("", SearchMode.RERANK, 0.3),
    ],
)
def test_the_seeds_examples_and_thresholds_hold(text, mode, confidence) -> None:
    found = route(text)
    assert (found.mode, found.confidence) == (mode, confidence)


@pytest.mark.parametrize(
    "text",
    [
        "what", "that", "whatever", "chatting away", "career", "carpet", "Sunday", "birthday",
        "Monday", "catalogue", "dogma", "scare", "manage",
        "Karriere", "Geburtstag", "carrera", "anniversaire", "차이", "비밀", "인생", "バスケット",
        "人気", "人生", "马上", "人生的意义", "火星文", "日曜日",
        "人参", "車検", "马蹄铁", "Dogville", "redo", "개발자", "차분한",
    ],
)  # fmt: skip
def test_parts_of_words_are_no_words(text) -> None:
    assert route(text).visual == 0


@pytest.mark.parametrize("form", ["walk", "walks", "walking", "walked", "Walking", "WALKED"])
def test_all_forms_of_a_verb_are_the_verb(form) -> None:
    assert reasons(f"someone {form} home") == f"doings: {form}"


@pytest.mark.parametrize(
    ("language", "section", "word", "forms"),
    [
        ("en", "doings", "run", {"runs", "running"}),
        ("en", "doings", "dance", {"dances", "dancing", "danced"}),
        ("en", "doings", "cry", {"cries", "crying", "cried"}),
        ("en", "things", "puppy", {"puppies"}),
        ("de", "looks", "rot", {"rote", "roter", "rotes", "roten", "rotem"}),
        ("de", "doings", "tanzen", {"tanzt", "tanzte", "tanzend", "getanzt", "tanzende"}),
        ("es", "looks", "rojo", {"roja", "rojos", "rojas"}),
        ("es", "doings", "bailar", {"baila", "bailan", "bailando"}),
        ("de", "says", "antworten", {"antwortete", "geantwortet"}),
        ("de", "talks", "flüstern", {"flüsterte", "geflüstert"}),
        ("fr", "looks", "vert", {"verte", "verts", "vertes"}),
        ("fr", "doings", "nager", {"nage", "nagent", "nageant"}),
    ],
)
def test_regular_forms_are_made(language, section, word, forms) -> None:
    assert forms <= inflect(language, section, word)


@pytest.mark.parametrize(
    "text",
    ["자동차", "자동차가", "자동차를", "자동차에서", "자동차들이", "빨간자동차", "자동차처럼"],
)
def test_korean_particles_are_taken_off(text) -> None:
    assert "자동차" in reasons(text)


@pytest.mark.parametrize(
    "query",
    [
        '"{}"', "“{}”", "„{}“", "«{}»", "« {} »", "»{}«", "‹{}›", "'{}'", "‘{}’", "「{}」",
        "『{}』", "《{}》", "＂{}＂",
    ],
)  # fmt: skip
def test_quotes_of_all_kinds_are_speech_whatever_is_in_them(query) -> None:
    found = route(query.format("the red car"))
    assert found.mode is SearchMode.SKIP
    assert found.visual == 0
    assert found.weights[SearchChannel.TRANSCRIPT] > 1 > found.weights[SearchChannel.VISUAL]
    assert found.weights[SearchChannel.LEXICAL] > 1
    assert any("the red car" in reason for reason in found.reasons)


@pytest.mark.parametrize("text", ["we're in the dogs' park, aren't we", "rock 'n roll", "5' tall"])
def test_apostrophes_are_no_quotes(text) -> None:
    assert "quote" not in reasons(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("no people on the beach", "people"),
        ("beach without tall people", "people"),
        ("there isn't a car in the street", "car"),
        ("keine Menschen am Strand", "Menschen"),
        ("plage sans voitures", "voitures"),
        ("사람이 없는 해변", "사람이"),
        ("没有人的海滩", "人"),
    ],
)
def test_what_is_denied_is_not_looked_for(text, word) -> None:
    found = route(text)
    assert found.visual == 1
    assert any(reason.startswith(f"not counted: {word}") for reason in found.reasons)


def test_who_says_nothing_is_not_looked_for_in_speech() -> None:
    assert route("a man and a dog without dialogue").speech == 0


@pytest.mark.parametrize(
    "text",
    [
        "says the red car", "he mentions the red car", "he says that the dog runs",
        "er sagt das rote Auto", "il dit la voiture rouge", "dice el coche rojo",
        "빨간 차에 대해 말하는 장면", "赤い車について話す", "他提到红色的车",
        "was hat er über Geld gesagt", "hat sie vom roten Auto erzählt",
        "wer hat über das Boot gelogen", "남자가 바다에 대해 말하는", "女性が車について話す",
        "Wo spricht sie über ihre Mutter", "wann redet er vom Meer", "où parle-t-il de sa mère",
    ],
)  # fmt: skip
def test_what_is_said_is_not_shown(text) -> None:
    found = route(text)
    assert found.mode is SearchMode.SKIP
    assert found.visual == 0


@pytest.mark.parametrize("text", ["why does she cry?", "warum weint sie?", "她为什么哭？"])
def test_no_picture_answers_why(text) -> None:
    assert route(text).mode is SearchMode.SKIP


def test_a_question_after_what_is_seen_is_answered_by_pictures() -> None:
    assert route("who wears the red hat?").mode is SearchMode.RECALL


def test_whoever_speaks_is_not_looked_for_but_who_is_described_is() -> None:
    assert route("the old man says goodbye").mode is SearchMode.SKIP
    assert route("a woman in a red dress says goodbye").mode is SearchMode.RERANK


def test_who_repeats_a_word_says_no_more() -> None:
    assert route("car car car car").visual == 1
    assert route("says says says").speech == route("says says").speech


def test_a_listed_word_beats_a_form_of_another() -> None:
    assert "doings" not in reasons("sie gestehen alles")


@pytest.mark.parametrize(
    "text",
    [
        "赤いドレスの女性が愛してると言う", "파란 코트를 입은 남자가 고맙다고 말한다",
        "eine Frau im roten Kleid hat über Geld gesprochen",
    ],
)  # fmt: skip
def test_what_a_speaker_wears_is_shown_wherever_the_verb_stands(text) -> None:
    found = route(text)
    assert found.mode is SearchMode.RERANK
    assert found.visual >= 2
    assert found.speech > 0


def test_what_stands_behind_a_german_preposition_of_place_is_shown() -> None:
    assert route("Vögel fliegen über den See").visual == 3


def test_what_is_shown_while_somebody_speaks_is() -> None:
    assert route("he says goodbye while walking on the beach").mode is SearchMode.RERANK


@pytest.mark.parametrize(
    "text",
    ["sound of rain", "Geräusch von Regen", "雨の音", "雨的声音", "빗소리", "laughter", "music"],
)
def test_sounds_are_listened_for(text) -> None:
    found = route(text)
    assert found.mode is SearchMode.RERANK
    assert found.visual == 0
    assert found.weights[SearchChannel.AUDIO] > 1


def test_pictures_weigh_more_where_only_pictures_are_described() -> None:
    weights = route("red car driving fast").weights
    assert weights[SearchChannel.VISUAL] > 1 > weights[SearchChannel.TRANSCRIPT]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("RED CAR", "red car"),
        ("mädchen mit rotem ballon", "maedchen mit rotem ballon"),
        ("niños jugando", "ninos jugando"),
        ("forêt enneigée", "foret enneigee"),
        ("ＲＥＤ　ＣＡＲ", "red car"),
        ("re\u0301plique", "réplique"),
    ],
)
def test_case_accents_and_width_make_no_difference(first, second) -> None:
    one, other = route(first), route(second)
    assert (one.mode, one.visual, one.speech) == (other.mode, other.visual, other.speech)
    assert one.visual + one.speech > 0


def test_a_voiced_kana_is_a_letter_of_its_own() -> None:
    assert route("バス").visual == 1
    assert route("ハス").visual == 0


def test_a_word_of_two_languages_is_read_as_the_others_are() -> None:
    assert "hat" in reasons("a black hat")
    assert route("er hat es").visual == 0
    assert route("je pleure car il est parti").reasons == ("doings: pleure",)


@given(st.text(max_size=200))
def test_any_text_has_a_route_and_always_the_same(text) -> None:
    found = route(text)
    assert found == route(text)
    assert 0.0 < found.confidence <= 1.0
    assert found.mode is not SearchMode.AUTO


WORDS = ["red", "car", "says", "no", '"', "빨간", "자동차", "赤い", "车", "sound of", "«", "'", "?"]


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.sampled_from(["", " "]))
def test_words_in_any_order_are_explained(words, blank) -> None:
    found = route(blank.join(words))
    assert bool(found.visual or found.speech) <= bool(found.reasons)
    if not any("sound" in reason or "quote" in reason for reason in found.reasons):
        assert SearchChannel.AUDIO not in found.weights


def test_a_long_text_is_read_at_its_beginning() -> None:
    assert route("red car " + "und " * 100_000).mode is SearchMode.RECALL


@pytest.mark.parametrize("text", ["車" * 5_000, "ﷺ" * 5_000, "车说 " * 2_000])
def test_no_more_is_read_of_a_text_than_is_needed(text) -> None:
    read, matches, count = default_lexicon().read(text)
    assert len(read) <= 240
    assert sum(letter in "車车说" for letter in read) <= 120
    assert len(matches) <= count <= 120


def test_a_run_that_ends_within_a_longer_word_is_read_to_its_end() -> None:
    _, matches, _ = default_lexicon().read("看书 红气")
    assert all(match.text and match.end <= len("看书 红气") for match in matches)


def test_users_may_add_words_move_them_and_add_languages(tmp_path) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "en.yaml").write_text("things: flux capacitor\nplain: car\n")
    (tmp_path / "search" / "it.yaml").write_text("things: macchina/macchine\nlooks: rossa\n")
    lexicon = compile_lexicon(load_signals(tmp_path))
    assert route("flux capacitors", lexicon).visual == 1
    assert route("car", lexicon).visual == 0
    assert route("macchina rossa", lexicon).mode is SearchMode.RECALL
    assert route("car").visual == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [("thing: car", "unknown section 'thing'"), ("things: [car]", "separated by commas")],
)
def test_a_file_that_cannot_be_understood_is_named(tmp_path, content, message) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "en.yaml").write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        load_signals(tmp_path)


def test_what_is_quoted_is_told_as_it_was_written():
    assert route('he talks about "the Last Ferry"').quotes == ("the Last Ferry",)
    assert route("the last ferry").quotes == ()


def test_what_is_heard_is_looked_for_among_tags_and_hardly_in_pictures():
    weights = route("the sound of rain").weights
    assert weights[SearchChannel.AUDIO] > 1.0
    assert weights[SearchChannel.LEXICAL] > 1.0
    assert weights[SearchChannel.VISUAL] < 1.0
