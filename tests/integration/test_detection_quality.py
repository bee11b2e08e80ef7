"""What detection finds in real films and sounds whose content is known (../shared/media)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from service.detection.calibration import CalibrationMeter
from service.detection.concepts import embed_concepts, look_for
from service.detection.heard import gather_sounds
from service.detection.highlights import find_highlights
from service.detection.moments import gather_moments, pool_moments
from service.detection.scenes import group_scenes
from service.detection.signals import PictureMeter
from service.detection.sound import SoundMeter, summarize_sound
from service.detection.tags import find_picture_tags, find_sound_tags
from service.detection.views import make_views
from service.detection.voices import hear_picture, hear_signals, hear_sounds
from service.domain import AudioWindow, Frame, UInt8
from service.vocabulary import load_vocabulary
from tests.support.detect import Yamnet, detect, hear_file, measure_file
from tests.support.known_clips import CAR_WINDOWS, CUTS, HANDS, QUESTIONS, Question, area, overlap
from tests.support.pictures import place
from tests.support.real_media import StandinClip

VOCABULARY = load_vocabulary()

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def encoder(shared):
    return StandinClip(shared / "models/standin-clip")


@pytest.fixture(scope="module")
def car(shared, encoder):
    words = look_for(VOCABULARY, ["a car on the road"], ["an empty road"])
    path = shared / "media/video/car-detection.mp4"
    return detect(path, vocabulary=words, encoder=encoder, rate_hz=4.0)


@pytest.mark.parametrize("rate_hz", [12.0, 25.0])
def test_the_cuts_of_a_street_film_are_found(shared, rate_hz):
    path = shared / "media/video/bikes.mp4"
    shots = detect(path, vocabulary=VOCABULARY, rate_hz=rate_hz).shots
    found = [shot.start_s for shot in shots[1:]]
    assert found == pytest.approx(CUTS, abs=0.2)


def test_a_corrupt_film_still_has_shots_and_scenes(shared):
    found = detect(shared / "media/video/demo_demo.mp4", vocabulary=VOCABULARY)
    assert len(group_scenes(found.shots, found.picture)) >= 1


def test_two_cars_on_the_road_are_found_and_so_is_the_third(car):
    highlights = find_highlights([hear_picture(car.context, car.concepts, 1.0)], car.duration_s)
    best = [max(overlap(highlight, window) for highlight in highlights) for window in CAR_WINDOWS]
    assert sorted(best)[-2] >= 0.5
    assert min(best) >= 0.3
    assert len(highlights) == 3


def test_context_and_views_tell_the_car_s_moments_from_the_others(car):
    assert area(hear_picture(car.context, car.concepts), QUESTIONS[0]) >= 0.85


@pytest.fixture(scope="module")
def seen(shared, encoder):
    """Clips with other truths, four times a second."""
    return {
        clip: detect(
            shared / "media/video" / clip, vocabulary=VOCABULARY, encoder=encoder, rate_hz=4.0
        )
        for clip in ("bikes.mp4", "cockatoo.mp4", "tests_data_test.avi")
    }


@pytest.mark.parametrize("question", QUESTIONS[1:], ids=lambda question: question.wanted)
def test_context_helps_to_tell_other_things_apart_too(seen, encoder, question):
    concepts = embed_concepts(question.ask(VOCABULARY), encoder)
    found = seen[question.clip]
    pooled = area(hear_picture(found.context, concepts), question)
    assert pooled >= 0.75
    assert pooled >= area(hear_picture(found.moments, concepts), question)


def test_a_measured_calibration_takes_away_what_is_certain_of_nothing(seen, encoder):
    """Eye make-up, which the stand-in has no idea of: measured on the other clips, its sure tags
    become doubtful, and what it knows stays sure."""
    concepts = embed_concepts(VOCABULARY, encoder)

    def sure(clip, others):
        meter = CalibrationMeter()
        for other in others:
            meter.add(seen[other].moments.vectors)
        measured = meter.result(concepts.calibration, concepts.tag_vectors) if others else None
        known = replace(concepts, calibration=measured or concepts.calibration)
        return {
            tag.label for tag in find_picture_tags(seen[clip].context, known) if tag.score > 0.7
        }

    assert len(sure("tests_data_test.avi", [])) >= 2
    assert sure("tests_data_test.avi", ["bikes.mp4", "cockatoo.mp4"]) == set()
    assert "bird" in sure("cockatoo.mp4", ["bikes.mp4", "tests_data_test.avi"])


def test_hands_at_a_table_move_more_than_the_table(shared):
    bottles = detect(shared / "media/video/bottle-detection.mp4", vocabulary=VOCABULARY)
    hands = Question(
        clip="bottle-detection.mp4", wanted="", unwanted="", yes=HANDS, no=[(0.0, 60.0)]
    )
    assert area(hear_signals(bottles.picture, None, bottles.shots), hands) >= 0.75


def test_what_is_not_in_the_film_is_no_highlight(shared, encoder):
    words = look_for(VOCABULARY, ["a cockatoo"], ["a bottle"])
    path = shared / "media/video/bottle-detection.mp4"
    found = detect(path, vocabulary=words, encoder=encoder, rate_hz=1.0)
    voice = hear_picture(found.context, found.concepts, 1.0)
    assert find_highlights([voice], found.duration_s) == ()


def test_a_still_picture_with_a_steady_hum_has_no_highlight(shared, encoder):
    """With a camera's noise and all models that are at hand, for twenty seconds."""
    rng = np.random.default_rng(0)
    meter, times = PictureMeter(), np.arange(0.0, 20.0, 0.5)
    views: list[UInt8] = []
    for time_s in times:
        noisy = place(3) + rng.normal(0, 3, (72, 128, 3))
        frame = Frame(time_s=float(time_s), image=noisy.clip(0, 255).astype(np.uint8))
        meter.add(frame)
        views += make_views(frame.image)
    moments = gather_moments(times, encoder.encode_images(views).reshape(len(times), 2, -1))
    seconds = np.arange(20 * 16_000) / 16_000
    hum = 0.05 * np.sin(2 * np.pi * 50 * seconds) + rng.normal(0, 0.002, seconds.size)
    ear, tagger = SoundMeter(), Yamnet(shared / "models/yamnet")
    ear.add(AudioWindow(start_s=0.0, samples=hum.astype(np.float32), sample_rate_hz=16_000))
    answer = tagger.score_window(hum.astype(np.float32))
    voices = [
        hear_picture(pool_moments(moments), embed_concepts(VOCABULARY, encoder)),
        hear_sounds(gather_sounds([(0.0, 20.0, answer)], tagger.labels, "yamnet"), VOCABULARY),
        hear_signals(meter.signals(), ear.signals()),
    ]
    assert all(len(voice.times_s) for voice in voices)
    assert find_highlights(voices, 20.0) == ()


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
