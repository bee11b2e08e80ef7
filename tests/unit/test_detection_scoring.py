from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detection.concepts import average_prompts, embed_concepts, look_for
from service.detection.moments import unit
from service.detection.scoring import score_concepts, score_contrast
from service.domain import Calibration, ScoreKind
from service.errors import ConfigurationError
from service.vocabulary import HighlightCue, MoodWord, TagWord, Vocabulary, load_vocabulary

CLIP = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0)
SIGLIP = Calibration(kind=ScoreKind.SIGMOID, logit_scale=117.33, logit_bias=-12.93)


def with_cosines(*cosines):
    """Concepts in a space where picture e0 has the given cosines with them."""
    rows = [
        [cosine, *(np.sqrt(1 - cosine**2) * (np.arange(len(cosines)) == index))]
        for index, cosine in enumerate(cosines)
    ]
    return np.array(rows, np.float32)


def picture(dimension):
    return np.eye(dimension, dtype=np.float32)[:1][None]


def test_a_softmax_model_chooses_the_nearest_concept_by_its_logit_scale():
    texts = with_cosines(0.30, 0.28, 0.25)
    scores = score_concepts(picture(4), texts[:2], texts[2:], CLIP)
    logits = np.exp(100 * np.array([0.30, 0.28, 0.25]))
    assert scores[0] == pytest.approx((logits / logits.sum())[:2], rel=1e-3)


def test_a_concept_that_is_no_better_than_the_background_scores_low():
    texts = with_cosines(0.20, 0.25, 0.25, 0.25)
    assert score_concepts(picture(5), texts[:1], texts[1:], CLIP)[0, 0] < 0.01


def test_the_winner_of_a_kind_scores_low_when_many_of_other_kinds_fit_better():
    texts = with_cosines(*[0.30] * 12, 0.22, 0.10)
    kinds = ["subject"] * 12 + ["place"] * 2
    scores = score_concepts(picture(15), texts, texts[:0], CLIP, kinds)
    assert scores[0, 12] < 0.05


def test_a_sigmoid_model_scores_its_anchor_a_half():
    # SigLIP gives 0.01 where scale * cosine + bias = logit(0.01).
    cosine = (np.log(0.01 / 0.99) + 12.93) / 117.33
    texts = with_cosines(cosine)
    scores = score_concepts(picture(2), texts, texts[:0], SIGLIP)
    assert scores[0, 0] == pytest.approx(0.5, abs=0.01)


def test_a_sigmoid_model_lets_two_concepts_be_right_at_once():
    texts = with_cosines(0.13, 0.13, 0.02)
    scores = score_concepts(picture(4), texts[:2], texts[2:], SIGLIP)
    assert scores[0].min() > 0.9


def test_of_two_views_the_better_one_counts():
    texts = with_cosines(0.3, 0.2)
    seen, unseen = np.eye(3, dtype=np.float32)[0], np.eye(3, dtype=np.float32)[2]
    both = score_concepts(np.stack([unseen, seen])[None], texts[:1], texts[1:], CLIP)
    alone = score_concepts(seen[None, None], texts[:1], texts[1:], CLIP)
    assert both[0, 0] == pytest.approx(alone[0, 0])


def test_a_contrast_of_equals_is_a_half_and_longer_lists_have_no_advantage():
    texts = with_cosines(0.2, 0.2, 0.2, 0.2)
    chance, _ = score_contrast(picture(5), texts[:1], texts[1:], CLIP)
    assert chance[0] == pytest.approx(0.5, abs=1e-3)


def test_a_contrast_follows_the_logit_scale_within_clips_range():
    texts = with_cosines(0.22, 0.20)
    chance, _ = score_contrast(picture(3), texts[:1], texts[1:], CLIP)
    assert chance[0] == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-3)


def test_wide_margins_are_tempered_so_that_moments_stay_apart():
    directions = unit(np.array([[1.0, t] for t in np.linspace(0.1, 0.9, 20)], np.float32))
    yes, no = np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
    chance, _ = score_contrast(directions[:, None], yes, no, CLIP)
    assert (np.diff(chance) < 0).all()
    assert chance[0] < 0.999
    assert chance[-1] > 0.5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([CLIP, SIGLIP]), st.integers(1, 30))
def test_scores_are_probabilities_whatever_the_vectors(seed, calibration, count):
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(count, 2, 8)))
    texts = unit(rng.normal(size=(9, 8)))
    kinds = [str(kind) for kind in rng.integers(0, 3, 5)]
    scores = score_concepts(vectors, texts[:5], texts[5:], calibration, kinds)
    assert scores.shape == (count, 5)
    assert ((scores >= 0) & (scores <= 1)).all()
    chance, _ = score_contrast(vectors, texts[:3], texts[3:], calibration)
    assert ((chance >= 0) & (chance <= 1)).all()


def test_the_mean_of_prompts_is_taken_over_unit_vectors():
    vectors = np.array([[10.0, 0.0], [0.0, 1.0]], np.float32)
    assert average_prompts(vectors) == pytest.approx(np.full(2, np.sqrt(0.5)))


class WordEncoder:
    """Knows a few words; every text is the sum of those in it."""

    name = "words"
    calibration = CLIP
    words = ("cat", "dog", "happy", "fun", "wall")
    dimension = len(words)

    def __init__(self):
        self.calls = []

    device = "cpu"

    def encode_images(self, images, *, timeout_s=None):
        raise AssertionError("no pictures here")

    def encode_texts(self, texts):
        self.calls.append(list(texts))
        return unit(np.array([[word in text for word in self.words] for text in texts], float))


def small_vocabulary(**changes):
    given = {
        "tags": (
            TagWord(label="cat", kind="subject", prompts=("a cat", "a big cat")),
            TagWord(label="unknown", kind="subject", prompts=("xyzzy",)),
            TagWord(label="loud", kind="sound", signals=("loud",)),
        ),
        "moods": (MoodWord(label="happy", valence=1.0, arousal=0.0, prompts=("happy",)),),
        "positive": (HighlightCue(label="fun", prompts=("fun",)),),
        "negative": (HighlightCue(label="wall", prompts=("wall",)),),
        "background": ("a dog",),
        "sound_background": (),
        "templates": {"picture": ("{}", "a photo of {}"), "sound": ("{}",)},
        "fingerprint": "0",
    }
    return Vocabulary(**{**given, **changes})


def test_all_prompts_are_encoded_in_one_call_and_each_sentence_once():
    encoder = WordEncoder()
    concepts = embed_concepts(small_vocabulary(background=("a cat",)), encoder)
    assert len(encoder.calls) == 1
    assert len(encoder.calls[0]) == len(set(encoder.calls[0]))
    assert "a photo of a big cat" in encoder.calls[0]
    assert concepts.background_vectors.shape == (1, 5)


def test_concepts_without_prompts_or_meaning_to_the_model_are_left_out():
    concepts = embed_concepts(small_vocabulary(), WordEncoder())
    assert [word.label for word in concepts.tags] == ["cat"]
    assert concepts.tag_vectors == pytest.approx(np.eye(5)[:1])


def test_the_users_words_replace_the_highlight_prompts():
    vocabulary = look_for(small_vocabulary(), ["a cat"], ["a wall"])
    assert [cue.label for cue in vocabulary.positive] == ["a cat"]
    assert [cue.label for cue in vocabulary.negative] == ["a wall"]
    assert vocabulary.fingerprint != small_vocabulary().fingerprint


def test_without_unwanted_words_the_background_stands_against_the_wanted():
    vocabulary = look_for(small_vocabulary(), ["a cat"], [])
    assert [cue.prompts for cue in vocabulary.negative] == [("a dog",)]


def test_a_centre_of_another_space_is_an_error_that_says_what_to_do():
    class Recalibrated(WordEncoder):
        calibration = replace(CLIP, centre=(0.1, 0.2))

    words = look_for(load_vocabulary(), ["a red car"], ["a road"])
    with pytest.raises(ConfigurationError, match=r"2 dimensions.*moodreel models calibrate"):
        embed_concepts(words, Recalibrated())
