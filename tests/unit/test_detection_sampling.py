from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detection.sampling import Sampling, plan_samples
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


def test_a_still_film_needs_no_fine_pass():
    assert plan_samples(keyframes(1800), 1800.0, Sampling()).spans == ()


def test_only_the_active_stretch_and_its_margin_are_sampled():
    coarse = keyframes(1800, busy=[(600, 640)])
    plan = plan_samples(coarse, 1800.0, Sampling(margin_s=1.0))
    assert plan.spans[0].start_s >= 590.0
    assert plan.spans[-1].end_s <= 650.0
    covered = {t for t in range(600, 640) if any(s.start_s <= t < s.end_s for s in plan.spans)}
    assert covered == set(range(600, 640))
    assert all(2.0 <= span.rate_hz <= 8.0 for span in plan.spans)


def test_without_keyframes_the_whole_is_sampled_within_the_budget():
    plan = plan_samples(NOTHING, 7200.0, Sampling(frames_per_hour=1800))
    assert frames_of(plan) <= 3600
    assert plan.spans[0].end_s == 7200.0


def test_what_happens_most_is_sampled_first_when_the_budget_is_short():
    coarse = keyframes(3600, busy=[(0, 3600)])
    plan = plan_samples(coarse, 3600.0, Sampling(frames_per_hour=1000))
    assert 100 < frames_of(plan) <= 1000 - len(coarse)


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
    assert frames_of(plan) <= max(0.0, budget * duration_s / 3600 - len(coarse)) + 1 or (
        len(coarse) <= 1
    )
