"""From a plan to the times of frames, and to what the decoder may leave out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from adapters.media.damage import Damage, HaltWatch
from adapters.media.passes import gap_times, skips_for
from service.domain import SampleSpan


def test_a_span_is_sampled_from_its_start_up_to_but_not_at_its_end():
    span = SampleSpan(start_s=1.0, end_s=2.0, rate_hz=4)
    assert list(span.times_s()) == [1.0, 1.25, 1.5, 1.75]


def test_a_span_shorter_than_a_period_gives_one_time():
    span = SampleSpan(start_s=1.0, end_s=1.1, rate_hz=2)
    assert list(span.times_s()) == [1.0]


@pytest.mark.parametrize(("rate_hz", "skips"), [(4, "NONREF"), (5, "DEFAULT"), (25, "DEFAULT")])
def test_frames_are_left_out_only_where_few_are_wanted(rate_hz, skips):
    assert skips_for(SampleSpan(start_s=0, end_s=9, rate_hz=rate_hz), 25.0) == skips


@pytest.mark.parametrize(
    ("after_s", "until_s", "times_s"),
    [
        (0.0, 10.0, []),
        (0.0, 10.5, [5.25]),
        (4.0, 29.0, [pytest.approx(4 + 25 / 3), pytest.approx(4 + 50 / 3)]),
        (-np.inf, 20.0, [0.0, 10.0]),
        (-np.inf, 3.0, [0.0]),
    ],
    ids=["no gap", "a small one", "two between", "no keyframe at all", "nor in a short film"],
)
def test_a_gap_between_keyframes_is_divided_evenly(after_s, until_s, times_s):
    assert gap_times(after_s, until_s, 10.0) == times_s


def test_damage_is_told_in_words():
    damage = Damage("picture")
    assert damage.warnings() == []
    damage.note(8.04)
    assert damage.warnings() == ["the picture is damaged near 8.0 s: a part was left out"]
    damage.note(9.52)
    damage.cut_off(9.6)
    assert damage.warnings() == [
        "the picture is damaged between 8.0 s and 9.6 s: 2 parts were left out",
        "the picture cannot be read beyond 9.6 s",
    ]


STREAKS = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 160, 3), np.uint8), 96, axis=0)


def _title() -> np.ndarray:
    card = Image.new("RGB", (320, 192))
    for line in range(4):
        ImageDraw.Draw(card).text((20, 30 + 35 * line), "Starring Lilli and Tim", font_size=28)
    return np.asarray(card)


TITLE = _title()


@pytest.mark.parametrize(
    ("image", "times_s", "is_told"),
    [
        (STREAKS, (0.0, 0.5, 1.0, 1.5), True),
        (STREAKS, (0.0, 0.3, 0.6), False),
        (STREAKS, (0.0, 5.0, 10.0), False),
        (TITLE, (0.0, 0.5, 1.0, 1.5), False),
    ],
    ids=["smeared", "too short", "too far apart", "a title"],
)
def test_a_halt_is_told_only_when_the_picture_is_smeared(image, times_s, is_told):
    watch = HaltWatch()
    for time_s in times_s:
        watch.look(time_s, image)
    assert bool(watch.warnings()) is is_told


def test_streaks_that_move_are_no_halt():
    watch = HaltWatch()
    for step in range(8):
        watch.look(step / 2, np.roll(STREAKS, 3 * step, axis=1))
    assert watch.warnings() == []
