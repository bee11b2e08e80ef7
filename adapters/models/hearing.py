"""Sounds of any length to unit vectors, whatever features a model's ears want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from adapters.models.sessions import Port
from adapters.models.towers import Deadline, Tower, batches, pick, to_unit
from service.domain import Float32

FEATURE_INPUTS = ("input_features", "pixel_values")


class Features(Protocol):
    """Turns stretches of samples into what a graph's input takes."""

    def __call__(self, stretches: Sequence[Float32], port: Port) -> Float32: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """What a model's ears are made for."""

    sample_rate_hz: int
    window_samples: int
    """What one vector is made of."""
    stretch_samples: int
    """The most that the graph takes in at once: one window, or several as channels."""
    features: Features

    @property
    def window_s(self) -> float:
        return self.window_samples / self.sample_rate_hz


class SoundTower:
    """Embeds sounds. May be used from several threads.

    Args:
        tower: The graph.
        hearing: Sample rate, lengths and features.
        batch_size: Stretches that are encoded at once, at most.
    """

    def __init__(self, tower: Tower, hearing: Hearing, *, batch_size: int) -> None:
        self._tower = tower
        self._hearing = hearing
        self._batch_size = batch_size

    @property
    def dimension(self) -> int:
        """Of the vectors. Loads the tower."""
        return self._tower.dimension or int(self.encode([np.zeros(1, np.float32)]).shape[1])

    def encode(self, sounds: Sequence[Float32], *, timeout_s: float | None = None) -> Float32:
        """Embed at least one sound: the mean of its stretches, ``(N, D)`` unit vectors.

        Raises:
            ModelTimeoutError: Not done within the limit, and stopped.
        """
        port = pick(self._tower.inputs(), FEATURE_INPUTS)  # loads it, which is no part of the limit
        deadline = Deadline(timeout_s)
        size = port.shape[0] or self._batch_size
        cut = [cut_evenly(sound, self._hearing.stretch_samples) for sound in sounds]
        stretches = [stretch for parts in cut for stretch in parts]
        vectors = np.concatenate(
            [
                self._tower.embed(
                    {port.name: self._hearing.features(batch, port).astype(port.dtype, copy=False)},
                    timeout_s=deadline.left_s(),
                )
                for batch in batches(stretches, size)
            ]
        )
        firsts = np.cumsum([0, *(len(parts) for parts in cut[:-1])])
        return to_unit(np.add.reduceat(vectors, firsts, axis=0))

    def close(self) -> None:
        """Free its memory."""
        self._tower.close()

    def unload_if_idle(self) -> None:
        """Free its memory if nobody used it for long enough."""
        self._tower.unload_if_idle()


def cut_evenly(samples: Float32, length: int) -> list[Float32]:
    """The fewest stretches of ``length`` samples that hold every sample, evenly spread.

    What is not longer than one stays as it is.
    """
    if len(samples) <= length:
        return [samples]
    count = -(-len(samples) // length)
    starts = np.linspace(0, len(samples) - length, count).round().astype(int)
    return [samples[start : start + length] for start in starts]
