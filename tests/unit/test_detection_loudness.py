"""Against ITU-R BS.1770-4 and the signals of EBU Tech 3341 and 3342, made here, in one channel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detection.loudness import (
    LoudnessMeter,
    integrated_lufs,
    k_weighting,
    loudness_range_lu,
)

STANDARD = [
    [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585],
    [1, -2, 1, 1, -1.99004745483398, 0.99007225036621],
]
"""Tables 1 and 2 of BS.1770-4."""
MONO_LU = -3.01
"""A sine in one channel is so much softer than in both, of which Tech 3341 speaks."""


def sine(*parts, rate_hz=16_000, frequency_hz=1000):
    """Stretches of ``(seconds, peak in dBFS)``."""
    levels = [np.full(round(length_s * rate_hz), 10 ** (peak / 20)) for length_s, peak in parts]
    level = np.concatenate(levels)
    return (level * np.sin(2 * np.pi * frequency_hz / rate_hz * np.arange(len(level)))).astype("f4")


def powers(samples, rate_hz=16_000, cuts=()):
    meter = LoudnessMeter(rate_hz)
    for piece in np.split(samples, sorted(cuts)):
        meter.add(piece)
    return meter.powers()


def test_at_48_khz_the_filter_is_the_standard_s():
    assert k_weighting(48_000) == pytest.approx(np.array(STANDARD), abs=1e-8)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 32_000, 44_100, 48_000])
def test_a_sine_of_997_hz_and_full_scale_is_three_lu_below_full_scale(rate_hz):
    samples = sine((5, 0), rate_hz=rate_hz, frequency_hz=997)
    assert integrated_lufs(powers(samples, rate_hz)) == pytest.approx(-3.01, abs=0.06)


@pytest.mark.parametrize(
    ("parts", "stereo_lufs"),
    [
        ([(20, -23)], -23),
        ([(20, -33)], -33),
        ([(10, -36), (60, -23), (10, -36)], -23),
        ([(10, -72), (10, -36), (60, -23), (10, -36), (10, -72)], -23),
        ([(20, -26), (20.1, -20), (20, -26)], -23),
    ],
    ids=["case 1", "case 2", "case 3", "case 4", "case 5"],
)
def test_the_cases_of_tech_3341_read_what_they_must(parts, stereo_lufs):
    measured = integrated_lufs(powers(sine(*parts)))
    assert measured == pytest.approx(stereo_lufs + MONO_LU, abs=0.1)


@pytest.mark.parametrize(
    ("parts", "range_lu"),
    [
        ([(20, -20), (20, -30)], 10),
        ([(20, -20), (20, -15)], 5),
        ([(20, -40), (20, -20)], 20),
        ([(20, -50), (20, -35), (20, -20), (20, -35), (20, -50)], 15),
    ],
    ids=["case 1", "case 2", "case 3", "case 4"],
)
def test_the_cases_of_tech_3342_read_what_they_must(parts, range_lu):
    assert loudness_range_lu(powers(sine(*parts))) == pytest.approx(range_lu, abs=1)


def test_silence_and_what_is_shorter_than_a_block_have_no_loudness():
    assert integrated_lufs(powers(np.zeros(80_000, np.float32))) is None
    assert loudness_range_lu(powers(np.zeros(80_000, np.float32))) is None
    assert integrated_lufs(powers(sine((0.3, 0)))) is None
    assert loudness_range_lu(powers(sine((2.5, 0)))) is None


def test_rumble_counts_for_less_and_brightness_for_more():
    low, middle, high = (
        integrated_lufs(powers(sine((3, -20), frequency_hz=frequency_hz)))
        for frequency_hz in (30, 1000, 4000)
    )
    assert low is not None
    assert middle is not None
    assert low < middle - 5
    assert high == pytest.approx(middle + 3.3, abs=0.3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 16_000), max_size=12), st.integers(1, 16_000))
def test_where_the_sound_is_cut_changes_nothing(cuts, length):
    samples = np.random.default_rng(1).normal(0, 0.1, length).astype(np.float32)
    inside = [cut for cut in cuts if cut <= length]
    assert powers(samples, cuts=inside).tolist() == powers(samples).tolist()
