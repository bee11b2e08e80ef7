"""What describing costs on our side: the stand-in model answers at once, a real one in seconds."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Any

import numpy as np
from PIL import Image

from adapters.captioners.vision_chat import VisionChatCaptioner, VisionChatSettings, encode_jpeg
from service.domain import Frame, UInt8
from tests.support.chat_models import StandInVision
from tests.support.receivers import serve

FRAMES = 8
"""The default of ``MOODREEL_VISION_FRAMES``."""
ROUNDS = 5


def run() -> list[dict[str, Any]]:
    """Describe frames of 1080p; the baseline are frames of 16 x 9 pixels, all else being equal."""
    film = [_make_picture(seed) for seed in range(FRAMES)]
    tiny = [picture[::120, ::120] for picture in film]
    film_s, tiny_s = asyncio.run(_measure(film, tiny))
    whole = io.BytesIO()
    Image.fromarray(film[0]).save(whole, "JPEG", quality=85)
    size_bytes = len(encode_jpeg(film[0]))
    return [
        {
            "name": f"describe {FRAMES} frames of 1080p",
            "value": film_s,
            "unit": "s",
            "baseline": f"16 x 9 pixels: {tiny_s:.3f} s",
            "ratio": film_s / tiny_s,
        },
        {
            "name": "one picture as sent",
            "value": size_bytes,
            "unit": "bytes",
            "baseline": f"1080p: {whole.tell()} bytes",
            "ratio": size_bytes / whole.tell(),
        },
    ]


async def _measure(*films: list[UInt8]) -> list[float]:
    """The fastest of a few rounds, in seconds, per film; rounds take turns."""
    taken_s: list[list[float]] = [[] for _ in films]
    stand_in = StandInVision()
    async with serve(stand_in.app) as url:
        captioner = VisionChatCaptioner(VisionChatSettings(url=url))
        for _ in range(ROUNDS):
            for pictures, taken in zip(films, taken_s, strict=True):
                frames = [Frame(time_s=n, image=picture) for n, picture in enumerate(pictures)]
                began_s = time.perf_counter()
                await captioner.describe(frames, title="A film")
                taken.append(time.perf_counter() - began_s)
    return [min(taken) for taken in taken_s]


def _make_picture(seed: int) -> UInt8:
    """Large soft shapes and a little grain, as a film's frame."""
    rng = np.random.default_rng(seed)
    patches = Image.fromarray(rng.integers(0, 256, (9, 16, 3), dtype=np.uint8))
    smooth = np.asarray(patches.resize((1920, 1080)), dtype=np.int16)
    grain = rng.integers(-6, 7, smooth.shape, dtype=np.int16)
    picture: UInt8 = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    return picture
