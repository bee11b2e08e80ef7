"""Quality of detection on real clips of known content, with the stand-in for a picture model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from service.detection.calibration import CalibrationMeter
from service.detection.concepts import (
    Concepts,
    embed_concepts,
    look_for,
)
from service.detection.context import pool_within_shots
from service.detection.highlights import find_highlights
from service.detection.moments import Moments, gather_moments, pool_moments
from service.detection.tags import find_picture_tags, limit_tags
from service.detection.voices import (
    hear_picture,
    hear_signals,
)
from service.domain import Calibration, Shot
from service.vocabulary import load_vocabulary
from tests.benchmarks.bench_detection import Row, row
from tests.support.detect import Detected, detect
from tests.support.known_clips import (
    CAR_WINDOWS,
    CUTS,
    HANDS,
    KNOWABLE_TAGS,
    QUESTIONS,
    RIGHT_TAGS,
    Question,
    area,
    overlap,
)
from tests.support.real_media import StandinClip

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


def run() -> list[Row]:
    """All rows, where the clips are at hand."""
    if not SHARED.is_dir():
        return []
    encoder = StandinClip(SHARED / "models/standin-clip")
    seen = {clip: _watch(clip, encoder) for clip in RIGHT_TAGS}
    questions = _questions(encoder, seen)
    spliced = _spliced(encoder, seen)
    return [*_shots(), *_car(encoder), *questions, *spliced, _hands(), *_tags(encoder, seen)]


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
        row("cuts of bikes.mp4 within 0.3 s, of 5", hit, "cuts", 4),
        row("false cuts of bikes.mp4", len(found) - hit, "cuts"),
        row("false cuts of six clips of one shot", sum(wrong), "cuts"),
    ]


def _car(encoder: StandinClip) -> list[Row]:
    words = look_for(load_vocabulary(), ["a car on the road"], ["an empty road"])
    car = detect(VIDEO / "car-detection.mp4", vocabulary=words, encoder=encoder)
    voice = hear_picture(car.context, car.concepts, 1.0)
    highlights = find_highlights([voice], car.duration_s, picture=car.picture)
    rows = [row("car-detection.mp4, AUC of a moment at 12 Hz", area(voice, QUESTIONS[0]), "AUC")]
    for number, window in enumerate(CAR_WINDOWS, 1):
        best = max((overlap(highlight, window) for highlight in highlights), default=0.0)
        rows.append(row(f"car-detection.mp4, window {number}", best, "IoU", 0.5))
    return rows


def _watch(clip: str, encoder: StandinClip) -> Detected:
    return detect(VIDEO / clip, vocabulary=load_vocabulary(), encoder=encoder, rate_hz=4.0)


def _questions(encoder: StandinClip, seen: dict[str, Detected]) -> list[Row]:
    """Each beside what single frames give."""
    rows = []
    for question in QUESTIONS:
        concepts = embed_concepts(question.ask(load_vocabulary()), encoder)
        clip = seen[question.clip]
        alone, pooled = (
            area(hear_picture(moments, concepts, 1.0), question)
            for moments in (clip.moments, clip.context)
        )
        name = f"{question.clip}, {question.wanted}, AUC of a moment at 4 Hz"
        rows.append(row(name, pooled, "AUC", round(alone, 4)))
    return rows


WISHES = {
    "cockatoo.mp4": "a bird",
    "bottle-detection.mp4": "a bottle",
    "demo_test_video_structuralize.mp4": "people playing basketball",
}


def _spliced(encoder: StandinClip, seen: dict[str, Detected]) -> list[Row]:
    """Films of five to eight pieces of 4 to 10 s, every second one of the wanted clip.

    The baselines are pooled across the cuts.
    """
    rng = np.random.default_rng(0)
    words = load_vocabulary()
    concepts = {
        clip: embed_concepts(look_for(words, [wish], []), encoder) for clip, wish in WISHES.items()
    }
    overlaps: dict[bool, list[float]] = {True: [], False: []}
    for trial in range(60):
        wanted = list(WISHES)[trial % len(WISHES)]
        other = rng.choice([clip for clip in seen if clip != wanted])
        moments, shots = _splice(seen[other], seen[wanted], rng)
        pooled = {True: pool_within_shots(moments, shots), False: pool_moments(moments)}
        for within, context in pooled.items():
            voice = hear_picture(context, concepts[wanted], 1.0)
            found = find_highlights([voice], shots[-1].end_s, shots=shots)
            for shot in shots[1::2]:
                best = max((overlap(one, (shot.start_s, shot.end_s)) for one in found), default=0.0)
                overlaps[within].append(best)
    ours, theirs = np.array(overlaps[True]), np.array(overlaps[False])
    count = f"of {len(ours)} stretches of 60 spliced films"
    return [
        row(f"IoU {count}", ours.mean(), "IoU", round(float(theirs.mean()), 4)),
        row(
            f"found at IoU 0.5 {count}",
            (ours >= 0.5).mean(),
            "share",
            round(float((theirs >= 0.5).mean()), 4),
        ),
    ]


def _splice(
    other: Detected, wanted: Detected, rng: np.random.Generator
) -> tuple[Moments, list[Shot]]:
    times: list[float] = []
    vectors, shots, start_s = [], [], 0.0
    for number in range(int(rng.integers(5, 9))):
        source = (wanted if number % 2 else other).moments
        assert source is not None
        end_s = float(source.times_s[-1])
        length_s = min(float(rng.uniform(4.0, 10.0)), end_s - 0.5)
        first_s = float(rng.uniform(0.0, end_s - length_s))
        inside = (source.times_s >= first_s) & (source.times_s < first_s + length_s)
        times += (start_s + source.times_s[inside] - first_s).tolist()
        vectors.append(source.vectors[inside])
        shots.append(Shot(start_s=start_s, end_s=start_s + length_s))
        start_s += length_s
    return gather_moments(times, np.concatenate(vectors)), shots


def _hands() -> Row:
    """What movement alone says of hands at a table; its baseline is chance."""
    bottles = detect(VIDEO / "bottle-detection.mp4", vocabulary=load_vocabulary())
    voice = hear_signals(bottles.picture, None, bottles.shots)
    hands = Question(
        clip="bottle-detection.mp4", wanted="", unwanted="", yes=HANDS, no=[(0.0, 60.0)]
    )
    return row("bottle-detection.mp4, hands by movement alone", area(voice, hands), "AUC", 0.5)


def _tags(encoder: StandinClip, seen: dict[str, Detected]) -> list[Row]:
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
                seen[clip].context, replace(concepts, calibration=calibration)
            )
            labels = {tag.label for tag in limit_tags(found, 8)}
            right += len(labels & RIGHT_TAGS[clip])
            wrong += len(labels - RIGHT_TAGS[clip])
            missed += len(KNOWABLE_TAGS[clip] - labels)
        rows += [
            row(f"right picture tags of eight clips{name}", right, "tags"),
            row(f"wrong picture tags of eight clips{name}", wrong, "tags"),
            row(f"missed picture tags, of 9 that could be known{name}", missed, "tags"),
        ]
    return rows


def _calibrate(without: str, seen: dict[str, Detected], concepts: Concepts) -> Calibration:
    meter = CalibrationMeter()
    for clip, found in seen.items():
        if clip != without and found.moments is not None:
            meter.add(found.moments.vectors)
    return meter.result(concepts.calibration, concepts.tag_vectors)
