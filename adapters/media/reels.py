"""Cuts highlights out of media: reels, excerpts of songs, and single pictures.

FFmpeg does it, as a program of its own that is told of files alone: what it is told stands in the
list of processes, where no key must be. The stretches of a stream are fetched first.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ffmpeg

from adapters.media.cutter import run_ffmpeg
from adapters.media.formats import FORMATS
from adapters.media.limits import Limits
from adapters.media.reader import ProcessMedia, ProcessReader, decoder_limits
from adapters.media.settings import ReaderSettings
from service.domain import LocalFile, MediaLocation, VideoStream
from service.errors import PermanentError, UnreadableMediaError

LONG_SIDE_PX, SHORT_SIDE_PX = 1280, 720
FASTEST_HZ = 30.0
"""Enough for a reel; of 50 and 60 Hz every other frame is taken."""
FADE_S = 0.3
SONG_FADE_S = 1.0
CRF = 23
"""x264's own default."""
AUDIO_BPS = 128_000
MOST_VIDEO_BPS = 4_000_000
"""Of 720p at CRF 23, film takes 1 to 3 Mbit/s."""
LEAST_VIDEO_BPS = 150_000
BUFFER_S = 1.0
"""Over which the rate is kept: at the beginning so much more than it may be spent."""
PIECE_THREADS = 2
"""Each piece has a decoder of its own; by itself FFmpeg would give each as many as there are cores,
and memory for all."""
PIECE_SHARE = 0.25
"""Of a decoder's memory, for each piece: eight pieces in 8K take 6.2 GB together, one takes 2."""
MOOV_FACTOR = 2
"""FFmpeg stops within a frame of the limit, and then adds the index."""
EXCERPT_BYTES = 1 << 30
"""Eighteen hours of sound at its rate."""
POSTER_BYTES = 64 << 20
"""Ten times 720p without any compression."""
CONTAINER_SHARE = 0.95
"""Of the bytes that may be written, for pictures and sound."""
TO_SDR = (
    ("zscale", {"transfer": "linear", "npl": 203}),
    ("format", {"pix_fmts": "gbrpf32le"}),
    ("zscale", {"primaries": "bt709"}),
    ("tonemap", {"tonemap": "hable", "desat": 0}),
    ("zscale", {"transfer": "bt709", "matrix": "bt709", "range": "tv"}),
)
"""Reference white of ITU-R BT.2408; the order that FFmpeg's documentation of tonemap names."""

Span = tuple[float, float]
"""From and to, in seconds from the start of the medium."""
OnProgress = Callable[[float], None]
"""Is told the seconds that are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a file."""

    path: Path
    start_s: float
    length_s: float
    is_copy: bool = False
    """Then it starts at a time of the copy's clock, not from the beginning of the file."""


class ReelMaker:
    """Makes files of highlights.

    Each method writes one file, or none: what it writes has another name until it is whole, which
    nobody can guess and lay a link at. They raise as a reader does, and PermanentError where FFmpeg
    fails or the file cannot be written.
    """

    def __init__(self, settings: ReaderSettings) -> None:
        self._settings = settings
        self._reader = ProcessReader(settings)

    async def make_reel(
        self,
        location: MediaLocation,
        spans: Sequence[Span],
        path: Path,
        *,
        limit_bytes: int,
        on_progress: OnProgress,
    ) -> None:
        """Put stretches of a film together as MP4 (H.264 and AAC), each faded in and out."""
        async with self._open(location) as (medium, kept_in):
            video = medium.info.video
            if video is None:
                raise UnreadableMediaError("there is no picture to make a reel of")
            pieces = await _fetch(medium, location, spans, kept_in)
            length_s = sum(piece.length_s for piece in pieces)
            has_sound = bool(medium.info.audio)
            streams = [stream for piece in pieces for stream in _faded(piece, video, has_sound)]
            joined = ffmpeg.concat(*streams, v=1, a=int(has_sound)).node
            options = {
                **_film_options(video, length_s, limit_bytes, self._settings.threads),
                **(_sound_options("aac") if has_sound else {}),
                "f": "mp4",
                "movflags": "+faststart",
                "fs": limit_bytes,
            }
            made = [joined[index] for index in range(1 + has_sound)]
            bounds = self._limits(medium, pieces, MOOV_FACTOR * limit_bytes)
            await self._run(made, options, path, bounds, on_progress)

    async def make_excerpt(
        self, location: MediaLocation, span: Span, path: Path, *, on_progress: OnProgress
    ) -> None:
        """Cut a stretch of sound out: MP3 where the path says so, else M4A."""
        async with self._open(location) as (medium, kept_in):
            if not medium.info.audio:
                raise UnreadableMediaError("there is no sound to make an excerpt of")
            (piece,) = await _fetch(medium, location, [span], kept_in)
            is_mp3 = path.suffix.lower() == ".mp3"
            options = {
                **_sound_options("libmp3lame" if is_mp3 else "aac"),
                "f": "mp3" if is_mp3 else "ipod",
            }
            sound = _sound(_input(piece), piece.length_s, SONG_FADE_S)
            bounds = self._limits(medium, [piece], EXCERPT_BYTES)
            await self._run([sound], options, path, bounds, on_progress)

    async def make_poster(self, location: MediaLocation, time_s: float, path: Path) -> None:
        """Write the picture at a time: PNG where the path says so, else JPEG."""
        async with self._open(location) as (medium, kept_in):
            video = medium.info.video
            if video is None:
                raise UnreadableMediaError("there is no picture to make a poster of")
            end_s = min(time_s + 1.0, medium.info.duration_s)
            (piece,) = await _fetch(medium, location, [(time_s, end_s)], kept_in)
            is_png = path.suffix.lower() == ".png"
            options = {
                "f": "image2",
                "vcodec": "png" if is_png else "mjpeg",
                "pix_fmt": "rgb24" if is_png else "yuvj420p",
                "vframes": 1,
                "update": 1,
                **({} if is_png else {"q:v": 2}),
            }
            picture = _picture(_input(piece), video)
            bounds = self._limits(medium, [piece], POSTER_BYTES)
            await self._run([picture], options, path, bounds, lambda _: None)

    @contextlib.asynccontextmanager
    async def _open(self, location: MediaLocation) -> AsyncIterator[tuple[ProcessMedia, Path]]:
        with TemporaryDirectory(prefix="moodreel-reel-") as directory:
            async with self._reader.open_process(location, kept_in=Path(directory)) as medium:
                yield medium, Path(directory)

    def _limits(self, medium: ProcessMedia, pieces: Sequence[Piece], written_bytes: int) -> Limits:
        """What FFmpeg may use: it decodes all pieces at a time, and encodes."""
        one = decoder_limits(self._settings, written_bytes=written_bytes)
        return replace(
            one,
            memory_bytes=round(one.memory_bytes * (1 + len(pieces) * PIECE_SHARE)),
            medium_s=medium.info.duration_s,
        )

    async def _run(
        self,
        streams: Sequence[Any],
        options: Mapping[str, Any],
        path: Path,
        limits: Limits,
        on_progress: OnProgress,
    ) -> None:
        """Have FFmpeg write streams to a file; where it is to be, it is put when it is whole."""
        new = _beside(path)
        try:
            await asyncio.to_thread(new.touch, exist_ok=False)
            await run_ffmpeg(
                ffmpeg.output(*streams, f"file:{new}", **options),
                limits=limits,
                what=path.name,
                on_progress=on_progress,
                stall_timeout_s=self._settings.stall_timeout_s,
            )
            await asyncio.to_thread(new.replace, path)
        except OSError as error:
            raise PermanentError(f"{path.name} cannot be written: {error.strerror}") from error
        finally:
            new.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.absolute().with_name(f".moodreel-{secrets.token_hex(8)}.part")


async def _fetch(
    medium: ProcessMedia, location: MediaLocation, spans: Sequence[Span], kept_in: Path
) -> list[Piece]:
    """Stretches as pieces of files; those of a stream are copied first."""
    if isinstance(location, LocalFile):
        return [Piece(path=location.path.absolute(), start_s=a, length_s=b - a) for a, b in spans]
    pieces = []
    for index, (start_s, end_s) in enumerate(spans):
        path = kept_in / f"{index}.mkv"
        shift_s = await medium.copy_clip(path, start_s=start_s, end_s=end_s)
        pieces.append(
            Piece(path=path, start_s=start_s + shift_s, length_s=end_s - start_s, is_copy=True)
        )
    return pieces


def _input(piece: Piece) -> Any:  # noqa: ANN401  ffmpeg-python has no types
    return ffmpeg.input(
        f"file:{piece.path}",
        seek_timestamp=int(piece.is_copy),
        ss=f"{piece.start_s:.3f}",
        t=f"{piece.length_s:.3f}",
        protocol_whitelist="file",
        format_whitelist=FORMATS,
        threads=PIECE_THREADS,
    )


def _faded(piece: Piece, video: VideoStream, has_sound: bool) -> list[Any]:
    medium = _input(piece)
    fade_s = min(FADE_S, piece.length_s / 4)
    end_s = f"{piece.length_s - fade_s:.3f}"
    picture = _picture(medium, video)
    picture = picture.filter("fps", fps=f"{_rate_hz(video):.3f}")
    picture = picture.filter("fade", type="in", start_time=0, duration=fade_s)
    picture = picture.filter("fade", type="out", start_time=end_s, duration=fade_s)
    picture = picture.filter("format", pix_fmts="yuv420p")
    return [picture, _sound(medium, piece.length_s, fade_s)] if has_sound else [picture]


def _picture(medium: Any, video: VideoStream) -> Any:  # noqa: ANN401  ffmpeg-python has no types
    """The picture as it should be shown: one field, square pixels, SDR, and not larger than 720p.

    FFmpeg has turned it already.
    """
    picture = medium["v:0"]
    if video.is_interlaced:
        picture = picture.filter("bwdif", deint="interlaced")
    if video.is_hdr:
        for name, options in TO_SDR:
            picture = picture.filter(name, **options)
    width, height = reel_size(video)
    return picture.filter("scale", width, height).filter("setsar", 1)


def _sound(medium: Any, length_s: float, fade_s: float) -> Any:  # noqa: ANN401  ffmpeg-python has no types
    """Stereo of just that length, with silence where there is no sound."""
    sound = medium["a:0"].filter("aresample", 48_000, **{"async": 1, "first_pts": 0})
    sound = sound.filter("aformat", sample_fmts="fltp", channel_layouts="stereo")
    sound = sound.filter("apad", whole_dur=f"{length_s:.3f}").filter("atrim", end=f"{length_s:.3f}")
    sound = sound.filter("afade", type="in", start_time=0, duration=fade_s)
    out_s = f"{length_s - fade_s:.3f}"
    return sound.filter("afade", type="out", start_time=out_s, duration=fade_s)


def reel_size(video: VideoStream) -> tuple[int, int]:
    """Even width and height, not larger than the medium's own."""
    long_side, short_side = max(video.width, video.height), min(video.width, video.height)
    factor = min(1.0, LONG_SIDE_PX / long_side, SHORT_SIDE_PX / short_side)
    return (
        max(2, 2 * round(video.width * factor / 2)),
        max(2, 2 * round(video.height * factor / 2)),
    )


def _rate_hz(video: VideoStream) -> float:
    rate_hz = video.frame_rate_hz if video.frame_rate_hz > 0 else 25.0
    while rate_hz > FASTEST_HZ:
        rate_hz /= 2
    return rate_hz


def video_bps(length_s: float, limit_bytes: int) -> int:
    """The most bits a second that keep a reel within its limit."""
    fits = round(CONTAINER_SHARE * 8 * limit_bytes / (length_s + BUFFER_S)) - AUDIO_BPS
    return max(LEAST_VIDEO_BPS, min(MOST_VIDEO_BPS, fits))


def _film_options(
    video: VideoStream, length_s: float, limit_bytes: int, threads: int
) -> dict[str, Any]:
    bps = video_bps(length_s, limit_bytes)
    return {
        "vcodec": "libx264",
        "preset": "veryfast",
        "crf": CRF,
        "maxrate": bps,
        "bufsize": round(bps * BUFFER_S),
        "threads": threads,
        "g": round(2 * _rate_hz(video)),  # browsers jump to keyframes
    }


def _sound_options(codec: str) -> dict[str, Any]:
    return {"acodec": codec, "audio_bitrate": AUDIO_BPS}
