"""Listening: drives a reader and the sound models, keeps numbers, forgets samples."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
import soxr

from service.detection.heard import HeardSounds, gather_sounds
from service.detection.moments import EncodingFailure, Moments, gather_moments
from service.detection.sound import SILENCE_DBFS, SoundMeter, SoundSignals
from service.domain import AudioWindow, Float32
from service.errors import MissingModelError, ModelTimeoutError, TransientError
from service.ports import OpenMedia, SoundEncoder, SoundTagger
from service.senses.batches import each_batch

LISTENING_RATE_HZ = 16_000
"""Without a model to ask: speech and beats are below 8 kHz."""
WINDOW_S = 10.0
CAPTIONED_WINDOWS = 3
"""From the first, middle and last third: what a language model gets to hear."""
ENCODED_WINDOWS = 120
"""Twenty minutes in full, every sixth window of a film of two hours: a window takes CLAP in 8 bit
0.16 s of a processor, as long as CLIP takes for a dozen pictures."""
GIVE_UP_AFTER = 3
"""Failures in a row after which a model is not asked any more about this item."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heard:
    """What is left of the sound."""

    signals: SoundSignals
    sounds: HeardSounds | None = None
    """None without a tagger."""
    moments: Moments | None = None
    """Windows in the space of the sound encoder, one view each; None without one."""
    windows: Sequence[AudioWindow] = ()
    """A few, for a captioner."""
    lost: tuple[MissingModelError, ...] = ()
    """Of models whose files turned out to be broken when they were to hear."""


class Ears:
    """Listens to sound. The models work in the pool while the next windows are decoded.

    Args:
        pool: A bounded pool for CPU work.
        window_timeout_s: How long an encoder may take for one window; None for as long as it likes.
        encoded_windows: Of one item at most, spread evenly.
    """

    def __init__(
        self,
        pool: Executor,
        *,
        window_timeout_s: float | None = None,
        encoded_windows: int = ENCODED_WINDOWS,
    ) -> None:
        self._pool = pool
        self._window_timeout_s = window_timeout_s
        self._encoded_windows = encoded_windows

    async def listen(
        self,
        media: OpenMedia,
        tagger: SoundTagger | None,
        encoder: SoundEncoder | None = None,
    ) -> Heard:
        """Hear the whole, window by window, at the highest rate that any model asks for.

        A model whose files are broken is lost, and named so; the rest is heard without it.

        Raises:
            ConfigurationError: A model does not take what it is given.
        """
        meter = SoundMeter()
        duration_s = media.info.duration_s
        tags = _Tagging(tagger) if tagger else None
        kept: dict[int, AudioWindow] = {}
        stride = max(1, math.ceil(duration_s / WINDOW_S / self._encoded_windows))
        inner = _InnerEar(encoder, stride, self._window_timeout_s) if encoder else None

        def hear(windows: Sequence[AudioWindow]) -> None:
            for window in windows:
                low = resample(window, tagger.sample_rate_hz if tagger else LISTENING_RATE_HZ)
                meter.add(low)
                kept.setdefault(_third(low, duration_s), low)
                if tags is not None:
                    tags.hear(low)
                if inner is not None:
                    inner.hear(window)

        rates_hz = [model.sample_rate_hz for model in (tagger, encoder) if model is not None]
        windows = media.read_audio(
            sample_rate_hz=max(rates_hz, default=LISTENING_RATE_HZ),
            window_s=WINDOW_S,
            hop_s=WINDOW_S,
        )
        await each_batch(self._pool, windows, hear, size=1)
        return Heard(
            signals=meter.signals(),
            sounds=tags.sounds() if tags else None,
            moments=inner.moments() if inner else None,
            windows=[kept[third] for third in sorted(kept)],
            lost=tuple(sense.lost for sense in (tags, inner) if sense and sense.lost),
        )


class _Tagging:
    """What a tagger says of each window."""

    def __init__(self, tagger: SoundTagger) -> None:
        self._tagger = tagger
        self._answers: list[tuple[float, float, Float32]] = []
        self.lost: MissingModelError | None = None

    def hear(self, window: AudioWindow) -> None:
        if self.lost or not window.samples.size:
            return
        try:
            found = self._tagger.score_window(window.samples)
        except MissingModelError as error:
            self.lost = error
            return
        duration_s = window.samples.size / window.sample_rate_hz
        # What is no number says nothing, and would spread over its neighbours.
        self._answers.append((window.start_s, duration_s, np.nan_to_num(found)))

    def sounds(self) -> HeardSounds | None:
        if self.lost:
            return None
        return gather_sounds(self._answers, self._tagger.labels, self._tagger.name)


class _InnerEar:
    """Puts windows into the space of an encoder; what fails is noted, and the rest goes on."""

    def __init__(self, encoder: SoundEncoder, stride: int, timeout_s: float | None) -> None:
        self._encoder = encoder
        self._timeout_s = timeout_s
        self._stride = stride
        self._count = 0
        self._failed_in_a_row = 0
        self._times_s: list[float] = []
        self._vectors: list[Float32] = []
        self._encode_ms: list[float] = []
        self._failures: list[EncodingFailure] = []
        self.lost: MissingModelError | None = None

    def hear(self, window: AudioWindow) -> None:
        is_due = self._count % self._stride == 0
        self._count += 1
        if is_due and not self.lost and not _is_silent(window.samples):
            self._encode(resample(window, self._encoder.sample_rate_hz))

    def moments(self) -> Moments | None:
        if self.lost:
            return None
        found = gather_moments(
            self._times_s,
            np.concatenate(self._vectors)
            if self._vectors
            else np.zeros((0, self._encoder.dimension), np.float32),
        )
        # Its device stays untold: to say it, a joint model would load the tower for pictures.
        return replace(
            found,
            encode_ms=np.array(self._encode_ms),
            failures=tuple(self._failures),
        )

    def _encode(self, window: AudioWindow) -> None:
        middle_s = window.start_s + window.samples.size / window.sample_rate_hz / 2
        if self._failed_in_a_row >= GIVE_UP_AFTER:
            self._failures.append(EncodingFailure(time_s=middle_s, error="given up before"))
            return
        began_at = time.perf_counter()
        try:
            vectors = self._encoder.encode_sounds([window.samples], timeout_s=self._timeout_s)
            error = "" if np.isfinite(vectors).all() else "its vector is not a number"
        except MissingModelError as failure:
            self.lost = failure
            return
        except (ModelTimeoutError, TransientError) as failure:
            error = str(failure)
        if error:
            self._failed_in_a_row += 1
            self._failures.append(EncodingFailure(time_s=middle_s, error=error))
            return
        self._failed_in_a_row = 0
        self._times_s.append(middle_s)
        self._vectors.append(vectors)
        self._encode_ms.append(1000.0 * (time.perf_counter() - began_at))


def resample(window: AudioWindow, rate_hz: int) -> AudioWindow:
    """The same sound at another rate."""
    if window.sample_rate_hz == rate_hz or not window.samples.size:
        return replace(window, sample_rate_hz=rate_hz)
    samples = soxr.resample(window.samples, window.sample_rate_hz, rate_hz)
    return AudioWindow(
        start_s=window.start_s, samples=np.asarray(samples, np.float32), sample_rate_hz=rate_hz
    )


def _is_silent(samples: Float32) -> bool:
    """Whether even its loudest tenth of a window is silence: such a window says nothing."""
    if not samples.size:
        return True
    pieces = np.array_split(np.nan_to_num(samples), 10)
    loudest = max(float(np.mean(piece.astype(np.float64) ** 2)) for piece in pieces if piece.size)
    return 10.0 * float(np.log10(max(loudest, 1e-12))) < SILENCE_DBFS


def _third(window: AudioWindow, duration_s: float) -> int:
    return min(
        int(CAPTIONED_WINDOWS * window.start_s / max(duration_s, 1e-6)), CAPTIONED_WINDOWS - 1
    )
