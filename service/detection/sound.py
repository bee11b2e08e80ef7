"""What the ear says without a model: loudness, beats, brightness and key.

Sound is taken window by window; of each half second a few numbers stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import librosa
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from service.domain import AudioWindow, Float32, SoundAnalysis

Float64 = npt.NDArray[np.float64]

CELL_S = 0.5
"""Resolution of the curves, near to EBU R 128's momentary loudness (0.4 s)."""
FRAME_S, HOPS_PER_FRAME = 0.1, 4
"""Spectra over about a tenth of a second resolve onsets to 30 ms."""
TONE_FRAMES = 2
"""Tones need twice as long: semitones are told apart from 130 Hz up."""
MEL_BANDS = 40
FLOOR_DBFS = -100.0
SILENCE_DBFS = -60.0
"""Below is room noise at most."""
PULSE_CLARITY, PULSE_RATE_HZ = 0.3, 0.8
"""Autocorrelation of onsets, of its maximum, and onsets a second below which no beat is heard.
A reader reaches 0.1, a crying baby 0.23, a clock 0.38, music 0.47 to 0.55 (reference clips);
waves and helicopters pulse clearly, but have an onset in five seconds."""
SHORTEST_RHYTHM_S, TEMPO_STRETCH_S = 4.0, 120.0
"""The liveliest stretch of this length gives the tempo."""
KEY_CLARITY = 0.6
"""Correlation with a key profile below which there is no key to speak of (Krumhansl 1990 finds
0.7 to 0.9 on tonal music)."""
KEY_MARGIN = 0.03
"""By how much the better of major and minor must win."""
MAJOR_PROFILE = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR_PROFILE = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
"""How well each tone fits a key on C: Krumhansl and Kessler (1982)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SoundSignals:
    """Measurements of N half seconds in order of time; the arrays have N rows."""

    times_s: Float64
    """Middles of the cells."""
    level_dbfs: Float32
    """RMS; -100 for digital silence."""
    onset_strength: Float32
    """Mean rise of the mel spectrum per frame, in dB; 0 for steady sound, above 1 for drums."""
    onset_rate_hz: Float32
    """Onsets a second."""
    centroid_hz: Float32
    flatness: Float32
    """0 a tone, 1 white noise."""
    zero_crossing_rate: Float32
    """Share of samples at which the sign changes."""
    chroma: Float32
    """``(N, 12)`` strength per pitch class from C, 1 the strongest of a frame; 0 in silence."""
    envelope: Float32
    """Onset strength of every spectral frame of the whole medium."""
    envelope_rate_hz: float

    def __len__(self) -> int:
        return len(self.times_s)


class SoundMeter:
    """Measures windows in order of time; what two windows share is measured once."""

    def __init__(self) -> None:
        self._end_s = 0.0
        self._cells: list[Float32] = []
        self._times: list[float] = []
        self._envelopes: list[Float32] = []
        self._envelope_rate_hz = 0.0

    def add(self, window: AudioWindow) -> None:
        """Measure the part of a window that is new."""
        rate_hz = window.sample_rate_hz
        skip = max(0, round((self._end_s - window.start_s) * rate_hz))
        samples = np.nan_to_num(window.samples[skip:])
        if samples.size <= 1:
            return
        start_s = window.start_s + skip / rate_hz
        self._end_s = start_s + samples.size / rate_hz
        frames, hop = _measure_frames(samples, rate_hz)
        self._envelopes.append(frames[ONSET])
        self._envelope_rate_hz = rate_hz / hop
        size = max(1, round(CELL_S * rate_hz))
        for begin in range(0, samples.size, size):
            piece = samples[begin : begin + size]
            part = frames[:, begin // hop : max(begin // hop + 1, (begin + piece.size) // hop)]
            self._times.append(start_s + (begin + piece.size / 2) / rate_hz)
            self._cells.append(_measure_cell(piece, part, rate_hz / hop))

    def signals(self) -> SoundSignals:
        """All that was measured so far."""
        columns = np.array(self._cells, np.float32).reshape(len(self._cells), 6 + 12).T
        return SoundSignals(
            times_s=np.array(self._times, np.float64),
            level_dbfs=columns[0],
            onset_strength=columns[1],
            onset_rate_hz=columns[2],
            centroid_hz=columns[3],
            flatness=columns[4],
            zero_crossing_rate=columns[5],
            chroma=columns[6:].T,
            envelope=np.concatenate(self._envelopes or [np.zeros(0, np.float32)]),
            envelope_rate_hz=self._envelope_rate_hz,
        )


ONSET, CENTROID, FLATNESS = 0, 1, 2
CHROMA = slice(3, 15)


def _measure_frames(samples: Float32, rate_hz: int) -> tuple[Float32, int]:
    """Rows of onset strength, centroid, flatness and chroma, one column per spectral frame."""
    n_fft = 2 ** round(np.log2(FRAME_S * rate_hz))
    hop = n_fft // HOPS_PER_FRAME
    lacking = max(0, TONE_FRAMES * n_fft - samples.size)
    padded = np.pad(samples, (0, lacking)) if lacking else samples
    magnitude = np.abs(librosa.stft(padded, n_fft=n_fft, hop_length=hop)).astype(np.float32)
    power = magnitude**2
    mel, chroma, frequencies = _filters(rate_hz, n_fft)
    mel_db = 10.0 * np.log10(np.maximum(mel @ power, LEAST_POWER))
    rise = np.maximum(np.diff(mel_db, axis=1, prepend=mel_db[:, :1]), 0.0).mean(axis=0)
    # einsum and sparse products stay on one thread: for matrices this small, the threads of BLAS
    # cost seven times the work, more on a busy machine.
    centroid = np.einsum("f,ft->t", frequencies, magnitude) / np.maximum(
        magnitude.sum(axis=0), LEAST_POWER
    )
    logarithm = np.log(np.maximum(power, LEAST_POWER)).mean(axis=0)
    flatness = np.exp(logarithm) / np.maximum(power.mean(axis=0), LEAST_POWER)
    tones = _measure_tones(padded, n_fft, hop, chroma)[:, : rise.size]
    return np.vstack([rise, centroid, flatness, tones]).astype(np.float32), hop


def _measure_tones(samples: Float32, n_fft: int, hop: int, chroma: Float32) -> Float32:
    """Pitch classes of each spectral frame, from longer spectra that come less often.

    Each is brought to the same height: a loud bass note counts as much as a soft chord.
    """
    stride = HOPS_PER_FRAME
    spectrum = librosa.stft(samples, n_fft=TONE_FRAMES * n_fft, hop_length=stride * hop)
    tones = np.einsum("kf,ft->kt", chroma, np.abs(spectrum) ** 2)
    tones /= np.maximum(tones.max(axis=0), LEAST_POWER)
    return np.asarray(np.repeat(tones, stride, axis=1), np.float32)


LEAST_POWER = 1e-6
"""Of a band; quieter is silence, whose changes are no onsets."""


@lru_cache(maxsize=4)
def _filters(rate_hz: int, n_fft: int) -> tuple[csr_array, Float32, Float32]:
    """Mel bands, pitch classes and the frequency of each bin; making them costs more than using."""
    mel = librosa.filters.mel(sr=rate_hz, n_fft=n_fft, n_mels=MEL_BANDS)
    chroma = librosa.filters.chroma(
        sr=rate_hz, n_fft=TONE_FRAMES * n_fft, tuning=0.0, octwidth=None
    )
    frequencies = librosa.fft_frequencies(sr=rate_hz, n_fft=n_fft)
    return csr_array(mel), np.asarray(chroma), np.asarray(frequencies, np.float32)


ONSET_DB = 2.0
"""A frame whose mel bands rise by so many dB on average begins a sound."""


def _measure_cell(samples: Float32, frames: Float32, frame_rate_hz: float) -> Float32:
    level = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
    level_dbfs = max(FLOOR_DBFS, 20.0 * np.log10(max(level, 1e-5)))
    onset = frames[ONSET]
    begins = np.count_nonzero((onset[1:] >= ONSET_DB) & (onset[:-1] < ONSET_DB))
    length_s = max(onset.size / frame_rate_hz, CELL_S / 2)
    crossings = np.count_nonzero(np.diff(np.signbit(samples))) / samples.size
    is_silent = level_dbfs < SILENCE_DBFS
    numbers = [
        level_dbfs,
        0.0 if is_silent else onset.mean(),
        0.0 if is_silent else begins / length_s,
        0.0 if is_silent else frames[CENTROID].mean(),
        0.0 if is_silent else frames[FLATNESS].mean(),
        0.0 if is_silent else crossings,
    ]
    chroma = np.zeros(12) if is_silent else frames[CHROMA].mean(axis=1)
    return np.concatenate([numbers, chroma]).astype(np.float32)


def summarize_sound(signals: SoundSignals, tags: tuple[str, ...] = ()) -> SoundAnalysis | None:
    """Describe the sound of the whole item; None when there is none.

    Args:
        signals: Of all its windows.
        tags: What a tagger heard.
    """
    if not len(signals):
        return None
    level = signals.level_dbfs
    heard = level >= SILENCE_DBFS
    quiet_db, loud_db = np.percentile(level[heard] if heard.any() else level, [10, 95])
    power = float(np.mean(10.0 ** (level.astype(np.float64) / 10.0)))
    return SoundAnalysis(
        loudness_dbfs=round(max(FLOOR_DBFS, float(10.0 * np.log10(max(power, 1e-10)))), 1),
        dynamic_range_db=round(float(loud_db - quiet_db), 1),
        tempo_bpm=find_tempo(signals),
        mode=find_mode(signals.chroma),
        brightness_hz=round(float(signals.centroid_hz[heard].mean()), 1) if heard.any() else 0.0,
        silence_ratio=round(float(1.0 - heard.mean()), 3),
        tags=tags,
    )


def find_tempo(signals: SoundSignals) -> float | None:
    """Beats per minute of the liveliest stretch; None where no beat is heard."""
    rate_hz = signals.envelope_rate_hz
    envelope = _liveliest(signals.envelope, round(TEMPO_STRETCH_S * rate_hz))
    if envelope.size < SHORTEST_RHYTHM_S * rate_hz or not envelope.any():
        return None
    if float(signals.onset_rate_hz.mean()) < PULSE_RATE_HZ:
        return None
    centred = envelope - envelope.mean()
    correlation = librosa.autocorrelate(centred, max_size=int(2 * rate_hz))
    beats = correlation[int(rate_hz * 60 / 240) :]  # slower than 240 a minute
    if beats.size == 0 or beats.max() < PULSE_CLARITY * correlation[0]:
        return None
    # librosa asks for a rate and a hop; only their quotient matters.
    tempo = librosa.feature.tempo(onset_envelope=envelope, sr=rate_hz * 512, hop_length=512)
    return round(float(tempo[0]), 1)


def _liveliest(envelope: Float32, size: int) -> Float32:
    if envelope.size <= size:
        return envelope
    sums = np.concatenate([[0.0], np.cumsum(envelope, dtype=np.float64)])
    start = int(np.argmax(sums[size:] - sums[:-size]))
    return envelope[start : start + size]


def find_mode(chroma: Float32) -> str:
    """``major`` or ``minor``, or nothing where the tones fit no key or both alike.

    Args:
        chroma: ``(N, 12)`` strength per pitch class.
    """
    tones = chroma.sum(axis=0, dtype=np.float64)
    if tones.std() < 1e-6 * max(tones.mean(), 1e-12):
        return ""
    fits = {
        mode: max(float(np.corrcoef(np.roll(profile, key), tones)[0, 1]) for key in range(12))
        for mode, profile in (("major", MAJOR_PROFILE), ("minor", MINOR_PROFILE))
    }
    other, best = sorted(fits, key=fits.__getitem__)
    is_clear = fits[best] >= KEY_CLARITY and fits[best] - fits[other] >= KEY_MARGIN
    return best if is_clear else ""
