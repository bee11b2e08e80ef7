from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from service.detection.bars import WHOLE, BarWatch, crop
from tests.support.pictures import HEIGHT, WIDTH, place

LETTERBOX = (0.0, 12 / HEIGHT, 1.0, 60 / HEIGHT)
PILLARBOX = (16 / WIDTH, 0.0, 112 / WIDTH, 1.0)


def boxed(image, area):
    """A picture of which only an area is left, with a little noise in the black."""
    noise = np.random.default_rng(3).integers(0, 12, image.shape, np.uint8)
    rows = slice(round(area[1] * HEIGHT), round(area[3] * HEIGHT))
    columns = slice(round(area[0] * WIDTH), round(area[2] * WIDTH))
    noise[rows, columns] = image[rows, columns]
    return noise


def watch(*images):
    bars = BarWatch()
    for image in images:
        bars.add(image)
    return bars.area


def title():
    card = Image.new("RGB", (WIDTH, HEIGHT))
    ImageDraw.Draw(card).text((34, 28), "A Title", fill="white", font_size=16)
    return np.asarray(card)


@pytest.mark.parametrize(
    "area", [LETTERBOX, PILLARBOX, (16 / WIDTH, 12 / HEIGHT, 112 / WIDTH, 60 / HEIGHT)]
)
def test_bars_are_found_after_a_few_clear_frames(area):
    frames = [boxed(place(seed), area) for seed in range(3)]
    assert watch(*frames[:2]) == WHOLE
    assert watch(*frames) == pytest.approx(area)


def test_a_picture_without_bars_is_left_whole():
    assert watch(*(place(seed) for seed in range(5))) == WHOLE


def test_a_dark_scene_is_not_cut_down_to_what_is_lit():
    night = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    night[(rows - 36) ** 2 + (columns - 64) ** 2 < 20**2] = 200  # a face in the middle
    assert watch(*[night] * 10) == WHOLE


def test_a_title_on_black_is_no_picture_with_bars():
    assert watch(*[title()] * 10) == WHOLE


def test_a_dark_half_is_part_of_the_picture():
    half = place(1).copy()
    half[40:] = 0
    assert watch(*[half] * 10) == WHOLE


def test_black_frames_say_nothing():
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert watch(black, *(boxed(place(seed), LETTERBOX) for seed in range(3)), black) == (
        pytest.approx(LETTERBOX)
    )


def test_a_subtitle_inside_a_bar_keeps_the_bar():
    frames = [boxed(place(seed), LETTERBOX) for seed in range(4)]
    frames[3][64:70, 40:90] = 240
    assert watch(*frames) == WHOLE


def test_a_scene_that_fills_the_frame_ends_the_bars():
    frames = [boxed(place(seed), LETTERBOX) for seed in range(4)]
    assert watch(*frames, place(7)) == WHOLE


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 40), st.integers(0, 40)), max_size=12))
def test_nothing_that_was_lit_is_ever_cut_off(frames):
    bars, lit = BarWatch(), np.zeros((HEIGHT, WIDTH), bool)
    for seed, top, bottom in frames:
        image = place(seed).copy()
        image[:top], image[HEIGHT - bottom :] = 0, 0
        bars.add(image)
        lit |= image.max(axis=2) > 24
        mask = np.ones((HEIGHT, WIDTH, 1), np.uint8)
        kept = crop(mask, bars.area)
        inside = crop(lit[..., None].astype(np.uint8), bars.area)
        assert inside.sum() == lit.sum()
        assert kept.size > 0


def test_cropping_takes_the_shares_of_the_picture():
    image = place(1)
    assert crop(image, WHOLE) is image
    assert crop(image, LETTERBOX).shape == (48, WIDTH, 3)
    assert (crop(image, PILLARBOX) == image[:, 16:112]).all()
