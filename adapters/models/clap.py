"""CLAP: sounds and texts in one space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from adapters.models import mels
from adapters.models.hearing import Hearing, SoundTower
from adapters.models.sessions import Port, SessionOptions
from adapters.models.spec import Role, SoundTextSpec
from adapters.models.texts import TextMemory
from adapters.models.towers import TextTower, Tower, require_dimension
from service.domain import Calibration, Float32

SOUND_OUTPUTS = ("audio_embeds", "pooler_output")
TEXT_OUTPUTS = ("text_embeds", "pooler_output")

BATCH_SIZE = 1
"""Windows a run. Four at once are no faster on a CPU, and take 140 MB more: 0.93 and 0.99 CPU
seconds for a minute of sound, 345 and 483 MB (clap-htsat-unfused in 8 bit, 2 threads)."""
TEXT_BATCH_SIZE = 8


def _log_mels(stretches: Sequence[Float32], port: Port) -> Float32:  # noqa: ARG001  never asks
    return mels.to_log_mels(stretches)


CLAP_HEARING = Hearing(
    sample_rate_hz=mels.SAMPLE_RATE_HZ,
    window_samples=mels.WINDOW_SAMPLES,
    stretch_samples=mels.WINDOW_SAMPLES,
    features=_log_mels,
)


class ClapEncoder:
    """Puts sounds and texts into one space. May be used from several threads.

    Args:
        name: Of the model; part of what identifies its vectors.
        spec: How its graphs want to be fed.
        paths: The two towers and the tokenizer, and the projections where they lie apart.
        options: Threads and providers.
        memory: Keeps text vectors; without it every text is encoded anew.
    """

    def __init__(
        self,
        name: str,
        spec: SoundTextSpec,
        paths: Mapping[Role, Path],
        options: SessionOptions,
        *,
        memory: TextMemory | None = None,
    ) -> None:
        self._name = name
        self._spec = spec
        self._dimension = spec.dimension
        self._ears = Tower(
            name,
            paths[Role.AUDIO_TOWER],
            options,
            outputs=SOUND_OUTPUTS,
            projection=paths.get(Role.AUDIO_PROJECTION),
        )
        self._sounds = SoundTower(self._ears, CLAP_HEARING, batch_size=BATCH_SIZE)
        self._texts = TextTower(
            name,
            Tower(
                name,
                paths[Role.TEXT_TOWER],
                options,
                outputs=TEXT_OUTPUTS,
                projection=paths.get(Role.TEXT_PROJECTION),
            ),
            paths[Role.TOKENIZER],
            spec.text,
            batch_size=TEXT_BATCH_SIZE,
            memory=memory,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        """Of the vectors. A model that does not declare it is asked, which loads a tower."""
        if self._dimension is None:
            self._dimension = self._sounds.dimension
        return self._dimension

    @property
    def device(self) -> str:
        """What the ears run on. Loads them."""
        return self._ears.device

    @property
    def is_joint(self) -> bool:
        return False

    @property
    def sound_calibration(self) -> Calibration:
        return self._spec.calibration

    @property
    def sample_rate_hz(self) -> int:
        return CLAP_HEARING.sample_rate_hz

    @property
    def window_s(self) -> float:
        return CLAP_HEARING.window_s

    def encode_sounds(
        self, windows: Sequence[Float32], *, timeout_s: float | None = None
    ) -> Float32:
        """Embed mono samples at 48 kHz: ``(N, D)`` unit vectors."""
        if not len(windows):
            return np.empty((0, self.dimension), dtype=np.float32)
        vectors = self._sounds.encode(windows, timeout_s=timeout_s)
        return require_dimension(self._name, vectors, self._dimension)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Embed texts: ``(N, D)`` unit vectors."""
        if not len(texts):
            return np.empty((0, self.dimension), dtype=np.float32)
        return require_dimension(self._name, self._texts.encode(texts), self._dimension)

    def close(self) -> None:
        """Free the towers' memory."""
        self._sounds.close()
        self._texts.close()

    def unload_if_idle(self) -> None:
        """Free the towers that nobody used for long enough."""
        self._sounds.unload_if_idle()
        self._texts.unload_if_idle()
