"""How many of a library's items differ, and whether a centre made of them would help."""

from __future__ import annotations

import re

import numpy as np
import pytest

from service.calibrate import FEWEST_ITEMS, Outcome, conclude
from service.detection.concepts import Concepts
from service.detection.moments import unit
from service.detection.variety import count_different, items_needed, text_levels
from service.domain import Calibration, Float32, ScoreKind
from service.vocabulary import TagWord

DIMENSION, TEXT_COUNT = 64, 40
RNG = np.random.default_rng(0)
TEXTS = unit(RNG.normal(size=(TEXT_COUNT, DIMENSION)))
HUBS = unit(TEXTS[:5].sum(axis=0))
"""What the first five texts point to."""


def make_items(count: int, *, common: float, seed: int = 1) -> list[Float32]:
    """Items of 20 moments with two views, each its own direction and so much of the hubs'."""
    rng = np.random.default_rng(seed)
    own = unit(rng.normal(size=(count, 1, 1, DIMENSION)))
    noise = 0.3 * unit(rng.normal(size=(count, 20, 2, DIMENSION)))
    return list(unit(own + noise + common * HUBS))


def concepts(*, scale: float = 30.0) -> Concepts:
    none = np.zeros((0, DIMENSION), np.float32)
    return Concepts(
        model="toy",
        calibration=Calibration(kind=ScoreKind.SOFTMAX, logit_scale=scale),
        tags=tuple(
            TagWord(label=f"text {index}", kind="subject", prompts=(f"text {index}",))
            for index in range(TEXT_COUNT)
        ),
        tag_vectors=TEXTS,
        moods=(),
        mood_vectors=none,
        positive=(),
        positive_vectors=none,
        negative=(),
        negative_vectors=none,
        background_vectors=none,
    )


def spread(found: Outcome) -> tuple[float, float]:
    return float(found.levels_before.std()), float(found.levels_after.std())


def test_copies_and_neighbours_count_once():
    various = make_items(7, common=0.0)
    assert count_different(various) == 7
    assert count_different(various + various) == 7
    same_place = [various[0] + 0.001 * RNG.normal(size=various[0].shape) for _ in range(9)]
    assert count_different([unit(vectors) for vectors in same_place]) == 1
    assert count_different([]) == 0


def test_items_that_begin_alike_and_go_on_otherwise_are_different():
    items = make_items(7, common=0.0)
    opening = items[0][:1]
    assert count_different([np.concatenate([opening, vectors]) for vectors in items]) == 7


def test_levels_are_means_over_moments_and_views():
    item = np.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]], np.float32)
    levels = text_levels([item], np.eye(2, dtype=np.float32))
    np.testing.assert_allclose(levels, [[0.25, -0.25]], atol=1e-6)


def test_the_clearer_what_is_common_the_fewer_items_are_needed():
    strong, weak = (
        items_needed(text_levels(make_items(40, common=common), TEXTS)) for common in (2.0, 0.5)
    )
    assert strong < weak
    assert strong < 2


def test_a_library_that_always_says_the_same_words_is_put_right():
    found = conclude("toy", make_items(24, common=1.0), concepts())
    before, after = spread(found)
    assert 0 < after < before / 2, "on the half that was held out"
    assert found.hubs[0] == f"text {np.argmax(TEXTS @ HUBS)}"
    assert found.after is not None
    assert len(found.after.centre) == DIMENSION
    assert found.after.flat_range is not None
    assert found.after.flat_range > 0
    assert found.after.logit_scale == 30.0
    assert (found.item_count, found.different_count, found.moment_count) == (24, 24, 480)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        pytest.param(make_items(5, common=1.0), f"5 of 5 items.* {FEWEST_ITEMS} are", id="few"),
        pytest.param(make_items(1, common=1.0) * 30, "1 of 30 items differ", id="one-sided"),
        pytest.param(make_items(12, common=0.0), "nothing can be seen|outweighs", id="no hubs"),
    ],
)
def test_what_would_spoil_scores_is_refused_with_numbers(items, said):
    found = conclude("toy", items, concepts())
    assert found.after is None
    assert len(found.warnings) == 1
    assert re.search(said, found.warnings[0]), found.warnings


def test_a_scale_that_leaves_one_word_only_is_told_of():
    (warning,) = conclude("toy", make_items(40, common=1.5), concepts(scale=100.0)).warnings
    assert "logit scale of 100 is steep" in warning
    assert not conclude("toy", make_items(40, common=1.5), concepts(scale=10.0)).warnings
