"""Watching: drives a reader and a picture model, keeps numbers, forgets pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from service.detection.bars import WHOLE, Area
from service.detection.moments import Moments
from service.detection.sampling import Sampling, plan_looks, plan_samples
from service.detection.signals import PictureSignals
from service.domain import Frame, SamplePlan, SampleSpan
from service.ports import NO_LOOKS, Encoder, OpenMedia
from service.senses.batches import each_batch
from service.senses.encoding import EncodingLine
from service.senses.gaze import Gaze

FRAMES_AT_ONCE = 8
"""Frames that are measured together: enough to make the change of threads cheap."""
KEYFRAME_GAP_S = 12.0
"""Where keyframes are further apart, the coarse pass seeks. x264 sets one every 250 frames, 10.4 s
at 24 Hz: a shorter gap would make it seek in most films, at six times the cost."""
SUSPECTS_S = 60.0
"""Of one item, that may be read a third time at the full rate."""
USUAL_RATE_HZ = 25.0
"""Where a medium does not say how many frames it has."""
GRACE_S = 5.0
"""A model looks at its limit between two operators, and one of them may take a second or two."""

Take = Callable[[Sequence[Frame]], None]
FindSuspects = Callable[[PictureSignals], Sequence[SampleSpan]]
"""Which spans have to be read frame by frame."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What is left of the pictures."""

    signals: PictureSignals
    moments: Moments | None = None
    """None without an encoder."""
    area: Area = WHOLE
    """Where the picture is, without black bars: left, top, right and bottom, as shares."""


class Eyes:
    """Looks at pictures. They are decoded, measured and encoded at the same time.

    Args:
        pool: A bounded pool for CPU work.
        scene_timeout_s: How long an encoder may take for all frames between two cuts; None for as
            long as it likes.
        grace_s: How much later than that it may come back, before it is left behind.
    """

    def __init__(
        self, pool: Executor, *, scene_timeout_s: float | None = None, grace_s: float = GRACE_S
    ) -> None:
        self._pool = pool
        self._scene_timeout_s = scene_timeout_s
        self._grace_s = grace_s

    async def watch(
        self,
        media: OpenMedia,
        encoder: Encoder | None,
        sampling: Sampling,
        *,
        find_suspects: FindSuspects | None = None,
    ) -> Seen:
        """Look at the keyframes, plan, look closely where something happens.

        Args:
            media: What to watch.
            encoder: None to measure only.
            sampling: How densely to look.
            find_suspects: Says of what was measured where to look again, frame by frame; that is
                measured, not encoded, and no more than a minute of it.

        Raises:
            MissingModelError: The model's files are broken or gone.
            ConfigurationError: The model does not take what it is given.
        """
        line = None
        if encoder is not None:
            line = EncodingLine(
                encoder, scene_timeout_s=self._scene_timeout_s, grace_s=self._grace_s
            )
        gaze = Gaze(encoder, line, sampling, media.info.duration_s)
        try:
            await self._look_twice(media, gaze, line, sampling)
            if find_suspects is not None:
                plan = plan_suspects(find_suspects(gaze.signals()), _rate_hz(media))
                await each_batch(
                    self._pool, media.read_frames(plan), gaze.measure, size=FRAMES_AT_ONCE
                )
            if line is not None:
                await line.finish()
        finally:
            if line is not None:
                await line.abandon()
        return Seen(signals=gaze.signals(), moments=gaze.moments(), area=gaze.area)

    async def _look_twice(
        self, media: OpenMedia, gaze: Gaze, line: EncodingLine | None, sampling: Sampling
    ) -> None:
        """Measure the keyframes; encode what the plan takes, and what it turns out to have missed.

        Where the container says where its keyframes are, looks behind them are planned before
        anything is read: one pass does for most of the medium.
        """
        hold = line.go_on if line is not None else None
        duration_s = media.info.duration_s

        async def read(frames: AsyncIterator[Frame], take: Take) -> None:
            await each_batch(self._pool, frames, take, size=FRAMES_AT_ONCE, hold=hold)
            gaze.end_pass()

        looks = NO_LOOKS
        if not sampling.is_even(duration_s):
            looks = plan_looks(await media.list_keyframes(), duration_s, sampling)
        is_enough = bool(looks.spans) or media.has_storyboard
        keyframes = media.read_keyframes(max_gap_s=KEYFRAME_GAP_S, looks=looks)
        gaze.expect(looks)
        await read(keyframes, gaze.look if is_enough else gaze.measure)
        has_looked = bool(looks.spans) or media.has_storyboard  # it may have turned out broken
        plan = plan_samples(gaze.signals(), duration_s, sampling, has_looked=has_looked)
        if plan.spans:
            await read(media.read_frames(plan), gaze.look)
        if (missed := gaze.plan_missed()).spans:
            await read(media.read_frames(missed), gaze.look)


def plan_suspects(spans: Sequence[SampleSpan], rate_hz: float) -> SamplePlan:
    """The first minute of some spans, frame by frame."""
    left_s, chosen = SUSPECTS_S, []
    for span in spans:
        end_s = min(span.end_s, span.start_s + left_s)
        if end_s > span.start_s:
            chosen.append(SampleSpan(start_s=span.start_s, end_s=end_s, rate_hz=rate_hz))
            left_s -= end_s - span.start_s
    return SamplePlan(spans=tuple(chosen))


def _rate_hz(media: OpenMedia) -> float:
    video = media.info.video
    return video.frame_rate_hz if video and video.frame_rate_hz > 0 else USUAL_RATE_HZ
