from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detection.moments import (
    gather_moments,
    hold_moments,
    lend_moments,
    pool_moments,
    unit,
)
from service.detection.signals import PictureMeter
from service.domain import Frame
from tests.support.pictures import place

EAST, NORTH = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)


def test_moments_of_several_passes_are_put_in_order_once():
    moments = gather_moments([3.0, 1.0, 2.0, 1.0], np.stack([EAST, NORTH, EAST, NORTH]))
    assert moments.times_s.tolist() == [1.0, 2.0, 3.0]
    assert moments.vectors.shape == (3, 1, 2)
    assert moments.vectors[0, 0].tolist() == NORTH.tolist()


def test_a_moment_without_neighbours_in_its_window_stays_itself():
    moments = gather_moments([0.0, 10.0, 20.0], np.stack([EAST, NORTH, EAST]))
    pooled = pool_moments(moments, window_s=3.0)
    assert pooled.vectors == pytest.approx(moments.vectors)


def test_the_mean_is_over_time_not_over_samples():
    # Ten samples of EAST in the first second, one of NORTH for the second one.
    times = [*np.linspace(0.0, 1.0, 10).tolist(), 2.0, 3.0]
    vectors = np.stack([EAST] * 10 + [NORTH] * 2)
    pooled = pool_moments(gather_moments(times, vectors), window_s=2.0)
    at_the_border = pooled.vectors[9, 0]  # time 1.0: east up to 1.5, north from there to 2.0
    assert at_the_border == pytest.approx(unit(np.array([1.5, 0.5], np.float32)), abs=1e-6)


def test_the_window_is_cut_at_the_ends():
    moments = gather_moments([0.0, 1.0, 2.0], np.stack([EAST, NORTH, NORTH]))
    pooled = pool_moments(moments, window_s=2.0)
    # From 0 to 1: east for half a second, north for half a second.
    assert pooled.vectors[0, 0] == pytest.approx(unit(np.array([0.5, 0.5], np.float32)), abs=1e-6)


def test_one_moment_and_none_are_left_alone():
    one = gather_moments([4.0], EAST[None])
    assert pool_moments(one) is one
    none = gather_moments([], np.zeros((0, 2), np.float32))
    assert len(pool_moments(none)) == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.001, 30.0), min_size=1, max_size=50),
    st.floats(0.1, 20.0),
    st.integers(0, 2**32 - 1),
)
def test_pooled_vectors_are_unit_vectors_at_the_same_times(gaps, window_s, seed):
    vectors = unit(np.random.default_rng(seed).normal(size=(len(gaps), 2, 8)))
    moments = gather_moments(np.cumsum(gaps).tolist(), vectors)
    pooled = pool_moments(moments, window_s)
    assert np.array_equal(pooled.times_s, moments.times_s)
    assert np.linalg.norm(pooled.vectors, axis=-1) == pytest.approx(1.0, abs=1e-3)


def test_pooling_equals_the_plain_integral():
    rng = np.random.default_rng(5)
    times = np.sort(rng.uniform(0, 20, 40))
    vectors = unit(rng.normal(size=(40, 4)))
    pooled = pool_moments(gather_moments(times.tolist(), vectors), window_s=3.0)
    fine = np.linspace(times[0], times[-1], 200_001)
    nearest = np.abs(fine[:, None] - times[None, ::1]).argmin(axis=1)
    for index in (0, 7, 20, 39):
        inside = np.abs(fine - times[index]) <= 1.5
        expected = unit(vectors[nearest[inside]].mean(axis=0))
        assert pooled.vectors[index, 0] == pytest.approx(expected, abs=2e-3)


# Few looks at a long medium ---------------------------------------------------------------------


def looks(*seen):
    """Signals of frames at some times, each of one of two places."""
    meter = PictureMeter()
    for time_s, number in seen:
        meter.add(Frame(time_s=time_s, image=place(1, light=1.0 if number else 0.3)))
    return meter.signals()


def test_a_picture_lasts_until_what_ends_it():
    signals = looks((0.0, 0), (8.0, 1))
    held = hold_moments(gather_moments([0.0, 8.0], np.stack([EAST, NORTH])), signals)
    assert held.times_s.tolist() == [0.0, 7.75, 8.0]
    assert held.vectors[:, 0] == pytest.approx(np.stack([EAST, EAST, NORTH]))


def test_a_picture_does_not_last_over_another_one_that_has_no_vector():
    signals = looks((0.0, 0), (4.0, 1), (8.0, 1))
    moments = gather_moments([0.0, 8.0], np.stack([EAST, NORTH]))
    assert len(hold_moments(moments, signals)) == 2


def test_a_measured_frame_borrows_the_vector_of_a_near_one_that_looks_like_it():
    signals = looks((0.0, 0), (2.0, 0), (10.0, 1), (12.0, 1), (20.0, 0))
    moments = gather_moments([2.0, 12.0], np.stack([EAST, NORTH]), [5.0, 7.0])
    lent, missed = lend_moments(moments, signals)
    assert lent.times_s.tolist() == [0.0, 2.0, 10.0, 12.0]
    assert lent.vectors[:, 0] == pytest.approx(np.stack([EAST, EAST, NORTH, NORTH]))
    assert lent.encode_ms is not None
    assert lent.encode_ms.tolist() == [0.0, 5.0, 0.0, 7.0]
    assert missed.tolist() == [20.0]


def test_nothing_is_lent_where_nothing_was_encoded():
    signals = looks((0.0, 0), (5.0, 1))
    lent, missed = lend_moments(gather_moments([], np.zeros((0, 2), np.float32)), signals)
    assert len(lent) == 0
    assert missed.tolist() == [0.0, 5.0]
