from __future__ import annotations

import numpy as np
import pytest

from service.detection.calibration import CalibrationMeter
from service.detection.moments import unit
from service.detection.scoring import compare, score_concepts, score_contrast
from service.domain import Calibration, ScoreKind

CLIP = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0)
SIGLIP = Calibration(kind=ScoreKind.SIGMOID, logit_scale=117.33, logit_bias=-12.93)
EAST, NORTH = np.eye(2, dtype=np.float32)
DIMENSION = 64
CONCEPTS, OTHERS = 12, slice(1, 12)


def world(seed=0):
    """A space with a cone of pictures, twelve concepts, and one more text that is near to the
    cone's axis: a hub.
    """
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(DIMENSION, DIMENSION)))[0].T.astype(np.float32)
    common, directions = axes[0], axes[1 : CONCEPTS + 1]
    texts = unit(directions + 0.05 * common)
    texts[0] = unit(directions[0] + 0.55 * common)
    rest = axes[CONCEPTS + 1 :]

    def picture(concept, count=40):
        noise = 0.25 * unit(rng.normal(size=(count, len(rest))) @ rest)
        shown = 0.0 if concept is None else 0.25 * directions[concept]
        return unit(0.8 * common + shown + noise)[:, None]

    return texts, picture


def measured(calibration=CLIP, items=tuple(range(1, CONCEPTS))):
    texts, picture = world()
    meter = CalibrationMeter()
    for concept in items:
        meter.add(picture(concept))
    return meter.result(calibration, texts)


def test_the_centre_is_the_mean_of_items_and_not_of_moments():
    meter = CalibrationMeter()
    meter.add(np.tile(EAST, (900, 1)))
    meter.add(NORTH[None])
    assert len(meter) == 2
    centre = meter.result(CLIP, np.stack([EAST, NORTH])).centre
    assert centre == pytest.approx((0.5, 0.5))


def test_all_views_count_and_an_item_without_vectors_does_not():
    meter = CalibrationMeter()
    meter.add(np.stack([EAST, NORTH])[None])
    meter.add(np.zeros((0, 2, 2), np.float32))
    assert len(meter) == 1
    assert meter.result(CLIP, EAST[None]).centre == pytest.approx((0.5, 0.5))


def test_the_model_s_own_numbers_stay():
    result = measured(SIGLIP)
    assert (result.kind, result.logit_scale, result.logit_bias) == (
        SIGLIP.kind,
        SIGLIP.logit_scale,
        SIGLIP.logit_bias,
    )


def test_the_flat_range_is_a_tenth_of_how_far_the_best_text_leads():
    meter = CalibrationMeter()
    meter.add(EAST[None])
    meter.add(-EAST[None])  # centre 0
    texts = np.stack([EAST, -EAST, NORTH])  # cosines of each item: 1, 0 and -1
    assert meter.result(CLIP, texts).flat_range == pytest.approx(0.1)


def test_the_whole_of_an_item_says_how_far_its_best_text_leads():
    start = unit(EAST + 0.8 * NORTH)  # a weaker lead
    meter = CalibrationMeter()
    meter.add(np.concatenate([start[None], np.tile(EAST, (200, 1))]))
    meter.add(np.concatenate([-start[None], np.tile(-EAST, (200, 1))]))
    texts = np.stack([EAST, -EAST, NORTH])
    assert meter.result(CLIP, texts).flat_range == pytest.approx(0.1, abs=0.005)


def test_what_all_have_in_common_is_no_lead():
    """Two items that differ only in their last third, on a common side: the centre is taken off
    before the spread is measured, and moments of all of an item count."""
    common, first, second = np.eye(3, dtype=np.float32)
    texts = np.stack([common, first, second])
    plain, other = unit(common + 0.1 * first), unit(common + 0.1 * second)
    meter = CalibrationMeter()
    meter.add(np.tile(plain, (300, 1)))
    meter.add(np.tile(other, (300, 1)))
    narrow = meter.result(CLIP, texts).flat_range
    assert narrow is not None
    assert narrow < 0.02  # the common text leads by 0.9, which says nothing
    changing = CalibrationMeter()
    changing.add(np.concatenate([np.tile(plain, (200, 1)), np.tile(first, (100, 1))]))
    changing.add(np.tile(other, (300, 1)))
    wide = changing.result(CLIP, texts).flat_range
    assert wide is not None
    assert wide > 2 * narrow


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ValueError, match="nothing to calibrate"):
        CalibrationMeter().result(CLIP, EAST[None])
    meter = CalibrationMeter()
    meter.add(EAST[None])
    with pytest.raises(ValueError, match="nothing to calibrate"):
        meter.result(CLIP, np.zeros((0, 2), np.float32))


def test_another_dimension_or_broken_vectors_are_refused():
    meter = CalibrationMeter()
    meter.add(EAST[None])
    with pytest.raises(ValueError, match="3 dimensions after 2"):
        meter.add(np.eye(3, dtype=np.float32))
    with pytest.raises(ValueError, match="finite"):
        meter.add(np.array([[np.nan, 1.0]], np.float32))


def test_a_text_that_is_near_to_everything_is_no_longer_reported():
    texts, picture = world()
    kinds = ["subject"] * CONCEPTS
    vectors = np.concatenate([picture(concept) for concept in (3, 5, 9)])
    before = score_concepts(vectors, texts, texts[:0], CLIP, kinds).mean(axis=0)
    after = score_concepts(vectors, texts, texts[:0], measured(), kinds).mean(axis=0)
    assert before[0] > 0.9
    assert after[0] < 0.05
    assert after[[3, 5, 9]] == pytest.approx(1 / 3, abs=0.05)


def test_a_hub_is_still_found_where_it_is_really_to_be_seen():
    texts, picture = world()
    scores = score_concepts(picture(0), texts, texts[:0], measured(), ["subject"] * CONCEPTS)
    assert scores[:, 0].mean() > 0.9


def test_a_contrast_with_a_hub_turns_where_the_pictures_do():
    texts, picture = world()
    vectors = np.concatenate([picture(0), picture(3)])
    raw, _ = score_contrast(vectors, texts[:1], texts[3:4], CLIP)
    chance, _ = score_contrast(vectors, texts[:1], texts[3:4], measured())
    assert (raw[40:] > 0.5).all()  # the hub wins everywhere
    assert (chance[:40] > 0.6).all()
    assert (chance[40:] < 0.4).all()


def test_the_mean_over_texts_stays_so_that_absolute_thresholds_hold():
    texts, picture = world()
    vectors = picture(4)
    before, after = (compare(vectors, texts, c) for c in (CLIP, measured()))
    assert after.mean(axis=-1) == pytest.approx(before.mean(axis=-1), abs=1e-6)
    # SigLIP's bias is for cosines as they are: equal texts with one centre keep their chances.
    same = np.tile(texts[3], (4, 1))
    found = [score_concepts(vectors, same, same[:0], c) for c in (SIGLIP, measured(SIGLIP))]
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_a_measured_spread_keeps_weak_items_weak():
    """Without it a wide model's logits are tempered by the item at hand, and every item has its
    best."""
    texts = np.eye(DIMENSION, dtype=np.float32)[:CONCEPTS]
    wide = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0, flat_range=0.06)
    rest = np.eye(DIMENSION, dtype=np.float32)[20]

    def best(share, calibration):
        vectors = unit(share * texts[2] + (1 - share) * rest)[None, None]
        return float(score_concepts(vectors, texts, texts[:0], calibration).max())

    assert best(0.9, CLIP) == pytest.approx(best(0.1, CLIP), abs=0.01)
    assert best(0.1, wide) < 0.5 < best(0.9, wide)


def test_a_centre_of_another_space_is_an_error():
    texts, picture = world()
    with pytest.raises(ValueError, match="matmul"):
        compare(picture(1), texts, Calibration(kind=CLIP.kind, logit_scale=1.0, centre=(1.0,)))
