"""What the service and its decoding process say to each other.

A message is a JSON object and, for pictures and sound, raw bytes after it; a prefix gives both
lengths. The decoding process works on files from anywhere and is not trusted: whatever it sends
is checked, and nothing of it is ever executed (no pickle).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import numpy as np

from service.domain import AudioWindow, Float32, Frame, Json, UInt8

PREFIX = struct.Struct("<II")
"""Bytes of the JSON header, bytes of the payload."""
HEADER_LIMIT = 1 << 20
REQUEST_LIMIT = 1 << 26
"""Our own side is trusted, and a plan has 60 bytes for each of a day's keyframes."""
PAYLOAD_LIMIT = 1 << 27
"""An hour of sound at 16 kHz is 230 MB: windows are far shorter. A frame at 2160p is 25 MB."""


class ProtocolError(Exception):
    """The other side sent something that is no message."""


def pack(header: Mapping[str, Any], payload: bytes | memoryview = b"") -> bytes:
    """A message's prefix and header; the payload follows it on the wire."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return PREFIX.pack(len(text), len(payload)) + text


def unpack_prefix(prefix: bytes, *, header_limit: int = HEADER_LIMIT) -> tuple[int, int]:
    """Read the two lengths.

    Raises:
        ProtocolError: One of them is beyond its limit.
    """
    header_bytes, payload_bytes = PREFIX.unpack(prefix)
    if header_bytes > header_limit or payload_bytes > PAYLOAD_LIMIT:
        raise ProtocolError(f"a message of {header_bytes} + {payload_bytes} bytes")
    return header_bytes, payload_bytes


def unpack_header(text: bytes) -> Json:
    """Read the JSON object.

    Raises:
        ProtocolError: It is none.
    """
    try:
        header = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise ProtocolError("a header that is not JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("a header that is not an object")
    return header


def _refuse(constant: str) -> None:
    """No time and no size is NaN or infinite."""
    raise ValueError(constant)


def read_message(pipe: BinaryIO) -> Json | None:
    """Read the next message without payload from an unbuffered pipe; None at its end."""
    prefix = _read_exactly(pipe, PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    header_bytes, _ = unpack_prefix(prefix, header_limit=REQUEST_LIMIT)
    return unpack_header(_read_exactly(pipe, header_bytes))


def _read_exactly(pipe: BinaryIO, count: int) -> bytes:
    found = b""
    while len(found) < count and (more := pipe.read(count - len(found))):
        found += more
    return found


# What to read ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a decoding process was asked to read."""

    path: str = ""
    """Absolute; empty for a stream."""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    network_timeout_s: float = 20.0

    @property
    def label(self) -> str:
        """What to call it in a message: no query string and no folder."""
        if self.path:
            return Path(self.path).name
        parts = urlsplit(self.url)
        return f"{parts.hostname}{parts.path}"


# Frames and sound -------------------------------------------------------------------------------


def frame_header(time_s: float, image: UInt8, *, is_keyframe: bool) -> Json:
    height, width, _ = image.shape
    return {
        "kind": "frame",
        "time_s": time_s,
        "height": height,
        "width": width,
        "is_keyframe": is_keyframe,
    }


def read_frame(header: Json, payload: bytes) -> Frame:
    """Make a frame of a message.

    Raises:
        ProtocolError: The numbers do not belong together.
    """
    try:
        shape = (int(header["height"]), int(header["width"]), 3)
        image = np.frombuffer(payload, dtype=np.uint8).reshape(shape)
        return Frame(
            time_s=float(header["time_s"]), image=image, is_keyframe=bool(header["is_keyframe"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"no frame: {error}") from error


def read_times(_: Json, payload: bytes) -> list[float]:
    """Read rising times.

    Raises:
        ProtocolError: They are not.
    """
    try:
        times_s = np.frombuffer(payload, dtype=np.float64)
    except ValueError as error:
        raise ProtocolError(f"no times: {error}") from error
    if not np.isfinite(times_s).all() or (np.diff(times_s) < 0).any():
        raise ProtocolError("times that do not rise")
    return [float(time_s) for time_s in times_s]


def window_header(start_s: float, samples: Float32, sample_rate_hz: int) -> Json:
    return {
        "kind": "window",
        "start_s": start_s,
        "count": len(samples),
        "sample_rate_hz": sample_rate_hz,
    }


def read_window(header: Json, payload: bytes) -> AudioWindow:
    """Make a window of a message.

    Raises:
        ProtocolError: The numbers do not belong together.
    """
    try:
        samples = np.frombuffer(payload, dtype=np.float32).reshape(int(header["count"]))
        return AudioWindow(
            start_s=float(header["start_s"]),
            samples=samples,
            sample_rate_hz=int(header["sample_rate_hz"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"no window: {error}") from error
