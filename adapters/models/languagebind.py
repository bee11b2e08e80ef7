"""LanguageBind: short clips, sounds and texts in one space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from adapters.models import fbank
from adapters.models.clips import to_clip
from adapters.models.hearing import Hearing, SoundTower
from adapters.models.sessions import Port, SessionOptions
from adapters.models.spec import ImageInput, JointSpec, Role
from adapters.models.texts import TextMemory
from adapters.models.towers import (
    Deadline,
    TextTower,
    Tower,
    batches,
    pick,
    require_dimension,
    require_numbers,
)
from service.domain import Calibration, Float32, UInt8

OUTPUTS = ("embeddings",)
PIXEL_INPUTS = ("pixel_values",)
CLIP_FRAMES = 8
CLIP_S = 2.0
"""Eight frames at 4 a second, the rate at which active stretches are watched."""
BATCH_SIZE = 1
"""Clips and sounds a run: a clip is eight pictures through a ViT-L, work enough for a CPU."""
TEXT_BATCH_SIZE = 8


def _fbanks(stretches: Sequence[Float32], port: Port) -> Float32:
    """As many bands as the graph has: 112 of the fine-tuned ears, 126 of the first ones."""
    mel_count = port.shape[2] or fbank.DEFAULT_MEL_COUNT
    return np.stack([fbank.to_fbanks(stretch, mel_count) for stretch in stretches])


LANGUAGEBIND_HEARING = Hearing(
    sample_rate_hz=fbank.SAMPLE_RATE_HZ,
    window_samples=fbank.WINDOW_SAMPLES,
    stretch_samples=fbank.CHANNEL_COUNT * fbank.WINDOW_SAMPLES,
    features=_fbanks,
)
"""Three windows at once, as channels."""


class LanguageBindEncoder:
    """Puts clips, pictures, sounds and texts into one space. May be used from several threads.

    Args:
        name: Of the model; part of what identifies its vectors.
        spec: How its graphs want to be fed.
        paths: The three towers and the tokenizer.
        options: Threads and providers.
        memory: Keeps text vectors; without it every text is encoded anew.
    """

    def __init__(
        self,
        name: str,
        spec: JointSpec,
        paths: Mapping[Role, Path],
        options: SessionOptions,
        *,
        memory: TextMemory | None = None,
    ) -> None:
        self._name = name
        self._spec = spec
        self._dimension = spec.visual.dimension
        self._clips = Tower(name, paths[Role.IMAGE_TOWER], options, outputs=OUTPUTS)
        ears = Tower(name, paths[Role.AUDIO_TOWER], options, outputs=OUTPUTS)
        self._sounds = SoundTower(ears, LANGUAGEBIND_HEARING, batch_size=BATCH_SIZE)
        self._texts = TextTower(
            name,
            Tower(name, paths[Role.TEXT_TOWER], options, outputs=OUTPUTS),
            paths[Role.TOKENIZER],
            spec.visual.text,
            batch_size=TEXT_BATCH_SIZE,
            memory=memory,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        """Of the vectors of all kinds. A model that does not declare it is asked."""
        if self._dimension is None:
            self._dimension = self._texts.dimension
        return self._dimension

    @property
    def device(self) -> str:
        """What the tower for clips runs on. Loads it."""
        return self._clips.device

    @property
    def calibration(self) -> Calibration:
        return self._spec.visual.calibration

    @property
    def is_joint(self) -> bool:
        return True

    @property
    def sound_calibration(self) -> Calibration:
        return self._spec.sound_calibration

    @property
    def clip_frames(self) -> int:
        return CLIP_FRAMES

    @property
    def clip_s(self) -> float:
        return CLIP_S

    @property
    def sample_rate_hz(self) -> int:
        return LANGUAGEBIND_HEARING.sample_rate_hz

    @property
    def window_s(self) -> float:
        return LANGUAGEBIND_HEARING.window_s

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        """Embed pictures ``(H, W, 3)`` as clips in which nothing moves: ``(N, D)``, unit."""
        return self.encode_clips([[image] for image in images], timeout_s=timeout_s)

    def encode_clips(
        self, clips: Sequence[Sequence[UInt8]], *, timeout_s: float | None = None
    ) -> Float32:
        """Embed clips of pictures ``(H, W, 3)`` in order: ``(N, D)``, unit.

        Of more than eight pictures eight are taken, evenly spread; of fewer some are repeated.

        Raises:
            ModelTimeoutError: Not done within the limit, and stopped.
            TransientError: A vector is not a number.
        """
        if not len(clips):
            return self._nothing()
        port = pick(self._clips.inputs(), PIXEL_INPUTS)  # loads it, which is no part of the limit
        deadline = Deadline(timeout_s)
        wanted = self._spec.visual.image
        wanted = replace(wanted, size=port.shape[-1] or wanted.size)
        vectors = [
            self._clips.embed(
                {port.name: _to_pixels(batch, wanted).astype(port.dtype, copy=False)},
                timeout_s=deadline.left_s(),
            )
            for batch in batches(clips, BATCH_SIZE)
        ]
        return require_numbers(self._name, self._checked(np.concatenate(vectors)))

    def encode_sounds(
        self, windows: Sequence[Float32], *, timeout_s: float | None = None
    ) -> Float32:
        """Embed mono samples at 16 kHz: ``(N, D)`` unit vectors."""
        if not len(windows):
            return self._nothing()
        return self._checked(self._sounds.encode(windows, timeout_s=timeout_s))

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Embed texts: ``(N, D)`` unit vectors."""
        return self._checked(self._texts.encode(texts)) if len(texts) else self._nothing()

    def close(self) -> None:
        """Free the towers' memory."""
        for tower in (self._clips, self._sounds, self._texts):
            tower.close()

    def unload_if_idle(self) -> None:
        """Free the towers that nobody used for long enough."""
        for tower in (self._clips, self._sounds, self._texts):
            tower.unload_if_idle()

    def _checked(self, vectors: Float32) -> Float32:
        return require_dimension(self._name, vectors, self._dimension)

    def _nothing(self) -> Float32:
        return np.empty((0, self.dimension), dtype=np.float32)


def _to_pixels(clips: Sequence[Sequence[UInt8]], wanted: ImageInput) -> Float32:
    """``(N, 3, 8, size, size)``."""
    return np.stack([to_clip(clip, wanted, CLIP_FRAMES) for clip in clips])
