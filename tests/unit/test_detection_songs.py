from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from service.detection.songs import STRETCH_S, find_song_highlight
from service.detection.sound import SoundMeter, summarize_sound
from tests.support.songs import RATE_HZ, make_song, measure_sound

FORMS = {
    "with a bridge": [
        ("intro", 4), ("verse", 12), ("chorus", 16), ("verse", 12), ("chorus", 16), ("bridge", 8),
        ("chorus", 16),
    ],
    "short choruses": [
        ("intro", 4), ("verse", 16), ("chorus", 12), ("verse", 16), ("chorus", 12), ("bridge", 8),
        ("chorus", 12),
    ],
    "two choruses": [("verse", 16), ("chorus", 16), ("verse", 16), ("chorus", 16), ("bridge", 12)],
}  # fmt: skip
PACES = {0: 96.0, 3: 120.0, 7: 140.0}
"""Beats a minute by tonic."""


@cache
def song(form, tonic, gain=1.4):
    made = make_song(
        FORMS[form], seed=tonic, beats_per_minute=PACES[tonic], chorus_gain=gain, tonic=tonic
    )
    return made, measure_sound(made.samples)


@pytest.mark.parametrize(("form", "tonic"), list(zip(FORMS, PACES, strict=True)))
def test_the_stretch_of_a_song_lies_in_a_chorus(form, tonic):
    made, signals = song(form, tonic)
    (highlight,) = find_song_highlight(signals, made.duration_s)
    longest = max(end - start for name, start, end in made.sections if name == "chorus")
    possible = min(1.0, longest / STRETCH_S)
    share = made.share_in("chorus", highlight.start_s, highlight.end_s)
    assert share >= 0.8 * possible
    assert made.share_in("chorus", highlight.peak_s, highlight.peak_s + 0.1) == pytest.approx(1.0)


@pytest.mark.parametrize("tonic", [0, 7])
def test_a_chorus_as_loud_as_its_verses_is_found_by_its_returns(tonic):
    made, signals = song("with a bridge", tonic, gain=1.0)
    (highlight,) = find_song_highlight(signals, made.duration_s)
    assert made.share_in("chorus", highlight.start_s, highlight.end_s) >= 0.6


@pytest.mark.parametrize(("tonic", "key"), [(0, "C"), (3, "D#"), (7, "G")])
def test_the_tempo_and_the_key_of_a_song_are_found(tonic, key):
    form = dict(zip(PACES, FORMS, strict=True))[tonic]
    _, signals = song(form, tonic)
    analysis = summarize_sound(signals)
    assert analysis is not None
    assert analysis.tempo_bpm == pytest.approx(PACES[tonic], rel=0.01)
    assert (analysis.key, analysis.mode) == (key, "major")


def test_a_sound_shorter_than_the_stretch_is_its_own():
    made = make_song([("verse", 4)])
    (highlight,) = find_song_highlight(measure_sound(made.samples), made.duration_s)
    assert highlight.start_s == 0.0
    assert highlight.end_s == pytest.approx(made.duration_s, abs=0.5)
    assert highlight.start_s <= highlight.peak_s <= highlight.end_s


def test_silence_has_no_characteristic_stretch():
    assert find_song_highlight(measure_sound(np.zeros(RATE_HZ, np.float32)), 1.0) == ()
    assert find_song_highlight(SoundMeter().signals(), 0.0) == ()
