"""One watching of one medium: what each frame is worth, and what became of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from service.detection.bars import Area, BarWatch
from service.detection.moments import (
    EncodingFailure,
    Moments,
    gather_moments,
    hold_moments,
    lend_moments,
)
from service.detection.novelty import Worth
from service.detection.sampling import EDGE_S, LOOK_S, Sampling, still
from service.detection.signals import PictureMeter, PictureSignals
from service.detection.views import VIEW_COUNT, CentreBudget, centre_view, full_view
from service.domain import Float32, Frame, SamplePlan, UInt8
from service.metrics import CACHE, FRAMES
from service.ports import Encoder
from service.senses.clips import ClipCutter
from service.senses.encoding import EncodingLine, Sight, sees_movement

DENSE_GAP_S, SPARSE_GAP_S = 0.25, 2.0
"""Between two encoded frames of one shot: where everything is looked at closely, and in long media.
Context is pooled over 3 s; a picture costs the model as much as two seconds of film the decoder."""
DECODED = FRAMES.labels("decoded")
KNOWN_LOOKS, NEW_LOOKS = CACHE.labels("looks", "hit"), CACHE.labels("looks", "miss")
LONGEST_SCENE_S = 60.0
"""Frames further apart do not share a limit of time, although no cut was seen between them."""


class Gaze:
    """Measures frames in the order in which they are read, and sends the worthy ones to the model.

    Runs in a pool, one batch at a time.

    Args:
        encoder: None to measure only.
        line: Where sights wait for the encoder.
        sampling: How many pictures may be encoded.
        duration_s: Of the medium.
    """

    def __init__(
        self,
        encoder: Encoder | None,
        line: EncodingLine | None,
        sampling: Sampling,
        duration_s: float,
    ) -> None:
        self._encoder = encoder
        self._line = line
        self._is_even = is_even = sampling.is_even(duration_s)
        self._meter = PictureMeter(encode_gap_s=DENSE_GAP_S if is_even else SPARSE_GAP_S)
        self._bars = BarWatch()
        self._budget = CentreBudget(None if is_even else sampling.pictures_per_hour)
        self._scenes = _SceneLog()
        self._clips: ClipCutter | None = None
        if encoder is not None and sees_movement(encoder):
            self._clips = ClipCutter(clip_frames=encoder.clip_frames, clip_s=encoder.clip_s)
        self._sights: dict[float, Sight] = {}
        """By the time of the frame; several frames that look the same have one sight."""
        self._latest: Sight | None = None
        self._looks_s: list[float] = []

    @property
    def area(self) -> Area:
        return self._bars.area

    def signals(self) -> PictureSignals:
        return self._meter.signals()

    def expect(self, looks: SamplePlan) -> None:
        """Know which looks will follow: the keyframes before them need not be encoded.

        Of a shot's frames the first says least.
        """
        self._looks_s = list(looks.times_s())

    def measure(self, frames: Sequence[Frame]) -> None:
        """Measure frames only."""
        for frame in frames:
            self._measure(frame)

    def look(self, frames: Sequence[Frame]) -> None:
        """Measure frames, and send those that are worth it to the model."""
        for frame in frames:
            is_worthy, scene_s = self._measure(frame)
            if self._line is None:
                continue
            if self._clips is not None:
                self._clips.add(frame, scene_s)
            if is_worthy:
                self._look_at(frame, scene_s, self._line)

    def _measure(self, frame: Frame) -> tuple[bool, float]:
        """Whether a frame is worth encoding, and the scene that it lies in."""
        DECODED.inc()
        is_worthy = self._meter.add(frame, is_candidate=not self._is_outdone(frame))
        if is_worthy:
            self._bars.add(frame.image)
        is_cut = self._meter.worth is Worth.CUT
        return is_worthy, self._scenes.find(frame.time_s, is_cut=is_cut)

    def _is_outdone(self, frame: Frame) -> bool:
        """Whether a look will follow soon; it was planned by an index, which rounds."""
        if not frame.is_keyframe:
            return False
        index = bisect_right(self._looks_s, frame.time_s)
        following_s = self._looks_s[index] if index < len(self._looks_s) else np.inf
        return bool(following_s - frame.time_s <= LOOK_S + EDGE_S)

    def plan_missed(self) -> SamplePlan:
        """Frames that were only measured, and look like nothing that was encoded."""
        if self._line is None or self._is_even:
            return SamplePlan(spans=())
        known = np.array(sorted(self._sights), np.float64)
        nothing = np.zeros((len(known), 1, 1), np.float32)
        _, missed = lend_moments(Moments(times_s=known, vectors=nothing), self.signals())
        return SamplePlan(spans=tuple(still(time_s) for time_s in missed.tolist()))

    def end_pass(self) -> None:
        """No more frames follow, or earlier ones: none of them has been seen before."""
        self._looks_s = []
        self._meter.begin_pass()
        self._latest = None
        if self._clips is not None:
            self._clips.finish()

    def moments(self) -> Moments | None:
        """All encoded frames, each with its views; None without an encoder."""
        if self._encoder is None:
            return None
        encoded = [(t, sight) for t, sight in self._sights.items() if sight.vectors is not None]
        failed = [(t, sight.error) for t, sight in self._sights.items() if sight.vectors is None]
        rows = [_all_views(sight.vectors) for _, sight in encoded]
        if not rows and not failed:
            return None
        moments = gather_moments(
            [time_s for time_s, _ in encoded],
            np.array(rows, np.float32).reshape(len(rows), VIEW_COUNT, self._encoder.dimension),
            [sight.encode_ms if sight.time_s == time_s else 0.0 for time_s, sight in encoded],
            device=self._line.device if self._line else "",
            failures=[EncodingFailure(time_s=t, error=error) for t, error in sorted(failed)],
        )
        signals = self.signals()
        if not self._is_even:
            moments, _ = lend_moments(moments, signals)
        return hold_moments(moments, signals)

    def _look_at(self, frame: Frame, scene_s: float, line: EncodingLine) -> None:
        key = round(frame.time_s, 3)
        if key in self._sights:
            self._latest = self._sights[key]  # the coarse pass has had it
        elif self._meter.worth is Worth.SAME and self._latest is not None:
            self._sights[key] = self._latest
            KNOWN_LOOKS.inc()
        else:
            NEW_LOOKS.inc()
            self._latest = self._sights[key] = Sight(time_s=key, scene_s=scene_s)
            self._send(frame, self._latest, line)

    def _send(self, frame: Frame, sight: Sight, line: EncodingLine) -> None:
        area, has_centre = self._bars.area, self._budget.grants(frame.time_s)
        views = (full_view, centre_view) if has_centre else (full_view,)

        def send(pictures: Sequence[UInt8]) -> None:
            made = {id(picture): [view(picture, area) for view in views] for picture in pictures}
            looks = zip(*(made[id(picture)] for picture in pictures), strict=True)
            sight.views = [list(look) if self._clips else look[0] for look in looks]
            line.put(sight)

        if self._clips is None:
            send([frame.image])
        else:
            self._clips.cut(frame, sight.scene_s, send)


def _all_views(vectors: Float32 | None) -> Float32:
    """Vectors of both views; the full one stands for the centre that nobody looked at."""
    if vectors is None:
        raise ValueError("a sight without vectors has no views")
    return vectors if len(vectors) == VIEW_COUNT else np.repeat(vectors[:1], VIEW_COUNT, axis=0)


class _SceneLog:
    """Knows the stretches between the cuts that were seen so far, by their starts."""

    def __init__(self) -> None:
        self._starts_s: list[float] = []

    def find(self, time_s: float, *, is_cut: bool) -> float:
        """The start of the stretch that a time lies in; one may begin there."""
        index = bisect_right(self._starts_s, time_s)
        start_s = self._starts_s[index - 1] if index else None
        if start_s is None or is_cut or time_s - start_s >= LONGEST_SCENE_S:
            start_s = time_s
            self._starts_s.insert(index, time_s)
        return start_s
