"""What detection finds in real films and sounds whose content is known (../shared/media)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from service.detection.concepts import look_for
from service.detection.highlights import find_highlights
from service.detection.scenes import group_scenes
from service.detection.sound import summarize_sound
from service.detection.tags import find_picture_tags, find_sound_tags
from service.detection.voices import hear_picture
from service.vocabulary import load_vocabulary
from tests.support.detect import Yamnet, detect, hear_file, measure_file
from tests.support.real_media import StandinClip

VOCABULARY = load_vocabulary()
CAR_WINDOWS = [(4.4, 8.8), (14.64, 19.12), (25.2, 28.8)]
CUTS = [1.2, 3.04, 5.48, 7.48, 9.68]

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def encoder(shared):
    return StandinClip(shared / "models/standin-clip")


@pytest.fixture(scope="module")
def car(shared, encoder):
    words = look_for(VOCABULARY, ["a car on the road"], ["an empty road"])
    path = shared / "media/video/car-detection.mp4"
    return detect(path, vocabulary=words, encoder=encoder)


def overlap(highlight, window):
    shared_s = min(highlight.end_s, window[1]) - max(highlight.start_s, window[0])
    whole_s = max(highlight.end_s, window[1]) - min(highlight.start_s, window[0])
    return max(0.0, shared_s) / whole_s


@pytest.mark.parametrize("rate_hz", [12.0, 25.0])
def test_the_cuts_of_a_street_film_are_found(shared, rate_hz):
    path = shared / "media/video/bikes.mp4"
    shots = detect(path, vocabulary=VOCABULARY, rate_hz=rate_hz).shots
    found = [shot.start_s for shot in shots[1:]]
    assert found == pytest.approx(CUTS, abs=0.2)


@pytest.mark.parametrize(
    "name",
    [
        "bigbuckbunny.mp4",
        "bottle-detection.mp4",
        "car-detection.mp4",
        "cockatoo.mp4",
        "demo_test_video_structuralize.mp4",
        "tests_data_test.avi",
    ],
)
def test_a_film_of_one_shot_is_not_cut(shared, name):
    assert len(detect(shared / "media/video" / name, vocabulary=VOCABULARY).shots) == 1


def test_a_corrupt_film_still_has_shots_and_scenes(shared):
    found = detect(shared / "media/video/demo_demo.mp4", vocabulary=VOCABULARY)
    assert len(group_scenes(found.shots, found.picture)) >= 1


def test_the_first_two_highlights_are_two_cars_on_the_road(car):
    highlights = find_highlights([hear_picture(car.context, car.concepts, 1.0)], car.duration_s)
    best = [
        int(np.argmax([overlap(highlight, window) for window in CAR_WINDOWS]))
        for highlight in highlights[:2]
    ]
    assert len(set(best)) == 2
    for highlight, window in zip(highlights, best, strict=False):
        assert overlap(highlight, CAR_WINDOWS[window]) >= 0.3


def test_context_and_views_tell_the_car_s_moments_from_the_others(car):
    voice = hear_picture(car.context, car.concepts)
    truth = np.zeros(len(voice.times_s), bool)
    for start_s, end_s in CAR_WINDOWS:
        truth |= (voice.times_s >= start_s) & (voice.times_s <= end_s)
    ranks = rankdata(voice.strengths)
    count = truth.sum()
    area = (ranks[truth].sum() - count * (count + 1) / 2) / (count * (~truth).sum())
    assert area >= 0.85


def test_what_is_not_in_the_film_is_no_highlight(shared, encoder):
    words = look_for(VOCABULARY, ["a cockatoo"], ["a bottle"])
    path = shared / "media/video/bottle-detection.mp4"
    found = detect(path, vocabulary=words, encoder=encoder, rate_hz=1.0)
    voice = hear_picture(found.context, found.concepts, 1.0)
    assert find_highlights([voice], found.duration_s) == ()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("cockatoo.mp4", "bird"),
        ("bottle-detection.mp4", "bottle"),
        ("demo_test_video_structuralize.mp4", "playing basketball"),
    ],
)
def test_the_subject_of_a_film_is_its_first_tag_of_that_kind(shared, encoder, name, label):
    path = shared / "media/video" / name
    found = detect(path, vocabulary=VOCABULARY, encoder=encoder, rate_hz=1.0)
    tags = find_picture_tags(found.context, found.concepts)
    kind = next(tag.kind for tag in tags if tag.label == label)
    assert max((tag for tag in tags if tag.kind == kind), key=lambda tag: tag.score).label == label


@pytest.mark.parametrize(
    ("sound", "label"),
    [
        ("baby_cry", "baby"),
        ("chainsaw", "sawing wood"),
        ("clock_tick", "clock ticking"),
        ("dog_bark", "dog"),
        ("fire_crackling", "fire"),
        ("helicopter", "helicopter"),
        ("person_sneeze", "sneezing"),
        ("rain", "rain"),
        ("rooster", "rooster"),
        ("sea_waves", "sea"),
    ],
)
def test_everyday_sounds_become_their_tags(shared, sound, label):
    tagger = Yamnet(shared / "models/yamnet")
    paths = sorted((shared / "media/audio/esc10" / sound).glob("*.ogg"))[:6]
    found = [find_sound_tags(hear_file(path, tagger), VOCABULARY) for path in paths]
    hits = sum(label in {tag.label for tag in tags} for tags in found)
    assert hits >= len(paths) / 2


def test_ragtime_has_a_tempo_and_a_reader_has_none(shared):
    music = shared / "media/audio/music"
    (ragtime,) = music.glob("*ragtime.ogg")
    found = summarize_sound(measure_file(ragtime))
    read = summarize_sound(measure_file(music / "198-209-0000.ogg"))
    assert found is not None
    assert read is not None
    assert found.tempo_bpm is not None
    assert read.tempo_bpm is None
