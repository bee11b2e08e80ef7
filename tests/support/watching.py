"""Media that are made while they are read, and encoders whose speed and moods can be chosen."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from service.domain import (
    AudioWindow,
    Calibration,
    Float32,
    Frame,
    MediaInfo,
    SamplePlan,
    ScoreKind,
    UInt8,
    VideoStream,
)
from service.errors import ModelTimeoutError
from service.ports import NO_LOOKS

RATE_HZ = 25.0
PictureAt = Callable[[float], UInt8]


class MadeMedia:
    """A medium given by its picture at each time, with keyframes where they are said to be."""

    warnings: Sequence[str] = ()

    def __init__(
        self,
        picture_at: PictureAt,
        duration_s: float,
        *,
        keyframes_s: Sequence[float] = (0.0,),
        has_index: bool = False,
        has_storyboard: bool = False,
        index_late_s: float = 0.0,
    ) -> None:
        self._picture_at = picture_at
        self._keyframes_s = keyframes_s
        self._has_index = has_index
        self._index_late_s = index_late_s
        self.has_storyboard = has_storyboard
        self.looks = NO_LOOKS
        self.plans: list[SamplePlan] = []
        self.open_count = 0
        """Readings that were begun and not ended."""
        video = VideoStream(codec="made", width=128, height=72, frame_rate_hz=RATE_HZ)
        self.info = MediaInfo(duration_s=duration_s, container="made", video=video)

    async def list_keyframes(self) -> Sequence[float]:
        if not self._has_index:
            return ()
        return [max(0.0, time_s + self._index_late_s) for time_s in self._keyframes_s]

    async def read_keyframes(
        self, *, max_gap_s: float = 12.0, looks: SamplePlan = NO_LOOKS
    ) -> AsyncIterator[Frame]:
        self.looks = looks
        for time_s in sorted({*self._keyframes_s, *looks.times_s()}):
            yield self._frame(time_s)

    async def read_frames(self, plan: SamplePlan) -> AsyncIterator[Frame]:
        self.plans.append(plan)
        self.open_count += 1
        try:
            for time_s in plan.times_s():
                yield self._frame(time_s)
        finally:
            self.open_count -= 1

    def _frame(self, time_s: float) -> Frame:
        return Frame(
            time_s=time_s,
            image=self._picture_at(time_s),
            is_keyframe=time_s in self._keyframes_s and not self.has_storyboard,
        )

    async def read_audio(
        self, *, sample_rate_hz: int, window_s: float, hop_s: float
    ) -> AsyncIterator[AudioWindow]:
        nothing: tuple[AudioWindow, ...] = ()
        for window in nothing:
            yield window


class ColourEncoder:
    """Encodes a picture as the direction of its mean colour."""

    name = "colours"
    dimension = 3
    device = "cpu"
    calibration = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0)

    def __init__(self) -> None:
        self.calls: list[int] = []
        """Pictures of each call."""
        self.timeouts_s: list[float | None] = []

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        self.calls.append(len(images))
        self.timeouts_s.append(timeout_s)
        return direction([image.mean(axis=(0, 1)) for image in images])

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        return direction([np.ones(3)] * len(texts))


class ReluctantEncoder(ColourEncoder):
    """Fails, or hangs, on pictures that are mostly red.

    Args:
        error: What it raises then; None: it hangs until ``let_go`` is set, limit or not.
    """

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self._error = error
        self.let_go = threading.Event()

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        vectors = super().encode_images(images, timeout_s=timeout_s)
        if (vectors.argmax(axis=1) == 0).any():
            if self._error is not None:
                raise self._error
            self.let_go.wait()
        return vectors


class SlowEncoder(ColourEncoder):
    """Takes a fixed time for a picture, and stops when its own clock says so.

    The clock runs ahead by itself: nothing is slept through.
    """

    def __init__(self, picture_s: float) -> None:
        super().__init__()
        self._picture_s = picture_s
        self.worked_s = 0.0

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        needed_s = self._picture_s * len(images)
        self.worked_s += needed_s if timeout_s is None else min(needed_s, timeout_s)
        if timeout_s is not None and needed_s > timeout_s:
            raise ModelTimeoutError(f"{self.name} took longer than {timeout_s:g} s")
        return super().encode_images(images, timeout_s=timeout_s)


class ClipEncoder(ColourEncoder):
    """Sees movement: a clip is the direction of the mean colour of its last picture."""

    clip_frames = 4
    clip_s = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.clips: list[list[tuple[int, ...]]] = []
        """Of each clip the mean colour of each picture."""

    def encode_clips(
        self, clips: Sequence[Sequence[UInt8]], *, timeout_s: float | None = None
    ) -> Float32:
        self.calls.append(len(clips))
        for clip in clips:
            self.clips.append([tuple(image.mean(axis=(0, 1)).astype(int)) for image in clip])
        return direction([clip[-1].mean(axis=(0, 1)) for clip in clips])


def direction(rows: Sequence[np.ndarray]) -> Float32:
    vectors = np.asarray(rows, np.float32) + 1e-3
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
