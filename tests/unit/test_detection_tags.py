from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from service.detection.concepts import Concepts
from service.detection.heard import HeardSounds
from service.detection.moments import gather_moments, unit
from service.detection.properties import Property, measure_properties
from service.detection.sound import SoundMeter, summarize_sound
from service.detection.tags import (
    find_metadata_tags,
    find_picture_tags,
    find_signal_tags,
    find_sound_tags,
    limit_tags,
    match_tags,
    merge_tags,
)
from service.domain import (
    AudioWindow,
    Calibration,
    Evidence,
    ItemRef,
    MediaItem,
    MediaKind,
    Modality,
    Scene,
    ScoreKind,
    Shot,
    Tag,
)
from service.vocabulary import TagWord, load_vocabulary
from tests.support.pictures import film, place, plain

VOCABULARY = load_vocabulary()
AXES = np.eye(4, dtype=np.float32)
CAT = TagWord(label="cat", kind="subject", prompts=("a cat",))
DOG = TagWord(label="dog", kind="subject", prompts=("a dog",))
CONCEPTS = Concepts(
    model="small",
    calibration=Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0),
    tags=(CAT, DOG),
    tag_vectors=AXES[:2],
    moods=(),
    mood_vectors=AXES[:0],
    positive=(),
    positive_vectors=AXES[:0],
    negative=(),
    negative_vectors=AXES[:0],
    background_vectors=AXES[3:],
)


def item(**given):
    ref = ItemRef(server="a", item_id="1")
    return replace(MediaItem(title="", kind=MediaKind.MOVIE, ref=ref), **given)


def labels(tags):
    return {tag.label for tag in tags}


def seen(*times_and_cosines):
    """Moments that have the given cosine with the cat, and the rest with the background."""
    times = [time_s for time_s, _ in times_and_cosines]
    vectors = unit(np.array([[c, 0, 0, 1 - c] for _, c in times_and_cosines], np.float32))
    return gather_moments(times, vectors)


def test_what_is_seen_long_enough_is_a_tag_with_the_best_times_as_evidence():
    moments = seen(*[(0.5 * i, 1.0 if 4 <= 0.5 * i <= 8 else 0.0) for i in range(40)])
    (tag,) = find_picture_tags(moments, CONCEPTS)
    assert tag.label == "cat"
    assert tag.score > 0.6
    assert all(4 <= evidence.time_s <= 8 for evidence in tag.evidence)
    assert tag.evidence[0].modality is Modality.PICTURE
    assert tag.evidence[0].model == "small"
    assert tag.evidence[0].prompt == "a cat"


def test_what_is_seen_for_an_instant_or_not_at_all_is_no_tag():
    instant = seen(*[(0.5 * i, 1.0 if i == 10 else 0.0) for i in range(40)])
    assert find_picture_tags(instant, CONCEPTS) == ()
    assert find_picture_tags(seen(*[(0.5 * i, 0.0) for i in range(9)]), CONCEPTS) == ()
    assert find_picture_tags(gather_moments([], AXES[:0]), CONCEPTS) == ()


def test_what_is_heard_is_a_tag_and_a_single_hop_is_not():
    scores = np.zeros((20, 2), np.float32)
    scores[4:9, 0] = 0.8
    scores[12, 1] = 0.3
    heard = HeardSounds(
        model="tagger", labels=("Bark", "Meow"), times_s=np.linspace(0.5, 19.5, 20), scores=scores
    )
    (tag,) = find_sound_tags(heard, VOCABULARY)
    assert tag.label == "dog"
    assert tag.score == pytest.approx(0.8, abs=1e-3)
    assert tag.evidence[0].modality is Modality.SOUND
    assert 4.0 <= tag.evidence[0].time_s <= 9.0


def test_measured_properties_become_the_vocabulary_s_words():
    tags = find_signal_tags([Property(name="dark", strength=0.7, time_s=3.0)], VOCABULARY)
    assert [(tag.label, tag.kind, tag.score) for tag in tags] == [("dark picture", "style", 0.7)]
    assert tags[0].evidence[0].model == "signals"
    assert find_signal_tags([Property(name="dark", strength=0.1, time_s=3.0)], VOCABULARY) == ()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"genres": ("Science Fiction", "Horror")}, {"science fiction", "horror"}),
        ({"keywords": ("my dog", "Beach")}, {"dog", "beach"}),
        ({"title": "Our dogs on holiday"}, {"dog", "holiday trip"}),
        ({"title": "The career of a carpet"}, set()),
        ({"title": "What, that? Chatting"}, set()),
        ({"title": "Oscar has a scar"}, set()),
        ({"genres": ("Sci-Fi",)}, {"science fiction"}),
        ({"title": "Wedding (2019)"}, {"wedding"}),
    ],
)
def test_metadata_is_matched_by_whole_words(given, expected):
    assert labels(find_metadata_tags(item(**given), VOCABULARY)) == expected


def test_the_owner_s_own_words_count_more_than_a_title():
    (named,) = find_metadata_tags(item(keywords=("horse",)), VOCABULARY)
    (titled,) = find_metadata_tags(item(title="A horse"), VOCABULARY)
    assert named.score > titled.score
    assert named.evidence[0].modality is Modality.METADATA


def found(label, score, modality, model="m"):
    evidence = Evidence(time_s=1.0, score=score, modality=modality, model=model)
    return Tag(label=label, kind="subject", score=score, evidence=(evidence,))


def test_modalities_that_agree_strengthen_each_other_and_keep_their_evidence():
    seen_dog, seen_cat = (found(label, 0.5, Modality.PICTURE) for label in ("dog", "cat"))
    merged = merge_tags([seen_cat, seen_dog], [found("dog", 0.5, Modality.SOUND)])
    assert [(tag.label, tag.score) for tag in merged] == [("dog", 0.75), ("cat", 0.5)]
    senses = [evidence.modality for evidence in merged[0].evidence]
    assert senses == [Modality.PICTURE, Modality.SOUND]


def test_two_models_that_heard_the_same_are_no_more_sure_than_the_surer():
    tagger, listener = (found("dog", score, Modality.SOUND) for score in (0.6, 0.7))
    (tag,) = merge_tags([tagger], [listener])
    assert tag.score == 0.7
    assert len(tag.evidence) == 2


def test_each_kind_keeps_its_best():
    tags = [Tag(label=str(n), kind="ab"[n % 2], score=1.0 - n / 10) for n in range(6)]
    assert [tag.label for tag in limit_tags(tags, 2)] == ["0", "1", "2", "3"]


def test_tags_without_prompts_or_items_without_vectors_have_no_cosine():
    scenes = [
        Scene(start_s=0, end_s=1, keyframe_s=0, quality=1, embedding=unit(np.array([1, 1, 0, 0.0])))
    ]
    tags = [Tag(label=label, kind="x", score=1) for label in ("dog", "loud")]
    cosines = match_tags(tags, scenes, CONCEPTS)
    assert cosines[0] == pytest.approx(np.sqrt(0.5))
    assert np.isnan(cosines[1])
    assert np.isnan(match_tags(tags, (), CONCEPTS)).all()


def test_cosines_with_scenes_are_less_what_a_text_gets_from_anything():
    vector = unit(np.array([0.6, 0.5, 0.0, 0.0]))
    scenes = [Scene(start_s=0, end_s=1, keyframe_s=0, quality=1, embedding=vector)]
    tags = [Tag(label=label, kind="x", score=1) for label in ("cat", "dog")]
    usual = replace(CONCEPTS.calibration, centre=(0.5, 0.1, 0.0, 0.0))
    raw = match_tags(tags, scenes, CONCEPTS)
    cosines = match_tags(tags, scenes, replace(CONCEPTS, calibration=usual))
    assert raw[0] > raw[1]
    assert cosines[0] < cosines[1]
    assert cosines.mean() == pytest.approx(raw.mean())


def names(picture=None, shots=(), sound=None):
    analysis = summarize_sound(sound) if sound is not None else None
    return {found.name for found in measure_properties(picture, shots, sound, analysis)}


def test_a_grey_film_is_black_and_white_and_a_coloured_one_is_not():
    grey = place(1).mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
    assert "black_and_white" in names(film(lambda _: grey, 2.0))
    spotted = grey.copy()
    spotted[20:32, 20:40] = (200, 30, 30)  # a red car on a grey road
    assert "black_and_white" not in names(film(lambda _: spotted, 2.0))


def test_a_dark_still_film_is_dark_and_still_and_fades_do_not_count():
    assert {"dark", "still"} <= names(film(lambda _: place(1, light=0.2), 3.0))
    mostly_black = film(lambda t: place(1) if t > 7.0 else plain(0), 10.0)
    assert "dark" not in names(mostly_black)


def test_pace_needs_a_few_shots():
    quick = [Shot(start_s=float(n), end_s=float(n + 1)) for n in range(6)]
    slow = [Shot(start_s=30.0 * n, end_s=30.0 * (n + 1)) for n in range(6)]
    assert names(shots=quick) == {"fast_cut"}
    assert names(shots=slow) == {"long_takes"}
    assert names(shots=quick[:2]) == set()


def test_silence_and_noise_have_names():
    def sound(samples):
        meter = SoundMeter()
        meter.add(AudioWindow(start_s=0.0, samples=samples, sample_rate_hz=16_000))
        return meter.signals()

    assert names(sound=sound(np.zeros(80_000, np.float32))) == {"silent"}
    noise = np.random.default_rng(0).uniform(-1, 1, 80_000).astype(np.float32)
    assert "loud" in names(sound=sound(noise))
