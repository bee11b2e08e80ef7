from __future__ import annotations

import numpy as np
import pytest

from service.detection.signals import PictureMeter, histogram_distance
from service.domain import Frame
from tests.support.pictures import HEIGHT, WIDTH, cut_at, film, place, plain


def measure(*images):
    meter = PictureMeter()
    for index, image in enumerate(images):
        meter.add(Frame(time_s=float(index), image=image))
    return meter.signals()


def test_black_and_white_frames_have_no_and_full_light():
    signals = measure(plain(0), plain(255))
    assert signals.luma.tolist() == pytest.approx([0.0, 1.0], abs=1e-3)
    assert signals.contrast.tolist() == pytest.approx([0.0, 0.0], abs=1e-3)
    assert signals.saturation.tolist() == pytest.approx([0.0, 0.0], abs=1e-3)


def test_half_black_half_white_has_full_contrast():
    image = plain(0)
    image[:, WIDTH // 2 :] = 255
    signals = measure(image)
    assert signals.luma[0] == pytest.approx(0.5, abs=1e-3)
    assert signals.contrast[0] == pytest.approx(0.5, abs=1e-3)


def test_red_is_warm_and_blue_is_cold():
    red, blue = plain(0), plain(0)
    red[..., 0], blue[..., 2] = 255, 255
    signals = measure(red, blue)
    assert signals.warmth.tolist() == pytest.approx([1.0, -1.0])
    assert signals.saturation.tolist() == pytest.approx([1.0, 1.0])


def test_a_sharp_picture_has_more_detail_than_its_blurred_self():
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (HEIGHT, WIDTH, 1)).repeat(3, axis=2).astype(np.uint8)
    blurred = noise.copy()
    blurred[1:-1, 1:-1] = (
        noise[:-2, 1:-1].astype(int) + noise[2:, 1:-1] + noise[1:-1, :-2] + noise[1:-1, 2:]
    ) // 4
    signals = measure(noise, blurred)
    assert signals.sharpness[0] > 2 * signals.sharpness[1]


@pytest.mark.parametrize("height", [3, 47, 48, 49, 50, 51, 97, 143])
def test_every_row_is_measured_once(height):
    image = np.random.default_rng(height).integers(0, 256, (height, 20, 3), np.uint8)
    red, green, blue = image.astype(np.int64).transpose(2, 0, 1)
    luma = (54 * red + 183 * green + 19 * blue) // 256
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    signals = measure(image)
    assert signals.luma[0] == pytest.approx(luma.mean() / 255)
    assert signals.contrast[0] == pytest.approx(luma.std() / 255)
    assert signals.saturation[0] == pytest.approx(np.ptp(image, axis=2).mean() / 255)
    assert signals.warmth[0] == pytest.approx((red - blue).mean() / 255)
    assert signals.sharpness[0] == pytest.approx((around - 4 * luma[1:-1, 1:-1]).var())


def test_a_panorama_is_measured_like_any_picture():
    image = np.zeros((144, 4000, 3), np.uint8)
    image[:, 2000:] = 255
    signals = measure(image)
    assert signals.luma[0] == pytest.approx(0.5)
    assert signals.contrast[0] == pytest.approx(0.5)


def test_black_and_white_frames_are_never_the_best():
    signals = measure(plain(0), place(1), plain(255))
    assert signals.quality()[0] == 0.0
    assert signals.quality()[2] == 0.0
    assert signals.quality()[1] > 0.1


def test_movement_is_per_second_whatever_the_step_between_frames():
    def slide(time_s):
        return np.roll(place(3), round(20 * time_s), axis=1)

    slow = film(slide, 0, times_s=[0.0, 0.4, 0.8])
    fast = film(slide, 0, times_s=[0.0, 0.2, 0.4, 0.6, 0.8])
    assert slow.motion().mean() == pytest.approx(fast.motion().mean(), rel=0.25)
    assert film(lambda _: place(3), 2.0).motion().max() == 0.0


def test_a_change_of_light_alone_is_no_movement():
    signals = measure(plain(50), plain(150))
    assert signals.motion().tolist() == [0.0, 0.0]


def test_histograms_of_black_and_white_are_a_whole_channel_apart():
    signals = measure(plain(0), plain(255))
    distance = float(histogram_distance(signals.histograms[0], signals.histograms[1]))
    # Luma moves by 15 of its 16 bins, both colour channels by none, mean of three.
    assert distance == pytest.approx(15 / 16 / 3)


def test_only_frames_apart_or_different_are_worth_encoding():
    meter = PictureMeter(encode_gap_s=0.25)
    frames = [
        (0.0, place(1)),
        (0.1, place(1)),
        (0.15, plain(255)),
        (0.2, plain(255)),
        (0.5, plain(255)),
    ]
    assert [meter.add(Frame(time_s=t, image=i)) for t, i in frames] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_frames_nearer_than_the_gap_are_not_measured():
    meter = PictureMeter(min_gap_s=0.5)
    for time_s in (0.0, 0.2, 0.4, 0.6):
        meter.add(Frame(time_s=time_s, image=place(1)))
    assert meter.signals().times_s.tolist() == [0.0, 0.6]


def test_two_passes_are_put_in_order_and_a_frame_of_both_counts_once():
    signals = film(lambda _: place(1), 0, times_s=[0.0, 2.0, 4.0, 2.0, 2.5, 3.0])
    assert signals.times_s.tolist() == [0.0, 2.0, 2.5, 3.0, 4.0]
    assert len(signals.thumbnails) == 5


def test_nothing_measured_is_an_empty_answer():
    signals = PictureMeter().signals()
    assert len(signals) == 0
    assert signals.motion().shape == (0,)


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2)])
def test_the_smallest_pictures_are_measured(shape):
    signals = measure(np.full((*shape, 3), 99, np.uint8))
    assert signals.luma[0] == pytest.approx(99 / 255, abs=1e-3)


def test_what_changes_at_a_cut_is_no_movement():
    cuts = [2.0, 3.0, 4.0]
    signals = film(cut_at(cuts), 6.0, rate_hz=2.0)
    assert signals.motion().max() > 0.1
    assert signals.motion(cuts).max() == 0.0


def test_movement_is_unknown_only_at_cuts():
    wide = np.concatenate([place(seed) for seed in range(8)], axis=1)
    moving = film(lambda time_s: wide[:, int(40 * time_s) :][:, :128].copy(), 6.0, rate_hz=2.0)
    whole, cut = moving.motion(), moving.motion([0.0, 3.0])
    assert cut[6] == whole[7]
    assert np.array_equal(np.delete(cut, 6), np.delete(whole, 6))
