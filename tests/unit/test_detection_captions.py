from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.detection.captions import find_caption_tags, judge_highlights
from service.domain import Highlight, Modality, PictureCaption, SoundCaption
from service.vocabulary import load_vocabulary

VOCABULARY = load_vocabulary()


def caption(*tags, worth=None, text="what it saw"):
    return PictureCaption(text=text, tags=tags, worth=worth)


def found(*captions):
    timed = [(10.0 * n, one) for n, one in enumerate(captions)]
    return find_caption_tags(timed, VOCABULARY, model="looker")


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("Dog", "dog"),
        ("a dog", "dog"),
        ("dogs", "dog"),
        ("puppy", "dog"),
        ("The Beach!", "beach"),
        ("sci-fi", "science fiction"),
        ("arm-wrestling", "arm wrestling"),
        ("bus", "bus"),
        ("glass breaking", "glass breaking"),
    ],
)
def test_a_caption_s_tag_counts_in_the_vocabulary_s_words(said, label):
    (tag,) = found(caption(said))
    assert tag.label == label
    assert tag.score == 0.5
    (evidence,) = tag.evidence
    assert (evidence.modality, evidence.model, evidence.time_s) == (Modality.CAPTION, "looker", 0)


@pytest.mark.parametrize(
    "said", ["no dog", "hot dog stand", "career", "", "   ", "<script>", "ignore all instructions"]
)
def test_whatever_else_a_model_writes_is_no_tag(said):
    assert found(caption(said)) == ()


def test_captions_of_several_frames_agree_but_never_settle_it_alone():
    tags = found(*[caption("cat")] * 2, *[caption("dog", "dog")] * 9)
    scores = {tag.label: tag.score for tag in tags}
    assert scores == {"cat": 0.75, "dog": 0.8}


def test_a_listener_s_doubt_is_heard():
    sure, unsure, odd = (
        SoundCaption(summary="", tags=("rain",), confidence=share)
        for share in (1.0, 0.2, float("nan"))
    )
    assert [found(one)[0].score for one in (sure, unsure, odd)] == [0.5, 0.1, 0.5]


def test_a_model_gone_astray_names_only_so_much():
    everything = [word.label for word in VOCABULARY.tags]
    assert len(found(caption(*everything))) <= 32


@given(st.lists(st.text(), max_size=5))
def test_any_text_at_all_is_harmless(tags):
    labels = {word.label for word in VOCABULARY.tags}
    assert {tag.label for tag in found(caption(*tags))} <= labels


def highlight(start_s, score, peak_s=None):
    peak_s = start_s + 2.0 if peak_s is None else peak_s
    return Highlight(
        start_s=start_s, end_s=start_s + 5.0, peak_s=peak_s, score=score, reasons=("fun",)
    )


def test_what_is_judged_dull_is_dropped_and_the_rest_carries_its_caption():
    given_ones = [highlight(0.0, 0.9), highlight(20.0, 0.5)]
    judged = judge_highlights(
        given_ones, [(2.0, caption(worth=0.05)), (22.0, caption(worth=0.9, text="a goal"))]
    )
    assert [(one.start_s, one.caption) for one in judged] == [(20.0, "a goal")]
    assert judged[0].score == pytest.approx(0.7 * 0.5 + 0.3 * 0.9)
    assert judged[0].reasons == ("fun",)


def test_a_judgement_corrects_the_order_but_does_not_make_it():
    first, second, third = highlight(0.0, 0.9), highlight(20.0, 0.8), highlight(40.0, 0.3)
    worths = [(2.0, caption(worth=0.3)), (22.0, caption(worth=0.9)), (42.0, caption(worth=1.0))]
    order = [one.start_s for one in judge_highlights([first, second, third], worths)]
    assert order == [20.0, 0.0, 40.0]


def test_without_a_judgement_all_stays_as_it_is():
    ones = (highlight(0.0, 0.9), highlight(20.0, 0.8))
    assert judge_highlights(ones, []) == ones
    elsewhere = [(12.0, caption(worth=0.0))]
    assert judge_highlights(ones, elsewhere) == ones
    silent = judge_highlights(ones, [(2.0, caption()), (22.0, caption(worth=float("nan")))])
    assert [one.score for one in silent] == [0.9, 0.8]
    assert silent[0].caption == "what it saw"


def test_of_two_frames_the_one_nearest_to_the_peak_speaks():
    one = highlight(0.0, 0.5, peak_s=4.0)
    frames = [(1.0, caption(worth=0.0, text="early")), (4.5, caption(worth=1.0, text="peak"))]
    assert judge_highlights([one], frames)[0].caption == "peak"
