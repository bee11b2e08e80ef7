"""Watching a film of five minutes against the usual way, and one of two hours against its limits.

The usual way reads every frame with OpenCV, and encodes two pictures a second one by one. Ours is
what the service does. Both run in turn with the same model on as many threads. The model has the
shape of CLIP ViT-B/32 and random weights; what is found is measured with the small stand-in.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import av
import cv2
import numpy as np
import psutil
from PIL import Image
from scipy.stats import rankdata

from adapters.media.reader import ProcessMedia, ProcessReader
from adapters.media.settings import ReaderSettings
from adapters.models.clip import ClipEncoder
from adapters.models.sessions import SessionOptions
from adapters.models.spec import ImageInput, Interpolation, Resize, Role, TextInput, VisualSpec
from service.detection.concepts import embed_concepts, look_for
from service.detection.moments import Moments, gather_moments, pool_moments
from service.detection.sampling import Sampling
from service.detection.scoring import score_contrast
from service.domain import Calibration, Float32, LocalFile, ScoreKind, UInt8
from service.ports import Encoder
from service.senses import Eyes, Seen
from service.vocabulary import load_vocabulary
from tests.support.real_media import StandinClip
from tests.support.reels import Clip, Reel, repeat_film, repeat_takes, write_reel
from tests.support.towers import export_vit_b_32, quantize

SHARED = Path(__file__).resolve().parents[3] / "shared"
UNIQUE_S, COPIES = 100.0, 3
"""A hundred seconds are encoded, and copied three times: encoding takes longer than all else."""
OTHER_SEEDS, OTHER_S, OTHER_SIZE = (1, 2, 3), 240.0, (640, 360)
"""Films on which nothing was tuned."""
HOURS_COPIES = 72
THREADS = 2
SIZE = 224
"""Pixels of CLIP's pictures."""
USUAL_RATE_HZ = 2
SUBJECTS = {
    "car": "a car on the road",
    "bottle": "a bottle of water",
    "cockatoo": "a cockatoo",
    "rabbit": "a rabbit in a meadow",
    "basketball": "playing basketball",
    "make-up": "putting on lipstick",
}
"""In the stand-in's own words; of the last it knows the thing alone."""
ALWAYS = ((0.0, 1e9),)
CLIPS = (
    ("car-detection.mp4", "car", ((4.4, 8.8), (14.64, 19.12), (25.2, 28.8))),
    ("bottle-detection.mp4", "bottle", ALWAYS),
    ("cockatoo.mp4", "cockatoo", ALWAYS),
    ("bigbuckbunny.mp4", "rabbit", ALWAYS),
    ("demo_test_video_structuralize.mp4", "basketball", ALWAYS),
    ("tests_data_test.avi", "make-up", ALWAYS),
)
GRID_S = 0.25
"""Distance of the moments at which both ways are asked what is seen."""
FOUND_IOU = 0.5

Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """One run of the usual way."""

    read_s: float
    read_cpu_s: float
    times_s: Sequence[float]
    pictures: Sequence[UInt8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watched:
    """One run of ours."""

    seen: Seen
    wall_s: float
    cpu_s: float
    peak_bytes: int
    """Of the service and its decoder together, the model included."""


def run() -> list[Row]:
    """All rows; what is found only where the real media are at hand."""
    with tempfile.TemporaryDirectory(prefix="moodreel-bench-") as folder:
        root = Path(folder)
        clips = [
            Clip(path=SHARED / "media/video" / name, shows={subject: spans})
            for name, subject, spans in CLIPS
            if SHARED.is_dir()
        ]
        part = write_reel(root / "part.mp4", clips, duration_s=UNIQUE_S)
        reel = repeat_takes(part, repeat_film(part.path, root / "film.mp4", COPIES), COPIES)
        towers = _apart(_make_towers, root)
        usual = read_usually(reel.path)
        rows = [*_limit_rows(reel.path), *_speed_rows(reel.path, towers, usual)]
        if clips:
            rows += _finding_rows(reel, usual)
            rows += _other_rows(root, clips)
        long = repeat_film(part.path, root / "long.mp4", HOURS_COPIES)
        return [*rows, *_length_rows(reel.path, long, towers["quantised"])]


def _make_towers(root: Path) -> dict[str, Path]:
    tower = export_vit_b_32(root / "fp32.onnx")
    return {"fp32": tower, "quantised": quantize(tower, root / "quantised.onnx")}


def _apart(work: Callable[..., T], *args: object) -> T:
    """Do it in a process of its own: PyTorch would count as ours in all that is measured."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


# The two ways -----------------------------------------------------------------------------------


def read_usually(film: Path) -> Usual:
    """Read every frame, and make CLIP's picture of two a second, as such systems do."""
    began_at, spent_s = time.perf_counter(), time.process_time()
    capture = cv2.VideoCapture(str(film), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, THREADS])
    rate_hz = capture.get(cv2.CAP_PROP_FPS)
    step, index = round(rate_hz / USUAL_RATE_HZ), 0
    times_s: list[float] = []
    pictures: list[UInt8] = []
    while True:
        is_there, picture = capture.read()
        if not is_there:
            break
        if index % step == 0:
            rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            pictures.append(_crop_as_clip(Image.fromarray(rgb)))
            times_s.append(index / rate_hz)
        index += 1
    capture.release()
    return Usual(
        read_s=time.perf_counter() - began_at,
        read_cpu_s=time.process_time() - spent_s,
        times_s=times_s,
        pictures=pictures,
    )


def _crop_as_clip(picture: Image.Image) -> UInt8:
    """The shortest edge to 224 pixels, then the centre: CLIP's own preprocessing."""
    width, height = picture.size
    scale = SIZE / min(width, height)
    small = picture.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    left, top = (small.width - SIZE) // 2, (small.height - SIZE) // 2
    return np.asarray(small.crop((left, top, left + SIZE, top + SIZE)))


def encode_usually(usual: Usual, encoder: Encoder) -> Float32:
    """Encode one picture after another."""
    return np.concatenate([encoder.encode_images([picture]) for picture in usual.pictures])


def watch(film: Path, encoder: Encoder | None) -> Watched:
    """Watch as the service does."""
    return asyncio.run(_watch(film, encoder))


async def _watch(film: Path, encoder: Encoder | None) -> Watched:
    own, over = psutil.Process(), threading.Event()
    peak, began_at, spent = [0], time.perf_counter(), _cpu_s(own)
    with ThreadPoolExecutor(2) as pool:
        async with ProcessReader(ReaderSettings(niceness=0)).open(LocalFile(path=film)) as media:
            decoder = psutil.Process(cast("ProcessMedia", media).pid)

            def look_on() -> None:
                while not over.wait(0.05):
                    both = own.memory_info().rss + decoder.memory_info().rss
                    peak[0] = max(peak[0], both)

            watcher = threading.Thread(target=look_on)
            watcher.start()
            try:
                seen = await Eyes(pool, scene_timeout_s=60.0).watch(media, encoder, Sampling())
            finally:
                over.set()
                watcher.join()
            decoding_s = _cpu_s(decoder)
    return Watched(
        seen=seen,
        wall_s=time.perf_counter() - began_at,
        cpu_s=_cpu_s(own) - spent + decoding_s,
        peak_bytes=peak[0],
    )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def open_tower(path: Path) -> ClipEncoder:
    """A picture tower behind the product's own encoder; it has no words."""
    spec = VisualSpec(
        dimension=512,
        image=ImageInput(
            size=224,
            resize=Resize.CROP,
            interpolation=Interpolation.BICUBIC,
            mean=(0.48145466, 0.4578275, 0.40821073),
            std=(0.26862954, 0.26130258, 0.27577711),
        ),
        text=TextInput(context_length=77, pad_id=None, end_id=None, pads_to_context=False),
        calibration=Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0),
    )
    paths = dict.fromkeys((Role.IMAGE_TOWER, Role.TEXT_TOWER, Role.TOKENIZER), path)
    encoder = ClipEncoder(path.stem, spec, paths, SessionOptions(threads=THREADS))
    encoder.encode_images([np.zeros((224, 224, 3), np.uint8)])  # loaded before anything is timed
    return encoder


# Rows -------------------------------------------------------------------------------------------


def _limit_rows(film: Path) -> Iterator[Row]:
    """What FFmpeg needs for the keyframes and the sound alone, and what ours takes to measure."""
    limit_s, limit_cpu_s = _time(lambda: _decode_keyframes_and_sound(film))
    watched = watch(film, None)
    yield _row("keyframes and sound, FFmpeg alone", limit_s, "s")
    yield _row("watching without a model", watched.wall_s, "s", ("the limit", limit_s))
    yield _row(
        "CPU of watching without a model", watched.cpu_s, "s CPU", ("the limit", limit_cpu_s)
    )


def _decode_keyframes_and_sound(film: Path) -> None:
    with av.open(str(film)) as container:
        video = container.streams.video[0]
        video.codec_context.skip_frame = "NONKEY"
        for _ in container.decode(video):
            pass
    with av.open(str(film)) as container:
        for _ in container.decode(container.streams.audio[0]):
            pass


def _speed_rows(film: Path, towers: dict[str, Path], usual: Usual) -> Iterator[Row]:
    yield _row("every frame read by OpenCV", usual.read_s, "s")
    for name, path in towers.items():
        encoder = open_tower(path)
        encode_s, encode_cpu_s = _time(partial(encode_usually, usual, encoder))
        watched = watch(film, encoder)
        encoder.close()
        whole_s = usual.read_s + encode_s
        yield _row(f"the usual way, {name}", whole_s, "s")
        yield _row(f"watching, {name}", watched.wall_s, "s", ("the usual way", whole_s))
        yield _row(f"times faster, {name}", whole_s / watched.wall_s, "x", ("aim", 12.0))
        whole_cpu_s = usual.read_cpu_s + encode_cpu_s
        yield _row(
            f"CPU of watching, {name}", watched.cpu_s, "s CPU", ("the usual way", whole_cpu_s)
        )
        yield _row(f"pictures encoded, {name}", _encoded(watched.seen), "frames")


def _encoded(seen: Seen) -> int:
    spent = seen.moments.encode_ms if seen.moments is not None else None
    return 0 if spent is None else int((spent > 0).sum())


def _finding_rows(reel: Reel, usual: Usual) -> Iterator[Row]:
    """Per-moment AUC and spans found at IoU 0.5, means over the subjects."""
    encoder = StandinClip(SHARED / "models/standin-clip")
    alone = gather_moments(list(usual.times_s), encode_usually(usual, encoder))
    seen = watch(reel.path, encoder).seen.moments
    if seen is None:
        return
    usual_area, usual_found = _judge(reel, alone, encoder)
    area, found = _judge(reel, pool_moments(seen), encoder)
    yield _row("AUC of a moment", area, "AUC", ("the usual way", usual_area))
    yield _row("spans found, IoU 0.5", found, "share", ("the usual way", usual_found))


def _other_rows(root: Path, clips: Sequence[Clip]) -> Iterator[Row]:
    """The same of other films, spliced by other seeds: means over them."""
    encoder = StandinClip(SHARED / "models/standin-clip")
    judged = []
    for seed in OTHER_SEEDS:
        path = root / f"other-{seed}.mp4"
        reel = write_reel(path, clips, duration_s=OTHER_S, size=OTHER_SIZE, seed=seed)
        usual = read_usually(path)
        alone = gather_moments(list(usual.times_s), encode_usually(usual, encoder))
        seen = watch(path, encoder).seen.moments
        if seen is not None:
            judged.append(
                (*_judge(reel, pool_moments(seen), encoder), *_judge(reel, alone, encoder))
            )
    area, found, usual_area, usual_found = np.mean(judged, axis=0).tolist()
    yield _row("AUC of a moment, other films", area, "AUC", ("the usual way", usual_area))
    yield _row("spans found, IoU 0.5, other films", found, "share", ("the usual way", usual_found))


def _judge(reel: Reel, moments: Moments, encoder: Encoder) -> tuple[float, float]:
    grid = np.arange(GRID_S / 2, reel.duration_s, GRID_S)
    areas, shares = [], []
    vocabulary = load_vocabulary()
    for subject, text in SUBJECTS.items():
        words = embed_concepts(look_for(vocabulary, [text], ()), encoder)
        chance, _ = score_contrast(
            moments.vectors, words.positive_vectors, words.negative_vectors, words.calibration
        )
        scores = np.interp(grid, moments.times_s, chance.astype(np.float64))
        spans = reel.spans_of(subject)
        if not spans:
            continue  # not in this film
        truth = np.zeros(len(grid), bool)
        for start_s, end_s in spans:
            truth |= (grid >= start_s) & (grid < end_s)
        ranks, count = rankdata(scores), int(truth.sum())
        below = float(ranks[truth].sum()) - count * (count + 1) / 2
        areas.append(below / (count * (len(grid) - count)))
        best = scores > np.quantile(scores, 1 - truth.mean())
        edges = np.flatnonzero(np.diff(best.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
        stretches = (edges * GRID_S).tolist()
        shares.append(
            np.mean([any(_iou(s, span) >= FOUND_IOU for s in stretches) for span in spans])
        )
    return float(np.mean(areas)), float(np.mean(shares))


def _iou(first: Sequence[float], second: Sequence[float]) -> float:
    shared_s = min(first[1], second[1]) - max(first[0], second[0])
    return max(0.0, shared_s) / (max(first[1], second[1]) - min(first[0], second[0]))


def _length_rows(film: Path, long: Path, tower: Path) -> Iterator[Row]:
    _, _, short_bytes = _apart(_measure, film, tower)
    wall_s, cpu_s, peak_bytes = _apart(_measure, long, tower)
    yield _row("watching two hours, quantised", wall_s, "s", ("aim", 90.0))
    yield _row("CPU of watching two hours, quantised", cpu_s, "s CPU")
    yield _row(
        "peak memory, service and decoder, two hours",
        peak_bytes / 1e6,
        "MB",
        ("five minutes", short_bytes / 1e6),
    )


def _measure(film: Path, tower: Path) -> tuple[float, float, int]:
    watched = watch(film, open_tower(tower))
    return watched.wall_s, watched.cpu_s, watched.peak_bytes


def _time(work: Callable[[], object]) -> tuple[float, float]:
    began_at, spent_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began_at, time.process_time() - spent_s


def _row(name: str, value: float, unit: str, baseline: tuple[str, float] | None = None) -> Row:
    row: Row = {"name": f"speed: {name}", "value": round(float(value), 3), "unit": unit}
    if baseline is not None:
        row |= {
            "baseline": f"{baseline[0]}: {baseline[1]:.3g}",
            "ratio": round(value / baseline[1], 3),
        }
    return row
