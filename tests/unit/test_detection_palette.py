from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detection.palette import find_palette
from service.detection.signals import PictureMeter
from tests.support.pictures import HEIGHT, WIDTH, film, place, plain


def painted(*stripes):
    """Upright stripes: colour and share of the width."""
    image, left = plain(0), 0.0
    for colour, share in stripes:
        image[:, round(left * WIDTH) : round((left + share) * WIDTH)] = colour
        left += share
    return image


def palette(picture_at, duration_s=4.0, **film_settings):
    found = find_palette(film(picture_at, duration_s, **film_settings))
    return {colour.rgb: colour.share for colour in found}


def test_plain_colours_are_found_with_their_shares_the_most_frequent_first():
    image = painted(((200, 30, 30), 0.5), ((20, 60, 200), 0.375), ((240, 240, 240), 0.125))
    found = palette(lambda _: image)
    assert list(found) == ["#c81e1e", "#143cc8", "#f0f0f0"]
    assert list(found.values()) == pytest.approx([0.5, 0.375, 0.125], abs=0.01)


def test_shares_are_of_time_not_of_samples():
    red, blue = painted(((200, 30, 30), 1.0)), painted(((20, 60, 200), 1.0))
    times = [0.0, 2.0, 4.0, *np.arange(6.0, 8.0, 0.04)]
    found = palette(lambda t: red if t < 6.0 else blue, times_s=times)
    assert found == pytest.approx({"#c81e1e": 0.75, "#143cc8": 0.25}, abs=0.02)


def test_shades_of_one_colour_are_one_and_spots_are_none():
    rng = np.random.default_rng(0)
    shady = np.clip(rng.normal(120, 4, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    shady[:8, :8] = (255, 0, 0)
    (colour,) = palette(lambda _: shady).items()
    assert colour[1] > 0.95


def test_what_lies_outside_the_picture_s_area_does_not_count():
    image = painted(((0, 0, 0), 0.25), ((20, 160, 60), 0.5), ((0, 0, 0), 0.25))
    signals = film(lambda _: image, 2.0)
    assert len(find_palette(signals)) == 2
    (colour,) = find_palette(signals, (0.25, 0.0, 0.75, 1.0))
    assert (colour.rgb, colour.share) == ("#14a03c", 1.0)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=12))
def test_a_palette_is_small_ordered_and_the_same_every_time(seeds):
    signals = film(lambda t: place(seeds[int(t)]), len(seeds), rate_hz=4)
    found = find_palette(signals)
    assert 1 <= len(found) <= 6
    assert sum(colour.share for colour in found) <= 1.01
    assert [colour.share for colour in found] == sorted((c.share for c in found), reverse=True)
    assert find_palette(signals) == found


def test_no_picture_has_no_palette():
    assert find_palette(PictureMeter().signals()) == ()
