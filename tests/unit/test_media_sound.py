"""Windows of sound: where they start, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.media.sound import WindowCutter


def _cut(lengths: list[int], *, window: int, hop: int) -> list[tuple[int, list[float]]]:
    cutter = WindowCutter(window=window, hop=hop)
    count = np.arange(sum(lengths), dtype=np.float32) + 1
    found = []
    for part in np.split(count, np.cumsum(lengths)[:-1]):
        found += [(start, list(samples)) for start, samples in cutter.add(part)]
    return found + [(start, list(samples)) for start, samples in cutter.finish()]


@pytest.mark.parametrize("lengths", [[10], [1] * 10, [3, 3, 3, 1], [9, 1]])
def test_windows_are_the_same_however_the_sound_arrives(lengths):
    assert _cut(lengths, window=4, hop=4) == [
        (0, [1, 2, 3, 4]),
        (4, [5, 6, 7, 8]),
        (8, [9, 10]),
    ]


def test_overlapping_windows_end_with_the_first_that_reaches_the_end():
    assert _cut([6], window=4, hop=2) == [(0, [1, 2, 3, 4]), (2, [3, 4, 5, 6])]


@pytest.mark.parametrize("lengths", [[12], [5, 5, 2], [1] * 12])
def test_sound_between_distant_windows_is_passed_over(lengths):
    assert _cut(lengths, window=2, hop=5) == [(0, [1, 2]), (5, [6, 7]), (10, [11, 12])]


def test_no_sound_gives_no_window():
    assert _cut([0], window=4, hop=4) == []


def test_windows_within_a_gap_are_left_out_and_the_grid_stays():
    cutter = WindowCutter(window=4, hop=4)
    ones = np.ones(2, np.float32)
    found = [*cutter.add(ones), *cutter.add_silence(12), *cutter.add(ones), *cutter.finish()]
    assert [(start, list(samples)) for start, samples in found] == [
        (0, [1, 1, 0, 0]),
        (12, [0, 0, 1, 1]),
    ]
