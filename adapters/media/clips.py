"""Copying a stretch of a medium as it is encoded. Runs in the decoding process.

What cuts reels is a program of its own, and whatever it is told stands in the list of processes:
a stream's key must not. So the stretches of a stream are fetched here, where the key is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from adapters.media.container import origin_s
from adapters.media.source import open_source, translate
from adapters.media.wire import Source
from service.errors import UnreadableMediaError

COPY_STARTS_S = 10.0
"""On the copy's clock. What comes before the first picture (sound, and by its decoding time what
B frames refer to) must not be before zero: Matroska would move the whole clock by as much."""
TAIL_S = 0.5
"""Packets come in the order of decoding, and sound some time after its picture."""


def copy_clip(
    source: Source,
    path: Path,
    *,
    span: tuple[float, float],
    video_index: int | None,
    tick: Callable[[], None],
) -> float:
    """Copy picture and first sound between two times into a Matroska file.

    Args:
        source: What to read.
        path: What to write.
        span: Seconds from the start of the medium.
        video_index: Which stream is the picture; None for sound alone.
        tick: Called for every packet.

    Returns:
        What to add to a time of the medium to have it on the copy's clock.

    Raises:
        UnreadableMediaError: Nothing is there, or it cannot be copied.
    """
    try:
        with open_source(source) as media, av.open(str(path), "w", format="matroska") as copy:
            begun_s = _copy(media, copy, span, video_index, tick)
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise translate(error, source) from error
    if begun_s is None:
        raise UnreadableMediaError(f"{source.label} has nothing at {span[0]:.1f} s")
    return COPY_STARTS_S - begun_s


def _copy(
    media: InputContainer,
    copy: OutputContainer,
    span: tuple[float, float],
    video_index: int | None,
    tick: Callable[[], None],
) -> float | None:
    """Copy packets from the keyframe before a span on; return its time, None if there is none."""
    chosen = [media.streams[video_index]] if video_index is not None else []
    chosen += list(media.streams.audio[:1])
    copies = {stream.index: copy.add_stream_from_template(stream, opaque=True) for stream in chosen}
    start_s, end_s = span
    medium_starts_s = origin_s(media)
    media.seek(round((start_s + medium_starts_s) * av.time_base))
    begun_s: float | None = None
    open_streams = set(copies)
    for packet in media.demux(chosen):
        tick()
        time_s = _time_s(packet, medium_starts_s)
        index = packet.stream.index
        if time_s is None or index not in open_streams:
            continue
        if begun_s is None:
            if index != chosen[0].index or not packet.is_keyframe:
                continue
            begun_s = time_s
        if time_s > end_s + TAIL_S:
            open_streams.discard(index)
            if not open_streams:
                break
            continue
        _shift(packet, begun_s + medium_starts_s - COPY_STARTS_S)
        packet.stream = copies[index]
        copy.mux(packet)
    return begun_s


def _time_s(packet: Packet[Stream], medium_starts_s: float) -> float | None:
    timestamp = packet.pts if packet.pts is not None else packet.dts
    if timestamp is None or packet.time_base is None:
        return None
    time_s = float(timestamp * packet.time_base) - medium_starts_s
    return time_s if math.isfinite(time_s) else None


def _shift(packet: Packet[Stream], by_s: float) -> None:
    """Move a packet to so much earlier."""
    ticks = round(by_s / packet.time_base)
    packet.pts = None if packet.pts is None else packet.pts - ticks
    packet.dts = None if packet.dts is None else packet.dts - ticks
