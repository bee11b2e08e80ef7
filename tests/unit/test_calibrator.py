"""The calibrator looks and listens with whatever models there are, and leaves out what fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.calibrate import Calibrator, Report
from service.detection.moments import unit
from service.domain import (
    AudioStream,
    AudioWindow,
    Calibration,
    Float32,
    Frame,
    ItemRef,
    LocalFile,
    MediaInfo,
    MediaItem,
    MediaKind,
    SamplePlan,
    ScoreKind,
    VideoStream,
)
from service.errors import ConfigurationError, MissingModelError, UnreadableMediaError
from service.ports import NO_LOOKS
from service.vocabulary import TagWord, load_vocabulary

DURATION_S = 30.0
WORDS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]
TAGS = tuple(
    TagWord(label=f"{row}", kind="event", prompts=(f"seen {row}",), hears=(f"heard {row}",))
    for row in WORDS
)
VOCABULARY = replace(load_vocabulary(), tags=TAGS, templates={"picture": ("{}",), "sound": ("{}",)})


def item(index: int) -> MediaItem:
    return MediaItem(
        ref=ItemRef(server="file", item_id=str(index)),
        kind=MediaKind.VIDEO,
        title=f"item {index}",
        location=LocalFile(path=Path(str(index))),
    )


class Medium:
    """Half a minute of one colour, and of noise as loud as the item's number says."""

    warnings: Sequence[str] = ()

    def __init__(self, index: int) -> None:
        self.index = index
        video = VideoStream(codec="made", width=64, height=36, frame_rate_hz=25.0)
        sound = AudioStream(codec="made", sample_rate_hz=48_000, channel_count=1)
        self.info = MediaInfo(duration_s=DURATION_S, container="made", video=video, audio=(sound,))

    def picture(self, time_s: float) -> Frame:
        rng = np.random.default_rng(self.index)
        colour = np.array([255, *rng.integers(0, 160, 2)])
        noise = rng.integers(0, 60, (36, 64, 3))
        return Frame(time_s=time_s, image=np.clip(colour - noise, 0, 255).astype(np.uint8))

    has_storyboard = False

    async def list_keyframes(self) -> Sequence[float]:
        return ()

    async def read_keyframes(
        self, *, max_gap_s: float = 12.0, looks: SamplePlan = NO_LOOKS
    ) -> AsyncIterator[Frame]:
        for time_s in np.arange(0.0, DURATION_S, 10.0):
            yield self.picture(float(time_s))

    async def read_frames(self, plan) -> AsyncIterator[Frame]:
        for span in plan.spans:
            for time_s in np.arange(span.start_s, span.end_s, 1.0 / span.rate_hz):
                yield self.picture(float(time_s))

    async def read_audio(
        self, *, sample_rate_hz: int, window_s: float, hop_s: float
    ) -> AsyncIterator[AudioWindow]:
        rng = np.random.default_rng(self.index)
        for start_s in np.arange(0.0, DURATION_S, hop_s):
            samples = rng.normal(0, 0.05 * (1 + self.index), round(window_s * sample_rate_hz))
            yield AudioWindow(
                start_s=float(start_s),
                samples=samples.astype(np.float32).clip(-1, 1),
                sample_rate_hz=sample_rate_hz,
            )


class Reader:
    """Opens what is no multiple of five."""

    @asynccontextmanager
    async def open(self, location: LocalFile) -> AsyncIterator[Medium]:
        index = int(location.path.name)
        if index % 5 == 0:
            raise UnreadableMediaError(f"{index} is no medium")
        yield Medium(index)


class JointEncoder:
    """Mean colours, loudness and three numbers in a text, in one space."""

    name, dimension, device, is_joint, sample_rate_hz, window_s = "toy", 3, "cpu", True, 8_000, 10.0
    calibration = sound_calibration = Calibration(kind=ScoreKind.SIGMOID, logit_scale=10.0)

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode_images(self, images, *, timeout_s: float | None = None) -> Float32:
        return unit(np.array([image.mean(axis=(0, 1)) for image in images]))

    def encode_sounds(self, windows, *, timeout_s: float | None = None) -> Float32:
        return unit(np.array([[1.0, 4 * np.abs(samples).mean(), 0.2] for samples in windows]))

    def encode_texts(self, texts) -> Float32:
        self.texts += texts
        known = {f"{side} {row}": row for row in WORDS for side in ("seen", "heard")}
        return unit(np.array([known.get(text, [0, 0, 0]) for text in texts], np.float32))


class Shelf:
    def __init__(self, *, eyes: object = None, ears: object = None, missing: str = "") -> None:
        self.eyes, self.ears, self.missing = eyes, ears, missing

    async def open_encoder(self):
        return self._give(self.eyes)

    async def open_sound_encoder(self):
        return self._give(self.ears)

    def _give(self, model: object) -> object:
        if model is None:
            raise MissingModelError(self.missing, f"{self.missing or 'nothing'} is not here")
        return model


async def measure(shelf: Any, items: Sequence[MediaItem], vocabulary=VOCABULARY) -> Report:
    reader: Any = Reader()  # it opens local files only
    with ThreadPoolExecutor(1) as pool:
        calibrator = Calibrator(
            reader=reader,
            shelf=shelf,
            vocabulary=vocabulary,
            pool=pool,
        )
        return await calibrator.measure(items)


async def test_a_joint_model_is_measured_by_both_senses_in_its_own_words():
    toy = JointEncoder()
    report = await measure(Shelf(eyes=toy, ears=toy), [item(index) for index in range(1, 15)])
    assert report.pictures is not None
    assert report.sounds is not None
    assert report.pictures.item_count == report.sounds.item_count == 12
    assert report.sounds.moment_count == 12 * 3
    assert report.pictures.after is not None
    centre = np.array(report.pictures.after.centre)
    assert centre[0] > centre[1:].max(), "red is what all have in common"
    assert [reason.partition(":")[0] for reason in report.skipped] == ["item 5", "item 10"]
    assert {f"seen {row}" for row in WORDS} <= set(toy.texts)
    assert {f"heard {row}" for row in WORDS} <= set(toy.texts)


@pytest.mark.parametrize("sense", ["eyes", "ears"])
async def test_one_model_is_enough(sense: str):
    models: dict[str, Any] = {sense: JointEncoder()}
    report = await measure(Shelf(missing="other", **models), [item(1), item(2)])
    assert (report.pictures is None) == (sense == "ears")
    assert (report.sounds is None) == (sense == "eyes")
    assert report.missing_models == ("other",)


async def test_without_any_model_the_missing_one_is_named():
    with pytest.raises(MissingModelError, match="siglip is not here"):
        await measure(Shelf(missing="siglip"), [item(1)])


async def test_a_model_that_knows_no_word_is_told_before_anything_is_read():
    foreign = replace(VOCABULARY, tags=(TagWord(label="x", kind="event", prompts=("unknown",)),))
    with pytest.raises(ConfigurationError, match="toy understands no tag"):
        await measure(Shelf(eyes=JointEncoder()), [item(5)], foreign)


async def test_where_nothing_can_be_read_nothing_is_measured():
    report = await measure(Shelf(eyes=JointEncoder()), [item(5), item(10)])
    assert (report.pictures, report.sounds, len(report.skipped)) == (None, None, 2)
