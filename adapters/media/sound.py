"""Sound, mixed to mono and cut into windows. Runs in the decoding process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Stream

from adapters.media.container import Tick, origin_s, stream_time_s
from adapters.media.damage import Damage
from adapters.media.source import open_source, translate
from adapters.media.wire import Source
from service.domain import Float32

TimedSamples = tuple[float, Float32]

GAP_S = 0.1
"""Timestamps of containers are coarse (1 ms in Matroska) and encoders jitter: smaller gaps are no
silence."""
LONGEST_GAP_S = 600.0
"""A clock that jumps further is broken, and the sound goes on at once."""


class Beside(Protocol):
    """Who takes other streams of the same reading."""

    def attach(self, container: InputContainer) -> list[Stream]:
        """The streams that it wants."""

    def take(self, container: InputContainer, packet: Packet[Stream]) -> bool:
        """Take a packet; False where it is none of theirs."""


class WindowCutter:
    """Cuts a run of samples into windows on the grid ``k * hop``; holds one window at most.

    Args:
        window: Samples in a window.
        hop: Samples between the starts of two windows.
    """

    def __init__(self, *, window: int, hop: int) -> None:
        self._window = window
        self._hop = hop
        self._parts: list[Float32] = []
        self._held = 0
        """Samples in the parts."""
        self._start = 0
        """Where the next window starts; the parts begin there, or there are none."""
        self._end = 0
        """How many samples came so far."""
        self._given_end = 0
        self._heard_until = 0

    @property
    def sample_count(self) -> int:
        """How many samples came so far."""
        return self._end

    def add(self, samples: Float32, *, is_gap: bool = False) -> Iterator[tuple[int, Float32]]:
        """Take more samples; give the windows that are full, with the index of their start."""
        skipped = max(0, min(len(samples), self._start - self._end))
        self._end += len(samples)
        if not is_gap:
            self._heard_until = self._end
        self._parts.append(samples[skipped:])
        self._held += len(samples) - skipped
        if self._held < self._window:
            return
        buffer = np.concatenate(self._parts)
        while len(buffer) >= self._window:
            yield from self._give(buffer[: self._window])
            self._start += self._hop
            buffer = buffer[self._hop :]
        self._parts, self._held = [buffer], len(buffer)

    def add_silence(self, count: int) -> Iterator[tuple[int, Float32]]:
        """Pass over a gap; windows that lie within it are left out."""
        step = max(1, self._window)
        for done in range(0, count, step):
            silence = np.zeros(min(step, count - done), np.float32)
            yield from self.add(silence, is_gap=True)

    def finish(self) -> Iterator[tuple[int, Float32]]:
        """Give the last window, if there are samples in it which no other had."""
        if self._held and self._start + self._held > self._given_end:
            yield from self._give(np.concatenate(self._parts))

    def _give(self, samples: Float32) -> Iterator[tuple[int, Float32]]:
        if len(samples) and self._heard_until > self._start:
            self._given_end = self._start + len(samples)
            yield self._start, samples


def pick_audio(container: InputContainer) -> AudioStream | None:
    """The stream that a player would play: the default one, else the first."""
    playable = [stream for stream in container.streams.audio if stream.codec_context is not None]
    for stream in playable:
        if stream.disposition.default:
            return stream
    return playable[0] if playable else None


def read_windows(
    source: Source,
    *,
    sample_rate_hz: int,
    window_s: float,
    hop_s: float,
    threads: int,
    damage: Damage,
    tick: Tick,
    beside: Beside | None = None,
) -> Iterator[TimedSamples]:
    """Windows on the medium's own clock: sound that begins later has silence before it.

    The hop is from one window's start to the next one's; ``damage`` notes what cannot be decoded;
    ``beside`` takes what it wants of the same reading.
    """
    with open_source(source) as container:
        stream = pick_audio(container)
        if stream is None:
            return
        others = beside.attach(container) if beside is not None else []
        read = {stream.index, *(other.index for other in others)}
        for other in container.streams:
            if other.index not in read:
                other.discard = Discard.all
        stream.codec_context.thread_count = threads
        cutter = WindowCutter(
            window=max(1, round(window_s * sample_rate_hz)),
            hop=max(1, round(hop_s * sample_rate_hz)),
        )
        packets = _packets(source, container, [stream, *others], damage, tick)
        if beside is not None:
            packets = (packet for packet in packets if not beside.take(container, packet))
        for start_s, samples in _runs(container, packets, sample_rate_hz, damage):
            late = round(start_s * sample_rate_hz) - cutter.sample_count
            if start_s >= 0 and GAP_S * sample_rate_hz < late < LONGEST_GAP_S * sample_rate_hz:
                yield from _timed(cutter.add_silence(late), sample_rate_hz)
            yield from _timed(cutter.add(samples), sample_rate_hz)
        yield from _timed(cutter.finish(), sample_rate_hz)


def _timed(windows: Iterator[tuple[int, Float32]], sample_rate_hz: int) -> Iterator[TimedSamples]:
    return ((start / sample_rate_hz, samples) for start, samples in windows)


def _runs(
    container: InputContainer,
    packets: Iterator[Packet[Stream]],
    sample_rate_hz: int,
    damage: Damage,
) -> Iterator[TimedSamples]:
    """Resampled mono sound, with the time at which each part of it begins."""
    mixer = _Mixer(sample_rate_hz)
    time_s = 0.0
    for frame in _decoded(container, packets, damage):
        if frame.pts is not None:
            time_s = float(frame.pts * (frame.time_base or 0)) - origin_s(container)
        for samples in mixer.mix(frame):
            yield time_s, samples
            time_s += len(samples) / sample_rate_hz
    for samples in mixer.flush():
        yield time_s, samples


def _packets(
    source: Source,
    container: InputContainer,
    streams: list[Stream],
    damage: Damage,
    tick: Tick,
) -> Iterator[Packet[Stream]]:
    packets = container.demux(streams)
    time_s = 0.0
    while True:
        tick()
        try:
            packet = next(packets, None)
        except MemoryError:
            raise
        except (av.error.FFmpegError, OSError) as error:
            if source.url:
                raise translate(error, source) from error
            damage.cut_off(time_s)
            return
        if packet is None:
            return
        if packet.pts is not None and packet.stream.type == "audio":
            time_s = stream_time_s(container, packet.stream, packet.pts)
        yield packet


def _decoded(
    container: InputContainer, packets: Iterator[Packet[Stream]], damage: Damage
) -> Iterator[AudioFrame]:
    time_s = 0.0
    for packet in packets:
        if packet.pts is not None:
            time_s = stream_time_s(container, packet.stream, packet.pts)
        try:
            yield from cast("list[AudioFrame]", packet.decode())
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError):
            damage.note(time_s)


class _Mixer:
    """Resamples to mono; begins anew when the stream changes its layout, as broadcasts do."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._shape: tuple[object, ...] = ()
        self._resampler: AudioResampler | None = None

    def mix(self, frame: AudioFrame) -> Iterator[Float32]:
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            yield from self.flush()
            self._shape = shape
            self._resampler = AudioResampler(
                format="flt",
                layout="mono",
                rate=self._sample_rate_hz,
                # Mixed so that full scale stays full scale; FFmpeg lets float sound exceed it.
                options={"rematrix_maxval": "1.0"},
            )
        yield from self._resample(frame)

    def flush(self) -> Iterator[Float32]:
        yield from self._resample(None)

    def _resample(self, frame: AudioFrame | None) -> Iterator[Float32]:
        if self._resampler is not None:
            for part in self._resampler.resample(frame):
                mono = np.asarray(part.to_ndarray()[0], dtype=np.float32)
                yield np.clip(mono, -1.0, 1.0)
