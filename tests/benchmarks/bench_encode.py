"""What it costs to borrow a model: the way to another process of this machine and back.

Of what an analysis sends (two square views of a frame), also how large pictures are in each format,
and what a format that loses something does to the vectors.

With the real model in ../shared where it lies beside this checkout; else with a tiny one, whose own
cost is next to nothing, so that the rest is seen.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import av
import numpy as np
from PIL import Image
from pydantic import SecretStr

from adapters.models.remote import RemoteEncoder, Space
from adapters.models.remote_settings import RemoteSettings
from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from service.detection.views import make_views
from service.domain import UInt8
from service.ports import Encoder
from tests.support.encoders import SECRET
from tests.support.models import colour_model
from tests.support.service import environment, free_port, running

REAL = Path(__file__).resolve().parents[3] / "shared" / "models" / "standin-clip"
FILM = REAL.parents[1] / "media" / "video" / "car-detection.mp4"
FRAMES = 16
FORMATS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 1},
    "WEBP lossless": {"lossless": True, "method": 0},
    "JPEG 95": {"quality": 95, "subsampling": 0},
    "JPEG 85": {"quality": 85},
}
TEXTS = 200
BATCHES = 5
TEXT_TIMEOUT_S = 30.0

Row = dict[str, Any]


def run() -> list[Row]:
    """Texts, each of them new, and batches of 16 frames of 384 x 216."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_measure(Path(directory)))


async def _measure(directory: Path) -> list[Row]:
    model = REAL if REAL.is_dir() else colour_model(directory / "colours")
    port = free_port()
    env = environment(
        directory / "data",
        MOODREEL_VISUAL_MODEL=str(model),
        MOODREEL_MODELS_DIR=str(directory / "theirs"),
        MOODREEL_ENCODE_PORT=str(port),
        CLIP_RUNPOD_SECRET=SECRET,
    )
    settings = ModelSettings(visual_model=str(model), models_dir=directory / "ours")
    async with AsyncExitStack() as stack:
        shelf = Shelf(settings)
        stack.push_async_callback(shelf.aclose)
        local = await shelf.open_encoder()
        log = stack.enter_context((directory / "log").open("wb"))
        await stack.enter_async_context(running("encode-server", env=env, stderr=log))
        space = Space(model=local.name, dimension=local.dimension, calibration=local.calibration)
        address = RemoteSettings(url=f"http://127.0.0.1:{port}", secret=SecretStr(SECRET))
        remote = RemoteEncoder(address, space, text_timeout_s=TEXT_TIMEOUT_S, rest_s=0.0)
        stack.callback(remote.close)
        await asyncio.to_thread(_until_there, remote)
        return await asyncio.to_thread(_compare, local, remote)


def _until_there(remote: RemoteEncoder) -> None:
    deadline_s = time.monotonic() + 60
    while remote.check()[0].severity.value != "ok":
        if time.monotonic() > deadline_s:
            raise TimeoutError(remote.check()[0].message)
        time.sleep(0.2)


def _compare(local: Encoder, remote: Encoder) -> list[Row]:
    random = np.random.default_rng(7)
    frames = [random.integers(0, 256, (216, 384, 3), dtype=np.uint8) for _ in range(16)]
    off = float(np.abs(local.encode_images(frames) - remote.encode_images(frames)).max())
    texts = {name: _time_texts(e, name) for name, e in (("here", local), ("there", remote))}
    batches = {
        name: [_time(partial(e.encode_images, frames)) / len(frames) for _ in range(BATCHES)]
        for name, e in (("here", local), ("there", remote))
    }
    views = _views()
    shown = {
        name: [_time(partial(e.encode_images, views[:16])) / 16 for _ in range(BATCHES)]
        for name, e in (("here", local), ("there", remote))
    }
    return [
        _row("a text, p50", texts, median),
        _row("a text, p95", texts, lambda taken: quantiles(taken, n=20)[-1]),
        _row("a picture of a batch of 16 (noise, the largest PNG)", batches, median),
        _row("a view of a real or made frame, of a batch of 16", shown, median),
        _throughput(shown),
        {"name": "vectors differ by at most", "value": off, "unit": ""},
        *_formats(local, views),
    ]


def _throughput(taken: dict[str, list[float]]) -> Row:
    here, there = (1 / median(taken[name]) for name in ("here", "there"))
    return {
        "name": "borrowed: views a second, one batch at a time",
        "value": there,
        "unit": "1/s",
        "baseline": f"this process: {here:.0f}",
        "ratio": there / here,
    }


def _views() -> list[UInt8]:
    """Both views of eight or more frames as an analysis has them: 256 pixels high."""
    frames: list[UInt8] = []
    if FILM.is_file():
        with av.open(str(FILM)) as film:
            for index, frame in enumerate(film.decode(video=0)):
                if index % 10 == 0:
                    frames.append(np.asarray(frame.to_image(width=455, height=256)))
                if len(frames) == FRAMES:
                    break
    while len(frames) < FRAMES:
        random = np.random.default_rng(len(frames))
        small = random.integers(0, 256, (9, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((455, 256), Image.Resampling.BICUBIC)
        frames.append(np.asarray(picture))
    return [view for frame in frames for view in make_views(frame)]


def _formats(local: Encoder, views: list[UInt8]) -> list[Row]:
    """Bytes, milliseconds and lost likeness of a view in each format."""
    exact = local.encode_images(views)
    rows: list[Row] = []
    for name, options in FORMATS.items():
        kind = name.split()[0]
        taken, files = [], []
        for view in views:
            file = io.BytesIO()
            taken.append(_time(partial(Image.fromarray(view).save, file, kind, **options)))
            files.append(file)
        read = [np.asarray(Image.open(file).convert("RGB")) for file in files]
        cosines = (exact * local.encode_images(read)).sum(axis=1)
        rows += [
            {
                "name": f"a view as {name}: size",
                "value": sum(len(file.getvalue()) for file in files) / len(files) / 1024,
                "unit": "KB",
                "baseline": f"{median(taken) * 1000:.1f} ms to make",
            },
            {
                "name": f"a view as {name}: lowest cosine with the vector of what was seen",
                "value": float(cosines.min()),
                "unit": "",
            },
        ]
    return rows


def _time_texts(encoder: Encoder, name: str) -> list[float]:
    encoder.encode_texts([f"{name} warm"])
    sentences = [[f"{name} {number} red car at night"] for number in range(TEXTS)]
    return [_time(partial(encoder.encode_texts, sentence)) for sentence in sentences]


def _time(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def _row(name: str, taken: dict[str, list[float]], summary: Callable[[list[float]], float]) -> Row:
    here, there = summary(taken["here"]), summary(taken["there"])
    return {
        "name": f"borrowed: {name}",
        "value": there * 1000,
        "unit": "ms",
        "baseline": f"this process: {here * 1000:.1f} ms",
        "ratio": there / here,
    }
