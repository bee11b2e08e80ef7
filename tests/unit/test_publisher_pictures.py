"""The pictures that travel with a card: small, the same every time, and harmless."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from publisher.pictures import HEIGHT, POSTER_SIDE, WIDTH, draw_mood_curve, shrink_poster
from service.domain import MoodPoint
from tests.support.announcements import make_announcement

LONGEST_CURVE_BYTES = 40 * 1024


def with_curve(points, duration_s=6000.0):
    curve = tuple(MoodPoint(time_s=t, valence=v, arousal=a) for t, v, a in points)
    return replace(make_announcement().analysis, mood_curve=curve, duration_s=duration_s)


def noise(count, seed):
    rng = np.random.default_rng(seed)
    return with_curve([(10.0 * n, *rng.uniform(-1, 1, 2)) for n in range(count)])


def read_pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_the_same_curve_is_the_same_picture_to_the_byte():
    assert draw_mood_curve([noise(300, 1)]) == draw_mood_curve([noise(300, 1)])
    assert draw_mood_curve([noise(300, 1)]) != draw_mood_curve([noise(300, 2)])


def test_a_season_of_the_wildest_moods_is_a_small_picture():
    data = draw_mood_curve([noise(200, seed) for seed in range(30)])
    assert Image.open(io.BytesIO(data)).size == (WIDTH, HEIGHT)
    assert len(data) < LONGEST_CURVE_BYTES


def test_a_happy_beginning_stands_above_a_sad_end():
    happy_then_sad = [(60.0 * n, 0.9 if n < 50 else -0.9, 0.0) for n in range(100)]
    pixels = read_pixels(draw_mood_curve([with_curve(happy_then_sad)]))
    is_amber = np.abs(pixels - (0xF5, 0x9E, 0x0B)).sum(axis=2) < 60
    rows, columns = np.nonzero(is_amber[:, :600])
    assert rows[columns < 280].mean() < HEIGHT * 0.3
    assert rows[columns > 330].mean() > HEIGHT * 0.7


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(5.0, 0.1, 0.1)],
        [(math.nan, 0.1, 0.1), (math.inf, 0.0, 0.0), (3.0, math.nan, 0.0)],
    ],
    ids=["none", "one", "no numbers"],
)
def test_without_a_course_there_is_no_picture(points):
    assert draw_mood_curve([with_curve(points)]) == b""


def test_impossible_moods_are_drawn_within_the_picture():
    points = [(float(n), 1e30 * (-1) ** n, -1e30) for n in range(9)]
    assert draw_mood_curve([with_curve(points, duration_s=math.nan)])


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("WEBP", "RGB")]
)
def test_any_poster_becomes_a_small_jpeg(kind, mode):
    data = shrink_poster(encode(Image.new(mode, (1000, 1500)), kind))
    poster = Image.open(io.BytesIO(data))
    assert (poster.format, poster.size, poster.mode) == ("JPEG", (320, 480), "RGB")


def test_a_small_poster_is_not_blown_up_and_keeps_no_metadata():
    exif = Image.Exif()
    exif[0x010E] = "where the owner lives"
    exif[0x0112] = 6  # lies on its side
    data = shrink_poster(encode(Image.new("RGB", (40, 30), "red"), "JPEG", exif=exif))
    assert b"owner" not in data
    assert Image.open(io.BytesIO(data)).size == (30, 40)


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", encode(Image.new("RGB", (9, 9)), "GIF"), b"<svg/>"],
    ids=["none", "text", "gif", "svg"],
)
def test_what_is_no_poster_is_left_out(data):
    assert shrink_poster(data) == b""


@pytest.mark.parametrize("side_px", [5001, 9000])
def test_a_picture_that_would_fill_the_memory_is_not_opened(side_px):
    assert shrink_poster(encode(Image.new("1", (side_px, side_px)))) == b""


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 400), junk=st.binary(max_size=40), kind=st.sampled_from(("PNG", "JPEG")))
def test_no_broken_poster_does_any_harm(at, junk, kind):
    whole = encode(Image.radial_gradient("L").resize((64, 64)), kind)
    data = shrink_poster(whole[:at] + junk + whole[at + len(junk) :])
    assert data == b"" or max(Image.open(io.BytesIO(data)).size) <= POSTER_SIDE
