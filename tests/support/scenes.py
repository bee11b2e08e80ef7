"""Scenes of which every moment is known: what is seen, and what is heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.domain import Float32, UInt8

Float64 = npt.NDArray[np.float64]
SAMPLE_RATE_HZ = 48_000
Colour = tuple[int, int, int]
RED, GREEN, BLUE = (200, 30, 30), (30, 160, 60), (30, 60, 200)
BLACK, WHITE, GREY = (0, 0, 0), (255, 255, 255), (128, 128, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSpec:
    """One scene: what is seen and heard, for how long."""

    duration_s: float
    picture: str = "solid"
    """A key of ``PICTURES``."""
    colour: Colour = GREY
    sound: str = "silence"
    """A key of ``SOUNDS``."""
    frequency_hz: float = 440.0
    """Of a tone, or of a chord's root."""
    tempo_bpm: float = 120.0
    """Of the clicks."""
    level: float = 0.3
    """Peak of the sound, full scale is 1."""


# What is seen -----------------------------------------------------------------------------------


def _solid(scene: SceneSpec, size: tuple[int, int], _time_s: float, _seed: int) -> UInt8:
    width, height = size
    return np.full((height, width, 3), scene.colour, dtype=np.uint8)


def _gradient(scene: SceneSpec, size: tuple[int, int], _time_s: float, _seed: int) -> UInt8:
    """From black on the left to the colour on the right."""
    ramp = np.linspace(0.0, 1.0, size[0])[None, :, None] * np.array(scene.colour)
    return np.repeat(ramp, size[1], axis=0).astype(np.uint8)


def _noise(_scene: SceneSpec, size: tuple[int, int], _time_s: float, seed: int) -> UInt8:
    width, height = size
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _moving_box(scene: SceneSpec, size: tuple[int, int], time_s: float, _seed: int) -> UInt8:
    """A white box that crosses the picture from left to right in two seconds, again and again."""
    image = _solid(scene, size, time_s, 0)
    width, height = size
    side = height // 3
    left = int((time_s / 2.0 % 1.0) * (width - side))
    image[side : 2 * side, left : left + side] = WHITE
    return image


def _checkerboard(scene: SceneSpec, size: tuple[int, int], _time_s: float, _seed: int) -> UInt8:
    width, height = size
    cell = max(2, height // 8)
    board = (np.arange(height)[:, None] // cell + np.arange(width)[None, :] // cell) % 2
    return np.asarray(board[..., None] * np.array(scene.colour), dtype=np.uint8)


PICTURES: dict[str, Callable[[SceneSpec, tuple[int, int], float, int], UInt8]] = {
    "solid": _solid,
    "gradient": _gradient,
    "noise": _noise,
    "moving_box": _moving_box,
    "checkerboard": _checkerboard,
}


# What is heard ----------------------------------------------------------------------------------


def _silence(_scene: SceneSpec, times_s: Float64) -> Float64:
    return np.zeros_like(times_s)


def _tone(scene: SceneSpec, times_s: Float64) -> Float64:
    return np.asarray(np.sin(2 * np.pi * scene.frequency_hz * times_s))


def _hiss(_scene: SceneSpec, times_s: Float64) -> Float64:
    seed = round(float(times_s[0]) * SAMPLE_RATE_HZ) if len(times_s) else 0
    return np.random.default_rng(seed).uniform(-1, 1, len(times_s))


def _clicks(scene: SceneSpec, times_s: Float64) -> Float64:
    """A short 1 kHz ping on every beat, the first at the scene's start."""
    since_beat_s = times_s % (60.0 / scene.tempo_bpm)
    return np.asarray(np.sin(2 * np.pi * 1000 * since_beat_s) * np.exp(-since_beat_s * 60))


def _chord(third_semitones: int) -> Callable[[SceneSpec, Float64], Float64]:
    def play(scene: SceneSpec, times_s: Float64) -> Float64:
        notes = [scene.frequency_hz * 2 ** (step / 12) for step in (0, third_semitones, 7)]
        waves = [np.sin(2 * np.pi * note * times_s) for note in notes]
        return np.asarray(np.mean(waves, axis=0), dtype=np.float64)

    return play


SOUNDS: dict[str, Callable[[SceneSpec, Float64], Float64]] = {
    "silence": _silence,
    "tone": _tone,
    "noise": _hiss,
    "clicks": _clicks,
    "major": _chord(4),
    "minor": _chord(3),
}


def frames_of(
    scenes: Sequence[SceneSpec], size: tuple[int, int], frame_rate_hz: float
) -> Iterator[tuple[float, UInt8]]:
    """All pictures with their times, from 0 s."""
    start_s, index = 0.0, 0
    for scene in scenes:
        while (time_s := index / frame_rate_hz) < start_s + scene.duration_s - 1e-6:
            yield time_s, PICTURES[scene.picture](scene, size, time_s - start_s, index)
            index += 1
        start_s += scene.duration_s


def samples_of(scenes: Sequence[SceneSpec]) -> Float32:
    """All sound, mono, at ``SAMPLE_RATE_HZ``."""
    parts = [
        SOUNDS[scene.sound](
            scene, np.arange(round(scene.duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        )
        * scene.level
        for scene in scenes
    ]
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)
