"""What votes make of thresholds: bounded, monotone, slow to move."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import Analysis, Highlight, ItemRef, MediaItem, MediaKind, Scene, Tag
from service.feedback import UnknownLabelError, find_label, find_threshold, keep_learnt
from service.query import Part, SceneKey, VoteCount, VoteSubject
from service.search.feedback import (
    CEILING,
    LEAST,
    LIFT,
    STEP_LIMIT,
    VOTES,
    Tally,
    judge,
    move_threshold,
    result_label,
    step,
    tally_votes,
)
from service.search.fusion import Fused

votes = st.integers(min_value=0, max_value=2_000)
tallies = st.builds(Tally, right=votes, wrong=votes)
bases = st.floats(min_value=0.0, max_value=1.0)


@given(bases, tallies, tallies)
def test_one_more_rejection_never_lowers_a_threshold(base, library, label):
    before = move_threshold(base, library, label)
    more = Tally(wrong=1)
    assert move_threshold(base, library + more, label + more) >= before
    assert move_threshold(base, library + more, label) >= before, "of another label"


@given(bases, tallies, tallies)
def test_one_more_confirmation_never_raises_a_threshold(base, library, label):
    before = move_threshold(base, library, label)
    more = Tally(right=1)
    assert move_threshold(base, library + more, label + more) <= before
    assert move_threshold(base, library + more, label) <= before, "of another label"


@given(bases, tallies, tallies)
def test_a_threshold_stays_between_its_base_and_two_steps_above(base, library, label):
    moved = move_threshold(base, library, label)
    assert round(base, 4) <= moved <= base + 2 * STEP_LIMIT + 1e-4
    assert moved <= max(CEILING, round(base, 4))


@given(st.integers(0, LEAST - 1), st.integers(0, LEAST - 1))
def test_few_votes_move_nothing(right, wrong):
    assert step(Tally(right=right, wrong=wrong)) == 0.0


def test_rejections_raise_and_confirmations_take_it_back():
    raised = move_threshold(0.2, Tally(wrong=5), Tally(wrong=5))
    # 5 of 5 rejected: (5 + 2) / 15 = 0.467, which is 0.267 above what is expected; half of it
    # counts, for the library and for the label
    assert raised == pytest.approx(0.2 + 2 * 0.1333, abs=1e-3)
    assert move_threshold(0.2, Tally(right=40, wrong=5), Tally(right=40, wrong=5)) == 0.2


def test_votes_are_added_up_by_library_and_label():
    counts = [
        make_count("beach", wrong=6),
        make_count("dog", right=3, wrong=1),
        make_count("beach", library="Shows", wrong=9),
        make_count("12", subject=VoteSubject.HIGHLIGHT, wrong=9),
    ]
    whole, labels = tally_votes(counts, "Films", VoteSubject.TAG)
    assert whole == Tally(right=3, wrong=7)
    assert labels == {"beach": Tally(wrong=6), "dog": Tally(right=3, wrong=1)}


def test_a_tag_that_a_library_rejects_is_left_out_there_of_scenes_too_and_nowhere_else():
    analysis = make_analysis()
    rejected = [make_count("beach", wrong=12)]
    kept = keep_learnt(analysis, rejected)
    assert [tag.label for tag in kept.tags] == ["dog"]
    assert kept.scenes[0].tags == ("dog",)
    assert kept.highlights == analysis.highlights
    elsewhere = replace(analysis, item=replace(analysis.item, library="Shows"))
    assert keep_learnt(elsewhere, rejected) is elsewhere


def test_what_is_sure_outlives_the_rejection_of_others():
    analysis = make_analysis(score=0.9)
    assert keep_learnt(analysis, [make_count("beach", wrong=500)]) is analysis


def test_rejected_highlights_raise_what_a_highlight_must_reach():
    analysis = make_analysis()
    counts = [make_count(str(time), subject=VoteSubject.HIGHLIGHT, wrong=1) for time in range(9)]
    kept = keep_learnt(analysis, counts)
    assert [found.score for found in kept.highlights] == [0.8]
    assert kept.tags == analysis.tags
    assert find_threshold(counts, "Films", VoteSubject.HIGHLIGHT, "1") == pytest.approx(0.45)


def test_highlights_that_another_rule_found_stay_without_votes():
    analysis = replace(
        make_analysis(), highlights=(Highlight(start_s=0, end_s=1, peak_s=0, score=0.1),)
    )
    assert keep_learnt(analysis, [make_count("x", right=9)]) is analysis


def test_results_have_no_threshold():
    counts = [make_count("a dog", subject=VoteSubject.RESULT, wrong=99)]
    assert find_threshold(counts, "Films", VoteSubject.RESULT, "a dog") is None
    assert keep_learnt(make_analysis(), counts).tags


@given(st.lists(st.integers(-3, 3), max_size=8))
def test_votes_hide_no_hit_and_put_what_was_rejected_behind_the_rest(balances):
    hits = make_hits(len(balances))
    judged = judge(hits, balance_of(balances))
    assert {hit.scene for hit in judged} == {hit.scene for hit in hits}
    assert [hit.score for hit in judged] == sorted((hit.score for hit in judged), reverse=True)
    was_rejected = [balances[int(hit.scene.ref.item_id)] < 0 for hit in judged]
    assert was_rejected == sorted(was_rejected)
    for hit in judged:
        assert hit.score == pytest.approx(sum(part.share for part in hit.parts.values()))
        assert (VOTES in hit.parts) == (balances[int(hit.scene.ref.item_id)] != 0)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.data())
def test_one_more_vote_never_moves_a_hit_the_other_way(balances, data):
    chosen = data.draw(st.integers(0, len(balances) - 1))
    more = [balance + (place == chosen) for place, balance in enumerate(balances)]
    hits = make_hits(len(balances))
    before, after = judge(hits, balance_of(balances)), judge(hits, balance_of(more))
    assert place_of(chosen, after) <= place_of(chosen, before), "one more confirmation"


def test_confirmations_lift_within_a_bound():
    first, second = make_hits(2)
    for count in (1, 50, 10_000):
        (lifted,) = judge([second], {second.scene.ref: count})
        assert second.score < lifted.score <= second.score + LIFT
    assert judge([first, second], {}) == (first, second)


def test_a_lift_brings_nothing_past_what_stands_there_for_another_reason():
    first, second, third = make_hits(3)
    quoted = replace(third, is_exact=True)
    judged = judge([quoted, first, second], {second.scene.ref: 10_000})
    assert judged[0] is quoted


def test_a_query_is_judged_in_any_spelling():
    assert result_label(" A  Dög, on the BEACH!") == result_label("a dog on the beach")
    assert result_label("?!") == ""


@pytest.mark.parametrize(
    ("subject", "named", "counted"),
    [
        (VoteSubject.TAG, "beach", "beach"),
        (VoteSubject.HIGHLIGHT, "1", "1"),
        (VoteSubject.HIGHLIGHT, "2", "1"),
        (VoteSubject.HIGHLIGHT, "6", "5"),
        (VoteSubject.RESULT, "Two DOGS!", "two dogs"),
    ],
)
def test_what_is_judged_is_counted_under_one_name(subject, named, counted):
    assert find_label(make_analysis(), subject, named) == counted


@pytest.mark.parametrize(
    ("subject", "named"),
    [
        (VoteSubject.TAG, "Beach"),
        (VoteSubject.TAG, "mountain"),
        (VoteSubject.TAG, ""),
        (VoteSubject.HIGHLIGHT, "3"),
        (VoteSubject.HIGHLIGHT, "-1"),
        (VoteSubject.HIGHLIGHT, "1.5"),
        (VoteSubject.HIGHLIGHT, "\u00b2"),
        (VoteSubject.HIGHLIGHT, "9" * 4000),
        (VoteSubject.RESULT, " ?! "),
    ],
)
def test_what_an_item_has_not_cannot_be_judged(subject, named):
    with pytest.raises(UnknownLabelError):
        find_label(make_analysis(), subject, named)


def test_what_an_item_had_when_somebody_judged_it_can_be_judged_still():
    analysis = make_analysis()
    assert find_label(analysis, VoteSubject.TAG, "storm", former={"storm"}) == "storm"
    assert find_label(analysis, VoteSubject.HIGHLIGHT, "77", former={"77"}) == "77"


def make_hits(count):
    """The best first, a film each."""
    refs = [ItemRef(server="jellyfin", item_id=str(number)) for number in range(count)]
    scores = [1.0 / (number + 2) for number in range(count)]
    return tuple(
        Fused(
            scene=SceneKey(ref=ref, position=0),
            score=score,
            parts={"lexical": Part(score=1.0, rank=number + 1, share=score)},
        )
        for number, (ref, score) in enumerate(zip(refs, scores, strict=True))
    )


def balance_of(balances):
    return {
        ItemRef(server="jellyfin", item_id=str(number)): balance
        for number, balance in enumerate(balances)
    }


def place_of(number, hits):
    return [hit.scene.ref.item_id for hit in hits].index(str(number))


def make_count(label, *, library="Films", subject=VoteSubject.TAG, right=0, wrong=0):
    return VoteCount(library=library, subject=subject, label=label, right=right, wrong=wrong)


def make_analysis(*, score=0.42):
    return Analysis(
        item=MediaItem(
            ref=ItemRef(server="jellyfin", item_id="1"),
            kind=MediaKind.MOVIE,
            title="Sand",
            library="Films",
        ),
        duration_s=10.0,
        tags=(
            Tag(label="dog", kind="subject", score=0.9),
            Tag(label="beach", kind="place", score=score),
        ),
        scenes=(Scene(start_s=0.0, end_s=9.0, keyframe_s=1.0, quality=1.0, tags=("beach", "dog")),),
        highlights=(
            Highlight(start_s=0.0, end_s=2.0, peak_s=1.0, score=0.8),
            Highlight(start_s=4.0, end_s=6.0, peak_s=5.0, score=0.4),
        ),
    )
