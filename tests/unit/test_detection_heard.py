from __future__ import annotations

import numpy as np
import pytest

from service.detection.heard import FAINT_ODDS, gather_sounds

LABELS = ["Speech", "Music", "Clock", "Fire", "Engine"]


def hear(*columns):
    """Ten seconds at two hops a second, by the score of each label all along."""
    scores = np.tile(np.array(columns, np.float32), (20, 1))
    return gather_sounds([(0.0, 10.0, scores)], LABELS, "tagger")


def odds(score):
    return score / (1.0 - score)


def test_a_tagger_s_hops_cover_their_window():
    scores = np.array([[0.1, 0.9], [0.2, 0.8]], np.float32)
    heard = gather_sounds([(4.0, 2.0, scores), (0.0, 2.0, scores)], ["Whale", "Cat"], "tagger")
    assert heard.times_s.tolist() == [0.5, 1.5, 4.5, 5.5]
    assert heard.score(["Cat", "Whale"]).tolist() == pytest.approx([0.9, 0.8, 0.9, 0.8])
    assert heard.score(["Wolf"]).tolist() == [0.0] * 4


def test_nothing_heard_is_an_empty_line_of_time():
    heard = gather_sounds([], ["Dog"], "tagger")
    assert heard.score(["Dog"]).shape == (0,)


def test_the_likeliest_faint_sound_is_raised_and_no_other():
    heard = hear(0.0, 0.0, 0.05, 0.04, 0.3)
    assert odds(heard.score(["Clock"])) == pytest.approx(FAINT_ODDS * odds(0.05))
    assert heard.score(["Fire"]) == pytest.approx(0.04)
    assert heard.score(["Engine"]) == pytest.approx(0.3)


@pytest.mark.parametrize("in_front", [(0.5, 0.0), (0.0, 0.5)], ids=["speech", "music"])
def test_nothing_faint_is_raised_under_speech_and_music(in_front):
    assert hear(*in_front, 0.05, 0.0, 0.0).score(["Clock"]) == pytest.approx(0.05)


def test_what_was_certain_stays_a_score():
    assert hear(0.0, 0.0, 1.0, 0.0, 0.0).score(["Clock"]).tolist() == [1.0] * 20


def test_what_is_faint_in_a_film_stays_faint():
    def clock(duration_s):
        scores = np.zeros((2 * duration_s, 5), np.float32)
        scores[:, 2] = 0.05
        heard = gather_sounds([(0.0, float(duration_s), scores)], LABELS, "tagger")
        return float(odds(heard.score(["Clock"]))[0] / odds(0.05))

    assert clock(30) == pytest.approx(FAINT_ODDS)
    assert clock(90) == pytest.approx(FAINT_ODDS / 3)
    assert clock(3600) == pytest.approx(1.0)


def test_a_faint_sound_is_raised_where_it_is_the_likeliest_in_turn():
    scores = np.zeros((60, 5), np.float32)
    scores[:30, 2], scores[30:, 3] = 0.1, 0.1
    heard = gather_sounds([(0.0, 30.0, scores)], LABELS, "tagger")
    assert heard.score(["Clock"])[10] > 0.5
    assert heard.score(["Fire"])[50] > 0.5


def test_a_tagger_s_answers_are_not_changed():
    scores = np.full((4, 5), 0.1, np.float32)
    gather_sounds([(0.0, 2.0, scores)], LABELS, "tagger")
    assert (scores == np.float32(0.1)).all()
