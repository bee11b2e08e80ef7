"""The decoding process: takes requests on its standard input, answers on its standard output.

It is started by ``reader``, works on one medium, and ends with its parent. A file that crashes a
decoder takes nothing but this process with it.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adapters.media import wire
from adapters.media.access import Access
from adapters.media.clips import copy_clip
from adapters.media.connection import Connection, StoppedError
from adapters.media.damage import Damage, HaltWatch
from adapters.media.decode import TimedFrame, VideoPass
from adapters.media.limits import Limits, allow_cpu, apply, read_limits
from adapters.media.passes import read_keyframes, wanted_times
from adapters.media.picture import PictureMaker
from adapters.media.probe import Probe, probe
from adapters.media.sound import read_windows
from adapters.media.source import log_to_stderr
from adapters.media.wire import Source
from service.domain import Json, SamplePlan, SampleSpan
from service.errors import MoodreelError

if TYPE_CHECKING:
    from adapters.media.texts import TextTap

PIPE_BYTES = 1 << 20
"""Linux' limit for anybody: two pictures, so that we seldom wait until the other side has read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """What the parent asked to have opened, and what was found."""

    source: Source
    probe: Probe
    threads: int
    short_side_px: int
    access: Access
    languages: Sequence[str]


class Worker:
    """Serves the requests for one medium, one after another.

    Args:
        connection: To the parent.
        limits: As they were applied.
    """

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self._connection = connection
        self._limits = limits
        self._medium: Medium | None = None
        self._tap: TextTap | None = None
        """Of a reading that came to its end."""

    def run(self) -> None:
        """Serve until the parent closes the pipe."""
        while (request := self._connection.receive()) is not None:
            if request["do"] == "stop":
                continue  # it crossed our last message, which is its answer
            try:
                self._connection.send({"kind": "end", **self._serve(request)})
            except StoppedError:
                self._connection.send({"kind": "end", "warnings": []})
            except MemoryError:
                self._connection.send({"kind": "error", "error": "MemoryError", "message": ""})
                return  # what it was about to make is half made
            except MoodreelError as error:
                self._connection.send(
                    {"kind": "error", "error": type(error).__name__, "message": str(error)}
                )

    def _serve(self, request: Json) -> Json:
        serve = {
            "open": self._open,
            "list": self._list,
            "keyframes": self._keyframes,
            "frames": self._frames,
            "audio": self._audio,
            "texts": self._read_texts,
            "sheet": self._sheet,
            "clip": self._clip,
        }
        allow_cpu(self._limits.cpu_ratio, self._medium.probe.info.duration_s if self._medium else 0)
        return serve[request["do"]](request)

    def _open(self, request: Json) -> Json:
        source = Source(**request["source"])
        kept_in = Path(request["kept_in"]) if request["kept_in"] else None
        access = Access.give_up_rest(source, kept_in, self._limits)
        found = probe(source, self._connection.tick)
        self._medium = Medium(
            source=source,
            probe=found,
            threads=request["threads"],
            short_side_px=request["short_side_px"],
            access=access,
            languages=request["languages"],
        )
        return {
            "info": asdict(found.info),
            "warnings": list(found.warnings),
            "is_confined": access.is_confined,
        }

    def _opened(self) -> Medium:
        if self._medium is None:
            raise RuntimeError("asked to read before a medium was opened")
        self._medium.access.check()
        return self._medium

    def _list(self, _: Json) -> Json:
        medium = self._opened()
        if (index := medium.probe.video_index) is not None:
            with contextlib.closing(self._pass(medium, index, Damage("picture"))) as reading:
                times_s = np.array(reading.list_keyframes(), np.float64)
            self._connection.send({"kind": "times"}, times_s.data.cast("B"))
        return {"warnings": []}

    def _pass(
        self, medium: Medium, index: int, damage: Damage, *, threads: int | None = None
    ) -> VideoPass:
        return VideoPass(
            medium.source,
            stream_index=index,
            threads=threads or medium.threads,
            skip_frame="NONREF",
            damage=damage,
            tick=self._connection.tick,
        )

    def _keyframes(self, request: Json) -> Json:
        medium, damage = self._opened(), Damage("picture")
        if (index := medium.probe.video_index) is None:
            return {"warnings": []}
        fast = self._pass(medium, index, damage, threads=1)  # they are decoded one by one
        frames = read_keyframes(
            fast,
            lambda: self._pass(medium, index, damage),
            max_gap_s=request["max_gap_s"],
            duration_s=medium.probe.info.duration_s,
            looks_s=list(_plan(request).times_s()),
        )
        with contextlib.closing(fast):
            halts = self._send_frames(frames, medium)
        return {"warnings": damage.warnings() + halts}

    def _frames(self, request: Json) -> Json:
        medium, damage = self._opened(), Damage("picture")
        index, video = medium.probe.video_index, medium.probe.info.video
        if index is None or video is None:
            return {"warnings": []}
        reading = self._pass(medium, index, damage)
        times_s = wanted_times(reading, _plan(request), video.frame_rate_hz)
        with contextlib.closing(reading):
            halts = self._send_frames(reading.sample(times_s), medium)
        return {"warnings": damage.warnings() + halts}

    def _send_frames(self, frames: Iterator[TimedFrame], medium: Medium) -> list[str]:
        """Send pictures of frames; returns what looks wrong with them."""
        halts = HaltWatch()
        video = medium.probe.info.video
        maker = PictureMaker(
            short_side_px=medium.short_side_px,
            sample_aspect_ratio=video.sample_aspect_ratio if video else 1.0,
            rotation_deg=video.rotation_deg if video else 0,
        )
        for time_s, frame in frames:
            image = maker.make(frame)
            halts.look(time_s, image)
            header = wire.frame_header(max(0.0, time_s), image, is_keyframe=bool(frame.key_frame))
            self._connection.send(header, image.data.cast("B"))
        return halts.warnings()

    def _sheet(self, request: Json) -> Json:
        # Few media have sheets; each decoder's start would be 30 ms longer.
        from adapters.media.sheets import Layout, cut_sheet  # noqa: PLC0415

        medium = self._opened()
        video = medium.probe.info.video
        aspect = video.width / video.height if video else 16 / 9
        pictures = cut_sheet(
            base64.b64decode(request["jpeg"]),
            Layout(columns=request["columns"], rows=request["rows"], aspect=aspect),
            count=request["count"],
            short_side_px=medium.short_side_px,
        )
        for index, image in enumerate(pictures):
            header = wire.frame_header(index * request["interval_s"], image, is_keyframe=False)
            self._connection.send(header, image.data.cast("B"))
            self._connection.tick()
        return {"warnings": []}

    def _clip(self, request: Json) -> Json:
        medium = self._opened()
        shift_s = copy_clip(
            medium.source,
            Path(request["path"]),
            span=(request["start_s"], request["end_s"]),
            video_index=medium.probe.video_index,
            tick=self._connection.tick,
        )
        return {"warnings": [], "shift_s": shift_s}

    def _audio(self, request: Json) -> Json:
        medium, damage = self._opened(), Damage("sound")
        rate_hz, tap = request["sample_rate_hz"], self._new_tap(medium)
        windows = read_windows(
            medium.source,
            sample_rate_hz=rate_hz,
            window_s=request["window_s"],
            hop_s=request["hop_s"],
            threads=medium.threads,
            damage=damage,
            tick=self._connection.tick,
            beside=tap,
        )
        for start_s, samples in windows:
            payload = np.ascontiguousarray(samples)
            header = wire.window_header(start_s, payload, rate_hz)
            self._connection.send(header, payload.data.cast("B"))
        self._tap = tap if tap.is_attached else None
        return {"warnings": damage.warnings()}

    def _read_texts(self, _: Json) -> Json:
        from adapters.media.texts import read_texts  # noqa: PLC0415  as below

        medium, tap = self._opened(), self._tap
        if tap is None:
            tap = self._new_tap(medium)
            read_texts(medium.source, tap, self._connection.tick)
        tracks = tap.found(medium.probe.info.duration_s)
        payload = json.dumps([asdict(track) for track in tracks]).encode()
        self._connection.send({"kind": "texts"}, payload)
        return {"warnings": []}

    def _new_tap(self, medium: Medium) -> TextTap:
        # Who only looks at a picture does not wait until its parsers are there.
        from adapters.media.texts import TextTap  # noqa: PLC0415

        return TextTap(medium.source, medium.languages)


def _plan(request: Json) -> SamplePlan:
    return SamplePlan(spans=tuple(SampleSpan(**span) for span in request["spans"]))


def main() -> None:
    """Serve the parent; the first argument says what this process may use."""
    limits = read_limits(sys.argv[1:])
    apply(limits)
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent's to handle: it may finish its job
        signal.signal(number, signal.SIG_IGN)
    log_to_stderr()
    answers = os.fdopen(os.dup(1), "wb")
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a limit per user was reached: the usual 64 KB
            fcntl.fcntl(answers.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.dup2(2, 1)  # nothing that a library prints may get between the messages
    with contextlib.suppress(BrokenPipeError):
        Worker(Connection(os.fdopen(0, "rb", buffering=0), answers), limits).run()


if __name__ == "__main__":
    main()
