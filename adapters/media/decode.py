"""Reading a picture stream: keyframes, or frames at given times. In the decoding process."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from adapters.media.container import Tick, origin_s, stream_time_s
from adapters.media.damage import Damage
from adapters.media.source import open_source, translate
from adapters.media.wire import Source

TimedFrame = tuple[float, av.VideoFrame]
TimedPacket = tuple[float, "Packet[VideoStream]"]
# A MemoryError, of FFmpeg's too, is no damage of the medium: it always passes through.

SEEK_GAP_S = 5.0
"""Stretches between wanted times that are longer are jumped over. Half of a usual 10 s distance
between keyframes: a jump lands on the keyframe before, so shorter ones cost more than they save."""
SEEK_MARGINS_S = (0.0, 0.25, 4.0, 20.0)
"""How far before a wanted time to jump to, until a frame at or before it is found. An index holds
decoding times, and a keyframe may be shown some frames later: a time between the two needs the
keyframe before. Without an index (broadcast streams) FFmpeg lands anywhere, the first try is left
out, and the next keyframe is up to some seconds away."""
UNINDEXED_FORMATS = frozenset({"mpegts", "mpeg", "h264", "hevc", "mpegvideo", "m4v"})
"""Streams of packets: what FFmpeg lists of them is where it has been, and after a jump it cannot
tell the time of packets that do not carry their own."""
SAME_TIME_S = 0.002
"""Times are rounded to the container's clock (1 ms in Matroska)."""
WORTH_A_SEEK_S = 0.5
"""A keyframe that lies so far ahead of what was decoded is jumped to: half a second of 1080p costs
20 ms, a jump 2."""
KEYFRAMES_PER_S = 2.0
"""Every frame of ProRes or MJPEG is a keyframe; so many of them are enough."""
KEYFRAME_BURST = 8
"""Keyframes beyond that rate which are let through: fast cutting has them in groups."""
PACKETS_AFTER_SEEK = 500
"""How many packets to wait for a keyframe after a jump to one."""


class VideoPass:
    """One reading of a picture stream, with a decoder of its own.

    Args:
        stream_index: Which of the container's streams.
        threads: How many may decode.
        skip_frame: What the decoder leaves out.
        damage: Where to note what cannot be decoded.
        tick: See ``Tick``.
    """

    def __init__(
        self,
        source: Source,
        *,
        stream_index: int,
        threads: int,
        skip_frame: Literal["NONREF", "DEFAULT"],
        damage: Damage,
        tick: Tick,
    ) -> None:
        self._source = source
        self._container = open_source(source)
        self._stream = _only_stream(self._container, stream_index)
        context = self._stream.codec_context
        context.thread_count = threads
        context.thread_type = "FRAME"
        context.skip_frame = skip_frame
        # A quarter of the time, for a difference of 1 to 3 of 255 at this size.
        context.options = {"skip_loop_filter": "all"}
        self._damage = damage
        self._tick = tick
        self._period_s = 1 / float(self._stream.average_rate or 25)
        self._seek_gap_s = SEEK_GAP_S
        self._keyframes_s: list[float] | None = None
        self._is_unindexed = self._container.format.name in UNINDEXED_FORMATS
        self._is_decoding_order = self._container.format.name == "avi"
        """AVI knows only when a frame is decoded; FFmpeg's guess at when it is shown is wrong for
        some encoders. Frames leave the decoder in the order in which they are shown."""
        self._enough_s = math.inf
        """A packet that is shown then or later is the last that is decoded."""
        self._is_at_start = True
        self._position_s = 0.0
        """Of the latest packet."""

    def close(self) -> None:
        self._container.close()

    def skip(self, frames: Literal["NONREF", "DEFAULT"]) -> None:
        """What the decoder leaves out from here on."""
        self._stream.codec_context.skip_frame = frames

    def look(self, times_s: Sequence[float]) -> Iterator[TimedFrame]:
        """The frame nearest to each of some ascending times; near to the last one.

        Decoding ends there: the decoder is not fed what would bring out the very frame, and read
        what it holds. That saves an eighth of a look two seconds behind a keyframe; the frame is
        up to 0.08 s off.
        """
        self._enough_s = times_s[-1] - 0.5 * self._period_s
        try:
            yield from self.sample(times_s)
        finally:
            self._enough_s = math.inf

    def sample(self, times_s: Iterable[float]) -> Iterator[TimedFrame]:
        """The frame nearest to each of the ascending times; each frame once."""
        frames: Iterator[TimedFrame] = iter(())
        earlier: TimedFrame | None = None
        later: TimedFrame | None = None
        given_s = -math.inf
        for wanted_s in times_s:
            if later is None or self._is_worth_a_jump(later[0], wanted_s):
                frames = self._frames_from(wanted_s, since_s=later[0] if later else None)
                earlier = later = None
            while later is None or later[0] < wanted_s:
                following = next(frames, None)
                if following is None:
                    break
                earlier, later = later, following
            if later is None:
                return
            nearest = _nearest(wanted_s, earlier, later)
            if nearest[0] > given_s:
                given_s = nearest[0]
                yield nearest

    def list_keyframes(self) -> list[float]:
        """Times of all keyframes by the container's index; empty where it has none.

        It may list when they are decoded: some frames before they are shown.
        """
        if self._is_unindexed:
            return []
        self._seek(0)  # Matroska reads its index at the first jump
        return sorted(self._time_s(timestamp) for timestamp in self._listed_keyframes())

    def keyframes(self) -> Iterator[TimedPacket]:
        """Keyframes in order, at most ``KEYFRAMES_PER_S`` on average, not decoded yet.

        Where the container has an index only they are read, which on a network drive is most of
        the gain; what it does not list is found by reading on.
        """
        allowance = float(KEYFRAME_BURST)
        last_s = -math.inf
        for packet in self._keyframe_packets():
            time_s = self._packet_time_s(packet)
            if time_s is None or time_s <= last_s:
                continue
            passed_s = 0.0 if last_s == -math.inf else time_s - last_s
            allowance = min(KEYFRAME_BURST, allowance + passed_s * KEYFRAMES_PER_S)
            last_s = time_s
            if allowance < 1:
                continue
            allowance -= 1
            yield time_s, packet

    def decode_alone(self, key: TimedPacket) -> Iterator[TimedFrame]:
        """The picture of a keyframe, none if it is damaged."""
        time_s, packet = key
        context = self._stream.codec_context
        try:
            frames = [*context.decode(packet), *context.decode(None)]
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError):
            frames = []
        context.flush_buffers()
        whole = [frame for frame in frames if not frame.is_corrupt]
        if not whole:
            self._damage.note(time_s)
        for frame in whole[:1]:
            yield time_s, frame

    def _is_worth_a_jump(self, from_s: float, wanted_s: float) -> bool:
        """Whether a keyframe lies well ahead; without an index, whether the way is long."""
        if self._keyframes_s is None:
            self._keyframes_s = [self._time_s(timestamp) for timestamp in self._listed_keyframes()]
        if not self._keyframes_s:
            return wanted_s - from_s > self._seek_gap_s
        index = bisect_right(self._keyframes_s, wanted_s) - 1
        return index >= 0 and self._keyframes_s[index] - from_s > WORTH_A_SEEK_S

    def _listed_keyframes(self) -> list[int]:
        """Timestamps of the keyframes in the container's index, as far as it has a whole one."""
        if self._is_unindexed:
            return []
        entries = [entry for entry in self._stream.index_entries if entry.is_keyframe]
        return [entry.timestamp for entry in entries if not entry.is_discard]

    def _keyframe_packets(self) -> Iterator[Packet[VideoStream]]:
        if not self._is_unindexed:
            self._seek(0)  # Matroska reads its index at the first jump
        listed = self._listed_keyframes()
        for timestamp in listed:
            self._seek(timestamp)
            for count, packet in enumerate(self._packets()):
                if packet.is_keyframe:
                    yield packet
                    break
                if count > PACKETS_AFTER_SEEK:
                    break
        if listed:
            self._seek(listed[-1])
        yield from (packet for packet in self._packets() if packet.is_keyframe)

    def _frames_from(self, time_s: float, *, since_s: float | None) -> Iterator[TimedFrame]:
        """Frames from at or a little before a time on, each later than the one before."""
        first: TimedFrame | None = None
        frames: Iterator[TimedFrame] = iter(())
        for margin_s in SEEK_MARGINS_S[self._is_unindexed :]:
            start_s = time_s - margin_s
            if start_s > 0 or not self._is_at_start:
                self._seek(self._timestamp(start_s) if start_s > 0 else 0)
            frames = self._ascending()
            first = next(frames, None)
            if start_s <= 0 or (first is not None and first[0] <= time_s + SAME_TIME_S):
                break
        if first is None:
            return
        if since_s is not None and first[0] <= since_s:
            self._seek_gap_s *= 2  # keyframes are far apart: the jump went backwards
        yield first
        yield from frames

    def _ascending(self) -> Iterator[TimedFrame]:
        last_s = -math.inf
        for time_s, frame in self._decoded():
            if time_s > last_s:
                last_s = time_s
                yield time_s, frame

    def _decoded(self) -> Iterator[TimedFrame]:
        frame_s = 0.0
        for packet in self._packets_until_enough():
            try:
                frames = self._stream.codec_context.decode(packet)
            except MemoryError:
                raise
            except (av.error.FFmpegError, ValueError):
                self._damage.note(self._position_s)
                continue
            for frame in frames:
                found_s = self._frame_time_s(frame)
                frame_s = frame_s + self._period_s if found_s is None else found_s
                if frame.is_corrupt:
                    self._damage.note(frame_s)
                else:
                    yield frame_s, frame

    def _packets_until_enough(self) -> Iterator[Packet[VideoStream] | None]:
        """Packets; None where the decoder is to give out all that it holds."""
        for packet in self._packets():
            yield packet
            if self._position_s >= self._enough_s:
                yield None
                self._stream.codec_context.flush_buffers()
                return

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets from the current position to the end."""
        self._is_at_start = False
        packets = self._container.demux(self._stream)
        while True:
            self._tick()
            try:
                packet = next(packets, None)
            except MemoryError:
                raise
            except (av.error.FFmpegError, OSError) as error:
                if self._source.url:
                    raise translate(error, self._source) from error
                self._damage.cut_off(self._position_s)
                return
            if packet is None:
                return
            self._position_s = self._packet_time_s(packet) or self._position_s
            yield packet

    def _seek(self, timestamp: int) -> None:
        self._is_at_start = False
        try:
            self._container.seek(timestamp, stream=self._stream)
        except (av.error.FFmpegError, OSError) as error:
            if self._source.url and isinstance(error, OSError):
                raise translate(error, self._source) from error
            # A stream that cannot be jumped in is read on from where it is.

    def _packet_time_s(self, packet: Packet[VideoStream]) -> float | None:
        timestamp = packet.pts if packet.pts is not None else packet.dts
        return None if timestamp is None else self._time_s(timestamp)

    def _frame_time_s(self, frame: av.VideoFrame) -> float | None:
        stamps = (frame.dts, frame.pts) if self._is_decoding_order else (frame.pts, frame.dts)
        timestamp = next((stamp for stamp in stamps if stamp is not None), None)
        return None if timestamp is None else self._time_s(timestamp)

    def _timestamp(self, time_s: float) -> int:
        return round((time_s + origin_s(self._container)) / (self._stream.time_base or 1))

    def _time_s(self, timestamp: int) -> float:
        return stream_time_s(self._container, self._stream, timestamp)


def _nearest(wanted_s: float, earlier: TimedFrame | None, later: TimedFrame) -> TimedFrame:
    if earlier is not None and wanted_s - earlier[0] <= abs(later[0] - wanted_s):
        return earlier
    return later


def _only_stream(container: InputContainer, index: int) -> VideoStream:
    """Select one stream; the demuxer passes over all others."""
    for stream in container.streams:
        if stream.index != index:
            stream.discard = Discard.all
    chosen = container.streams[index]
    if not isinstance(chosen, VideoStream):
        raise TypeError(f"stream {index} is no picture stream")
    return chosen
