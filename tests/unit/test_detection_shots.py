from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from service.detection.shots import find_shots
from service.detection.signals import PictureMeter
from tests.support.pictures import cut_at, film, mix, place, plain


def starts(signals, duration_s):
    return [shot.start_s for shot in find_shots(signals, duration_s)][1:]


@pytest.mark.parametrize("rate_hz", [2.0, 4.0, 12.0, 23.976, 59.94])
def test_hard_cuts_are_found_at_the_first_sample_of_the_new_shot(rate_hz):
    cuts = [3.0, 7.0, 8.5]
    found = starts(film(cut_at(cuts), 12.0, rate_hz=rate_hz), 12.0)
    assert len(found) == 3
    assert all(0.0 <= f - c <= 1.0 / rate_hz for f, c in zip(found, cuts, strict=True))


def test_cuts_in_the_dark_are_cuts():
    assert len(starts(film(cut_at([3.0, 7.0], light=0.15), 10.0), 10.0)) == 2


def test_cuts_are_found_across_irregular_samples():
    times = [0.0, 4.0, 4.25, 4.5, 4.75, 5.0, 9.0, 9.5, 10.0, 10.5, 11.0, 16.0, 20.0]
    found = starts(film(cut_at([4.6, 10.2]), 0, times_s=times), 22.0)
    assert found == [4.75, 10.5]


def test_cuts_are_found_where_every_second_look_is_at_another_shot():
    cuts = [4.0 * number for number in range(1, 30)]
    assert starts(film(cut_at(cuts), 120.0, rate_hz=0.5), 120.0) == cuts


def test_a_slow_pan_that_is_looked_at_rarely_is_no_cut():
    wide = np.concatenate([place(seed) for seed in range(8)], axis=1)

    def pan(time_s):
        return np.ascontiguousarray(wide[:, int(10 * time_s) :][:, :128])

    assert starts(film(pan, 80.0, rate_hz=0.5), 80.0) == []


def test_a_flash_is_no_cut():
    def flash(time_s):
        return plain(255) if 4.0 <= time_s < 4.1 else place(1)

    assert starts(film(flash, 8.0), 8.0) == []


def test_a_still_picture_is_one_shot():
    shots = find_shots(film(lambda _: place(1), 5.0), 5.0)
    assert [(shot.start_s, shot.end_s) for shot in shots] == [(0.0, 5.0)]


def test_a_pan_is_no_cut():
    wide = np.concatenate([place(seed) for seed in range(8)], axis=1)

    def pan(time_s):
        left = int(60 * time_s)
        return np.ascontiguousarray(wide[:, left : left + 128])

    assert starts(film(pan, 10.0), 10.0) == []


def test_a_change_of_exposure_is_no_cut():
    assert starts(film(lambda t: mix(place(1), plain(0), 0.5 * t / 8), 8.0), 8.0) == []


def test_light_that_blinks_is_no_cut():
    def blink(time_s):
        return plain(0) if 4.0 <= time_s < 7.0 and int(10 * time_s) % 2 else place(1)

    assert starts(film(blink, 12.0), 12.0) == []


@pytest.mark.parametrize("fade_s", [0.01, 0.5, 1.0])
def test_a_moment_of_black_between_two_pictures_is_a_boundary(fade_s):
    def scene(time_s):
        light = float(np.clip((abs(time_s - 4.0) - 0.1) / fade_s, 0.0, 1.0))
        return mix(plain(0), place(1 if time_s < 4.0 else 2), light)

    assert len(starts(film(scene, 8.0), 8.0)) == 1


def test_a_fade_through_black_is_one_boundary():
    def fade(time_s):
        if time_s < 4.0:
            return mix(place(1), plain(0), max(0.0, time_s - 3.0))
        if time_s < 4.5:
            return plain(0)
        return mix(plain(0), place(2), min(1.0, time_s - 4.5))

    found = starts(film(fade, 9.0), 9.0)
    assert len(found) == 1
    assert 4.0 <= found[0] <= 5.0


@pytest.mark.parametrize("length_s", [0.8, 1.5])
def test_a_dissolve_is_one_boundary_in_its_middle(length_s):
    begin = 5.0 - length_s / 2

    def dissolve(time_s):
        return mix(place(1), place(2), float(np.clip((time_s - begin) / length_s, 0.0, 1.0)))

    found = starts(film(dissolve, 10.0), 10.0)
    assert len(found) == 1
    assert abs(found[0] - 5.0) <= 0.4


def test_no_frames_or_no_length_are_no_cuts():
    nothing = PictureMeter().signals()
    assert find_shots(nothing, 0.0) == ()
    assert len(find_shots(nothing, 5.0)) == 1
    assert len(find_shots(film(lambda _: place(1), 0, times_s=[0.0]), 5.0)) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=0, max_size=60), st.floats(0.03, 2.0))
def test_shots_cover_the_medium_without_gaps_whatever_is_shown(seeds, step_s):
    times = [index * step_s for index in range(len(seeds))]
    pictures = [*(place(seed) for seed in range(5)), plain(0), plain(255)]
    shown = dict(zip(times, seeds, strict=True))
    duration_s = len(seeds) * step_s + 0.1
    shots = find_shots(film(lambda t: pictures[shown[t]], 0, times_s=times), duration_s)
    assert shots[0].start_s == 0.0
    assert shots[-1].end_s == duration_s
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(shots))
    assert all(shot.end_s > shot.start_s for shot in shots)


def test_a_whip_of_the_camera_is_no_cut_but_the_cut_after_a_pan_is_one():
    wide = np.concatenate([place(seed) for seed in range(6)], axis=1)

    def window_at(left):
        return np.ascontiguousarray(wide[:, int(left) : int(left) + 128])

    def whip(time_s):
        # Stands, swings by two pictures within 0.4 s, stands.
        return window_at(256 * float(np.clip((time_s - 4.0) / 0.4, 0.0, 1.0)))

    def pan_and_cut(time_s):
        return window_at(40 * time_s) if time_s < 5.0 else place(9)

    assert starts(film(whip, 8.0, rate_hz=12), 8.0) == []
    assert starts(film(pan_and_cut, 8.0, rate_hz=12), 8.0) == [5.0]


def test_a_sweep_too_fast_for_the_sampling_is_no_cut_for_it_blurs():
    def swept(time_s):
        if time_s < 4.0:
            return detailed(1)
        return blurred(2) if time_s < 4.4 else detailed(2)

    def cut(time_s):
        return detailed(1) if time_s < 4.0 else blurred(2)

    assert starts(film(swept, 8.0, rate_hz=8), 8.0) == []
    assert starts(film(cut, 8.0, rate_hz=8), 8.0) == [4.0]  # a shot that is soft throughout


def detailed(seed):
    """A place in which there is something to be sharp or blurred."""
    noise = np.random.default_rng(seed).integers(-25, 26, (72, 128, 1))
    return np.clip(place(seed) + noise, 0, 255).astype(np.uint8)


def blurred(seed):
    return np.asarray(Image.fromarray(place(seed)).filter(ImageFilter.GaussianBlur(5)))


# Long media, where keyframes are known ----------------------------------------------------------


def swaying(time_s):
    """The camera sways between two places of one scene, by half of what a cut would change."""
    return mix(place(1), place(2), 0.0 if int(time_s) % 2 else 0.55)


def test_a_keyframe_out_of_turn_is_a_cut_however_restless_the_picture_is():
    times = np.arange(0.0, 60.0, 2.0).tolist()
    early = 31.0
    sampled = sorted([*times, early])

    def picture(time_s):
        return swaying(time_s / 2) if time_s < early else mix(place(7), place(8), time_s % 4 / 4)

    by_the_clock = [time_s for time_s in times if time_s % 10 == 0]
    told = film(picture, 0, times_s=sampled, keyframes_s=[*by_the_clock, early])
    assert early in starts(told, 60.0)
    untold = film(picture, 0, times_s=sampled, keyframes_s=by_the_clock)
    assert early not in starts(untold, 60.0)


def test_keyframes_by_the_clock_tell_nothing():
    times = np.arange(0.0, 60.0, 2.0).tolist()
    regular = film(lambda t: swaying(t / 2), 0, times_s=times)
    unknown = film(lambda t: swaying(t / 2), 0, times_s=times, keyframes_s=())
    assert find_shots(regular, 60.0) == find_shots(unknown, 60.0)
