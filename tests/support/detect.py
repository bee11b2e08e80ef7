"""The whole of detection over one short file, as the pipeline runs it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import onnxruntime

from service.detection.concepts import Concepts, embed_concepts
from service.detection.context import pool_within_shots
from service.detection.heard import HeardSounds, gather_sounds
from service.detection.moments import Moments, gather_moments
from service.detection.shots import find_shots
from service.detection.signals import PictureMeter, PictureSignals
from service.detection.sound import SoundMeter, SoundSignals
from service.detection.views import make_views
from service.domain import Shot, UInt8
from service.ports import Encoder, SoundTagger
from service.vocabulary import Vocabulary
from tests.support.real_media import read_audio, read_frames


@dataclass(frozen=True, kw_only=True, eq=False)
class Detected:
    """What detection works from."""

    duration_s: float
    picture: PictureSignals
    shots: tuple[Shot, ...]
    sound: SoundSignals | None
    moments: Moments | None
    context: Moments | None
    concepts: Concepts | None
    heard: HeardSounds | None


def detect(
    path: Path,
    *,
    vocabulary: Vocabulary,
    encoder: Encoder | None = None,
    rate_hz: float = 12.0,
    yamnet: Path | None = None,
) -> Detected:
    """Watch and listen to a file; a corrupt tail is left out."""
    meter = PictureMeter()
    times: list[float] = []
    views: list[UInt8] = []
    end_s = 0.0
    try:
        for frame in read_frames(path, rate_hz=rate_hz):
            end_s = frame.time_s + 1.0 / rate_hz
            if meter.add(frame) and encoder is not None:
                times.append(frame.time_s)
                views += make_views(frame.image)
    except av.error.InvalidDataError:
        pass
    picture = meter.signals()
    shots = find_shots(picture, end_s)
    moments = None
    if encoder is not None and views:
        vectors = encoder.encode_images(views)
        moments = gather_moments(times, vectors.reshape(len(times), -1, encoder.dimension))
    sound = measure_file(path)
    heard = hear_file(path, Yamnet(yamnet)) if yamnet is not None and len(sound) else None
    return Detected(
        duration_s=end_s,
        picture=picture,
        shots=shots,
        sound=sound if len(sound) else None,
        moments=moments,
        context=pool_within_shots(moments, shots) if moments else None,
        concepts=embed_concepts(vocabulary, encoder) if encoder else None,
        heard=heard,
    )


def measure_file(path: Path) -> SoundSignals:
    """Signals of a file's sound."""
    meter = SoundMeter()
    for window in read_audio(path):
        meter.add(window)
    return meter.signals()


def hear_file(path: Path, tagger: SoundTagger) -> HeardSounds:
    """What a tagger hears in a file."""
    answers = [
        (
            window.start_s,
            window.samples.size / window.sample_rate_hz,
            tagger.score_window(window.samples),
        )
        for window in read_audio(path)
    ]
    return gather_sounds(answers, tagger.labels, tagger.name)


class Yamnet:
    """The real tagger of ``../shared/models/yamnet`` behind the SoundTagger port."""

    name = "yamnet"
    sample_rate_hz = 16_000

    def __init__(self, directory: Path) -> None:
        self._session = onnxruntime.InferenceSession(directory / "yamnet_fp32.onnx")
        with (directory / "yamnet_class_map_derived.csv").open(encoding="utf-8") as file:
            self.labels: Sequence[str] = [row["display_name"] for row in csv.DictReader(file)]

    def score_window(self, samples: np.ndarray) -> np.ndarray:
        size = 15_600
        count = max(1, -(-samples.size // size))
        padded = np.pad(samples, (0, count * size - samples.size)).reshape(count, size)
        return np.asarray(self._session.run(["scores"], {"waveform": padded})[0], np.float32)
