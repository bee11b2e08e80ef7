"""Short films and songs with text tracks and tags of known content."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

STYLES = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, \
Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
MILLISECONDS = Fraction(1, 1000)
PLAIN = Disposition(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """A text track: cues of start, end and text."""

    cues: Sequence[tuple[float, float, str]] = ((1.0, 2.0, "Good evening."),)
    kind: str = "srt"
    """``srt``, ``webvtt``, ``ass`` (Matroska) or ``mov_text`` (MP4)."""
    language: str = ""
    title: str = ""
    shown: Disposition = PLAIN
    encoding: str = "utf-8"


def write_titled(
    path: Path,
    *tracks: Track,
    duration_s: float = 8.0,
    sound: str | None = "eng",
    tags: Mapping[str, str] | None = None,
) -> Path:
    """Write a black film; the suffix says in which container.

    Args:
        sound: The language of a silent sound track; None for no sound.
        tags: Of the container.
    """
    with av.open(str(path), "w") as output:
        output.metadata.update(tags or {})
        video = output.add_stream("libx264", rate=5)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        heard = output.add_stream("aac", rate=16_000) if sound is not None else None
        if heard is not None:
            heard.metadata["language"] = sound or "und"
        writers = [_add(output, track) for track in tracks]
        for index in range(round(duration_s * 5)):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
            picture.pts, picture.time_base = index, Fraction(1, 5)
            output.mux(video.encode(picture))
            if heard is not None:
                silence = np.zeros((1, 3_200), np.float32)
                part = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
                part.sample_rate, part.pts = 16_000, index * 3_200
                output.mux(heard.encode(part))
        output.mux(video.encode())
        if heard is not None:
            output.mux(heard.encode())
        for write in writers:
            write()
    return path


def write_bulky(path: Path, *, is_interleaved: bool) -> Path:
    """Write 30 MB of silence (``.mov``) with a line every second, there or all at the end."""
    cues = [(float(second), second + 0.5, "Salt") for second in range(30)]
    patience = {} if is_interleaved else {"max_interleave_delta": "1000000"}
    with av.open(str(path), "w", options=patience) as output:
        heard = output.add_stream("pcm_s16le", rate=500_000, layout="mono")
        write = _add(output, Track(kind="mov_text", cues=cues))
        if is_interleaved:  # the muxer keeps them until their time has come
            write()
        for second in range(30):
            part: Packet[Stream] = Packet(bytes(1_000_000))
            part.stream, part.time_base = heard, Fraction(1, 500_000)
            part.pts = part.dts = second * 500_000
            part.duration = 500_000
            output.mux(part)
        if not is_interleaved:
            write()
    return path


def _add(output: OutputContainer, track: Track) -> Callable[[], None]:
    stream: Stream
    if track.kind == "mov_text":
        boxes = output.add_stream("mov_text")
        boxes.codec_context.subtitle_header = STYLES
        boxes.time_base = MILLISECONDS
        stream = boxes
        packets = [*map(_boxed, track.cues)]
    else:
        source = av.open(io.BytesIO(_script(track)), "r", format=track.kind)
        stream = output.add_stream_from_template(source.streams[0])
        packets = [packet for packet in source.demux() if packet.pts is not None]
    stream.metadata.update({"language": track.language, "title": track.title})
    stream.disposition = track.shown

    def write() -> None:
        for packet in packets:
            packet.stream = stream
            output.mux(packet)

    return write


def _boxed(cue: tuple[float, float, str]) -> Packet[Stream]:
    text = cue[2].encode()
    packet: Packet[Stream] = Packet(len(text).to_bytes(2, "big") + text)
    packet.time_base = MILLISECONDS
    packet.pts = packet.dts = round(cue[0] * 1000)
    packet.duration = round((cue[1] - cue[0]) * 1000)
    return packet


def _script(track: Track) -> bytes:
    if track.kind == "ass":
        rows = [
            f"Dialogue: 0,{_clock(a, 2)},{_clock(b, 2)},Default,,0,0,0,,{t}\n"
            for a, b, t in track.cues
        ]
        return STYLES + "".join(rows).encode(track.encoding)
    head = "WEBVTT\n\n" if track.kind == "webvtt" else ""
    rows = [f"{_clock(a, 3)} --> {_clock(b, 3)}\n{t}\n\n" for a, b, t in track.cues]
    numbered = [f"{n}\n{row}" for n, row in enumerate(rows, 1)] if track.kind == "srt" else rows
    text = head + "".join(numbered)
    return text.encode(track.encoding)


def _clock(time_s: float, digits: int) -> str:
    hours, rest = divmod(time_s, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{int(hours):02}:{int(minutes):02}:{seconds:0{3 + digits}.{digits}f}"
