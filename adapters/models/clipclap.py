"""CLIP and CLAP in one space: CLAP's ears behind a projection that was trained into CLIP's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from adapters.models.clap import BATCH_SIZE, CLAP_HEARING, SOUND_OUTPUTS
from adapters.models.clip import ClipEncoder
from adapters.models.hearing import SoundTower
from adapters.models.sessions import SessionOptions
from adapters.models.spec import DEFAULT_BATCH_SIZE, JointSpec, Role
from adapters.models.texts import TextMemory
from adapters.models.towers import Tower, require_dimension
from service.domain import Calibration, Float32, UInt8


class ClipClapEncoder:
    """Puts pictures, sounds and texts into one space. May be used from several threads.

    The ears' tower ends in CLAP's own space or before its projection; the projection beside it
    takes whichever it was made for.

    Args:
        name: Of the model; part of what identifies its vectors.
        spec: How its graphs want to be fed.
        paths: The three towers, their projections and the tokenizer.
        options: Threads and providers.
        batch_size: Pictures or texts that are encoded at once, at most.
        memory: Keeps text vectors; without it every text is encoded anew.
    """

    def __init__(
        self,
        name: str,
        spec: JointSpec,
        paths: Mapping[Role, Path],
        options: SessionOptions,
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        memory: TextMemory | None = None,
    ) -> None:
        self._spec = spec
        self._clip = ClipEncoder(
            name, spec.visual, paths, options, batch_size=batch_size, memory=memory
        )
        ears = Tower(
            name,
            paths[Role.AUDIO_TOWER],
            options,
            outputs=SOUND_OUTPUTS,
            projection=paths.get(Role.AUDIO_PROJECTION),
        )
        self._sounds = SoundTower(ears, CLAP_HEARING, batch_size=BATCH_SIZE)

    @property
    def name(self) -> str:
        return self._clip.name

    @property
    def dimension(self) -> int:
        """Of the vectors of all three kinds."""
        return self._clip.dimension

    @property
    def device(self) -> str:
        """What the picture tower runs on. Loads it."""
        return self._clip.device

    @property
    def calibration(self) -> Calibration:
        return self._clip.calibration

    @property
    def is_joint(self) -> bool:
        return True

    @property
    def sound_calibration(self) -> Calibration:
        return self._spec.sound_calibration

    @property
    def sample_rate_hz(self) -> int:
        return CLAP_HEARING.sample_rate_hz

    @property
    def window_s(self) -> float:
        return CLAP_HEARING.window_s

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        """Embed ``(H, W, 3)`` RGB pictures: ``(N, D)`` unit vectors."""
        return self._clip.encode_images(images, timeout_s=timeout_s)

    def encode_sounds(
        self, windows: Sequence[Float32], *, timeout_s: float | None = None
    ) -> Float32:
        """Embed mono samples at 48 kHz: ``(N, D)`` unit vectors."""
        if not len(windows):
            return np.empty((0, self.dimension), dtype=np.float32)
        vectors = self._sounds.encode(windows, timeout_s=timeout_s)
        return require_dimension(self.name, vectors, self.dimension)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Embed texts: ``(N, D)`` unit vectors."""
        return self._clip.encode_texts(texts)

    def close(self) -> None:
        """Free the towers' memory."""
        self._clip.close()
        self._sounds.close()

    def unload_if_idle(self) -> None:
        """Free the towers that nobody used for long enough."""
        self._clip.unload_if_idle()
        self._sounds.unload_if_idle()
