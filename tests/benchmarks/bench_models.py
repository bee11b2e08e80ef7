"""How fast pictures, texts and sound go through the models, and what memory they take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

from adapters.models.clip import ClipEncoder
from adapters.models.directory import read_directory
from adapters.models.hub import ModelHub
from adapters.models.limits import RunLimit
from adapters.models.preprocess import to_pixels
from adapters.models.sessions import SessionOptions
from adapters.models.settings import default_thread_count
from adapters.models.spec import SoundSpec, VisualSpec
from adapters.models.texts import TextMemory
from adapters.models.yamnet import YamnetTagger

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
PICTURE_COUNT = 64
FRAME_SHAPE = (360, 640, 3)
"""What the reader hands over: scaled while it was decoded."""
SOUND_S = 60


SENTENCE_COUNT = 1300
"""About as many as the vocabulary has."""
RUN_COUNT = 500


def run() -> list[dict[str, Any]]:
    """Rows of measurements; fewer where the real models are not beside the checkout."""
    ours = [_limit_row(), *_memory_rows()]
    return [*_visual_rows(), *_sound_rows(), *ours] if MODELS.is_dir() else ours


def _limit_row() -> dict[str, Any]:
    """What a time limit costs a run, beside a thread for each."""

    def ours() -> None:
        for _ in range(RUN_COUNT):
            with RunLimit(60.0):
                pass

    def usual() -> None:
        for _ in range(RUN_COUNT):
            timer = threading.Timer(60.0, print)
            timer.start()
            timer.cancel()

    ours_us, usual_us = (1e6 * _seconds(work) / RUN_COUNT for work in (ours, usual))
    return _row("time limit of a run", ours_us, "us", "a timer's thread for each", usual_us)


def _memory_rows() -> list[dict[str, Any]]:
    """What a vocabulary costs that was encoded before."""
    sentences = [f"a photo of thing number {index}" for index in range(SENTENCE_COUNT)]
    vectors = np.random.default_rng(0).normal(size=(SENTENCE_COUNT, 768)).astype(np.float32)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "texts.npz"
        TextMemory(path).recall(sentences, lambda _: vectors)
        cold_s = _seconds(lambda: TextMemory(path).recall(sentences, lambda _: vectors))
        warm = TextMemory(path)
        warm_s = _seconds(lambda: warm.recall(sentences, lambda _: vectors))
        size_mb = path.stat().st_size / 1e6
    return [
        _row(f"{SENTENCE_COUNT} known texts, from disk", 1000 * cold_s, "ms"),
        _row(f"{SENTENCE_COUNT} known texts, from memory", 1000 * warm_s, "ms"),
        _row("their file", size_mb, "MB"),
    ]


def _visual_rows() -> list[dict[str, Any]]:
    model = read_directory(MODELS / "standin-clip")
    spec = model.spec
    assert isinstance(spec, VisualSpec)
    noise = np.random.default_rng(0)
    pictures = [noise.integers(0, 256, FRAME_SHAPE, dtype=np.uint8) for _ in range(PICTURE_COUNT)]
    rss_before = _rss_mb()
    rates: dict[int, float] = {}
    rss_loaded = rss_unloaded = 0.0
    for batch_size in (8, 16, 1):
        encoder = ClipEncoder(
            model.name, spec, ModelHub(MODELS).paths(model), _options(), batch_size=batch_size
        )
        encoder.encode_images(pictures[:batch_size])
        rates[batch_size] = PICTURE_COUNT / _seconds(partial(encoder.encode_images, pictures))
        if batch_size == 8:
            rss_loaded = _rss_mb() - rss_before
            encoder.close()
            rss_unloaded = _rss_mb() - rss_before
        encoder.close()
    prepare_s = _seconds(lambda: to_pixels(pictures, spec.image)) / PICTURE_COUNT
    rows = [
        _row(f"images at batch {size}", rates[size], "images/s", "one by one", rates[1])
        for size in (8, 16)
    ]
    return [
        *rows,
        _row("preprocessing 640x360", 1000 * prepare_s, "ms/image"),
        _row("memory that the picture tower takes at batch 8", rss_loaded, "MB"),
        _row("of which is left when it is unloaded", max(rss_unloaded, 0.0), "MB"),
        _row("texts", *_text_rate(model.name, spec)),
    ]


def _text_rate(name: str, spec: VisualSpec) -> tuple[float, str]:
    model = read_directory(MODELS / "standin-clip")
    encoder = ClipEncoder(name, spec, ModelHub(MODELS).paths(model), _options())
    texts = [f"a photo of thing number {index}" for index in range(256)]
    encoder.encode_texts(texts[:8])
    rate = len(texts) / _seconds(lambda: encoder.encode_texts(texts))
    encoder.close()
    return rate, "texts/s"


def _sound_rows() -> list[dict[str, Any]]:
    model = read_directory(MODELS / "yamnet")
    assert isinstance(model.spec, SoundSpec)
    tagger = YamnetTagger(model.name, model.spec, ModelHub(MODELS).paths(model), _options())
    samples = np.random.default_rng(0).normal(0, 0.1, SOUND_S * 16_000).astype(np.float32)
    tagger.score_window(samples[:16_000])
    rate = SOUND_S / _seconds(lambda: tagger.score_window(samples))
    tagger.close()
    return [_row("sound tagging", rate, "x real time", "real time", 1.0)]


def _options() -> SessionOptions:
    return SessionOptions(threads=default_thread_count())


def _seconds(work: Callable[[], object]) -> float:
    """The best of three: other work on the machine only ever makes it slower."""
    return min(_time_once(work) for _ in range(3))


def _time_once(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def _rss_mb() -> float:
    return float(psutil.Process().memory_info().rss / 1e6)


def _row(
    name: str, value: float, unit: str, baseline: str = "", baseline_value: float | None = None
) -> dict[str, Any]:
    ratio = round(value / baseline_value, 2) if baseline_value else None
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "baseline": baseline,
        "ratio": ratio,
    }


if __name__ == "__main__":
    for row in run():
        print(row)
