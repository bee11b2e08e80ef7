"""What reading a film costs: passes against a full decode, start-up, memory, bytes read."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import psutil

from adapters.media.damage import Damage
from adapters.media.decode import VideoPass
from adapters.media.picture import PictureMaker
from adapters.media.reader import ProcessMedia, ProcessReader
from adapters.media.settings import ReaderSettings
from adapters.media.wire import Source
from service.domain import LocalFile, SamplePlan, SampleSpan
from tests.support.media import SceneSpec, write_film

FILM_S = 60
FRAME_RATE_HZ = 24
Row = dict[str, Any]


def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="moodreel-bench-") as folder:
        film = _write_textured_film(Path(folder) / "film.mp4")
        return [*_pass_rows(film), *asyncio.run(_process_rows(film)), *_memory_rows(Path(folder))]


def _pass_rows(film: Path) -> Iterator[Row]:
    """CPU seconds of each pass over one film, with pictures, against decoding all of it."""
    full_s, frame_count = _cpu_s(lambda: _decode_all(film))
    yield _row("decode 60 s of 1080p H.264, every frame", full_s, "s CPU", note=f"{frame_count}")
    plan = SamplePlan(spans=(SampleSpan(start_s=0, end_s=FILM_S, rate_hz=4),))
    passes: list[tuple[str, Callable[[], int]]] = [
        ("keyframe pass", lambda: _pictures(film, "DEFAULT", lambda p: p.keyframes())),
        (
            "fine pass, 4 Hz throughout",
            lambda: _pictures(film, "NONREF", lambda p: p.sample(plan.times_s())),
        ),
    ]
    for name, read in passes:
        read_bytes = psutil.Process().io_counters().read_chars
        spent_s, count = _cpu_s(read)
        read_bytes = psutil.Process().io_counters().read_chars - read_bytes
        share = read_bytes / film.stat().st_size
        yield _row(
            name, spent_s, "s CPU", baseline=("full decode", full_s), note=f"{count} pictures"
        )
        yield _row(f"{name}, bytes read", share, "of the file", baseline=("whole file", 1.0))


async def _process_rows(film: Path) -> list[Row]:
    reader = ProcessReader(ReaderSettings(niceness=0))
    opened_s, pass_s = [], 0.0
    for _ in range(5):
        begun = time.perf_counter()
        async with reader.open(LocalFile(path=film)) as medium:
            opened_s.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            async for _frame in medium.read_keyframes(max_gap_s=12.0):
                pass
            pass_s = time.perf_counter() - begun
    return [
        _row("start a decoder, open and probe", min(opened_s), "s"),
        _row("keyframe pass through the process, 60 s of 1080p", pass_s, "s"),
    ]


def _memory_rows(folder: Path) -> Iterator[Row]:
    """Peak resident memory while all of a film is read, short and ten times longer."""
    short = _peak_bytes(_write_small_film(folder / "short.mp4", minutes=1))
    long = _peak_bytes(_write_small_film(folder / "long.mp4", minutes=10))
    for who in ("decoder", "reader"):
        yield _row(f"peak memory, {who}, 1 min of film", short[who] / 1e6, "MB")
        yield _row(
            f"peak memory, {who}, 10 min of film",
            long[who] / 1e6,
            "MB",
            baseline=("1 min", short[who] / 1e6),
        )


def _row(
    name: str,
    value: float,
    unit: str,
    *,
    baseline: tuple[str, float] | None = None,
    note: str = "",
) -> Row:
    row: Row = {"name": f"media: {name}", "value": round(value, 4), "unit": unit}
    if baseline is not None:
        row |= {"baseline": baseline[0], "ratio": round(value / baseline[1], 4)}
    return row | ({"note": note} if note else {})


def _cpu_s(work: Callable[[], int]) -> tuple[float, int]:
    begun = time.process_time()
    count = work()
    return time.process_time() - begun, count


def _decode_all(film: Path) -> int:
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def _pictures(film: Path, skip: Any, read: Callable[[VideoPass], Iterator[Any]]) -> int:
    reading = VideoPass(
        Source(path=str(film)),
        stream_index=0,
        threads=1,
        skip_frame=skip,
        damage=Damage("picture"),
        tick=lambda: None,
    )
    maker = PictureMaker(short_side_px=256)
    count = sum(1 for _, frame in read(reading) if maker.make(frame).size)
    reading.close()
    return count


def _peak_bytes(film: Path) -> dict[str, int]:
    """Peaks of the decoder and of what the reader adds to this process, sampled 100 times a second.

    Everything is read: keyframes, two frames of every second, and the sound.
    """
    before = psutil.Process().memory_info().rss
    peaks = {"decoder": 0, "reader": 0}

    def watch(pid: int, over: threading.Event) -> None:
        decoder, own = psutil.Process(pid), psutil.Process()
        while not over.wait(0.01):
            peaks["decoder"] = max(peaks["decoder"], decoder.memory_info().rss)
            peaks["reader"] = max(peaks["reader"], own.memory_info().rss - before)

    async def read() -> None:
        reader = ProcessReader(ReaderSettings(niceness=0))
        async with reader.open(LocalFile(path=film)) as medium:
            over = threading.Event()
            watcher = threading.Thread(target=watch, args=(cast("ProcessMedia", medium).pid, over))
            watcher.start()
            end_s = medium.info.duration_s
            plan = SamplePlan(spans=(SampleSpan(start_s=0, end_s=end_s, rate_hz=2),))
            async for _ in medium.read_keyframes():
                pass
            async for _ in medium.read_frames(plan):
                pass
            async for _ in medium.read_audio(sample_rate_hz=16_000, window_s=10, hop_s=10):
                pass
            over.set()
            watcher.join()

    asyncio.run(read())
    return peaks


def _write_small_film(path: Path, *, minutes: int) -> Path:
    scene = SceneSpec(duration_s=10, picture="moving_box", sound="noise")
    return write_film(path, [scene] * (6 * minutes))


def _write_textured_film(path: Path) -> Path:
    """Twelve textures that pan for five seconds each, as a web film is encoded."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as output:
        options = {"preset": "veryfast", "crf": "23"}
        stream = output.add_stream("libx264", rate=FRAME_RATE_HZ, options=options)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        texture = np.zeros((0, 0, 3), np.uint8)
        for index in range(FILM_S * FRAME_RATE_HZ):
            if index % (5 * FRAME_RATE_HZ) == 0:
                cells = rng.integers(0, 256, (68, 120, 3), np.uint8)
                texture = np.kron(cells, np.ones((16, 16, 1), np.uint8))[:1080]
            image = np.roll(texture, 3 * (index % 120), axis=1)
            image[::7, ::5] ^= index * 7 & 31
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE_HZ)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path
