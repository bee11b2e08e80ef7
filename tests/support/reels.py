"""A film of five minutes as people have them, of which every moment is known.

Shots of 2 to 10 seconds from the real clips beside the checkout (or of made pictures, where there
are none), scaled to 1080p, encoded by x264 with its ordinary settings: keyframes at
cuts and every 250 frames, B frames, CABAC, deblocking; and sound in AAC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.stream import Stream
from av.video.frame import PictureType

from service.domain import Float32
from tests.support.scenes import PICTURES, SAMPLE_RATE_HZ, SceneSpec

RATE_HZ = 24
SIZE = (1920, 1080)
SHOT_S = (2.0, 10.0)
X264 = {"preset": "veryfast", "crf": "23"}
JOINT_S = Fraction(1, 10)
"""Between two copies: their sound begins before zero and ends behind the picture."""
MADE = ("gradient", "checkerboard", "moving_box", "noise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A source of shots, and what is seen in it when."""

    path: Path
    shows: Mapping[str, Sequence[tuple[float, float]]]
    """Spans by subject, in the clip's own time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One shot of the film."""

    clip: Clip | None
    seed: int
    clip_start_s: float
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reel:
    """A film and what is known of it."""

    path: Path
    duration_s: float
    takes: Sequence[Take]

    def spans_of(self, subject: str) -> list[tuple[float, float]]:
        """When a subject is seen, neighbouring spans joined."""
        found: list[tuple[float, float]] = []
        for take in self.takes:
            shows = take.clip.shows.get(subject, ()) if take.clip else ()
            shift_s = take.start_s - take.clip_start_s
            for start_s, end_s in shows:
                start, end = max(start_s + shift_s, take.start_s), min(end_s + shift_s, take.end_s)
                if end > start and found and start - found[-1][1] < 1 / RATE_HZ:
                    found[-1] = (found[-1][0], end)
                elif end > start:
                    found.append((start, end))
        return found


def write_reel(
    path: Path,
    clips: Sequence[Clip],
    *,
    duration_s: float,
    size: tuple[int, int] = SIZE,
    seed: int = 7,
) -> Reel:
    """Write the film; the same clips and seed make the same one."""
    takes = _plan_takes(clips, duration_s, seed)
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=RATE_HZ, options=X264)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        sound = output.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="stereo")
        noise = np.random.default_rng(0).normal(0, 0.1, (2, SAMPLE_RATE_HZ)).astype(np.float32)
        for index, frame in enumerate(_pictures(takes, size)):
            frame.pts, frame.time_base = index, Fraction(1, RATE_HZ)
            frame.pict_type = PictureType.NONE  # else x264 repeats the types of the source
            output.mux(video.encode(frame))
            if index % RATE_HZ == 0:
                output.mux(sound.encode(_second_of_sound(noise, index // RATE_HZ)))
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    return Reel(path=path, duration_s=takes[-1].end_s, takes=takes)


def repeat_film(source: Path, path: Path, times: int) -> Path:
    """The same film again and again, copied without encoding."""
    with av.open(str(path), "w") as output:
        streams: dict[int, Stream] = {}
        for index in range(times):
            with av.open(str(source)) as film:
                for stream in film.streams:
                    if stream.index not in streams:
                        streams[stream.index] = output.add_stream_from_template(stream)
                length_s = Fraction(film.duration or 0, av.time_base) + JOINT_S
                for packet in film.demux():
                    if packet.dts is None or packet.pts is None:
                        continue
                    shift = round(index * length_s / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = streams[packet.stream.index]
                    output.mux(packet)
    return path


def repeat_takes(reel: Reel, path: Path, times: int) -> Reel:
    """What is known of a film that ``repeat_film`` wrote."""
    step_s = _length_s(reel.path) + float(JOINT_S)
    takes = [
        replace(take, start_s=take.start_s + index * step_s, end_s=take.end_s + index * step_s)
        for index in range(times)
        for take in reel.takes
    ]
    return Reel(path=path, duration_s=times * step_s, takes=takes)


def _plan_takes(clips: Sequence[Clip], duration_s: float, seed: int) -> list[Take]:
    rng = np.random.default_rng(seed)
    lengths_s = [_length_s(clip.path) for clip in clips]
    takes: list[Take] = []
    start_s, last = 0.0, -1
    while start_s < duration_s - 1 / RATE_HZ:
        wanted_s = min(float(rng.uniform(*SHOT_S)), duration_s - start_s)
        chosen = int(rng.choice([index for index in range(len(clips)) if index != last] or [0]))
        offset_s, clip = 0.0, None
        if clips:
            clip = clips[chosen]
            wanted_s = min(wanted_s, lengths_s[chosen] - 0.2)
            offset_s = float(rng.uniform(0, lengths_s[chosen] - wanted_s - 0.1))
        frames = max(1, round(wanted_s * RATE_HZ))
        takes.append(
            Take(
                clip=clip,
                seed=len(takes),
                clip_start_s=offset_s,
                start_s=start_s,
                end_s=start_s + frames / RATE_HZ,
            )
        )
        start_s, last = takes[-1].end_s, chosen
    return takes


def _length_s(path: Path) -> float:
    with av.open(str(path)) as clip:
        return (clip.duration or 0) / av.time_base


def _pictures(takes: Sequence[Take], size: tuple[int, int]) -> Iterator[av.VideoFrame]:
    width, height = size
    for take in takes:
        frames = _source_frames(take, size)
        first = next(frames)
        graph = av.filter.Graph()
        graph.link_nodes(
            graph.add_buffer(
                width=first.width,
                height=first.height,
                format=first.format,
                time_base=Fraction(1, RATE_HZ),
            ),
            graph.add("scale", f"{width}:{height}:force_original_aspect_ratio=increase"),
            graph.add("crop", f"{width}:{height}"),
            graph.add("setsar", "1"),
            graph.add("format", "yuv420p"),
            graph.add("buffersink"),
        ).configure()
        for frame in chain([first], frames):
            graph.vpush(frame)
            yield graph.vpull()


def _source_frames(take: Take, size: tuple[int, int]) -> Iterator[av.VideoFrame]:
    """The shot's frames at the film's rate, each the latest of the clip at that time."""
    count = round((take.end_s - take.start_s) * RATE_HZ)
    if take.clip is None:
        spec = SceneSpec(duration_s=99, picture=MADE[take.seed % len(MADE)], colour=(90, 160, 40))
        for index in range(count):
            image = PICTURES[spec.picture](
                spec, (size[0] // 4, size[1] // 4), index / RATE_HZ, index
            )
            yield av.VideoFrame.from_ndarray(image, format="rgb24")
        return
    with av.open(str(take.clip.path)) as container:
        decoded = container.decode(container.streams.video[0])
        frame, following = next(decoded), next(decoded, None)
        for index in range(count):
            due_s = take.clip_start_s + index / RATE_HZ
            while following is not None and (following.time or 0.0) <= due_s:
                frame, following = following, next(decoded, None)
            yield frame


def _second_of_sound(noise: Float32, second: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(noise, "fltp", "stereo")
    frame.sample_rate, frame.time_base = SAMPLE_RATE_HZ, Fraction(1, SAMPLE_RATE_HZ)
    frame.pts = second * SAMPLE_RATE_HZ
    return frame
