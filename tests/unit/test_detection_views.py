from __future__ import annotations

import numpy as np
import pytest

from service.detection.views import CentreBudget, make_views
from tests.support.pictures import HEIGHT, WIDTH


def test_the_full_view_keeps_the_sides_and_the_centre_view_leaves_them_out():
    image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    image[:, :10], image[:, -10:] = 250, 250
    full, centre = make_views(image)
    assert full.shape == (HEIGHT, HEIGHT, 3)
    assert full[36, 0, 0] > 200
    assert full[36, -1, 0] > 200
    assert centre.shape == (43, 43, 3)
    assert (centre == 100).all()


def test_views_are_of_the_picture_without_its_bars():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[12:60] = 100
    full, centre = make_views(image, (0.0, 12 / HEIGHT, 1.0, 60 / HEIGHT))
    assert full.shape == (48, 48, 3)
    assert centre.shape == (29, 29, 3)
    assert (full == 100).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1)])
def test_the_smallest_pictures_have_views(shape):
    for view in make_views(np.zeros((*shape, 3), np.uint8)):
        assert min(view.shape[:2]) >= 1


def granted(times_s, per_hour):
    budget = CentreBudget(per_hour)
    return sum(budget.grants(time_s) for time_s in times_s)


def test_frames_far_apart_all_get_their_centre():
    assert granted(np.arange(0.0, 1000.0, 10.0), 900.0) == 100


def test_fast_cutting_gets_no_more_pictures_than_it_has_frames():
    assert granted(np.arange(0.0, 100.0, 1.0), 900.0) <= 2


def test_pictures_stay_near_what_was_earned():
    times = np.arange(0.0, 3600.0, 6.0)
    assert 600 + granted(times, 900.0) == pytest.approx(900, rel=0.02)


def test_without_a_budget_every_frame_gets_its_centre():
    assert granted([0.0, 0.1, 0.2], None) == 3
