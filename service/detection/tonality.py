"""Tones and keys: which of the twelve pitch classes sound, and what key they make."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy

from service.domain import Float32

Float64 = npt.NDArray[np.float64]

TONICS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
C0_HZ = 440.0 * 2.0 ** (-57 / 12)
"""With A at 440 Hz (ISO 16)."""
LOWEST_HZ, HIGHEST_HZ = 100.0, 2000.0
"""Below, spectra of a quarter second do not tell semitones apart; above are mostly overtones."""
SEMITONE_WIDTH = 0.3
"""Standard deviation in semitones of a pitch class's share of a bin: neighbours hardly overlap."""
LEAST_SHARE = 0.01
"""Less is left out: the bank stays sparse."""
TONE_PROMINENCE, TONE_SURROUNDINGS = 6.0, 31
"""A tone is a peak of the spectrum with so many times the mean power of so many bins around it (120
Hz): the peaks of noise reach 4."""
KEY_CLARITY = 0.65
"""Correlation with a key profile below which there is no key to speak of (Krumhansl 1990 finds
0.7 to 0.9 on tonal music; a reader reaches 0.5)."""
STEADY_TONES = 0.45
"""Mean cosine of the tones of neighbouring half seconds, where there are any, from which they are
held or return (music 0.5 to 0.75, a reader 0.2): speech glides."""
EVEN_TONES, SINGLE_TONE = 1e-6, 1.8
"""Standard deviation of the pitch classes over their mean, below which none stands out, and above
which one or two tones are all: a hum or a horn has no key."""
SHORTEST_KEY = 16
"""Half seconds with tones: a chord or a cry is no key."""
KEY_MARGIN = 0.03
"""By how much the better of major and minor must win."""
MAJOR_PROFILE = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR_PROFILE = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
"""How well each tone fits a key on C: Krumhansl and Kessler (1982)."""


@lru_cache(maxsize=4)
def pitch_classes(rate_hz: int, size: int) -> scipy.sparse.csr_array:
    """``(12, F)``: how much each bin of a spectrum belongs to each pitch class, C first."""
    frequencies = np.fft.rfftfreq(size, 1.0 / rate_hz)
    pitch = 12.0 * np.log2(np.maximum(frequencies, 1.0) / C0_HZ)
    apart = (pitch[None, :] - np.arange(12)[:, None] + 6.0) % 12.0 - 6.0
    weights = np.exp(-0.5 * (apart / SEMITONE_WIDTH) ** 2)
    weights[weights < LEAST_SHARE] = 0.0
    weights *= (frequencies >= LOWEST_HZ) & (frequencies <= HIGHEST_HZ)
    # An octave up holds twice as many bins, each of which counts half.
    weights *= LOWEST_HZ / np.maximum(frequencies, LOWEST_HZ)
    return scipy.sparse.csr_array(weights.astype(np.float32))


def measure_tones(power: Float32, classes: scipy.sparse.csr_array) -> Float32:
    """``(N, 12)`` strength of the pitch classes among the tones of power spectra ``(N, F)``.

    Only peaks count, so that noise and the flanks of other tones do not; the magnitude is added,
    not the power, so that a loud bass does not hide a chord.
    """
    bins = min(classes.shape[1], int(classes.indices.max(initial=0)) + 1)
    power = power[:, : bins + 1]
    usual = scipy.ndimage.uniform_filter1d(power, TONE_SURROUNDINGS, axis=1, mode="nearest")
    tones = np.zeros((len(power), bins), np.float32)
    middle = power[:, 1:-1]
    is_peak = (middle > power[:, :-2]) & (middle >= power[:, 2:])
    is_peak &= middle > TONE_PROMINENCE * usual[:, 1:-1]
    np.sqrt(middle, out=tones[:, 1:], where=is_peak)
    return np.asarray((classes[:, :bins] @ tones.T).T, np.float32)


def find_key(chroma: Float32) -> tuple[str, str]:
    """Tonic and mode, such as ``("F#", "minor")``; both empty where the tones fit no key.

    Args:
        chroma: ``(N, 12)`` strength per pitch class of each half second, C first.
    """
    tones = chroma.sum(axis=0, dtype=np.float64)
    if not _is_tonal(chroma, tones):
        return "", ""
    fits = {
        (mode, tonic): float(np.corrcoef(np.roll(profile, tonic), tones)[0, 1])
        for mode, profile in (("major", MAJOR_PROFILE), ("minor", MINOR_PROFILE))
        for tonic in range(12)
    }
    mode, tonic = max(fits, key=fits.__getitem__)
    rival = max(fit for (other, _), fit in fits.items() if other != mode)
    best = fits[mode, tonic]
    is_clear = best >= KEY_CLARITY and best - rival >= KEY_MARGIN
    return (TONICS[tonic], mode) if is_clear else ("", "")


def _is_tonal(chroma: Float32, tones: Float64) -> bool:
    lengths = np.linalg.norm(chroma, axis=1)
    sounding = lengths > 0.0
    if np.count_nonzero(sounding) < SHORTEST_KEY:
        return False
    if not EVEN_TONES < tones.std() / tones.mean() < SINGLE_TONE:
        return False
    both = sounding[:-1] & sounding[1:]
    cosines = (chroma[:-1] * chroma[1:]).sum(axis=1)[both]
    cosines /= lengths[:-1][both] * lengths[1:][both]
    return bool(cosines.size and cosines.mean() >= STEADY_TONES)
