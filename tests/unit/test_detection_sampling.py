from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detection.sampling import LOOK_S, NEXT_S, Sampling, plan_looks, plan_samples
from service.detection.signals import PictureMeter
from service.domain import SamplePlan, SampleSpan
from tests.support.pictures import film, place

NOTHING = PictureMeter().signals()


def frames_of(plan: SamplePlan) -> float:
    return sum((span.end_s - span.start_s) * span.rate_hz for span in plan.spans)


def keyframes(duration_s, *, gap_s=5.0, busy=()):
    """Keyframes of a film that is still but for the busy stretches."""

    def picture(time_s):
        is_busy = any(start <= time_s < end for start, end in busy)
        return place(int(time_s) if is_busy else 0)

    return film(picture, 0, times_s=np.arange(0.0, duration_s, gap_s).tolist())


def test_a_fixed_rate_is_taken_everywhere():
    plan = plan_samples(keyframes(600), 600.0, Sampling(fixed_rate_hz=1.5))
    assert plan.spans == (SampleSpan(start_s=0.0, end_s=600.0, rate_hz=1.5),)


def test_a_short_medium_is_looked_at_closely():
    plan = plan_samples(NOTHING, 30.0, Sampling())
    assert plan.spans == (SampleSpan(start_s=0.0, end_s=30.0, rate_hz=12.0),)


def test_a_medium_of_no_length_has_no_plan():
    assert plan_samples(NOTHING, 0.0, Sampling()).spans == ()


def decoded_s(plan: SamplePlan, coarse) -> float:
    """From each keyframe to the last frame that is wanted behind it."""
    keys = coarse.times_s
    wanted = [
        span.start_s + index / span.rate_hz
        for span in plan.spans
        for index in range(int(np.ceil((span.end_s - span.start_s) * span.rate_hz - 1e-6)))
    ]
    last = {key: time for time in wanted for key in [keys[np.searchsorted(keys, time + 1e-3) - 1]]}
    return float(sum(time - key for key, time in last.items()))


def test_each_gap_is_looked_into_or_represented_by_its_keyframe():
    coarse = keyframes(1800, gap_s=5.0, busy=[(0, 1800)])
    plan = plan_samples(coarse, 1800.0, Sampling(frames_per_hour=3600))
    gaps = {int(span.start_s // 5.0) for span in plan.spans}
    assert gaps == set(range(360))
    behind = [span.start_s % 5.0 for span in plan.spans]
    assert set(np.round(behind, 3)) <= {0.0, LOOK_S}
    assert behind.count(LOOK_S) > 150


def test_a_look_goes_where_each_stands_for_most_time():
    times = [0.0, 3.0, 6.0, 36.0, 39.0, 300.0]
    coarse = film(lambda t: place(int(t)), 0, times_s=times)
    plan = plan_samples(coarse, 310.0, Sampling(close_base_s=25.0, close_share=0.0))
    looks = [span for span in plan.spans if span.rate_hz == 1 / NEXT_S]
    # Eight looks into the 261 s, 29 s for each; then one into the 30 s; none into the short ones.
    assert [span.start_s for span in looks] == [6.0 + LOOK_S, 39.0 + LOOK_S]
    assert frames_of(plan) == pytest.approx(9, abs=1.5)


def test_looks_are_planned_from_where_keyframes_are_alone():
    times = [0.0, 3.0, 6.0, 36.0, 39.0, 300.0]
    sampling = Sampling(close_base_s=25.0, close_share=0.0)
    looks = plan_looks(times, 310.0, sampling)
    assert [(span.start_s, span.rate_hz) for span in looks.spans] == [
        (6.0 + LOOK_S, 1 / NEXT_S),
        (39.0 + LOOK_S, 1 / NEXT_S),
    ]
    assert plan_looks(times[:1], 310.0, sampling).spans == ()  # an encoder that set only one
    assert plan_looks(times, 310.0, replace(sampling, fixed_rate_hz=2.0)).spans == ()
    assert plan_looks([0.0, 10.0, 20.0], 30.0, sampling).spans == ()  # everything is looked at


def test_after_looks_only_what_happened_unseen_is_left():
    times = [*np.arange(0.0, 601.0, 10.0).tolist(), 603.0, 606.0]
    looks = plan_looks(times, 610.0, Sampling())
    looked = sorted({*times, *(span.start_s for span in looks.spans)})
    coarse = film(
        lambda t: place(1) if t < 300 else place(1, light=0.6),
        0,
        times_s=looked,
        keyframes_s=times,
    )
    plan = plan_samples(coarse, 610.0, Sampling(), has_looked=True)
    assert [(span.start_s, span.end_s) for span in plan.spans] == [(290.0, 300.0)]


def test_a_still_film_gets_single_looks_for_who_may_pass_by():
    plan = plan_samples(keyframes(1800), 1800.0, Sampling())
    assert {span.rate_hz for span in plan.spans} <= {1 / NEXT_S, 1.0}


def test_what_happened_unseen_before_a_forced_keyframe_is_sampled_densely():
    # Nothing is cut where the encoder had to set a keyframe: the change lies before it.
    times = [*np.arange(0.0, 601.0, 10.0).tolist(), 603.0, 606.0]
    coarse = film(lambda t: place(1) if t < 300 else place(1, light=0.6), 0, times_s=times)
    plan = plan_samples(coarse, 610.0, Sampling())
    dense = [(span.start_s, span.end_s) for span in plan.spans if span.rate_hz >= 2.0]
    assert (290.0, 300.0) in dense
    assert all(2.0 <= span.rate_hz <= 8.0 for span in plan.spans if span.rate_hz > 1.0)


def test_no_more_is_decoded_than_the_budget_allows():
    coarse = keyframes(3600, gap_s=8.0, busy=[(0, 3600)])
    sampling = Sampling(close_base_s=60.0, close_share=0.1)
    plan = plan_samples(coarse, 3600.0, sampling)
    assert 200.0 < decoded_s(plan, coarse) <= 1.2 * 420.0


def test_without_keyframes_the_whole_is_sampled_within_the_budget():
    plan = plan_samples(NOTHING, 7200.0, Sampling(frames_per_hour=1800))
    assert frames_of(plan) <= 3600
    assert plan.spans[0].end_s == 7200.0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0.0, 400.0), min_size=0, max_size=60),
    st.floats(0.1, 7000.0),
    st.floats(0.0, 5000.0),
)
def test_all_looks_are_in_order_inside_the_medium_and_within_budget(gaps, duration_s, budget):
    times = np.cumsum(gaps).tolist()  # an index may list what lies beyond the end
    sampling = Sampling(short_s=0.0, frames_per_hour=budget)
    looks = plan_looks(times, duration_s, sampling)
    edges = [edge for span in looks.spans for edge in (span.start_s, span.end_s)]
    assert edges == sorted(edges)
    assert all(0.0 <= edge <= duration_s for edge in edges)
    count = sum(np.ceil((s.end_s - s.start_s) * s.rate_hz - 1e-6) for s in looks.spans)
    assert count <= max(0.0, budget * duration_s / 3600)
    assert LOOK_S * count <= sampling.close_s(duration_s)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.1, 20.0), min_size=0, max_size=40),
    st.floats(0.1, 700.0),
    st.floats(10.0, 5000.0),
)
def test_every_plan_is_in_order_inside_the_medium_and_within_budget(gaps, duration_s, budget):
    times = [t for t in np.cumsum(gaps).tolist() if t < duration_s]
    pictures = [place(seed) for seed in range(5)]
    coarse = film(lambda t: pictures[int(t * 7) % 5], 0, times_s=times)
    plan = plan_samples(coarse, duration_s, Sampling(short_s=0.0, frames_per_hour=budget))
    edges = [edge for span in plan.spans for edge in (span.start_s, span.end_s)]
    assert edges == sorted(edges)
    assert all(0.0 <= edge <= duration_s for edge in edges)
    assert all(span.end_s > span.start_s and span.rate_hz > 0 for span in plan.spans)
    if len(coarse) > 1:
        looked = [span for span in plan.spans if span.end_s - span.start_s > 0.011]
        allowed = max(0.0, budget * duration_s / 3600 - len(coarse))
        assert frames_of(SamplePlan(spans=tuple(looked))) <= allowed + 1
