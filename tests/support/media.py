"""Films and songs made on the spot, of which every moment is known.

``write_film`` writes scenes one after another: each has one picture and one sound, and begins
with a cut. The same call writes the same file.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.container
import numpy as np
from av.audio.stream import AudioStream
from av.stream import Disposition
from av.video.stream import VideoStream

from service.domain import Float32, UInt8
from tests.support.scenes import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    RED,
    SAMPLE_RATE_HZ,
    WHITE,
    SceneSpec,
    frames_of,
    samples_of,
)

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "RED",
    "SAMPLE_RATE_HZ",
    "WHITE",
    "SceneSpec",
    "write_broken_film",
    "write_corrupt_film",
    "write_film",
    "write_frames",
    "write_song",
    "write_truncated_film",
]

# Files ------------------------------------------------------------------------------------------

AUDIO_CODECS = {
    ".mp3": "libmp3lame",
    ".flac": "flac",
    ".wav": "pcm_s16le",
    ".webm": "libopus",
    ".ogg": "libopus",
    ".opus": "libopus",
    ".avi": "libmp3lame",
}
DEFAULT_AUDIO_CODEC = "aac"
BITEXACT = {"fflags": "+bitexact"}
VIDEO_OPTIONS = {
    "libx264": {"preset": "ultrafast", "x264-params": "scenecut=40"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}
TIME_BASE = Fraction(1, 90_000)


def write_film(
    path: Path,
    scenes: Sequence[SceneSpec],
    *,
    size: tuple[int, int] = (320, 180),
    frame_rate_hz: float = 25,
    audio: bool = True,
    codec: str = "libx264",
    keyframe_interval: int = 250,
    b_frames: int = 2,
    rotation_deg: int = 0,
    sample_aspect_ratio: Fraction = Fraction(1),
    hdr: bool = False,
    interlaced: bool = False,
    languages: Sequence[str] = ("eng",),
    subtitles: Sequence[tuple[str, bool]] = (),
    chapters: Sequence[tuple[float, float, str]] = (),
    audio_start_s: float = 0.0,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a film; the suffix of its path says in which container.

    Args:
        path: Where; ``.mp4``, ``.mkv``, ``.webm``, ``.avi``, ``.ts``, ``.mov``.
        rotation_deg: Clockwise turn that a player has to apply.
        hdr: Ten bits, flagged BT.2020 PQ (the values are not converted).
        languages: One audio stream for each.
        subtitles: Language and whether forced, one text stream for each (``.mkv`` only).
        chapters: Start, end, title.
        audio_start_s: How much later than the picture the sound begins.
    """
    frames = frames_of(scenes, size, frame_rate_hz)
    with av.open(str(path), "w", options={**BITEXACT, **(container_options or {})}) as output:
        video = _add_video(output, codec, size, frame_rate_hz, hdr=hdr, interlaced=interlaced)
        video.codec_context.gop_size = keyframe_interval
        video.codec_context.max_b_frames = b_frames
        video.codec_context.sample_aspect_ratio = sample_aspect_ratio
        if rotation_deg:
            video.set_display_rotation(-rotation_deg)
        tracks = [_add_audio(output, path, tongue) for tongue in languages] if audio else []
        if chapters:
            output.set_chapters(
                [_chapter(index, *chapter) for index, chapter in enumerate(chapters)]
            )
        texts = [_add_subtitle(output, tongue, forced) for tongue, forced in subtitles]
        sound = samples_of(scenes) if tracks else np.zeros(0, np.float32)
        _mux(output, video, frames, tracks=tracks, sound=sound, audio_start_s=audio_start_s)
        for write_text in texts:
            write_text()
    return path


def write_frames(
    path: Path, frames: Iterable[tuple[float, UInt8]], *, codec: str = "libx264"
) -> Path:
    """Write pictures at just these times: variable rate, gaps, or one frame alone."""
    with av.open(str(path), "w", options=BITEXACT) as output:
        video: VideoStream | None = None
        for time_s, image in frames:
            if video is None:
                video = _add_video(output, codec, (image.shape[1], image.shape[0]), 25)
            output.mux(video.encode(_picture(time_s, image, video)))
        if video is not None:
            output.mux(video.encode())
    return path


def write_song(
    path: Path,
    scenes: Sequence[SceneSpec],
    *,
    title: str = "",
    cover: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Path:
    """Write sound alone, with a PNG as its cover if asked for (``.mp3``, ``.flac``)."""
    with av.open(str(path), "w", options=BITEXACT) as output:
        output.metadata.update({"title": title} if title else {})
        output.metadata.update(tags or {})
        track = _add_audio(output, path, "")
        art = output.add_stream("png", rate=1) if cover else None
        if art is not None:
            art.width, art.height, art.pix_fmt = 64, 64, "rgb24"
            art.disposition = Disposition.attached_pic
            output.mux(art.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8))))
        _encode_sound(output, [track], samples_of(scenes), 0, 0.0)
        output.mux(track.encode(None))
    return path


def write_truncated_film(path: Path, *, keep: float = 0.6, **film: Any) -> Path:
    """Write ten seconds of film and lose the end, as a copy that was interrupted.

    An ``.mkv`` keeps its beginning readable; a plain ``.mp4`` has its index at the end.
    """
    write_film(
        path,
        [
            SceneSpec(duration_s=5, picture="noise", sound="tone"),
            SceneSpec(duration_s=5, picture="noise", sound="noise"),
        ],
        **film,
    )
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def write_broken_film(path: Path) -> Path:
    """Write a film of which nothing can be read: an ``.mp4`` without its index."""
    return write_truncated_film(path)


def write_corrupt_film(path: Path, *, first: float = 0.6, last: float = 0.8) -> Path:
    """Write ten seconds of film and overwrite the stretch between two parts of the file."""
    write_film(path, [SceneSpec(duration_s=10, picture="noise")], audio=False, keyframe_interval=25)
    data = bytearray(path.read_bytes())
    begin, end = int(len(data) * first), int(len(data) * last)
    data[begin:end] = np.random.default_rng(1).bytes(end - begin)
    path.write_bytes(data)
    return path


# Streams ----------------------------------------------------------------------------------------


def _add_video(
    output: av.container.OutputContainer,
    codec: str,
    size: tuple[int, int],
    frame_rate_hz: float,
    *,
    hdr: bool = False,
    interlaced: bool = False,
) -> VideoStream:
    rate = Fraction(frame_rate_hz).limit_denominator(1001)
    options = dict(VIDEO_OPTIONS.get(codec, {}))
    if interlaced:
        options["x264-params"] += ":tff=1"
    stream = cast("VideoStream", output.add_stream(codec, rate=rate, options=options))
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p10le" if hdr else "yuv420p"
    context = stream.codec_context
    context.time_base = TIME_BASE if codec.startswith("lib") else 1 / rate
    context.thread_count = 1
    if hdr:
        context.color_primaries, context.color_trc, context.colorspace = 9, 16, 9
    return stream


def _add_audio(output: av.container.OutputContainer, path: Path, language: str) -> AudioStream:
    codec = AUDIO_CODECS.get(path.suffix, DEFAULT_AUDIO_CODEC)
    stream = cast("AudioStream", output.add_stream(codec, rate=SAMPLE_RATE_HZ, layout="stereo"))
    if language:
        stream.metadata["language"] = language
    return stream


def _add_subtitle(
    output: av.container.OutputContainer, language: str, forced: bool
) -> Callable[[], None]:
    """Add a text stream with one line; the returned call writes them."""
    text = "1\n00:00:00,500 --> 00:00:01,000\nGood evening.\n"
    source = av.open(io.BytesIO(text.encode()), "r", format="srt")
    stream = output.add_stream_from_template(source.streams[0])
    stream.metadata["language"] = language
    stream.disposition = Disposition.forced if forced else Disposition(0)

    def write() -> None:
        for packet in source.demux():
            if packet.pts is not None:
                packet.stream = stream
                output.mux(packet)
        source.close()

    return write


def _chapter(index: int, start_s: float, end_s: float, title: str) -> av.container.Chapter:
    return {
        "id": index,
        "start": round(start_s * 1000),
        "end": round(end_s * 1000),
        "time_base": Fraction(1, 1000),
        "metadata": {"title": title},
    }


def _picture(time_s: float, image: UInt8, stream: VideoStream) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=stream.pix_fmt)
    frame.time_base = stream.codec_context.time_base
    frame.pts = round(time_s / frame.time_base)
    return frame


def _mux(
    output: av.container.OutputContainer,
    video: VideoStream,
    frames: Iterator[tuple[float, UInt8]],
    *,
    tracks: Sequence[AudioStream],
    sound: Float32,
    audio_start_s: float,
) -> None:
    """Interleave picture and sound, second by second."""
    done = 0
    for time_s, image in frames:
        due = int((time_s + 1) * SAMPLE_RATE_HZ)
        if due - done >= SAMPLE_RATE_HZ:
            _encode_sound(output, tracks, sound[done:due], done, audio_start_s)
            done = due
        output.mux(video.encode(_picture(time_s, image, video)))
    _encode_sound(output, tracks, sound[done:], done, audio_start_s)
    output.mux(video.encode(None))
    for track in tracks:
        output.mux(track.encode(None))


def _encode_sound(
    output: av.container.OutputContainer,
    tracks: Sequence[AudioStream],
    samples: Float32,
    position: int,
    start_s: float,
) -> None:
    if not len(samples):
        return
    for track in tracks:
        frame = av.AudioFrame.from_ndarray(np.stack([samples, samples]), "fltp", "stereo")
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
        frame.pts = position + round(start_s * SAMPLE_RATE_HZ)
        output.mux(track.encode(frame))
