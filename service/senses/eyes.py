"""Watching: drives a reader and a picture model, keeps numbers, forgets pictures."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from service.detection.moments import Moments, gather_moments
from service.detection.sampling import Sampling, plan_samples
from service.detection.signals import PictureMeter, PictureSignals
from service.detection.views import make_views
from service.domain import Float32, Frame
from service.ports import Encoder, OpenMedia
from service.senses.batches import each_batch

FRAMES_AT_ONCE = 8
"""Frames that are measured and encoded together: with two views each they fill a model's batch."""
KEYFRAME_GAP_S = 12.0
"""Where keyframes are further apart, the coarse pass seeks. x264 sets one every 250 frames, 10.4 s
at 24 Hz: a shorter gap would make it seek in most films, at six times the cost."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What is left of the pictures."""

    signals: PictureSignals
    moments: Moments | None = None
    """None without an encoder."""


class Eyes:
    """Looks at pictures. The model works in the pool while the next pictures are decoded.

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

        await each_batch(
            self._pool, media.read_keyframes(max_gap_s=KEYFRAME_GAP_S), look, size=FRAMES_AT_ONCE
        )
        plan = plan_samples(meter.signals(), media.info.duration_s, sampling)
        await each_batch(self._pool, media.read_frames(plan), look, size=FRAMES_AT_ONCE)
        moments = gather_moments(times, np.concatenate(vectors)) if vectors else None
        return Seen(signals=meter.signals(), moments=moments)
