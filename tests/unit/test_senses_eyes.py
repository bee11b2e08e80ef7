"""Watching media that are made while they are read, with encoders of every temper."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from service.detection.sampling import Sampling
from service.domain import SampleSpan
from service.errors import ConfigurationError, MissingModelError, TransientError
from service.senses import Eyes
from tests.support.pictures import HEIGHT, WIDTH, place
from tests.support.watching import (
    ClipEncoder,
    ColourEncoder,
    MadeMedia,
    ReluctantEncoder,
    SlowEncoder,
    direction,
)

SCENE_S = 10.0
RED, GREEN, BLUE = (200, 20, 20), (20, 200, 20), (20, 20, 200)
NO_LOOKS = Sampling(close_base_s=0.0, close_share=0.0)
"""Keyframes alone."""
COLOURS = (GREEN, RED, BLUE)
"""Of three scenes, each ten seconds long."""


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


def tinted(colour, time_s=0.0):
    """A flat picture with a dark spot that wanders, so that no two of them are the same."""
    image = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
    left = int(time_s * 7) % (WIDTH - 12)
    image[30:42, left : left + 12] //= 4
    return image


def coloured(time_s):
    return tinted(COLOURS[min(int(time_s / SCENE_S), 2)], time_s)


def three_scenes():
    return MadeMedia(coloured, 3 * SCENE_S, keyframes_s=(0.0, 10.0, 20.0))


async def moments_of(eyes, media, encoder, sampling):
    seen = await eyes.watch(media, encoder, sampling)
    assert seen.moments is not None
    return seen.moments


def scene_of(time_s):
    return min(int(time_s / SCENE_S), 2)


def scenes_of(moments):
    return {scene_of(time_s) for time_s in moments.times_s}


def failed_scenes(moments):
    return {scene_of(failure.time_s) for failure in moments.failures}


# What is encoded --------------------------------------------------------------------------------


async def test_every_moment_has_its_own_picture_s_vector(pool):
    encoder = ColourEncoder()
    moments = await moments_of(Eyes(pool), three_scenes(), encoder, Sampling())
    assert len(moments) == 120  # four a second
    assert moments.device == "cpu"
    assert (moments.encode_ms >= 0).all()
    for time_s, views in zip(moments.times_s, moments.vectors, strict=True):
        expected = direction([coloured(time_s).mean(axis=(0, 1))])[0]
        assert views[0] == pytest.approx(expected, abs=0.02)


async def test_batches_fill_across_frames_views_and_scenes(pool):
    encoder = ColourEncoder()
    await Eyes(pool).watch(three_scenes(), encoder, Sampling())
    assert all(4 <= size <= 16 for size in encoder.calls[:-1])
    assert max(encoder.calls) > 4  # what came while the model worked goes together


async def test_a_picture_that_stays_the_same_is_encoded_once(pool):
    media = MadeMedia(lambda time_s: place(int(time_s / SCENE_S)), 2 * SCENE_S)
    encoder = ColourEncoder()
    moments = await moments_of(Eyes(pool), media, encoder, Sampling())
    assert sum(encoder.calls) == 2 * 2  # two scenes, two views
    assert len(moments) == 80
    assert (moments.encode_ms > 0).sum() == 2


async def test_a_long_medium_gets_the_centre_of_a_frame_when_it_can_pay_for_it(pool):
    keyframes_s = np.arange(0.0, 600.0, 10.0).tolist()
    for per_hour, pictures in ((900.0, 120), (0.0, 60)):
        encoder = ColourEncoder()
        media = MadeMedia(lambda time_s: tinted(GREEN, time_s), 600.0, keyframes_s=keyframes_s)
        sampling = replace(NO_LOOKS, pictures_per_hour=per_hour)
        moments = await moments_of(Eyes(pool), media, encoder, sampling)
        assert sum(encoder.calls) == pytest.approx(pictures, abs=2)
        assert moments.vectors.shape == (60, 2, 3)


async def test_a_look_behind_a_keyframe_is_encoded_in_its_stead(pool):
    keyframes_s = np.arange(0.0, 300.0, 10.0).tolist()

    async def encoded_of(picture_at):
        media = MadeMedia(picture_at, 300.0, keyframes_s=keyframes_s, has_index=True)
        moments = await moments_of(Eyes(pool), media, ColourEncoder(), Sampling())
        return moments.times_s[moments.encode_ms > 0], media.plans

    moving, plans = await encoded_of(lambda time_s: tinted(GREEN, time_s))
    assert set(moving % 10) == {1.5, 4.5}
    assert len(moving) >= 30
    assert plans == []  # one pass was enough
    changing, _ = await encoded_of(lambda time_s: tinted(COLOURS[int(time_s % 10 > 1)], time_s))
    assert set(changing) == {*moving, *keyframes_s}  # something else was there before the look
    still, _ = await encoded_of(lambda time_s: place(3))
    assert len(still) == 1


@pytest.mark.parametrize("late_s", [0.0, 0.001, -0.08])
async def test_a_keyframe_that_a_look_follows_is_not_encoded(pool, late_s):
    """An index rounds, or says when frames are decoded: some frames before they are shown."""
    keyframes_s = [round(0.2 + index * 9.973, 3) for index in range(30)]
    media = MadeMedia(
        lambda time_s: tinted(GREEN, time_s),
        300.0,
        keyframes_s=keyframes_s,
        has_index=True,
        index_late_s=late_s,
    )
    moments = await moments_of(Eyes(pool), media, ColourEncoder(), Sampling())
    encoded_s = moments.times_s[moments.encode_ms > 0]
    assert len(encoded_s) >= 30
    assert not set(encoded_s.round(3)) & set(keyframes_s)


async def test_a_keyframe_without_a_look_is_encoded_itself(pool):
    keyframes_s = np.arange(0.0, 590.0, 2.0).tolist()
    media = MadeMedia(
        lambda time_s: tinted(GREEN, time_s), 600.0, keyframes_s=keyframes_s, has_index=True
    )
    sampling = Sampling(frames_per_hour=3600)
    moments = await moments_of(Eyes(pool), media, ColourEncoder(), sampling)
    looked = {span.start_s - 1.5 for span in media.looks.spans}
    assert 0 < len(looked) < 100
    alone = np.isin(moments.times_s, sorted(set(keyframes_s) - looked))
    assert alone.sum() >= len(keyframes_s) - len(looked) - 1  # one comes soon after a look
    assert (moments.encode_ms[alone] > 0).mean() > 0.95  # but for pictures that look the same


async def test_a_storyboard_s_pictures_are_encoded_and_the_stream_is_left_alone(pool):
    times_s = np.arange(0.0, 600.0, 10.0).tolist()
    media = MadeMedia(
        lambda time_s: tinted(GREEN, time_s), 600.0, keyframes_s=times_s, has_storyboard=True
    )
    moments = await moments_of(Eyes(pool), media, ColourEncoder(), Sampling())
    assert moments.times_s == pytest.approx(times_s)
    assert sum(1 for plan in media.plans for _ in plan.times_s()) == 0


async def test_a_picture_lasts_until_the_cut_that_ends_it(pool):
    media = MadeMedia(
        lambda time_s: place(3) if time_s < 300 else place(4), 600.0, keyframes_s=(0.0, 300.0)
    )
    moments = await moments_of(Eyes(pool), media, ColourEncoder(), NO_LOOKS)
    assert moments.times_s == pytest.approx([0.0, 299.75, 300.0])
    assert moments.vectors[1] == pytest.approx(moments.vectors[0])


async def test_without_an_encoder_only_numbers_are_kept(pool):
    seen = await Eyes(pool).watch(three_scenes(), None, Sampling())
    assert seen.moments is None
    assert len(seen.signals) > 300


async def test_black_bars_are_cut_off_before_encoding(pool):
    def letterboxed(time_s):
        image = tinted(BLUE, time_s)
        image[:12], image[-12:] = 0, 0
        return image

    sizes: list[tuple[int, int]] = []

    class Measuring(ColourEncoder):
        def encode_images(self, images, *, timeout_s=None):
            sizes.extend((image.shape[0], int(image.max(axis=(1, 2)).min())) for image in images)
            return super().encode_images(images, timeout_s=timeout_s)

    media = MadeMedia(letterboxed, 10.0)
    seen = await Eyes(pool).watch(media, Measuring(), Sampling())
    assert seen.area == pytest.approx((0.0, 12 / HEIGHT, 1.0, 60 / HEIGHT))
    full = [darkest for height, darkest in sizes if height == HEIGHT - 24]
    assert len(full) > 30  # all but the first few
    assert min(full) > 40  # and no line of them is black


# Another look -----------------------------------------------------------------------------------


async def test_suspects_are_measured_frame_by_frame_and_not_encoded(pool):
    encoder, media = ColourEncoder(), three_scenes()

    def find(signals):
        assert len(signals) > 300
        return [SampleSpan(start_s=4.0, end_s=6.0, rate_hz=1.0)]

    seen = await Eyes(pool).watch(media, encoder, Sampling(), find_suspects=find)
    inside = (seen.signals.times_s >= 4.0) & (seen.signals.times_s < 6.0)
    assert inside.sum() >= 50
    assert seen.moments is not None
    assert len(seen.moments) == 120


async def test_no_more_than_a_minute_is_looked_at_again(pool):
    media = MadeMedia(lambda _: place(1), 600.0, keyframes_s=(0.0, 300.0))
    spans = [SampleSpan(start_s=at, end_s=at + 40.0, rate_hz=9.0) for at in (0.0, 100.0, 200.0)]
    await Eyes(pool).watch(media, None, Sampling(), find_suspects=lambda _: spans)
    again = media.plans[-1].spans
    assert [(span.start_s, span.end_s) for span in again] == [(0.0, 40.0), (100.0, 120.0)]
    assert {span.rate_hz for span in again} == {25.0}


# Limits of time ---------------------------------------------------------------------------------


async def test_a_scene_that_cannot_be_encoded_costs_no_other_its_vectors(pool):
    encoder = ReluctantEncoder(TransientError("out of memory"))
    moments = await moments_of(Eyes(pool), three_scenes(), encoder, Sampling())
    assert scenes_of(moments) == {0, 2}
    assert failed_scenes(moments) == {1}
    assert {failure.error for failure in moments.failures} == {"out of memory"}


async def test_the_limit_is_for_all_frames_of_a_scene_together(pool):
    encoder = SlowEncoder(picture_s=0.0)
    await Eyes(pool, scene_timeout_s=60.0).watch(three_scenes(), encoder, Sampling())
    # What is left becomes less and less, and is whole again in the next scene.
    left_s = [timeout_s for timeout_s in encoder.timeouts_s if timeout_s is not None]
    assert len(left_s) == len(encoder.calls)
    assert max(left_s) <= 60.0
    assert left_s[2] < left_s[1] < left_s[0]


async def test_a_model_that_is_too_slow_for_every_scene_is_asked_three_times(pool):
    encoder = SlowEncoder(picture_s=1000.0)
    keyframes_s = np.arange(0.0, 600.0, 5.0).tolist()
    media = MadeMedia(lambda time_s: place(int(time_s)), 600.0, keyframes_s=keyframes_s)
    moments = await moments_of(Eyes(pool, scene_timeout_s=2.0), media, encoder, Sampling())
    assert len(moments) == 0
    assert len(moments.failures) >= 120
    assert "given up after 3" in moments.failures[-1].error
    # One full batch, and three scenes of it alone.
    assert encoder.worked_s <= 4 * 2.0


async def test_a_model_that_hangs_is_left_behind(pool):
    encoder = ReluctantEncoder()
    try:
        eyes = Eyes(pool, scene_timeout_s=1.0, grace_s=0.1)
        async with asyncio.timeout(60):
            media = MadeMedia(coloured, 3 * SCENE_S)
            seen = await eyes.watch(media, encoder, Sampling())
    finally:
        encoder.let_go.set()
    assert seen.moments is not None
    assert 0 in scenes_of(seen.moments)
    assert {1, 2} <= failed_scenes(seen.moments)
    assert "did not stop within" in seen.moments.failures[-1].error
    assert len(seen.signals) > 300


@pytest.mark.parametrize("error", [MissingModelError("m", "gone"), ConfigurationError("wrong")])
async def test_a_model_that_is_broken_ends_the_watching(pool, error):
    media = three_scenes()
    with pytest.raises(type(error)):
        await Eyes(pool).watch(media, ReluctantEncoder(error), Sampling())
    assert media.plans
    assert media.open_count == 0  # not left to the garbage collector: the decoder is busy till then


# Movement ---------------------------------------------------------------------------------------


async def test_an_encoder_of_movement_gets_clips_around_each_moment(pool):
    encoder = ClipEncoder()

    def brightening(time_s):
        return np.full((HEIGHT, WIDTH, 3), int(20 + 16 * time_s), np.uint8)

    media = MadeMedia(brightening, 10.0)
    moments = await moments_of(Eyes(pool), media, encoder, Sampling())
    middle = encoder.clips[len(encoder.clips) // 2]
    assert len(middle) == 4
    shades = [shade[0] for shade in middle]
    assert shades == sorted(shades)
    # Two seconds of 16 steps each.
    assert shades[-1] - shades[0] == pytest.approx(32, abs=6)
    assert len(moments) == 40


async def test_a_lone_frame_is_a_clip_that_stands_still(pool):
    encoder = ClipEncoder()
    keyframes_s = (0.0, 100.0, 200.0)
    media = MadeMedia(lambda time_s: place(int(time_s)), 300.0, keyframes_s=keyframes_s)
    await Eyes(pool).watch(media, encoder, NO_LOOKS)
    assert encoder.clips
    assert all(len(set(clip)) == 1 and len(clip) == 4 for clip in encoder.clips)


async def test_no_clip_reaches_across_a_cut(pool):
    encoder = ClipEncoder()
    await Eyes(pool).watch(three_scenes(), encoder, Sampling())
    kinds = [{int(np.argmax(shade)) for shade in clip} for clip in encoder.clips]
    assert all(len(kind) == 1 for kind in kinds)
