"""How loud sound is to people: K-weighted and gated (ITU-R BS.1770-4, EBU R 128, EBU Tech 3342).

Loudness is in LUFS; differences are in LU, which are decibels. Sound is one channel, of weight 1: a
stereo medium mixed to mono by halves reads 3 LU lower than its two channels together.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy

from service.domain import Float32

Float64 = npt.NDArray[np.float64]

STEP_S = 0.1
"""Powers are kept at this step: a quarter of a gating block, which overlap by 75 %."""
BLOCK_STEPS, SHORT_TERM_STEPS = 4, 30
"""A gating block is 0.4 s, short-term loudness 3 s (EBU Tech 3341)."""
OFFSET_LU = -0.691
"""Makes a sine of 997 Hz and full scale -3.01 LUFS (BS.1770-4, equation 2)."""
ABSOLUTE_GATE_LUFS = -70.0
INTEGRATED_GATE_LU, RANGE_GATE_LU = -10.0, -20.0
"""Relative to the loudness of what passes the absolute gate (BS.1770-4; Tech 3342)."""
RANGE_PERCENTILES = (10, 95)
"""Tech 3342."""
SHELF_HZ, SHELF_Q = 1681.974450955533, 0.7071752369554196
SHELF_DB, SHELF_SLOPE = 3.999843853973347, 0.4996667741545416
RUMBLE_HZ, RUMBLE_Q = 38.13547087602444, 0.5003270373238773
"""The analogue filters from which the standard's coefficients at 48 kHz come, the head's shelf and
the ear's deafness to rumble; the bilinear transform gives them for any rate."""
STANDARD_RATE_HZ = 48_000
LEAST_POWER = 1e-12


class LoudnessMeter:
    """Measures one run of sound, in pieces of any length: where it is cut changes nothing.

    Args:
        rate_hz: Of the samples.
    """

    def __init__(self, rate_hz: int) -> None:
        self._filter = k_weighting(rate_hz)
        self._state = np.zeros((len(self._filter), 2))
        self._step = max(1, round(STEP_S * rate_hz))
        self._rest = np.zeros(0)
        self._powers: list[Float64] = []

    def add(self, samples: Float32) -> None:
        """Go on with the next samples."""
        if not len(samples):
            return
        weighted, self._state = scipy.signal.sosfilt(self._filter, samples, zi=self._state)
        weighted = np.concatenate([self._rest, weighted])
        count = len(weighted) // self._step
        steps = weighted[: count * self._step].reshape(count, self._step)
        self._rest = weighted[count * self._step :].copy()
        self._powers.append(np.einsum("ij,ij->i", steps, steps) / self._step)

    def powers(self) -> Float64:
        """``(N,)`` K-weighted mean squares, a tenth of a second each; a last part is left out."""
        return np.concatenate(self._powers) if self._powers else np.zeros(0)


@lru_cache(maxsize=8)
def k_weighting(rate_hz: int) -> Float64:
    """Second-order sections of the K filter for a sample rate: ``(2, 6)``."""
    return np.asarray(np.stack([_shelf(rate_hz), _rumble(rate_hz)]), np.float64)


def _shelf(rate_hz: int) -> Float64:
    warped = np.tan(np.pi * SHELF_HZ / rate_hz)
    high = 10.0 ** (SHELF_DB / 20.0)
    middle = high**SHELF_SLOPE
    scale = 1.0 + warped / SHELF_Q + warped**2
    above = [
        high + middle * warped / SHELF_Q + warped**2,
        2.0 * (warped**2 - high),
        high - middle * warped / SHELF_Q + warped**2,
    ]
    return np.array([part / scale for part in (*above, *_poles(warped, SHELF_Q))])


def _rumble(rate_hz: int) -> Float64:
    """The standard rounds the numerator to 1, -2, 1 at 48 kHz; other rates get the same gain."""
    warped = np.tan(np.pi * RUMBLE_HZ / rate_hz)
    scale = _rumble_scale(warped)
    gain = _rumble_scale(np.tan(np.pi * RUMBLE_HZ / STANDARD_RATE_HZ)) / scale
    return np.array([gain, -2.0 * gain, gain, *(pole / scale for pole in _poles(warped, RUMBLE_Q))])


def _rumble_scale(warped: float) -> float:
    return 1.0 + warped / RUMBLE_Q + warped**2


def _poles(warped: float, q: float) -> list[float]:
    return [1.0 + warped / q + warped**2, 2.0 * (warped**2 - 1.0), 1.0 - warped / q + warped**2]


def to_lufs(powers: Float64) -> Float64:
    """Loudness of mean squares."""
    return np.asarray(OFFSET_LU + 10.0 * np.log10(np.maximum(powers, LEAST_POWER)), np.float64)


def integrated_lufs(powers: Float64) -> float | None:
    """Loudness of the whole; None where nothing passes the gate, or it lasts less than 0.4 s.

    Args:
        powers: K-weighted mean squares of each tenth of a second.
    """
    blocks = _gate(moving_mean(powers, BLOCK_STEPS), INTEGRATED_GATE_LU)
    return float(to_lufs(blocks.mean())) if blocks.size else None


def loudness_range_lu(powers: Float64) -> float | None:
    """How far apart soft and loud parts are; None where nothing passes the gate in 3 s."""
    blocks = _gate(moving_mean(powers, SHORT_TERM_STEPS), RANGE_GATE_LU)
    if not blocks.size:
        return None
    soft, loud = np.percentile(to_lufs(blocks), RANGE_PERCENTILES)
    return float(loud - soft)


def _gate(blocks: Float64, relative_lu: float) -> Float64:
    blocks = blocks[to_lufs(blocks) > ABSOLUTE_GATE_LUFS]
    if not blocks.size:
        return blocks
    return np.asarray(blocks[to_lufs(blocks) > to_lufs(blocks.mean()) + relative_lu])


def moving_mean(powers: Float64, count: int) -> Float64:
    """Means over ``count`` neighbours: ``(N - count + 1,)``, empty where there are too few."""
    if len(powers) < count:
        return np.zeros(0)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(powers, count).mean(axis=1))
