"""Decoding of whole short media and the stand-in CLIP, for tests and benchmarks of detection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import onnxruntime
from av.audio.resampler import AudioResampler
from PIL import Image
from tokenizers import Tokenizer

from service.domain import AudioWindow, Calibration, Float32, Frame, ScoreKind, UInt8

CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def read_frames(path: Path, *, rate_hz: float, height: int = 288) -> Iterator[Frame]:
    """Frames at a steady rate, each the first at or after its due time, scaled to ``height``."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        due_s = 0.0
        for decoded in container.decode(stream):
            time_s = float(decoded.time or 0.0)
            if time_s < due_s - 1e-6:
                continue
            width = max(2, round(decoded.width * height / decoded.height / 2) * 2)
            image = decoded.reformat(width=width, height=height, format="rgb24").to_ndarray()
            yield Frame(time_s=time_s, image=np.asarray(image, np.uint8))
            due_s = (int(time_s * rate_hz + 1e-6) + 1) / rate_hz


def read_audio(
    path: Path, *, sample_rate_hz: int = 16_000, window_s: float = 10.0
) -> list[AudioWindow]:
    """Consecutive windows of the first audio stream, mixed to mono."""
    resampler = AudioResampler(format="flt", layout="mono", rate=sample_rate_hz)
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        pieces = [
            chunk.to_ndarray().reshape(-1)
            for decoded in [*container.decode(container.streams.audio[0]), None]
            for chunk in resampler.resample(decoded)
        ]
    samples = np.concatenate(pieces).astype(np.float32)
    size = int(window_s * sample_rate_hz)
    return [
        AudioWindow(
            start_s=start / sample_rate_hz,
            samples=samples[start : start + size],
            sample_rate_hz=sample_rate_hz,
        )
        for start in range(0, samples.size, size)
    ]


class StandinClip:
    """The stand-in model of ``../shared/models/standin-clip`` behind the Encoder port."""

    name = "standin-clip"
    dimension = 512
    calibration = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0)

    def __init__(self, directory: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self._vision = onnxruntime.InferenceSession(directory / "vision_model.onnx", options)
        self._text = onnxruntime.InferenceSession(directory / "text_model.onnx", options)
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.enable_truncation(77)
        self._tokenizer.enable_padding(pad_id=49407, pad_token="<|endoftext|>")

    device = "cpu"

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        pixels = np.stack([_clip_pixels(image) for image in images])
        batches = [
            self._vision.run(["image_embeds"], {"pixel_values": pixels[i : i + 16]})[0]
            for i in range(0, len(pixels), 16)
        ]
        return _unit(np.concatenate(batches))

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        tokens = self._tokenizer.encode_batch(list(texts))
        ids = np.array([token.ids for token in tokens], np.int64)
        mask = np.array([token.attention_mask for token in tokens], np.int64)
        feeds = {"input_ids": ids, "attention_mask": mask}
        return _unit(self._text.run(["text_embeds"], feeds)[0])


def _clip_pixels(image: UInt8) -> Float32:
    picture = Image.fromarray(image)
    scale = 224 / min(picture.size)
    width, height = (max(224, round(side * scale)) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - 224) // 2, (height - 224) // 2
    pixels = np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float32) / 255
    return np.asarray(((pixels - CLIP_MEAN) / CLIP_STD).transpose(2, 0, 1), np.float32)


def _unit(vectors: Float32) -> Float32:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)
