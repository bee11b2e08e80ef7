"""Temporal context over times that are not evenly spaced, at both ends and between."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detection.context import pool_within_shots
from service.detection.moments import gather_moments, pool_moments, unit
from service.domain import Shot

gaps = st.lists(st.floats(0.01, 8.0), min_size=1, max_size=40)
windows = st.floats(0.2, 12.0)
seeds = st.integers(0, 2**32 - 1)


def moments(times, seed):
    return gather_moments(times, unit(np.random.default_rng(seed).normal(size=(len(times), 6))))


def times_of(steps):
    return np.round(np.cumsum(steps), 3)


def mean_over_time(pooled_from, time_s, window_s):
    """The definition, one moment at a time: each sample stands for what is nearest to it."""
    times, vectors = pooled_from.times_s, pooled_from.vectors[:, 0].astype(np.float64)
    borders = [times[0], *((times[1:] + times[:-1]) / 2), times[-1]]
    total = np.zeros(vectors.shape[1])
    for index, vector in enumerate(vectors):
        low = max(borders[index], time_s - window_s / 2)
        high = min(borders[index + 1], time_s + window_s / 2)
        total += max(0.0, high - low) * vector
    return unit(total)


@settings(max_examples=60, deadline=None)
@given(gaps, windows, seeds)
def test_pooling_is_the_mean_over_time_whatever_the_spacing(steps, window_s, seed):
    single = moments(times_of(steps), seed)
    if len(single) == 1:
        return
    pooled = pool_moments(single, window_s)
    for index, time_s in enumerate(single.times_s):
        expected = mean_over_time(single, time_s, window_s)
        assert pooled.vectors[index, 0] == pytest.approx(expected, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(gaps, windows, seeds)
def test_a_film_played_backwards_is_pooled_backwards(steps, window_s, seed):
    forth = moments(times_of(steps), seed)
    back = gather_moments(-forth.times_s, forth.vectors)
    pooled, mirrored = pool_moments(forth, window_s), pool_moments(back, window_s)
    assert mirrored.vectors[::-1] == pytest.approx(pooled.vectors, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(gaps, windows, st.floats(0.0, 50_000.0))
def test_what_never_changes_is_not_changed_at_any_time_of_a_long_film(steps, window_s, start_s):
    still = unit(np.array([0.6, -0.3, 0.2], np.float32))
    times = start_s + times_of(steps)
    pooled = pool_moments(gather_moments(times, np.tile(still, (len(times), 1))), window_s)
    assert pooled.vectors == pytest.approx(np.broadcast_to(still, pooled.vectors.shape), abs=1e-4)


def test_the_first_and_the_last_moment_hear_only_their_own_side():
    east, north = np.eye(2, dtype=np.float32)
    times = np.arange(0.0, 20.0, 0.25)
    changing = np.where((times < 10.0)[:, None], east, north)
    pooled = pool_moments(gather_moments(times, changing), 3.0).vectors[:, 0]
    assert pooled[0] == pytest.approx(east)
    assert pooled[-1] == pytest.approx(north)
    turn = int(np.argmin(np.abs(pooled[:, 0] - pooled[:, 1])))
    assert times[turn] == pytest.approx(9.875, abs=0.25)  # the border between two samples


def test_a_burst_of_samples_weighs_no_more_than_the_time_it_covers():
    east, north = np.eye(2, dtype=np.float32)
    sparse = np.arange(0.0, 10.0, 0.5)
    burst = np.arange(4.0, 5.0, 0.01)  # a fine pass where it is north
    times = np.union1d(sparse, burst.round(3))
    northern = (times >= 4.0) & (times < 5.0)
    pooled = pool_moments(gather_moments(times, np.where(northern[:, None], north, east)), 3.0)
    middle = int(np.argmin(np.abs(times - 4.5)))
    share = pooled.vectors[middle, 0, 1] / pooled.vectors[middle, 0].sum()
    assert share == pytest.approx(1.0 / 3.0, abs=0.1)


def test_context_ends_at_a_cut():
    east, north = np.eye(2, dtype=np.float32)
    times = np.arange(0.0, 20.0, 0.25)
    changing = gather_moments(times, np.where((times < 10.0)[:, None], east, north))
    shots = [Shot(start_s=0.0, end_s=10.0), Shot(start_s=10.0, end_s=20.0)]
    pooled = pool_within_shots(changing, shots, 3.0)
    assert pooled.vectors == pytest.approx(changing.vectors)
    late = [Shot(start_s=0.0, end_s=10.0004), Shot(start_s=10.0004, end_s=20.0)]  # rounded
    assert pool_within_shots(changing, late, 3.0).vectors == pytest.approx(changing.vectors)


@settings(max_examples=60, deadline=None)
@given(gaps, windows, seeds, st.lists(st.floats(0.0, 200.0), max_size=6))
def test_each_shot_is_pooled_as_if_there_were_no_other(steps, window_s, seed, cuts):
    whole = moments(times_of(steps), seed)
    edges = [0.0, *sorted(cuts), 1000.0]
    shots = [Shot(start_s=a, end_s=b) for a, b in pairwise(edges)]
    pooled = pool_within_shots(whole, shots, window_s)
    assert np.array_equal(pooled.times_s, whole.times_s)
    for shot in shots:
        inside = (whole.times_s >= shot.start_s - 1e-3) & (whole.times_s < shot.end_s - 1e-3)
        alone = gather_moments(whole.times_s[inside], whole.vectors[inside])
        expected = pool_moments(alone, window_s).vectors
        assert np.array_equal(pooled.vectors[inside], expected)


def test_without_shots_or_moments_nothing_is_lost():
    whole = moments(np.arange(9.0), 3)
    assert np.array_equal(pool_within_shots(whole, ()).vectors, pool_moments(whole).vectors)
    none = gather_moments([], np.zeros((0, 4), np.float32))
    assert len(pool_within_shots(none, [Shot(start_s=0.0, end_s=1.0)])) == 0
