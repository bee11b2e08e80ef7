from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import ItemRef, Tag
from service.query import SceneKey
from service.search.fusion import Fused
from service.search.rerank import rerank, rerank_hits, rerank_tags

NONE = float("nan")


def tag(label, score):
    return Tag(label=label, kind="subject", score=score)


def array(*values):
    return np.array(values, np.float32)


def test_scores_are_seven_tenths_base_and_three_tenths_clip_after_min_max():
    blended = rerank(array(0.0, 0.5, 1.0), array(0.30, 0.20, 0.25))
    # Scaled CLIP is 1, 0 and a half.
    assert blended.tolist() == pytest.approx([0.3, 0.35, 0.85])


def test_the_base_s_own_range_is_kept():
    blended = rerank(array(0.4, 0.6), array(0.2, 0.3))
    assert blended.tolist() == pytest.approx([0.4, 0.6])
    swapped = rerank(array(0.4, 0.6), array(0.3, 0.2))
    assert swapped.tolist() == pytest.approx([0.7 * 0.4 + 0.3 * 0.6, 0.7 * 0.6 + 0.3 * 0.4])


def test_flat_clip_scores_change_nothing():
    base = array(0.9, 0.2)
    assert rerank(base, array(0.251, 0.259)).tolist() == base.tolist()
    assert rerank(base, array(0.251, 0.259), flat_range=0.001).tolist() != base.tolist()


def test_a_candidate_without_a_clip_score_keeps_its_base():
    blended = rerank(array(0.9, 0.5, 0.1), array(NONE, 0.2, 0.3))
    assert blended[0] == pytest.approx(0.9)


def test_one_known_clip_score_is_no_ranking():
    base = array(0.9, 0.5)
    assert rerank(base, array(NONE, 0.2)).tolist() == base.tolist()


def test_tags_come_back_in_their_new_order():
    tags = rerank_tags([tag("cat", 0.6), tag("dog", 0.5)], array(0.20, 0.30), weight=0.8)
    assert [found.label for found in tags] == ["dog", "cat"]
    assert rerank_tags([], array()) == ()


@given(
    st.lists(
        st.tuples(st.floats(0, 1, width=32), st.floats(-1, 1, width=32) | st.just(NONE)),
        max_size=20,
    ),
    st.floats(0, 1),
)
def test_no_score_leaves_the_range_of_the_base(pairs, weight):
    base = array(*(score for score, _ in pairs))
    clip = array(*(cosine for _, cosine in pairs))
    blended = rerank(base, clip, weight=weight)
    if pairs:
        assert blended.min() >= base.min() - 1e-5
        assert blended.max() <= base.max() + 1e-5


def test_what_is_flat_is_what_was_measured_for_the_model():
    tags, cosines = (tag("a", 0.4), tag("b", 0.6)), array(0.30, 0.27)
    assert rerank_tags(tags, cosines)[0].score != 0.6
    assert rerank_tags(tags, cosines, flat_range=0.05) == (tags[1], tags[0])
    assert rerank_tags(tags, array(0.300, 0.295))[0] == tags[1]
    assert rerank_tags(tags, array(0.300, 0.295), flat_range=0.001)[0].score != 0.6


def hit(name, score, **more):
    ref = ItemRef(server="s", item_id=name)
    return Fused(scene=SceneKey(ref=ref, position=0), score=score, parts={}, **more)


def cosines(**by_name):
    return {hit(name, 0).scene: cosine for name, cosine in by_name.items()}


def listed(hits):
    return [(found.scene.ref.item_id, pytest.approx(found.score)) for found in hits]


def test_hits_are_blended_and_say_by_how_much():
    hits = [hit("a", 1.0), hit("b", 0.8), hit("c", 0.0)]
    found = rerank_hits(hits, cosines(a=0.20, b=0.30, c=0.25))
    # b has 0.7 of its base and all of the 0.3, a has none of it and c half.
    assert listed(found) == [("b", 0.86), ("a", 0.7), ("c", 0.15)]
    assert found[0].parts["clip"].share == pytest.approx(0.06)
    assert found[0].parts["clip"].rank == 1
    assert found[1].parts["clip"].share == pytest.approx(-0.3)


def test_a_hit_without_a_vector_keeps_its_score():
    found = rerank_hits([hit("a", 0.9), hit("b", 0.5), hit("c", 0.4)], cosines(b=0.2, c=0.3))
    assert listed(found)[0] == ("a", 0.9)
    assert "clip" not in found[0].parts


def test_cosines_that_are_alike_move_no_hit():
    hits = (hit("a", 0.9), hit("b", 0.5))
    assert rerank_hits(hits, cosines(a=0.251, b=0.259)) == hits
    assert rerank_hits(hits, cosines(a=0.251, b=0.259), flat_range=0.0) != hits
    assert rerank_hits(hits, {}) == hits


def test_where_words_find_all_equally_good_the_cosines_decide():
    hits = [hit(name, 0.5) for name in "abcd"]
    found = rerank_hits(hits, cosines(a=0.2, b=0.22, d=0.3))
    assert listed(found) == [("d", 0.5), ("b", 0.5), ("c", 0.5), ("a", 0.5)]
