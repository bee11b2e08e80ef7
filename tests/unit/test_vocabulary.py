from __future__ import annotations

import csv
from collections import Counter

import pytest

from service.detection.properties import NAMES
from service.domain import Modality
from service.errors import ConfigurationError
from service.vocabulary import load_vocabulary, name_sounds


@pytest.fixture
def user(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path

    return write


def labels(vocabulary):
    return {word.label: word for word in vocabulary.tags}


def test_the_built_in_vocabulary_is_rich_enough():
    vocabulary = load_vocabulary()
    kinds = Counter(word.kind for word in vocabulary.tags)
    assert sum(kinds.values()) >= 150
    assert {"subject", "place", "action", "event", "style", "sound"} <= set(kinds)
    assert min(kinds.values()) >= 10
    assert len(vocabulary.moods) == 24
    assert len(vocabulary.positive) >= 5
    assert len(vocabulary.negative) >= 5
    assert len(vocabulary.background) >= 3


def test_every_mood_has_a_place_of_its_own_on_the_circumplex():
    places = [(word.valence, word.arousal) for word in load_vocabulary().moods]
    assert len(set(places)) == 24
    assert all(abs(valence) <= 1 and abs(arousal) <= 1 for valence, arousal in places)
    quadrants = {(valence > 0, arousal > 0) for valence, arousal in places}
    assert len(quadrants) == 4


def test_no_label_is_there_twice_and_prompts_are_few():
    vocabulary = load_vocabulary()
    assert max(Counter(word.label for word in vocabulary.tags).values()) == 1
    assert all(len(word.prompts) <= 3 for word in vocabulary.tags)


def test_every_signal_named_is_measured():
    assert {signal for word in load_vocabulary().tags for signal in word.signals} <= NAMES


def test_every_sound_named_is_a_class_of_audioset(shared):
    with (shared / "models/yamnet/yamnet_class_map_derived.csv").open(encoding="utf-8") as file:
        known = {row["display_name"] for row in csv.DictReader(file)}
    vocabulary = load_vocabulary()
    words = [word.sounds for word in vocabulary.tags]
    words += [word.sounds for word in vocabulary.moods]
    words += [cue.sounds for cue in (*vocabulary.positive, *vocabulary.negative)]
    assert {sound for sounds in words for sound in sounds} - known == set()


def test_a_user_adds_changes_and_removes_tags(user):
    directory = user(
        "tags.yaml",
        "subject:\n  lighthouse: {prompts: [a lighthouse]}\n  dog: {prompts: [our dog Rex]}\n"
        "  cat: null\nhobby:\n  chess: {words: [Chess]}\n",
    )
    tags = labels(load_vocabulary(directory))
    assert tags["lighthouse"].kind == "subject"
    assert tags["dog"].prompts == ("our dog Rex",)
    assert tags["dog"].sounds == ()
    assert "cat" not in tags
    assert tags["chess"].words == ("chess",)
    assert "horse" in tags


def test_a_user_changes_moods_highlights_and_templates(user):
    user("moods.yaml", "cosy: {valence: 0.6, arousal: -0.4, prompts: [a cosy room]}\nangry: null\n")
    user("templates.yaml", 'picture: ["a drawing of {}"]\n')
    directory = user(
        "highlights.yaml", "positive:\n  goal: {prompts: [a goal]}\nbackground: [grey]\n"
    )
    vocabulary = load_vocabulary(directory)
    moods = [word.label for word in vocabulary.moods]
    assert "cosy" in moods
    assert "angry" not in moods
    assert "goal" in [cue.label for cue in vocabulary.positive]
    assert vocabulary.background == ("grey",)
    assert vocabulary.templates_for(Modality.PICTURE, "clip-vit-b-32") == ("a drawing of {}",)
    assert vocabulary.templates["sound"] == load_vocabulary().templates["sound"]


def test_a_user_s_templates_count_for_families_of_models_too(user):
    directory = user("templates.yaml", 'picture: ["a drawing of {}"]\nsound/clap: ["hear {}"]\n')
    vocabulary = load_vocabulary(directory)
    assert vocabulary.templates_for(Modality.PICTURE, "siglip-b16-224") == ("a drawing of {}",)
    assert vocabulary.templates_for(Modality.SOUND, "clap-htsat") == ("hear {}",)
    assert vocabulary.templates_for(Modality.SOUND, "other") != ("hear {}",)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("siglip-b16-224", "picture/siglip"),
        ("siglip2-b32-256", "picture/siglip"),
        ("ViT-B-16-SigLIP__webli", "picture/siglip"),
        ("clip-vit-b-32", "picture"),
        ("clipclap", "picture"),
        ("", "picture"),
    ],
)
def test_a_family_s_sentences_are_for_models_whose_name_says_so(model, family):
    vocabulary = load_vocabulary()
    found = vocabulary.templates_for(Modality.PICTURE, model)
    assert found == vocabulary.templates[family]


def test_the_longest_family_name_counts(user):
    sets = "picture/siglip: ['one {}']\npicture/siglip2: ['two {}']\npicture/siglip2-b32: ['b {}']"
    vocabulary = load_vocabulary(user("templates.yaml", sets))
    found = {
        model: vocabulary.templates_for(Modality.PICTURE, model)[0]
        for model in ("siglip-b16-224", "siglip2-b16-256", "siglip2-b32-256")
    }
    assert list(found.values()) == ["one {}", "two {}", "b {}"]


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("Baby cry, infant cry",), ("baby cry, infant cry",)),
        (("Frying (food)", "Sizzle"), ("frying food", "sizzle")),
        (("Bee, wasp, etc.",), ("bee, wasp",)),
        (("Bark", "bark"), ("bark",)),
        ((), ()),
    ],
)
def test_classes_of_sounds_are_named_as_a_caption_would(classes, said):
    assert name_sounds(classes) == said


def test_the_fingerprint_changes_with_the_words_and_only_with_them(user, tmp_path):
    plain = load_vocabulary().fingerprint
    assert load_vocabulary(tmp_path).fingerprint == plain
    assert load_vocabulary(user("tags.yaml", "subject: {cat: null}")).fingerprint != plain


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("tags.yaml", "subject:\n  cat: {promts: [a cat]}", ["tags.yaml", "cat", "promts"]),
        ("tags.yaml", "subject:\n  cat: [a cat]\n  dog: 3", ["tags.yaml", "dog"]),
        ("tags.yaml", "subject:\n  cat: {prompts: a cat}", ["cat", "prompts", "list"]),
        ("tags.yaml", "subject:\n  cat: {}", ["cat", "never found"]),
        ("tags.yaml", "place:\n  dog: {prompts: [a dog]}", ["dog", "subject", "place"]),
        ("tags.yaml", "subject:\n  a: {words: [a]}\n  a: {words: [b]}", ["line 3", "twice"]),
        ("tags.yaml", "subject:\n  yes: {words: [a]}", ["line 2", "quotation marks"]),
        ("tags.yaml", "subject:\n  cat: {prompts: [a cat", ["tags.yaml", "line"]),
        ("tags.yaml", "- cat", ["tags.yaml", "sections"]),
        ("tags.yaml", "subject: 3", ["tags.yaml", "subject"]),
        ("moods.yaml", "odd: {valence: 2, arousal: 0}", ["odd", "valence", "-1 to 1"]),
        ("moods.yaml", "odd: {valence: 0}", ["odd", "arousal"]),
        ("moods.yaml", "odd: {valence: 0, arousal: 0, signals: [dark]}", ["odd", "signals"]),
        ("highlights.yaml", "best: {x: {prompts: [y]}}", ["best", "positive"]),
        ("highlights.yaml", "positive: {x: {}}", ["x", "never found"]),
        ("templates.yaml", "picture: [no place]", ["picture", "{}"]),
        ("templates.yaml", "smell/nose: ['{}']", ["smell", "picture"]),
        ("highlights.yaml", "positive: {x: {hears: 3}}", ["x", "hears", "list"]),
    ],
)
def test_a_mistake_is_named_by_file_and_line_or_entry(user, name, text, told):
    with pytest.raises(ConfigurationError) as caught:
        load_vocabulary(user(name, text))
    for part in told:
        assert part in str(caught.value)


def test_a_directory_that_is_not_there_is_a_mistake(tmp_path):
    with pytest.raises(ConfigurationError, match="not a directory"):
        load_vocabulary(tmp_path / "nowhere")


def test_a_file_that_is_no_text_is_a_mistake(tmp_path):
    (tmp_path / "tags.yaml").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(ConfigurationError, match=r"tags\.yaml"):
        load_vocabulary(tmp_path)
