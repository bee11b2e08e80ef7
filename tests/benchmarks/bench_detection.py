"""The time that parts of detection take, and how well they do on data that is made for it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy.special import expit

from service.detection.concepts import (
    Concepts,
    embed_concepts,
    embed_sound_concepts,
    look_for,
)
from service.detection.highlights import find_highlights
from service.detection.moments import Moments, gather_moments
from service.detection.signals import PictureMeter
from service.detection.sound import SoundMeter
from service.detection.voices import (
    WEIGHTS,
    Voice,
    hear_picture,
    hear_sounds,
)
from service.domain import AudioWindow, Frame
from service.vocabulary import load_vocabulary
from tests.support.known_clips import (
    Span,
    overlap,
)
from tests.support.spaces import Space

FRAMES_PER_S = (23.976, 24.0, 25.0, 29.97, 30.0, 59.94)

Row = dict[str, Any]


def run() -> list[Row]:
    """All rows. Real media are in ``bench_clips`` and ``bench_signals``."""
    return [*_speed(), *_peaks(), _events()]


def row(name: str, value: float, unit: str, baseline: float | None = None) -> Row:
    ratio = round(float(value) / baseline, 3) if baseline else None
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
        row("measuring a frame of 512x288", picture_ms, "ms"),
        row("measuring a second of sound", sound_ms, "ms"),
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
        row("peaks within 0.5 s of the true best", float(np.mean(shares)), "share", 0.31),
        row("the same at the worst of six frame rates", min(shares), "share", 0.06),
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
    return row("events seen, heard or both", float(np.mean(ours)), "share", float(np.mean(naive)))


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
    hit = [max((overlap(one, event) for one in found), default=0.0) >= 0.5 for event in EVENTS]
    return max(0, sum(hit) - max(0, len(found) - len(EVENTS))) / len(EVENTS)
