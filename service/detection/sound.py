"""What the ear says without a model: loudness, beats, brightness and key.

Sound is taken window by window; of each half second a few numbers stay. Where it is cut into
windows changes nothing: what a measurement needs of the last window is kept for the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from service.detection.loudness import (
    SHORT_TERM_STEPS,
    STEP_S,
    LoudnessMeter,
    integrated_lufs,
    loudness_range_lu,
)
from service.detection.rhythm import find_tempo
from service.detection.spectra import Spectra, Spectrograph
from service.detection.tonality import find_key
from service.domain import AudioWindow, Float32, SoundAnalysis

Float64 = npt.NDArray[np.float64]

CELL_S, FRAMES_PER_CELL = 0.5, 16
"""Resolution of the curves, near to EBU R 128's momentary loudness (0.4 s)."""
TONES_PER_CELL = 2
FLOOR_DBFS = -100.0
SILENCE_DBFS = -60.0
"""Below is room noise at most."""
ONSET_DB = 3.0
"""A frame whose mel bands rise by so many dB on average begins a sound (rain: one in five
seconds; a reader: six a second)."""
LEAST_GAP_S = 0.005
"""Less is the rounding of times, not a gap."""
COLUMNS = 17
"""Of a cell: five numbers and twelve tones."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SoundSignals:
    """Measurements of N half seconds in order of time; the arrays have N rows, but for the last."""

    times_s: Float64
    """Middles of the cells."""
    level_dbfs: Float32
    """RMS; -100 for digital silence."""
    onset_strength: Float32
    """Mean rise of the mel spectrum per frame, in dB; 0 for steady sound, above 1 for drums."""
    onset_rate_hz: Float32
    """Onsets a second."""
    centroid_hz: Float32
    """Mean of the spectrum's frequencies by magnitude; 0 in silence."""
    flatness: Float32
    """0 a tone, 1 white noise."""
    chroma: Float32
    """``(N, 12)`` strength per pitch class from C, 1 the strongest of a frame; 0 in silence."""
    envelope: Float32
    """Onset strength of every spectral frame of the whole medium."""
    envelope_rate_hz: float
    powers: Float64
    """K-weighted mean squares of each tenth of a second (``service.detection.loudness``)."""
    power_times_s: Float64
    """Middles of those tenths; of a gap between windows at most three seconds are there, as
    silence."""

    def __len__(self) -> int:
        return len(self.times_s)


class SoundMeter:
    """Measures windows in order of time; what two windows share is measured once."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def add(self, window: AudioWindow) -> None:
        """Measure the part of a window that is new."""
        rate_hz = window.sample_rate_hz
        run = self._runs[-1] if self._runs else None
        if run is None or run.rate_hz != rate_hz or window.start_s - run.end_s > LEAST_GAP_S:
            start_s = window.start_s if run is None else max(window.start_s, run.end_s)
            run = _Run(start_s, rate_hz)
            self._runs.append(run)
        skip = max(0, round((run.end_s - window.start_s) * rate_hz))
        run.add(_numbers(window.samples[skip:]))

    def signals(self) -> SoundSignals:
        """All that was measured so far."""
        gaps_s = [0.0, *(after.start_s - run.end_s for run, after in pairwise(self._runs))]
        runs = [_finish(run, gap_s) for run, gap_s in zip(self._runs, gaps_s, strict=False)]
        times, cells, onsets, power_times, powers = (
            np.concatenate(parts) for parts in zip(_NOTHING, *runs, strict=True)
        )
        return SoundSignals(
            times_s=times,
            level_dbfs=cells[:, 0],
            onset_strength=cells[:, 1],
            onset_rate_hz=cells[:, 2],
            centroid_hz=cells[:, 3],
            flatness=cells[:, 4],
            chroma=cells[:, 5:],
            envelope=onsets,
            envelope_rate_hz=self._runs[-1].frame_rate_hz if self._runs else 0.0,
            powers=powers,
            power_times_s=power_times,
        )


def _numbers(samples: Float32) -> Float32:
    """Samples that are no numbers become silence, lest they spread."""
    return np.where(np.isfinite(samples), samples, np.float32(0.0))


_Rows = tuple[Float64, Float32, Float32, Float64, Float64]
"""Times and columns of cells, onsets of frames, times and powers of tenths of a second."""
_NOTHING: _Rows = (
    np.zeros(0),
    np.zeros((0, COLUMNS), np.float32),
    np.zeros(0, np.float32),
    np.zeros(0),
    np.zeros(0),
)


class _Run:
    """Sound without a gap. Cells are measured when all that their frames reach is there."""

    def __init__(self, start_s: float, rate_hz: int) -> None:
        self.start_s = start_s
        self.rate_hz = rate_hz
        self.cells: list[Float32] = []
        self.onsets: list[Float32] = []
        self.loudness = LoudnessMeter(rate_hz)
        self.spectrograph = Spectrograph(rate_hz)
        self.cell_size = FRAMES_PER_CELL * self.spectrograph.hop
        self.rest = np.zeros(0, np.float32)
        """What is not in a cell yet."""
        self.last_onset = 0.0
        self._count = 0

    @property
    def end_s(self) -> float:
        return self.start_s + self._count / self.rate_hz

    @property
    def frame_rate_hz(self) -> float:
        return self.rate_hz / self.spectrograph.hop

    def add(self, samples: Float32) -> None:
        self._count += len(samples)
        self.loudness.add(samples)
        self.rest = np.concatenate([self.rest, samples])
        beyond = self.spectrograph.reach(FRAMES_PER_CELL) - self.cell_size
        count = (len(self.rest) - beyond) // self.cell_size
        if count > 0:
            found = self.spectrograph.measure(self.rest, count * FRAMES_PER_CELL)
            self.cells.append(self.measure_cells(self.rest, found))
            self.onsets.append(found.onset_db)
            self.last_onset = float(found.onset_db[-1])
            self.rest = self.rest[count * self.cell_size :].copy()

    def measure_cells(self, samples: Float32, found: Spectra) -> Float32:
        """``(N, 17)`` columns of as many cells as there are frames for; the last may be short."""
        onset = found.onset_db
        begins = (onset >= ONSET_DB) & (np.append(self.last_onset, onset[:-1]) < ONSET_DB)
        frames = np.stack([onset, begins, found.centroid_hz, found.flatness], axis=1)
        means = _means(frames.astype(np.float32), FRAMES_PER_CELL)
        means[:, 1] *= self.frame_rate_hz
        level = _levels(samples[: len(onset) * self.spectrograph.hop], self.cell_size)
        # A frame looks ahead: what begins a silent cell's end belongs to the next, and is counted.
        numbers = np.hstack([means[:, 2:], _means(found.tones, TONES_PER_CELL)])
        numbers[level < SILENCE_DBFS] = 0.0
        return np.hstack([level[:, None], means[:, :2], numbers])


def _finish(run: _Run, gap_s: float) -> _Rows:
    """All of a run, its unfinished cells included, which are measured as if silence followed.

    The gap before it is silence, of which three seconds are as good as all.
    """
    graph, cells, onsets = run.spectrograph, list(run.cells), list(run.onsets)
    if len(run.rest) > 1:
        count = -(-len(run.rest) // graph.hop)
        padded = np.pad(run.rest, (0, max(0, graph.reach(count) - len(run.rest))))
        found = graph.measure(padded, count, keep=False)
        cells.append(run.measure_cells(run.rest, found))
        onsets.append(found.onset_db)
    rows = np.concatenate([_NOTHING[1], *cells])
    starts = np.arange(len(rows)) * run.cell_size / run.rate_hz
    ends = np.minimum(starts + run.cell_size / run.rate_hz, run.end_s - run.start_s)
    silent = min(SHORT_TERM_STEPS, int(gap_s / STEP_S))
    powers = np.concatenate([np.zeros(silent), run.loudness.powers()])
    tenths = (np.arange(len(powers)) - silent + 0.5) * STEP_S
    return (
        run.start_s + (starts + ends) / 2.0,
        np.asarray(rows, np.float32),
        np.asarray(np.concatenate([_NOTHING[2], *onsets]), np.float32),
        np.asarray(run.start_s + tenths, np.float64),
        powers,
    )


def _means(rows: Float32, size: int) -> Float32:
    """Means over ``size`` rows each; the last over what is left."""
    starts = np.arange(0, len(rows), size)
    counts = np.diff(np.append(starts, len(rows)))
    return np.asarray(np.add.reduceat(rows, starts, axis=0) / counts[:, None], np.float32)


def _levels(samples: Float32, size: int) -> Float32:
    """RMS in dBFS of ``size`` samples each; the last of what is left."""
    starts = np.arange(0, len(samples), size)
    whole = len(samples) // size * size
    steps = samples[:whole].reshape(-1, size)
    squares = np.einsum("ij,ij->i", steps, steps, dtype=np.float64) / size
    if whole < len(samples):
        squares = np.append(squares, np.mean(samples[whole:].astype(np.float64) ** 2))
    decibels = 10.0 * np.log10(np.maximum(squares[: len(starts)], 1e-10))
    return np.asarray(decibels, np.float32)


def summarize_sound(signals: SoundSignals, tags: tuple[str, ...] = ()) -> SoundAnalysis | None:
    """Describe the sound of the whole item; None when there is none.

    Args:
        signals: Of all its windows.
        tags: What a tagger heard.
    """
    if not len(signals):
        return None
    level, lengths_s = signals.level_dbfs, _lengths_s(signals.times_s)
    heard = level >= SILENCE_DBFS
    whole = heard & (lengths_s >= CELL_S / 2)
    quiet_db, loud_db = np.percentile(level[whole] if whole.any() else level[-1:], [10, 95])
    power = float(np.average(10.0 ** (level.astype(np.float64) / 10.0), weights=lengths_s))
    onset_rate_hz = float(np.average(signals.onset_rate_hz, weights=lengths_s))
    tonic, mode = find_key(signals.chroma)
    return SoundAnalysis(
        loudness_dbfs=round(max(FLOOR_DBFS, float(10.0 * np.log10(max(power, 1e-10)))), 1),
        dynamic_range_db=round(float(loud_db - quiet_db), 1),
        loudness_lufs=_rounded(integrated_lufs(signals.powers)),
        loudness_range_lu=_rounded(loudness_range_lu(signals.powers)),
        tempo_bpm=find_tempo(signals.envelope, signals.envelope_rate_hz, onset_rate_hz),
        key=tonic,
        mode=mode,
        brightness_hz=round(float(signals.centroid_hz[heard].mean()), 1) if heard.any() else 0.0,
        flatness=round(float(signals.flatness[heard].mean()), 4) if heard.any() else 0.0,
        onset_rate_hz=round(onset_rate_hz, 3),
        silence_ratio=round(float(np.average(~heard, weights=lengths_s)), 3),
        tags=tags,
    )


def _lengths_s(times_s: Float64) -> Float64:
    """How long cells are, given their middles: the last one before a gap or the end may be short.

    A first one is taken to begin at 0 s or to be whole.
    """
    lengths = 2.0 * np.diff(times_s, prepend=-CELL_S / 2) - CELL_S
    return np.asarray(lengths.clip(CELL_S / FRAMES_PER_CELL, CELL_S), np.float64)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
