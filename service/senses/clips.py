"""Short clips around moments, for encoders that see movement."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from service.domain import Frame, UInt8

DENSITY = 2
"""Frames that are kept for each one that a clip takes: the nearest one is then never far."""

Done = Callable[[Sequence[UInt8]], None]
"""Takes the pictures of a clip."""


class ClipCutter:
    """Keeps the last few frames, and cuts a clip as soon as what follows its middle has been seen.

    Memory is bounded: some frames more than a clip takes.

    Args:
        clip_frames: Pictures that make a clip.
        clip_s: The time that it spans.
    """

    def __init__(self, *, clip_frames: int, clip_s: float) -> None:
        self._offsets_s = np.linspace(-clip_s / 2, clip_s / 2, clip_frames)
        self._half_s = clip_s / 2
        self._step_s = clip_s / (DENSITY * clip_frames)
        self._kept: deque[tuple[float, Frame]] = deque()
        self._open: deque[tuple[float, Frame, Done]] = deque()

    def add(self, frame: Frame, scene_s: float) -> None:
        """Take the next frame; of another scene, or of an earlier time, it closes what is open."""
        if self._kept:
            last_scene_s, last = self._kept[-1]
            if scene_s != last_scene_s or frame.time_s < last.time_s:
                self.finish()
                self._kept.clear()
            elif frame.time_s - last.time_s < self._step_s:
                return
        self._kept.append((scene_s, frame))
        self._close(frame.time_s - self._half_s)
        oldest_s = (self._open[0][1].time_s if self._open else frame.time_s) - self._half_s
        while self._kept[0][1].time_s < oldest_s:
            self._kept.popleft()

    def cut(self, frame: Frame, scene_s: float, done: Done) -> None:
        """Have a clip cut around a frame that was just added, when the time has come."""
        self._open.append((scene_s, frame, done))

    def finish(self) -> None:
        """Cut what is still open from what there is."""
        self._close(np.inf)

    def _close(self, until_s: float) -> None:
        while self._open and self._open[0][1].time_s <= until_s:
            scene_s, middle, done = self._open.popleft()
            done(self._pictures(scene_s, middle))

    def _pictures(self, scene_s: float, middle: Frame) -> Sequence[UInt8]:
        """The frames nearest to the clip's times; one frame again and again where it is alone."""
        near = [
            frame
            for kept_scene_s, frame in self._kept
            if kept_scene_s == scene_s and abs(frame.time_s - middle.time_s) <= self._half_s
        ] or [middle]
        times = np.array([frame.time_s for frame in near])
        wanted = middle.time_s + self._offsets_s
        nearest = np.abs(times[None, :] - wanted[:, None]).argmin(axis=1)
        return [near[index].image for index in nearest.tolist()]
