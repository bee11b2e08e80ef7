from __future__ import annotations

import numpy as np
import pytest

from service.detection.comfort import find_discomfort, find_suspects
from service.detection.signals import PictureMeter
from service.detection.sound import SoundMeter
from service.domain import AudioWindow, Discomfort
from tests.support.pictures import HEIGHT, WIDTH, cut_at, film, mix, place, plain

RATE_HZ = 16_000


def strobe(flashes_hz, *, start_s=4.0, end_s=7.0, area=1.0, light=200):
    """A picture that is white for half of each period between two times."""
    dark, bright = plain(20), plain(20)
    bright[:, : round(WIDTH * area)] = light

    def picture_at(time_s):
        is_on = start_s <= time_s < end_s and ((time_s - start_s) * flashes_hz) % 1.0 < 0.5
        return bright if is_on else dark

    return picture_at


def flashing(picture_at, rate_hz, duration_s=10.0):
    found = find_discomfort(film(picture_at, duration_s, rate_hz=rate_hz), None)
    assert all(warning.kind is Discomfort.FLASHING for warning in found)
    return found


@pytest.mark.parametrize(
    ("flashes_hz", "rate_hz"),
    [(3, 12), (3, 25), (3, 29.97), (5, 12), (5, 25), (5, 60), (10, 25), (10, 30), (10, 60)],
)
def test_three_flashes_a_second_and_more_are_warned_of_with_their_time(flashes_hz, rate_hz):
    (warning,) = flashing(strobe(flashes_hz), rate_hz)
    assert warning.start_s == pytest.approx(4.0, abs=0.35)
    assert warning.end_s == pytest.approx(7.0, abs=0.35)
    assert warning.amount == pytest.approx(flashes_hz, abs=1.0)


@pytest.mark.parametrize("rate_hz", [12, 25, 30, 60])
def test_two_flashes_a_second_are_no_discomfort(rate_hz):
    assert flashing(strobe(2), rate_hz) == ()


def test_flashes_that_samples_miss_are_suspected_and_seen_at_the_second_look():
    thrice_a_beat = strobe(10)
    coarse = film(thrice_a_beat, 10.0, rate_hz=12)
    assert find_discomfort(coarse, None) == ()
    (span,) = find_suspects(coarse)
    assert 3.0 <= span.start_s <= 4.5
    assert span.end_s <= 8.0
    times = np.arange(span.start_s, span.end_s, 1 / span.rate_hz)
    close = film(thrice_a_beat, 0, times_s=sorted({*coarse.times_s.tolist(), *times.tolist()}))
    (warning,) = find_discomfort(close, None)
    assert warning.amount >= 9


@pytest.mark.parametrize("rate_hz", [2, 4, 8])
def test_a_thunderstorm_seen_sparsely_is_suspected(rate_hz):
    def storm(time_s):
        return plain(230) if 4.0 <= time_s < 6.0 and (time_s * rate_hz) % 2 < 1 else place(1)

    (span,) = find_suspects(film(storm, 10.0, rate_hz=rate_hz))
    assert span.start_s <= 4.5
    assert span.end_s >= 5.5


def test_keyframes_as_near_as_an_encoder_may_set_them_are_suspected():
    # Every six seconds, but each second while the light flashes in between.
    times_s = [*range(0, 100, 6), *range(100, 106), *range(108, 200, 6)]
    coarse = film(strobe(5, start_s=100.0, end_s=105.0), 0, times_s=[float(t) for t in times_s])
    (span,) = find_suspects(coarse)
    assert span.start_s <= 100.0
    assert span.end_s >= 105.0


def test_cuts_as_near_as_an_encoder_may_set_keyframes_are_not_suspect():
    times_s = [*range(0, 100, 6), *range(100, 106), *range(108, 200, 6)]
    coarse = film(lambda t: place(int(t)), 0, times_s=[float(t) for t in times_s])
    assert find_suspects(coarse) == ()


def test_what_was_sampled_densely_needs_no_second_look():
    assert find_suspects(film(strobe(2), 10.0, rate_hz=25)) == ()


@pytest.mark.parametrize("rate_hz", [2, 4, 8, 12])
def test_fast_cuts_fades_and_pans_are_neither_flashes_nor_suspect(rate_hz):
    wide = np.concatenate([place(seed) for seed in range(8)], axis=1)
    cuts = cut_at(np.arange(0.5, 10.0, 0.4).tolist())
    films = [
        cuts,
        lambda t: mix(plain(0), place(2), min(1.0, t / 3)),
        lambda t: np.ascontiguousarray(wide[:, int(60 * t) : int(60 * t) + WIDTH]),
        lambda t: place(int(t)),
    ]
    for picture_at in films:
        signals = film(picture_at, 10.0, rate_hz=rate_hz)
        assert find_discomfort(signals, None) == ()
        assert find_suspects(signals) == ()


def test_what_flashes_in_a_small_part_or_only_a_little_is_no_discomfort():
    assert flashing(strobe(5, area=0.1), 25) == ()
    assert flashing(strobe(5, light=60), 25) == ()  # a tenth of white is 89 of 255
    assert len(flashing(strobe(5, area=0.3), 25)) == 1


def test_what_stays_bright_may_flicker():
    def bright(time_s):
        return plain(255) if (time_s * 5) % 1.0 < 0.5 else plain(240)

    assert flashing(bright, 25) == ()


def test_parts_that_flash_against_each_other_are_no_general_flash():
    board = (np.indices((HEIGHT, WIDTH)) // 8).sum(axis=0) % 2

    def leaves(time_s):
        is_on = (time_s * 5) % 1.0 < 0.5
        return np.repeat(np.where(board == is_on, 220, 20)[..., None], 3, axis=2).astype(np.uint8)

    assert flashing(leaves, 25) == ()


def talk(duration_s, lufs, seed=0):
    """Noise in syllables four times a second, with a pause of a second every five."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    envelope = (0.2 + np.abs(np.sin(2 * np.pi * 2 * times))) * (times % 5 < 4)
    return rng.normal(0, 1, len(times)) * envelope * 10 ** (lufs / 20)


def loud(duration_s, lufs, seed=1):
    return np.random.default_rng(seed).normal(0, 10 ** (lufs / 20), round(duration_s * RATE_HZ))


def heard(*parts):
    samples = np.concatenate(parts).clip(-1, 1).astype(np.float32)
    meter = SoundMeter()
    for start in range(0, len(samples), 10 * RATE_HZ):
        piece = samples[start : start + 10 * RATE_HZ]
        meter.add(
            AudioWindow(start_s=start / RATE_HZ, samples=piece, sample_rate_hz=RATE_HZ),
        )
    return find_discomfort(None, meter.signals())


def test_an_explosion_after_quiet_talk_is_sudden_loudness():
    (warning,) = heard(talk(30, -38), loud(3, -14), talk(20, -38))
    assert warning.kind is Discomfort.SUDDEN_LOUDNESS
    assert warning.start_s == pytest.approx(30.0, abs=0.2)
    assert warning.end_s == pytest.approx(33.0, abs=1.2)
    assert warning.amount == pytest.approx(24, abs=4)


def test_a_loud_advertisement_after_quiet_talk_is_one_warning():
    (warning,) = heard(talk(40, -38), talk(30, -16, seed=3), talk(30, -38))
    assert warning.start_s == pytest.approx(40.0, abs=0.3)
    assert 40.0 < warning.end_s <= 71.0
    assert warning.amount > 15


@pytest.mark.parametrize(
    "parts",
    [
        [talk(60, -20)],
        [talk(30, -30), talk(30, -22)],
        [talk(30, -60), loud(5, -38), talk(30, -60)],
        [np.zeros(20 * RATE_HZ), loud(20, -16)],
        [talk(5, -40), loud(20, -14)],
        [loud(30, -40) * 10 ** (np.linspace(0, 26, 30 * RATE_HZ) / 20), loud(10, -14)],
    ],
    ids=["talk", "a little louder", "loud but soft", "a beginning", "too early", "a crescendo"],
)
def test_what_is_not_sudden_or_not_loud_is_not_warned_of(parts):
    assert heard(*parts) == ()


def test_nothing_seen_and_nothing_heard_is_no_discomfort():
    assert find_discomfort(None, None) == ()
    nothing = PictureMeter().signals()
    assert find_discomfort(nothing, SoundMeter().signals()) == ()
    assert find_suspects(nothing) == ()
