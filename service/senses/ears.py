"""Listening: drives a reader and the sound models, keeps numbers, forgets samples."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from service.detection.heard import HeardSounds, gather_sounds
from service.detection.sound import SoundMeter, SoundSignals
from service.domain import AudioWindow, Float32
from service.ports import OpenMedia, SoundTagger
from service.senses.batches import each_batch

LISTENING_RATE_HZ = 16_000
"""Without a model to ask: speech and beats are below 8 kHz."""
WINDOW_S = 10.0
CAPTIONED_WINDOWS = 3
"""From the first, middle and last third: what a language model gets to hear."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heard:
    """What is left of the sound."""

    signals: SoundSignals
    sounds: HeardSounds | None = None
    """None without a tagger."""
    windows: Sequence[AudioWindow] = ()
    """A few, for a captioner."""


class Ears:
    """Listens to sound. The models work in the pool while the next windows are decoded.

    Args:
        pool: A bounded pool for CPU work.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool

    async def listen(self, media: OpenMedia, tagger: SoundTagger | None) -> Heard:
        """Hear the whole, window by window."""
        meter = SoundMeter()
        answers: list[tuple[float, float, Float32]] = []
        kept: dict[int, AudioWindow] = {}
        duration_s = media.info.duration_s

        def hear(windows: Sequence[AudioWindow]) -> None:
            for window in windows:
                meter.add(window)
                kept.setdefault(_third(window, duration_s), window)
                if tagger is not None and window.samples.size:
                    duration = window.samples.size / window.sample_rate_hz
                    found = tagger.score_window(window.samples)
                    answers.append((window.start_s, duration, found))

        rate_hz = tagger.sample_rate_hz if tagger else LISTENING_RATE_HZ
        windows = media.read_audio(sample_rate_hz=rate_hz, window_s=WINDOW_S, hop_s=WINDOW_S)
        await each_batch(self._pool, windows, hear, size=1)
        return Heard(
            signals=meter.signals(),
            sounds=gather_sounds(answers, tagger.labels, tagger.name) if tagger else None,
            windows=[kept[third] for third in sorted(kept)],
        )


def _third(window: AudioWindow, duration_s: float) -> int:
    return min(
        int(CAPTIONED_WINDOWS * window.start_s / max(duration_s, 1e-6)), CAPTIONED_WINDOWS - 1
    )
