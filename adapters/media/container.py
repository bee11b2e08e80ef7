"""A container's clock and its packets, whatever is done with them. In the decoding process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

Tick = Callable[[], None]
"""Called for every packet: says that work goes on, and raises when it should stop."""


def origin_s(container: InputContainer) -> float:
    """What the container's clock shows at the start of the medium."""
    return (container.start_time or 0) / av.time_base


def stream_time_s(container: InputContainer, stream: Stream, timestamp: int) -> float:
    """A stream's timestamp as seconds from the start of the medium."""
    return float(timestamp * (stream.time_base or 0)) - origin_s(container)


def read_packets(container: InputContainer, tick: Tick, *streams: Stream) -> Iterator[Any]:
    """Packets until the end, or until nothing more can be read."""
    packets = container.demux(*streams)
    while True:
        tick()
        try:
            packet = next(packets, None)
        except MemoryError:
            raise
        except (av.error.FFmpegError, OSError):
            return
        if packet is None:
            return
        yield packet
