"""A word is said where it is true, and nowhere else: films and sounds whose look is known."""

from __future__ import annotations

import numpy as np
import pytest

from service.detection.appearance import describe_picture, without_bars
from service.detection.bars import WHOLE
from service.detection.properties import NAMES, measure_properties
from service.detection.shots import find_shots
from service.detection.sound import SoundMeter, summarize_sound
from service.detection.tags import MIN_SCORE
from service.domain import AudioWindow, Shot
from tests.support.pictures import HEIGHT, WIDTH, cut_at, film, place, plain

RATE_HZ = 16_000
LETTERBOX = (0.0, 1 / 6, 1.0, 5 / 6)
"""Three of eighteen thumbnail rows above and below."""


def said(picture=None, shots=(), samples=None, appearance=None):
    """The words that become tags."""
    sound = analysis = None
    if samples is not None:
        meter = SoundMeter()
        meter.add(AudioWindow(start_s=0, samples=samples.astype("f4"), sample_rate_hz=RATE_HZ))
        sound = meter.signals()
        analysis = summarize_sound(sound)
    found = measure_properties(picture, shots, sound, analysis, appearance)
    assert {one.name for one in found} <= NAMES
    return {one.name for one in found if one.strength >= MIN_SCORE}


def describe(signals, shots=(), area=WHOLE):
    look = describe_picture(signals, shots, area)
    assert look is not None
    return look


def shades(*, red=1.0, green=1.0, blue=1.0, light=1.0, seed=1):
    """A picture of patches in shades of one colour."""
    grey = place(seed).mean(axis=2, keepdims=True) * light
    return np.clip(grey * np.array([red, green, blue]), 0, 255).astype(np.uint8)


def swaying(image):
    """A picture that moves a little all the time, so that it is not still."""
    return lambda time_s: np.roll(image, round(6 * time_s), axis=1)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (shades(), {"black_and_white"}),
        (shades(light=0.3), {"black_and_white", "dark"}),
        (shades(light=1.8), {"black_and_white", "bright"}),
        (place(8), {"colourful"}),
        (place(1, light=0.3), {"dark"}),
        (shades(red=1.25, blue=0.6), {"warm"}),
        (shades(red=0.6, blue=1.25), {"cold"}),
        (shades(red=1.08, blue=0.97), {"muted"}),
    ],
    ids=["grey", "dark grey", "light grey", "coloured", "dark", "sepia", "blue", "dull"],
)
@pytest.mark.parametrize("rate_hz", [2, 12, 25])
def test_light_and_colour_have_their_words_at_any_sampling_rate(image, words, rate_hz):
    assert said(film(swaying(image), 6.0, rate_hz=rate_hz)) == words


@pytest.mark.parametrize("rate_hz", [2, 12, 25])
def test_stillness_and_movement_have_their_words_at_any_sampling_rate(rate_hz):
    rng = np.random.default_rng(0)
    noise = [place(1) + rng.integers(0, 3, (HEIGHT, WIDTH, 3)).astype(np.uint8) for _ in range(7)]
    still = film(lambda t: noise[int(t * 60) % 7], 8.0, rate_hz=rate_hz)
    half = film(lambda t: swaying(place(1))(20 * t) if t < 4 else place(1), 8.0, rate_hz=rate_hz)
    lively = film(lambda t: place(int(t * 2)), 8.0, rate_hz=rate_hz)
    assert "still" in said(still)
    assert "still" not in said(half)
    assert "moving" not in said(still)
    assert "moving" in said(lively)


def boxed(image):
    framed = plain(0)
    framed[HEIGHT // 6 : HEIGHT - HEIGHT // 6] = image[HEIGHT // 6 : HEIGHT - HEIGHT // 6]
    return framed


def test_black_bars_do_not_make_a_film_dark():
    image = (place(1).astype(float) * 0.55 + 20).astype(np.uint8)
    signals = film(lambda t: boxed(swaying(image)(t)), 6.0)
    shots = find_shots(signals, 6.0)
    bare, seen = (describe(signals, shots, area) for area in (WHOLE, LETTERBOX))
    assert bare.luma == pytest.approx(seen.luma * 2 / 3, abs=0.01)
    assert "dark" not in said(signals, shots, appearance=seen)
    assert "black_and_white" not in said(signals, shots, appearance=seen)


def test_light_and_colour_of_each_frame_are_those_without_its_bars():
    signals = film(lambda t: boxed(swaying(place(1))(t)), 6.0)
    rows = slice(HEIGHT // 6, HEIGHT - HEIGHT // 6)
    cropped = film(lambda t: np.ascontiguousarray(swaying(place(1))(t)[rows]), 6.0)
    inside = without_bars(signals, LETTERBOX)
    for name in ("luma", "saturation", "warmth"):
        np.testing.assert_allclose(getattr(inside, name), getattr(cropped, name), atol=0.02)
    assert without_bars(signals).luma == pytest.approx(signals.luma)


def test_numbers_of_a_letterboxed_film_are_those_of_the_film_without_its_bars():
    signals = film(lambda t: boxed(swaying(place(1))(t)), 6.0)
    rows = slice(HEIGHT // 6, HEIGHT - HEIGHT // 6)
    cropped = film(lambda t: np.ascontiguousarray(swaying(place(1))(t)[rows]), 6.0)
    boxed_look = describe(signals, area=LETTERBOX)
    bare_look = describe(cropped)
    for name in ("luma", "contrast", "saturation", "warmth"):
        measured, true = getattr(boxed_look, name), getattr(bare_look, name)
        assert measured == pytest.approx(true, abs=0.01), name
    assert boxed_look.picture_area == LETTERBOX
    assert "#000000" not in {colour.rgb for colour in boxed_look.palette}


def test_fades_and_black_leaders_have_no_look():
    look = describe(film(lambda t: place(1) if t > 7 else plain(0), 10.0))
    assert look.luma == pytest.approx(describe(film(lambda _: place(1), 2.0)).luma)
    assert describe(film(lambda _: plain(0), 2.0)).luma == 0.0
    assert describe_picture(film(lambda _: plain(0), 0.0), ()) is None


def test_numbers_are_of_the_time_shown_not_of_the_samples():
    times = [*np.arange(0.0, 8.0, 0.5), *np.arange(8.0, 10.0, 0.04)]
    signals = film(lambda t: plain(50) if t < 8.0 else plain(200), 0, times_s=times)
    assert describe(signals).luma == pytest.approx(50 / 255, abs=0.01)


def test_cuts_are_counted_by_the_minute():
    signals = film(cut_at([2.0, 4.0, 6.0, 8.0]), 10.0)
    assert describe(signals, find_shots(signals, 10.0)).cuts_per_min == 24.0
    assert describe(signals, find_shots(signals, 10.0)[:1]).cuts_per_min == 0.0


def test_pace_has_its_words_where_there_are_enough_shots():
    quick = [Shot(start_s=float(n), end_s=float(n + 1)) for n in range(6)]
    slow = [Shot(start_s=30.0 * n, end_s=30.0 * (n + 1)) for n in range(6)]
    usual = [Shot(start_s=5.0 * n, end_s=5.0 * (n + 1)) for n in range(6)]
    assert said(shots=quick) == {"fast_cut"}
    assert said(shots=slow) == {"long_takes"}
    assert said(shots=usual) == said(shots=quick[:3]) == set()


def noise(duration_s, level_dbfs):
    size = round(duration_s * RATE_HZ)
    return np.random.default_rng(0).normal(0, 10 ** (level_dbfs / 20), size).clip(-1, 1)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(20 * RATE_HZ), {"silent"}),
        (noise(20, -45), {"quiet"}),
        (noise(20, -25), set()),
        (noise(20, -8), {"loud"}),
        (np.concatenate([noise(20, -40), noise(20, -22)]), {"dynamic"}),
        (np.concatenate([noise(20, -28), noise(20, -24)]), set()),
        (np.concatenate([noise(4, -25), np.zeros(16 * RATE_HZ)]), set()),
    ],
    ids=["silence", "soft", "usual", "loud", "wide range", "narrow range", "pauses"],
)
def test_loudness_has_its_words(samples, words):
    assert said(samples=samples) == words


def test_words_for_sound_are_proven_where_they_are_true():
    quiet = np.random.default_rng(0).normal(0.0, 0.0004, 18 * RATE_HZ)
    loud = 0.9 * np.sin(np.arange(2 * RATE_HZ) * 0.3)
    meter = SoundMeter()
    samples = np.concatenate([quiet[: 9 * RATE_HZ], loud, quiet]).astype("f4")
    meter.add(AudioWindow(start_s=0, samples=samples, sample_rate_hz=RATE_HZ))
    sound = meter.signals()
    found = {
        one.name: one.time_s
        for one in measure_properties(None, (), sound, summarize_sound(sound), None)
    }
    assert 9.0 <= found["loud"] <= 11.0
    assert not 8.5 <= found["silent"] <= 11.5


def test_still_shots_that_are_looked_at_twice_each_are_still():
    """As in long media, where every second step is a cut."""
    signals = film(cut_at([4.0 * number for number in range(1, 30)]), 120.0, rate_hz=0.5)
    shots = find_shots(signals, 120.0)
    assert describe(signals, shots).motion == 0.0
    assert "still" in said(signals, shots)
