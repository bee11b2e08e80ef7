"""Quality of detection on media of known content, and the time that its parts take."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import rankdata

from service.detection.calibration import CalibrationMeter
from service.detection.concepts import (
    Concepts,
    embed_concepts,
    embed_sound_concepts,
    look_for,
)
from service.detection.highlights import find_highlights
from service.detection.moments import Moments, gather_moments, pool_moments
from service.detection.signals import PictureMeter
from service.detection.sound import SoundMeter
from service.detection.tags import find_picture_tags, find_sound_tags, limit_tags
from service.detection.voices import (
    WEIGHTS,
    Voice,
    hear_picture,
    hear_signals,
    hear_sounds,
)
from service.domain import AudioWindow, Calibration, Frame, Highlight
from service.vocabulary import load_vocabulary
from tests.support.detect import Yamnet, detect, hear_file
from tests.support.known_clips import (
    CAR_WINDOWS,
    CUTS,
    HANDS,
    KNOWABLE_TAGS,
    QUESTIONS,
    RIGHT_TAGS,
    Question,
    Span,
)
from tests.support.real_media import StandinClip
from tests.support.spaces import Space

SHARED = Path(__file__).resolve().parents[3] / "shared"
VIDEO = SHARED / "media/video"
SINGLE_SHOTS = (
    "bigbuckbunny.mp4",
    "bottle-detection.mp4",
    "car-detection.mp4",
    "cockatoo.mp4",
    "demo_test_video_structuralize.mp4",
    "tests_data_test.avi",
)
SOUND_LABELS = {
    "baby_cry": "baby",
    "chainsaw": "sawing wood",
    "clock_tick": "clock ticking",
    "dog_bark": "dog",
    "fire_crackling": "fire",
    "helicopter": "helicopter",
    "person_sneeze": "sneezing",
    "rain": "rain",
    "rooster": "rooster",
    "sea_waves": "sea",
}
FRAMES_PER_S = (23.976, 24.0, 25.0, 29.97, 30.0, 59.94)

Row = dict[str, Any]


def run() -> list[Row]:
    """All rows; those of real media only where they are at hand."""
    rows = [*_speed(), *_peaks(), _events()]
    if SHARED.is_dir():
        encoder = StandinClip(SHARED / "models/standin-clip")
        seen = {clip: _watch(clip, encoder) for clip in RIGHT_TAGS}
        rows += [*_shots(), *_car(encoder), *_questions(encoder, seen), _hands()]
        rows += [*_tags(encoder, seen), _sounds()]
    return rows


def _row(name: str, value: float, unit: str, baseline: float | None = None) -> Row:
    ratio = round(value / baseline, 3) if baseline else None
    return {
        "name": f"detection: {name}",
        "value": round(float(value), 4),
        "unit": unit,
        "baseline": baseline,
        "ratio": ratio,
    }


def _speed() -> list[Row]:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (288, 512, 3), np.uint8) for _ in range(8)]
    meter = PictureMeter()
    began = time.perf_counter()
    for index in range(200):
        meter.add(Frame(time_s=index / 4, image=images[index % 8]))
    picture_ms = (time.perf_counter() - began) / 200 * 1000
    samples = rng.normal(0, 0.1, 160_000).astype(np.float32)
    sound = SoundMeter()
    sound.add(AudioWindow(start_s=0.0, samples=samples, sample_rate_hz=16_000))
    began = time.perf_counter()
    for index in range(1, 21):
        sound.add(AudioWindow(start_s=10.0 * index, samples=samples, sample_rate_hz=16_000))
    sound_ms = (time.perf_counter() - began) / 20 / 10 * 1000
    return [
        _row("measuring a frame of 512x288", picture_ms, "ms"),
        _row("measuring a second of sound", sound_ms, "ms"),
    ]


def _peaks() -> list[Row]:
    """Share of random items whose best highlight peaks within 0.5 s of the true best.

    The baselines are the best and the worst of the six frame rates in seed 000's system.
    """
    rng = np.random.default_rng(0)
    shares = []
    for rate_hz in FRAMES_PER_S:
        times = np.arange(0.0, 100.0, round(rate_hz / 2) / rate_hz)
        hits = []
        for _ in range(100):
            scores = rng.uniform(0, 1, len(times)).astype(np.float32)
            voice = Voice(
                times_s=times, strengths=scores, weight=1.0, labels=("x",), shares=scores[:, None]
            )
            best = find_highlights([voice], 100.0)[0]
            hits.append(abs(best.peak_s - times[np.argmax(scores)]) <= 0.5)
        shares.append(float(np.mean(hits)))
    return [
        _row("peaks within 0.5 s of the true best", float(np.mean(shares)), "share", 0.31),
        _row("the same at the worst of six frame rates", min(shares), "share", 0.06),
    ]


def _events() -> Row:
    """Share of events found at IoU 0.5 that are only seen, only heard, or both, in 40 spaces where
    pictures and sounds lie apart and spread differently.

    The baseline adds their raw cosines by the same weights, and takes the picture's scale for all.
    """
    ours, naive = [], []
    for seed in range(40):
        space = Space(seed=seed)
        times, words = np.arange(0.0, 240.0, 2.5).tolist(), load_vocabulary()
        shown = {
            sense: ["laugh" if _is_on(t, spans) else idle for t in times]
            for sense, spans, idle in (("seen", (0, 2), "wall"), ("heard", (1, 2), "noise"))
        }
        looks = gather_moments(times, space.sense(shown["seen"], gap=12, strength=0.16, seed=seed))
        sounds = gather_moments(
            times, space.sense(shown["heard"], gap=15, strength=0.5, seed=seed + 1)
        )
        wish = look_for(words, ["people who laugh"], ["a wall of noise"])
        sight, hearing = embed_concepts(wish, space), embed_sound_concepts(wish, space)
        voices = [
            hear_picture(looks, sight),
            hear_sounds(None, wish, listened=sounds, concepts=hearing),
        ]
        ours.append(_found_events(voices))
        naive.append(_found_events([_add_cosines(looks, sounds, sight)]))
    return _row("events seen, heard or both", float(np.mean(ours)), "share", float(np.mean(naive)))


EVENTS: list[Span] = [(30.0, 50.0), (100.0, 120.0), (170.0, 190.0)]


def _is_on(time_s: float, numbers: tuple[int, ...]) -> bool:
    return any(EVENTS[number][0] <= time_s < EVENTS[number][1] for number in numbers)


def _add_cosines(looks: Moments, sounds: Moments, concepts: Concepts) -> Voice:
    sides = concepts.positive_vectors[0] - concepts.negative_vectors[0]
    picture, sound = (moments.vectors[:, 0] @ sides for moments in (looks, sounds))
    margin = (WEIGHTS.picture * picture + WEIGHTS.sound * sound) / (WEIGHTS.picture + WEIGHTS.sound)
    chance = expit(concepts.calibration.logit_scale * margin)
    strengths = np.asarray((2.0 * chance - 1.0).clip(0.0), np.float32)
    return Voice(
        times_s=looks.times_s,
        strengths=strengths,
        weight=1.0,
        labels=("x",),
        shares=strengths[:, None],
    )


def _found_events(voices: list[Voice]) -> float:
    """Of three; a false one takes one away."""
    found = find_highlights(voices, 240.0)
    hit = [max((_overlap(one, event) for one in found), default=0.0) >= 0.5 for event in EVENTS]
    return max(0, sum(hit) - max(0, len(found) - len(EVENTS))) / len(EVENTS)


def _shots() -> list[Row]:
    vocabulary = load_vocabulary()
    bikes = detect(SHARED / "media/video/bikes.mp4", vocabulary=vocabulary)
    found = np.array([shot.start_s for shot in bikes.shots[1:]])
    hit = sum(bool((np.abs(found - cut) <= 0.3).any()) for cut in CUTS)
    wrong = [
        len(detect(SHARED / "media/video" / name, vocabulary=vocabulary).shots) - 1
        for name in SINGLE_SHOTS
    ]
    return [
        _row("cuts of bikes.mp4 within 0.3 s, of 5", hit, "cuts", 4),
        _row("false cuts of bikes.mp4", len(found) - hit, "cuts"),
        _row("false cuts of six clips of one shot", sum(wrong), "cuts"),
    ]


def _car(encoder: StandinClip) -> list[Row]:
    words = look_for(load_vocabulary(), ["a car on the road"], ["an empty road"])
    car = detect(VIDEO / "car-detection.mp4", vocabulary=words, encoder=encoder)
    voice = hear_picture(car.context, car.concepts, 1.0)
    highlights = find_highlights([voice], car.duration_s, picture=car.picture)
    rows = [_row("car-detection.mp4, AUC of a moment at 12 Hz", _area(voice, QUESTIONS[0]), "AUC")]
    for number, window in enumerate(CAR_WINDOWS, 1):
        best = max((_overlap(highlight, window) for highlight in highlights), default=0.0)
        rows.append(_row(f"car-detection.mp4, window {number}", best, "IoU", 0.5))
    return rows


def _watch(clip: str, encoder: StandinClip) -> Moments:
    watched = detect(VIDEO / clip, vocabulary=load_vocabulary(), encoder=encoder, rate_hz=4.0)
    assert watched.moments is not None
    return watched.moments


def _questions(encoder: StandinClip, seen: dict[str, Moments]) -> list[Row]:
    """Each beside what single frames give."""
    rows = []
    for question in QUESTIONS:
        words = look_for(load_vocabulary(), [question.wanted], [question.unwanted])
        concepts = embed_concepts(words, encoder)
        single = seen[question.clip]
        alone, pooled = (
            _area(hear_picture(moments, concepts, 1.0), question)
            for moments in (single, pool_moments(single))
        )
        name = f"{question.clip}, {question.wanted}, AUC of a moment at 4 Hz"
        rows.append(_row(name, pooled, "AUC", round(alone, 4)))
    return rows


def _hands() -> Row:
    """What movement alone says of hands at a table; its baseline is chance."""
    bottles = detect(VIDEO / "bottle-detection.mp4", vocabulary=load_vocabulary())
    voice = hear_signals(bottles.picture, None, bottles.shots)
    hands = Question(
        clip="bottle-detection.mp4", wanted="", unwanted="", yes=HANDS, no=[(0.0, 60.0)]
    )
    return _row("bottle-detection.mp4, hands by movement alone", _area(voice, hands), "AUC", 0.5)


def _tags(encoder: StandinClip, seen: dict[str, Moments]) -> list[Row]:
    """With and without a calibration that was measured on the other clips."""
    concepts = embed_concepts(load_vocabulary(), encoder)
    rows = []
    for name, uses_centre, uses_spread in (
        ("", False, False),
        (", centre measured", True, False),
        (", spread measured", False, True),
        (", both measured", True, True),
    ):
        right = wrong = missed = 0
        for clip in RIGHT_TAGS:
            measured = _calibrate(clip, seen, concepts)
            calibration = replace(
                measured,
                centre=measured.centre if uses_centre else (),
                flat_range=measured.flat_range if uses_spread else None,
            )
            found = find_picture_tags(
                pool_moments(seen[clip]), replace(concepts, calibration=calibration)
            )
            labels = {tag.label for tag in limit_tags(found, 8)}
            right += len(labels & RIGHT_TAGS[clip])
            wrong += len(labels - RIGHT_TAGS[clip])
            missed += len(KNOWABLE_TAGS[clip] - labels)
        rows += [
            _row(f"right picture tags of eight clips{name}", right, "tags"),
            _row(f"wrong picture tags of eight clips{name}", wrong, "tags"),
            _row(f"missed picture tags, of 9 that could be known{name}", missed, "tags"),
        ]
    return rows


def _calibrate(without: str, seen: dict[str, Moments], concepts: Concepts) -> Calibration:
    meter = CalibrationMeter()
    for clip, moments in seen.items():
        if clip != without:
            meter.add(moments.vectors)
    return meter.result(concepts.calibration, concepts.tag_vectors)


def _area(voice: Voice, question: Question) -> float:
    """Of a moment that is wanted and one that is not, how often the right one is stronger."""
    wanted = _inside(voice, question.yes)
    asked = wanted | _inside(voice, question.no)
    ranks, truth = rankdata(voice.strengths[asked]), wanted[asked]
    count = int(truth.sum())
    return float((ranks[truth].sum() - count * (count + 1) / 2) / (count * (~truth).sum()))


def _inside(voice: Voice, spans: list[Span]) -> npt.NDArray[np.bool_]:
    starts, ends = np.array(spans).T
    times = voice.times_s[:, None]
    return np.asarray(((times >= starts) & (times <= ends)).any(axis=1))


def _overlap(highlight: Highlight, window: Span) -> float:
    shared_s = min(highlight.end_s, window[1]) - max(highlight.start_s, window[0])
    whole_s = max(highlight.end_s, window[1]) - min(highlight.start_s, window[0])
    return max(0.0, shared_s) / whole_s


def _sounds() -> Row:
    tagger, vocabulary = Yamnet(SHARED / "models/yamnet"), load_vocabulary()
    hits = []
    for sound, label in SOUND_LABELS.items():
        for path in sorted((SHARED / "media/audio/esc10" / sound).glob("*.ogg")):
            tags = find_sound_tags(hear_file(path, tagger), vocabulary)
            hits.append(label in {tag.label for tag in tags})
    return _row("ESC-10 clips with their tag", float(np.mean(hits)), "share")
