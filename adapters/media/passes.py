"""What the coarse and the fine pass ask of a picture stream. Runs in the decoding process."""

from __future__ import annotations

import contextlib
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from adapters.media.decode import TimedFrame, VideoPass
from service.domain import SamplePlan, SampleSpan

FULL_RATE_SHARE = 6.0
"""Where frames are wanted this much more rarely than the film has them, those that no other one
refers to (about every other one) need not be decoded: the others come out the same. Leaving out all
B frames would save a third more, but others may refer to them, and come out wrong by up to 25 of
255 (measured on six films)."""


def read_keyframes(
    fast: VideoPass,
    slow: Callable[[], VideoPass],
    *,
    max_gap_s: float,
    duration_s: float,
    looks_s: Sequence[float] = (),
) -> Iterator[TimedFrame]:
    """Keyframes, and frames between them: those wanted, and some where none is for long.

    Args:
        fast: Reads the keyframes.
        slow: Opens the same stream once more, for what lies between keyframes.
        max_gap_s: Between two frames.
        duration_s: The last gap reaches to there.
        looks_s: Rising times of wanted frames.
    """
    with contextlib.ExitStack() as opened:
        between: VideoPass | None = None

        def read(times_s: list[float], until_s: float) -> Iterator[TimedFrame]:
            nonlocal between
            if between is None:
                between = opened.enter_context(contextlib.closing(slow()))
            found = between.look(times_s)
            yield from (timed for timed in found if times_s[0] <= timed[0] < until_s)

        keys = fast.keyframes()
        key = next(keys, None)
        first_s = duration_s if key is None else key[0]
        if first_s > max_gap_s or key is None:
            yield from read(gap_times(-math.inf, first_s, max_gap_s), first_s)
        while key is not None:
            following = next(keys, None)
            until_s = duration_s if following is None else following[0]
            wanted = looks_s[bisect_right(looks_s, key[0]) : bisect_left(looks_s, until_s)]
            if times_s := sorted({*wanted, *gap_times(key[0], until_s, max_gap_s)}):
                yield from read([key[0], *times_s], until_s)
            else:
                yield from fast.decode_alone(key)
            key = following


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
        yield from span.times_s()
