"""Songs made on the spot, of which every section is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.detection.sound import SoundMeter, SoundSignals
from service.domain import AudioWindow, Float32

RATE_HZ = 16_000
MIDDLE_C_HZ = 261.63
SCALE = (0, 2, 4, 5, 7, 9, 11)
PROGRESSIONS = {
    "verse": ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14)),
    "chorus": ((5, 9, 12), (0, 4, 7), (7, 11, 14), (9, 12, 16)),
    "bridge": ((2, 5, 9), (4, 7, 11), (9, 12, 16), (2, 5, 9)),
    "intro": ((0, 4, 7), (0, 4, 7), (0, 4, 7), (0, 4, 7)),
}
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Song:
    """Sound, and where its sections are."""

    samples: Float32
    sections: tuple[tuple[str, float, float], ...]
    """Name, start and end in seconds."""

    @property
    def duration_s(self) -> float:
        return len(self.samples) / RATE_HZ

    def share_in(self, name: str, start_s: float, end_s: float) -> float:
        """How much of a stretch lies in sections of a name."""
        inside = sum(
            max(0.0, min(end, end_s) - max(start, start_s))
            for section, start, end in self.sections
            if section == name
        )
        return inside / (end_s - start_s)


def make_song(
    form: Sequence[tuple[str, int]],
    *,
    seed: int = 0,
    beats_per_minute: float = 120.0,
    chorus_gain: float = 1.4,
    tonic: int = 0,
) -> Song:
    """Sing sections of so many bars each.

    A section's chords return with it. So does the chorus's tune; every verse has another one.
    """
    rng = np.random.default_rng(seed)
    beat_s = 60.0 / beats_per_minute
    chorus_tune = rng.integers(0, 7, 64)
    parts, sections, start_s = [], [], 0.0
    for name, bars in form:
        tune = chorus_tune if name == "chorus" else rng.integers(0, 7, 64)
        gain = chorus_gain if name == "chorus" else 0.5 if name == "intro" else 1.0
        bar = [
            _bar(PROGRESSIONS[name][n % 4], tune[4 * n % 64 :][:4], beat_s, tonic, rng)
            for n in range(bars)
        ]
        parts.append(gain * np.concatenate(bar))
        end_s = start_s + len(parts[-1]) / RATE_HZ
        sections.append((name, start_s, end_s))
        start_s = end_s
    samples = (0.15 * np.concatenate(parts)).clip(-1, 1).astype(np.float32)
    return Song(samples=samples, sections=tuple(sections))


def _bar(
    chord: Sequence[int],
    tune: npt.NDArray[np.int64],
    beat_s: float,
    tonic: int,
    rng: np.random.Generator,
) -> Float64:
    """Four beats: a chord held, its root in the bass, a note of the tune and a drum on each."""
    samples = sum(0.3 * _note(tonic + step, 4 * beat_s) for step in chord)
    samples += 0.5 * _note(tonic + chord[0] - 12, 4 * beat_s)
    size = round(beat_s * RATE_HZ)
    for beat, degree in enumerate(tune):
        note = 0.6 * _note(tonic + 12 + SCALE[degree], beat_s)
        samples[beat * size :][: len(note)] += note[: len(samples) - beat * size]
        drum = rng.normal(0, 0.8, 1200) * np.exp(-np.arange(1200) / 250)
        samples[beat * size :][:1200] += drum
    return samples


def _note(semitone: int, duration_s: float) -> Float64:
    """A tone with overtones that dies away."""
    times = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    pitch_hz = MIDDLE_C_HZ * 2 ** (semitone / 12)
    tones = sum(np.sin(2 * np.pi * n * pitch_hz * times) / n**1.5 for n in (1, 2, 3, 4))
    return np.asarray(tones * np.exp(-times / (2 * duration_s)))


def measure_sound(samples: Float32) -> SoundSignals:
    """What a meter keeps of it."""
    meter = SoundMeter()
    for start in range(0, len(samples), 10 * RATE_HZ):
        piece = samples[start : start + 10 * RATE_HZ]
        meter.add(AudioWindow(start_s=start / RATE_HZ, samples=piece, sample_rate_hz=RATE_HZ))
    return meter.signals()
