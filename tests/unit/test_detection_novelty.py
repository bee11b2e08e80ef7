from __future__ import annotations

import numpy as np

from service.detection.novelty import SAME_DIFFERENCE, Worth, is_same
from service.detection.signals import PictureMeter
from service.domain import Frame
from tests.support.pictures import place


def worths(*frames, gap_s=1.0):
    meter = PictureMeter(encode_gap_s=gap_s)
    found = []
    for time_s, image in frames:
        meter.add(Frame(time_s=time_s, image=image))
        found.append(meter.worth)
    return found


def with_subject(size):
    """A place in which somebody stands whom it did not show before."""
    image = place(1).copy()
    image[20 : 20 + size, 50 : 50 + size] = 255
    return image


def test_the_first_frame_begins_a_shot():
    assert worths((0.0, place(1))) == [Worth.CUT]


def test_a_still_picture_is_looked_at_once():
    noise = np.random.default_rng(0).integers(0, 3, place(1).shape, np.uint8)
    frames = [(float(second), place(1) + noise * (second % 2)) for second in range(4)]
    assert worths(*frames) == [Worth.CUT, Worth.SAME, Worth.SAME, Worth.SAME]


def test_a_small_subject_that_enters_makes_a_picture_new():
    # Six pixels of 128: half of what a car far down the road fills.
    assert worths((0.0, place(1)), (1.0, with_subject(6)))[-1] is Worth.NEW


def test_a_slow_change_is_seen_although_no_step_of_it_is():
    frames = [(float(second), place(1, light=1.0 - 0.01 * second)) for second in range(8)]
    found = worths(*frames)
    assert Worth.NEW in found
    assert Worth.SAME in found


def test_another_shot_is_told_even_when_it_comes_at_once():
    assert worths((0.0, place(1)), (0.1, place(2))) == [Worth.CUT, Worth.CUT]


def test_a_frame_too_soon_after_the_last_is_worth_nothing():
    assert worths((0.0, place(1)), (0.5, with_subject(9))) == [Worth.CUT, Worth.NOTHING]


def test_thumbnails_are_the_same_up_to_noise_in_every_pixel():
    grey = np.full((18, 32, 3), 100, np.uint8)
    near, far = grey.copy(), grey.copy()
    near[3, 4, 1] += SAME_DIFFERENCE
    far[3, 4, 1] -= SAME_DIFFERENCE + 1
    assert is_same(grey, near)
    assert not is_same(grey, far)
