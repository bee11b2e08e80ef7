"""What is in a medium. Runs in the decoding process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import av
import av.error
import av.video.stream
from av.container import InputContainer
from av.frame import Frame
from av.stream import Disposition, Stream

from adapters.media.container import Tick, origin_s, read_packets, stream_time_s
from adapters.media.picture import HLG, PQ
from adapters.media.sound import pick_audio
from adapters.media.source import open_source
from adapters.media.wire import Source
from service.domain import AudioStream, Chapter, MediaInfo, SubtitleStream, VideoStream
from service.errors import UnreadableMediaError

PACKETS_TO_TRY = 1000
"""Packets of one stream that may be undecodable at the beginning, about half a minute of film."""
INTERLACED_ORDERS = frozenset({2, 3, 4, 5})
"""FFmpeg's AVFieldOrder: top or bottom field coded or shown first."""
BEYOND_END_S = 3600
"""How far behind the declared end to look for the real one."""
DURATION_TOLERANCE_S = 1.0
"""Streams of one film rarely end together; containers round."""
UNKNOWN_LANGUAGE = "und"
LANGUAGE_LIMIT, TITLE_LIMIT, CHAPTER_LIMIT, STREAM_LIMIT = 16, 300, 1000, 100
"""A file may claim anything; nobody makes more than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A medium's description, and what the passes need besides."""

    info: MediaInfo
    video_index: int | None
    warnings: tuple[str, ...] = ()


def probe(source: Source, tick: Tick) -> Probe:
    """Describe a medium; prove that something in it can be decoded.

    Raises:
        UnreadableMediaError: Neither picture nor sound can be decoded.
        MoodreelError: As in ``open_source``.
    """
    with open_source(source) as container:
        pictures = [stream for stream in container.streams.video if not _is_cover(stream)]
        sound = pick_audio(container)
        video = next((s for s in pictures if s.codec_context is not None), None)
        first = _first_frame(container, video, tick) if video is not None else None
        if first is None:
            _rewind(container)
        if first is None and (sound is None or _first_frame(container, sound, tick) is None):
            raise UnreadableMediaError(f"{source.label} cannot be read: {_nothing(container)}")
        warnings = []
        if pictures and first is None:
            warnings.append("the picture cannot be decoded; only the sound is used")
            video = None
        declared_s = container.duration / av.time_base if container.duration else 0.0
        end_s = _end_s(container, video, declared_s, tick)
        if end_s <= 0:
            raise UnreadableMediaError(
                f"{source.label} cannot be read: it is a bare stream without times; "
                "put it into a container such as .mkv"
            )
        if video is not None and end_s < declared_s - DURATION_TOLERANCE_S:
            warnings.append(
                f"it ends at {end_s:.1f} s although it says {declared_s:.1f} s: "
                "was its copy interrupted?"
            )
        return Probe(
            info=MediaInfo(
                duration_s=end_s,
                container=container.format.name.split(",")[0],
                size_bytes=_size_bytes(source, container),
                video=_video(video, first) if video and isinstance(first, av.VideoFrame) else None,
                audio=tuple(_audio(stream) for stream in container.streams.audio[:STREAM_LIMIT]),
                subtitles=tuple(
                    _subtitle(stream) for stream in container.streams.subtitles[:STREAM_LIMIT]
                ),
                chapters=tuple(_chapters(container)),
            ),
            video_index=video.index if video is not None else None,
            warnings=tuple(warnings),
        )


def _is_cover(stream: Stream) -> bool:
    """Whether it is a picture that goes with the medium, such as an album's cover."""
    stills = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    return bool(stream.disposition & stills)


def _first_frame(container: InputContainer, stream: Stream, tick: Tick) -> Frame | None:
    """The first frame from here on that can be decoded, or None."""
    for packet in islice(read_packets(container, tick, stream), PACKETS_TO_TRY):
        try:
            frames = packet.decode()
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError):
            continue
        if frames:
            return cast("Frame", frames[0])
    return None


def _rewind(container: InputContainer) -> None:
    with contextlib.suppress(av.error.FFmpegError, OSError):
        container.seek(0)  # where that cannot be done, decoding will tell


def _nothing(container: InputContainer) -> str:
    kinds = {stream.type for stream in container.streams}
    if not kinds & {"video", "audio"}:
        return "it holds neither picture nor sound"
    names = ", ".join(sorted({_codec(stream) for stream in container.streams}))
    return f"nothing in it can be decoded ({names}); it is damaged or of an unknown kind"


def _end_s(
    container: InputContainer,
    video: av.video.stream.VideoStream | None,
    declared_s: float,
    tick: Tick,
) -> float:
    """The duration: where the last packets end, rather than what the header says.

    A film is jumped through to its last keyframe. Sound is read from its start only when its
    duration is unknown: in MP3 and the like, times after a jump are guesses.
    """
    if video is None and declared_s > 0:
        return declared_s
    if video is not None and declared_s > 0:
        far_s = declared_s + origin_s(container) + BEYOND_END_S
        end_s = _last_end_s(container, far_s, tick)
        if end_s > 0:
            is_close = abs(end_s - declared_s) <= DURATION_TOLERANCE_S
            return declared_s if is_close else end_s
    return _last_end_s(container, 0.0, tick) or declared_s


def _last_end_s(container: InputContainer, from_s: float, tick: Tick) -> float:
    """The latest end of a packet after a jump to a time; 0.0 when there is none."""
    try:
        container.seek(round(from_s * av.time_base))
    except (av.error.FFmpegError, OSError):
        return 0.0
    streams = [s for s in (*container.streams.video, *container.streams.audio) if not _is_cover(s)]
    end_s = 0.0
    for packet in read_packets(container, tick, *streams):
        if packet.pts is not None:
            end = packet.pts + (packet.duration or 0)
            end_s = max(end_s, stream_time_s(container, packet.stream, end))
    return end_s


def _size_bytes(source: Source, container: InputContainer) -> int | None:
    size = Path(source.path).stat().st_size if source.path else container.size
    return size if size > 0 else None


def _video(stream: av.video.stream.VideoStream, first: av.VideoFrame) -> VideoStream:
    rotation_deg = -first.rotation % 360 // 90 * 90
    aspect = float(stream.sample_aspect_ratio or 1) or 1.0
    width, height = round(first.width * aspect), first.height
    if rotation_deg % 180:
        width, height = height, width
    return VideoStream(
        codec=_codec(stream),
        width=width,
        height=height,
        frame_rate_hz=float(stream.average_rate or stream.guessed_rate or 0),
        rotation_deg=rotation_deg,
        sample_aspect_ratio=aspect,
        is_hdr=first.color_trc in {PQ, HLG},
        is_interlaced=first.interlaced_frame
        or stream.codec_context.field_order in INTERLACED_ORDERS,
    )


def _audio(stream: av.AudioStream) -> AudioStream:
    return AudioStream(
        codec=_codec(stream),
        sample_rate_hz=stream.rate or 0,
        channel_count=stream.channels,
        language=_language(stream),
    )


def _subtitle(stream: Stream) -> SubtitleStream:
    return SubtitleStream(
        codec=_codec(stream),
        language=_language(stream),
        is_forced=bool(stream.disposition & Disposition.forced),
    )


def _codec(stream: Stream) -> str:
    """The codec's name, not its decoder's (``mp3``, where FFmpeg decodes with ``mp3float``)."""
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else "unknown"


def _language(stream: Stream) -> str:
    language = (stream.language or "")[:LANGUAGE_LIMIT]
    return "" if language == UNKNOWN_LANGUAGE else language


def _chapters(container: InputContainer) -> Iterator[Chapter]:
    for chapter in container.chapters()[:CHAPTER_LIMIT]:
        unit_s = float(chapter["time_base"] or 0)
        yield Chapter(
            start_s=max(0.0, chapter["start"] * unit_s - origin_s(container)),
            end_s=max(0.0, chapter["end"] * unit_s - origin_s(container)),
            title=chapter["metadata"].get("title", "")[:TITLE_LIMIT],
        )
