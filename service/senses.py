"""Watching and listening: drives a reader and the models, keeps numbers, forgets pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from service.detection.heard import HeardSounds, gather_sounds
from service.detection.moments import Moments, gather_moments
from service.detection.sampling import Sampling, plan_samples
from service.detection.signals import PictureMeter, PictureSignals
from service.detection.sound import SoundMeter, SoundSignals
from service.detection.views import make_views
from service.domain import AudioWindow, Float32, Frame
from service.ports import Encoder, OpenMedia, SoundTagger

T = TypeVar("T")

FRAMES_AT_ONCE = 8
"""Frames that are measured and encoded together: with two views each they fill a model's batch."""
KEYFRAME_GAP_S = 12.0
"""Where keyframes are further apart, the coarse pass seeks. x264 sets one every 250 frames, 10.4 s
at 24 Hz: a shorter gap would make it seek in most films, at six times the cost."""
LISTENING_RATE_HZ = 16_000
"""Without a model to ask: speech and beats are below 8 kHz."""
WINDOW_S = 10.0
CAPTIONED_WINDOWS = 3
"""From the first, middle and last third: what a language model gets to hear."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What is left of the pictures."""

    signals: PictureSignals
    moments: Moments | None = None
    """None without an encoder."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heard:
    """What is left of the sound."""

    signals: SoundSignals
    sounds: HeardSounds | None = None
    """None without a tagger."""
    windows: Sequence[AudioWindow] = ()
    """A few, for a captioner."""


class Senses:
    """Eyes and ears. The models work in the pool while the next pictures are decoded.

    Args:
        pool: A bounded pool for CPU work.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool

    async def watch(self, media: OpenMedia, encoder: Encoder | None, sampling: Sampling) -> Seen:
        """Look at the keyframes, plan, look closely where something happens."""
        meter = PictureMeter()
        times: list[float] = []
        vectors: list[Float32] = []

        def look(frames: Sequence[Frame]) -> None:
            worthy = [frame for frame in frames if meter.add(frame)]
            if encoder is None or not worthy:
                return
            views = [view for frame in worthy for view in make_views(frame.image)]
            encoded = encoder.encode_images(views)
            vectors.append(encoded.reshape(len(worthy), -1, encoder.dimension))
            times.extend(frame.time_s for frame in worthy)

        await self._each_batch(media.read_keyframes(max_gap_s=KEYFRAME_GAP_S), look)
        plan = plan_samples(meter.signals(), media.info.duration_s, sampling)
        await self._each_batch(media.read_frames(plan), look)
        moments = gather_moments(times, np.concatenate(vectors)) if vectors else None
        return Seen(signals=meter.signals(), moments=moments)

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
        await self._each_batch(windows, hear, size=1)
        return Heard(
            signals=meter.signals(),
            sounds=gather_sounds(answers, tagger.labels, tagger.name) if tagger else None,
            windows=[kept[third] for third in sorted(kept)],
        )

    async def _each_batch(
        self,
        things: AsyncIterator[T],
        take: Callable[[Sequence[T]], None],
        *,
        size: int = FRAMES_AT_ONCE,
    ) -> None:
        """Hand things over in batches, in order, while the next ones are being read."""
        loop = asyncio.get_running_loop()
        busy: asyncio.Future[None] | None = None
        batch: list[T] = []
        try:
            async for thing in things:
                batch.append(thing)
                if len(batch) == size:
                    if busy is not None:
                        await busy
                    busy, batch = loop.run_in_executor(self._pool, take, batch), []
        finally:
            # The pool must be done with the numbers before anybody reads or drops them.
            if busy is not None:
                await busy
        if batch:
            await loop.run_in_executor(self._pool, take, batch)


def _third(window: AudioWindow, duration_s: float) -> int:
    return min(
        int(CAPTIONED_WINDOWS * window.start_s / max(duration_s, 1e-6)), CAPTIONED_WINDOWS - 1
    )
