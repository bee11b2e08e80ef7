from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import ItemRef
from service.query import TEXT_CHANNELS, VECTOR_CHANNELS, Candidate, SceneKey, SearchChannel
from service.search.fusion import EXACT_BONUS, fuse, keep_exact

LEXICAL, VISUAL, AUDIO = SearchChannel.LEXICAL, SearchChannel.VISUAL, SearchChannel.AUDIO
TRANSCRIPT, SUMMARY = SearchChannel.TRANSCRIPT, SearchChannel.SUMMARY
WEIGHTS = {TRANSCRIPT: 0.45, VISUAL: 0.25, SUMMARY: 0.10, LEXICAL: 0.20, AUDIO: 0.15}


def scene(item, position=0):
    return SceneKey(ref=ItemRef(server="s", item_id=item), position=position)


def found(*pairs, **more):
    """Candidates of a channel: scenes by name, the best first."""
    return [
        Candidate(scene=key if isinstance(key, SceneKey) else scene(key), score=score, **more)
        for key, score in pairs
    ]


def names(hits):
    return [hit.scene.ref.item_id for hit in hits]


def test_shares_are_weighted_reciprocal_ranks():
    hits = fuse(
        {TRANSCRIPT: found(("a", 9), ("b", 5)), LEXICAL: found(("b", 0.7))},
        {TRANSCRIPT: 3.0, LEXICAL: 1.0},
    )
    # Weights are 3/4 and 1/4; the second of a list gets 61/62 of its channel's, and who has 0.7
    # of the query that much of it.
    assert names(hits) == ["b", "a"]
    assert hits[0].score == pytest.approx(0.75 * 61 / 62 + 0.25 * 0.7)
    assert hits[1].score == pytest.approx(0.75)
    assert hits[0].parts["transcript"].rank == 2
    assert hits[0].parts["lexical"].share == pytest.approx(0.25 * 0.7)


def test_who_has_but_small_words_of_a_query_is_behind_what_is_seen():
    hits = fuse(
        {TRANSCRIPT: found(("said", 0.15)), VISUAL: found(("seen", 0.35), ("other", 0.1))}, WEIGHTS
    )
    assert names(hits)[0] == "seen"


def test_a_cosine_a_usual_spread_below_the_best_counts_half():
    hits = fuse({VISUAL: found(("a", 0.35), ("b", 0.25))}, WEIGHTS, flat_ranges={VISUAL: 0.01})
    assert hits[0].score == pytest.approx(1.0)
    assert hits[1].score == pytest.approx(61 / 62 / 2)


def test_an_empty_channel_and_one_without_weight_leave_their_weight_to_the_others():
    hits = fuse(
        {TRANSCRIPT: [], VISUAL: found(("a", 0.3), ("b", 0.2)), LEXICAL: found(("b", 1))},
        {**WEIGHTS, LEXICAL: 0.0},
    )
    assert names(hits) == ["a", "b"]
    assert hits[0].score == pytest.approx(1.0)
    assert "lexical" not in hits[1].parts


def test_a_flat_channel_drops_out_unless_it_is_alone():
    flat = found(("a", 0.2512), ("b", 0.2511), ("c", 0.2510))
    hits = fuse({VISUAL: flat, LEXICAL: found(("c", 1.0))}, WEIGHTS)
    assert names(hits) == ["c"]
    assert hits[0].score == pytest.approx(1.0)
    assert names(fuse({VISUAL: flat}, WEIGHTS)) == ["a", "b", "c"]


def test_a_list_that_was_cut_off_is_not_flat_for_being_close_together():
    near = found(("a", 0.2512), ("b", 0.2511))
    hits = fuse({VISUAL: near, LEXICAL: found(("c", 1.0))}, WEIGHTS, cut_at=2)
    assert names(hits) == ["a", "b", "c"]
    even = found(("a", 0.25), ("b", 0.25))
    assert names(fuse({VISUAL: even, LEXICAL: found(("c", 1.0))}, WEIGHTS, cut_at=2)) == ["c"]


def test_texts_that_rank_alike_share_a_rank_and_order_by_key():
    hits = fuse({LEXICAL: found(("b", 0.5), ("a", 0.5), ("c", 0.1))}, WEIGHTS)
    assert names(hits) == ["a", "b", "c"]
    assert [hit.parts["lexical"].rank for hit in hits] == [1, 1, 3]


def test_an_exact_hit_is_above_two_weak_ones():
    exact = found(("told", 0.1), is_exact=True)
    hits = fuse(
        {LEXICAL: exact, VISUAL: found(("x", 0.26), ("y", 0.2)), AUDIO: found(("x", 0.3))},
        WEIGHTS,
    )
    assert names(hits)[0] == "told"
    assert hits[0].parts["exact"].share == EXACT_BONUS
    assert hits[0].is_exact


def test_the_more_hits_are_exact_the_less_it_says():
    exact = [found((name, 1.0), is_exact=True)[0] for name in "abcd"]
    [sole] = fuse({LEXICAL: exact[:1]}, WEIGHTS)
    four = fuse({LEXICAL: exact}, WEIGHTS)
    assert sole.parts["exact"].share == EXACT_BONUS
    assert {hit.parts["exact"].share for hit in four} == {EXACT_BONUS / 2}


def test_what_was_found_of_an_item_goes_to_the_best_of_its_scenes():
    whole, first, second = scene("film", -1), scene("film", 0), scene("film", 1)
    hits = fuse(
        {
            SUMMARY: found((whole, 1.0), is_exact=True, snippet="The whole film"),
            VISUAL: found((second, 0.3), (first, 0.2), ("other", 0.1)),
        },
        WEIGHTS,
    )
    assert [hit.scene for hit in hits] == [second, first, scene("other")]
    assert set(hits[0].parts) == {"summary", "visual", "exact"}
    assert hits[0].snippet == "The whole film"
    assert set(hits[1].parts) == {"visual"}


def test_an_item_without_a_found_scene_is_a_hit_of_its_own():
    hits = fuse({SUMMARY: found((scene("song", -1), 1.0))}, WEIGHTS)
    assert hits[0].scene == scene("song", -1)


def test_of_several_lines_of_a_scene_the_best_counts_and_is_shown():
    lines = [
        Candidate(scene=scene("a"), score=0.4, start_s=5.0, end_s=6.0, snippet="weak"),
        Candidate(scene=scene("a"), score=0.9, start_s=9.0, end_s=11.0, snippet="strong"),
    ]
    [hit] = fuse({TRANSCRIPT: lines}, WEIGHTS)
    assert (hit.snippet, hit.start_s, hit.end_s) == ("strong", 9.0, 11.0)
    assert hit.score == pytest.approx(0.9)


def test_the_best_exact_hit_takes_the_last_place_where_none_would_be_shown():
    hits = fuse({LEXICAL: found(*((f"a{n}", 100 - n) for n in range(9)))}, WEIGHTS)
    exact = fuse({LEXICAL: found(("z", 1.0), is_exact=True)}, WEIGHTS)
    kept = keep_exact([*hits, *exact], 3)
    assert names(kept) == ["a0", "a1", "z"]
    assert keep_exact([*exact, *hits], 3) == (*exact, *hits[:2])
    assert keep_exact([], 3) == ()


KEYS = st.builds(scene, st.sampled_from("abcdef"), st.integers(-1, 3))
CANDIDATES = st.builds(
    Candidate,
    scene=KEYS,
    score=st.floats(-1, 1, width=16),
    is_exact=st.just(False),
)
CHANNELS = st.dictionaries(
    st.sampled_from([*TEXT_CHANNELS, *VECTOR_CHANNELS]), st.lists(CANDIDATES, max_size=8)
)


@settings(deadline=None)
@given(CHANNELS, st.sampled_from(TEXT_CHANNELS), st.integers(1, 5), st.data())
def test_a_sole_exact_hit_is_never_lost(channels, channel, limit, data):
    exact = Candidate(scene=scene("sole", data.draw(st.integers(-1, 2))), score=0.0, is_exact=True)
    channels = {**channels, channel: [*channels.get(channel, []), exact]}
    assert "sole" in names(keep_exact(fuse(channels, WEIGHTS), limit))
    assert "sole" in names(keep_exact(fuse(channels, WEIGHTS, top=limit), limit))


@settings(deadline=None)
@given(CHANNELS, st.integers(2, 100))
def test_the_order_of_candidates_and_the_scale_of_weights_do_not_matter(channels, factor):
    hits = fuse(channels, WEIGHTS)
    turned = {channel: rows[::-1] for channel, rows in reversed(channels.items())}
    scaled = {channel: weight * factor for channel, weight in WEIGHTS.items()}
    again = fuse(turned, scaled)
    assert [hit.scene for hit in hits] == [hit.scene for hit in again]
    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in again])


@settings(deadline=None)
@given(CHANNELS, st.integers(1, 10))
def test_the_top_of_a_list_is_its_beginning(channels, top):
    assert fuse(channels, WEIGHTS, top=top)[:top] == fuse(channels, WEIGHTS)[:top]


@settings(deadline=None)
@given(CHANNELS)
def test_scores_are_the_sums_of_their_parts_and_each_scene_is_there_once(channels):
    hits = fuse(channels, WEIGHTS)
    assert len({hit.scene for hit in hits}) == len(hits)
    for hit in hits:
        assert hit.score == pytest.approx(sum(part.share for part in hit.parts.values()))
        assert 0.0 <= hit.score <= 1.0 + 1e-9
    assert list(hits) == sorted(hits, key=lambda hit: (-round(hit.score, 9), hit.scene))
