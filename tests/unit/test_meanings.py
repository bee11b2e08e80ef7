"""Which tags and moods words mean, and who has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import ItemRef
from service.errors import ConfigurationError
from service.query import Candidate, SceneKey
from service.search.meanings import compile_meanings, join_candidates, rate_items
from service.vocabulary import load_signals, load_vocabulary
from service.vocabulary.meanings import load_meanings

VOCABULARY = load_vocabulary(None)
MEANINGS = compile_meanings(VOCABULARY, load_meanings(), load_signals())
DOG, RAIN = ItemRef(server="s", item_id="dog"), ItemRef(server="s", item_id="rain")


def labels(text: str) -> list[set[str]]:
    return [set(meant) for meant in MEANINGS.find(text)]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("dog", [{"dog"}]),
        ("a dog barks", [{"dog"}, {"dog"}]),
        ("the barking", [{"dog"}]),
        ("sound of rain", [{"rain"}]),
        ("ocean", [{"sea"}]),
        ("chainsaw", [{"sawing wood"}]),
        ("sawing wood", [{"sawing wood"}, {"sawing wood"}]),
        ("Hunde", [{"dog"}]),
        ("un perro ladrando", [{"dog"}, {"dog"}]),
        ("pluie", [{"rain"}]),
        ("비 오는 소리", [{"rain"}]),
        ("犬が吠える", [{"dog"}]),
        ("下雨", [{"rain"}]),
        ("a bird, not a rooster", [{"bird"}]),
        ("ein Auto, aber kein Hund", [{"car"}]),
        ("zyzzyva dog", [set(), {"dog"}]),
        ("the of a", []),
        ("", []),
    ],
)
def test_words_mean_tags(text, meant) -> None:
    assert labels(text) == meant


def test_a_name_of_its_own_means_a_tag_more_surely_than_another() -> None:
    [own], [other] = MEANINGS.find("dog"), MEANINGS.find("puppy")
    assert own["dog"] > other["dog"]


@pytest.mark.parametrize("text", ["career", "scar", "hotdog stand", "catalogue", "that"])
def test_parts_of_words_mean_nothing(text) -> None:
    assert not set().union(*labels(text)) & {"car", "dog", "cat"}


def test_every_label_that_has_words_is_of_the_vocabulary() -> None:
    known = {entry.label for entry in VOCABULARY.tags} | {mood.label for mood in VOCABULARY.moods}
    assert set(load_meanings()) <= known


def test_a_users_words_replace_ours_of_the_same_label(tmp_path) -> None:
    (tmp_path / "meanings.yaml").write_text("dog: {nl: 'hond, honden'}")
    own = compile_meanings(VOCABULARY, load_meanings(tmp_path), load_signals())
    assert [set(meant) for meant in own.find("honden")] == [{"dog"}]
    assert own.find("Welpe") == [{}]


@pytest.mark.parametrize("wrong", ["dog: [Hund]", "dog: {de: [Hund]}", "dog: Hund"])
def test_a_file_that_is_no_list_of_words_is_refused_by_its_label(tmp_path, wrong) -> None:
    (tmp_path / "meanings.yaml").write_text(wrong)
    with pytest.raises(ConfigurationError, match=r"meanings\.yaml: dog"):
        load_meanings(tmp_path)


def test_an_item_is_as_good_as_the_words_that_its_tags_explain() -> None:
    words = [{"dog": 1.0}, {"rain": 0.8}, {}]
    [first, second] = rate_items(words, {"dog": {DOG: 1.0, RAIN: 0.0}, "rain": {DOG: 0.5}})
    assert (first.scene, second.scene) == (
        SceneKey(ref=DOG, position=-1),
        SceneKey(ref=RAIN, position=-1),
    )
    assert first.score == pytest.approx((1.0 + 0.8 * 0.75) / 3)
    assert second.score == pytest.approx(0.5 / 3)


def test_of_text_and_meaning_the_better_counts_and_exact_stays_exact() -> None:
    scene, other = SceneKey(ref=DOG, position=-1), SceneKey(ref=RAIN, position=-1)
    named = [Candidate(scene=scene, score=1.05, is_exact=True, snippet="Dogs")]
    meant = [Candidate(scene=scene, score=0.6), Candidate(scene=other, score=0.7)]
    [first, second] = join_candidates(named, meant)
    assert (first.is_exact, first.snippet) == (True, "Dogs")
    assert first.score == pytest.approx(1.6)
    assert second.scene == other


@given(st.text())
def test_anything_can_be_asked(text) -> None:
    assert all(0.0 < sure <= 1.0 for meant in MEANINGS.find(text) for sure in meant.values())
