"""What the coarse and the fine pass ask of a picture stream. Runs in the decoding process."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from adapters.media.decode import TimedFrame, VideoPass
from service.domain import SamplePlan, SampleSpan

FULL_RATE_SHARE = 6.0
"""Where frames are wanted this much more rarely than the film has them, those that no other one
refers to (about every other one) need not be decoded: the others come out the same. Leaving out all
B frames would save a third more, but others may refer to them, and come out wrong by up to 25 of
255 (measured on six films)."""


def sample_times(spans: Iterable[SampleSpan]) -> Iterator[float]:
    """The grid of a plan: from each span's start, at its rate, up to but not at its end."""
    for span in spans:
        count = max(1, math.ceil((span.end_s - span.start_s) * span.rate_hz - 1e-6))
        yield from (span.start_s + index / span.rate_hz for index in range(count))


def read_keyframes(
    fast: VideoPass, slow: Callable[[], VideoPass], *, max_gap_s: float, duration_s: float
) -> Iterator[TimedFrame]:
    """Keyframes, and frames at regular times where they are further apart than ``max_gap_s``.

    Args:
        fast: Reads the keyframes.
        slow: Opens the same stream once more, if there are such gaps.
        max_gap_s: Between two frames.
        duration_s: The last gap reaches to there.
    """
    with contextlib.ExitStack() as opened:
        between: VideoPass | None = None

        def fill(after_s: float, until_s: float) -> Iterator[TimedFrame]:
            nonlocal between
            times_s = gap_times(after_s, until_s, max_gap_s)
            if times_s and between is None:
                between = opened.enter_context(contextlib.closing(slow()))
            if between is not None:
                found = between.sample(times_s)
                yield from (timed for timed in found if after_s < timed[0] < until_s)

        last_s = -math.inf
        for key in fast.keyframes():
            if last_s >= 0 or key[0] > max_gap_s:
                yield from fill(last_s, key[0])
            yield key
            last_s = key[0]
        yield from fill(last_s, duration_s)


def gap_times(after_s: float, until_s: float, max_gap_s: float) -> list[float]:
    """Times that divide a gap evenly; with the medium's start, when nothing comes before it."""
    start_s = max(0.0, after_s)
    count = max(1, math.ceil((until_s - start_s) / max_gap_s - 1e-6))
    times_s = [start_s + index * (until_s - start_s) / count for index in range(count)]
    return times_s if after_s < 0 else times_s[1:]


def skips_for(span: SampleSpan, frame_rate_hz: float) -> Literal["NONREF", "DEFAULT"]:
    """Whether a rate lets the decoder leave out frames that no other one refers to."""
    return "NONREF" if span.rate_hz * FULL_RATE_SHARE <= frame_rate_hz else "DEFAULT"


def wanted_times(reading: VideoPass, plan: SamplePlan, frame_rate_hz: float) -> Iterator[float]:
    """The grid of a plan; the decoder leaves out in each span what that one can do without."""
    for span in plan.spans:
        reading.skip(skips_for(span, frame_rate_hz))
        yield from sample_times([span])
