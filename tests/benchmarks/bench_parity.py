"""How far our tensors are from the reference libraries', and batches from one by one.

The baseline is the tolerance that each is held to; the ratio says how much of it is used.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from adapters.models import fbank, mels
from adapters.models.clip import ClipEncoder
from adapters.models.families import CLIP, CLIP_IMAGE, SIGLIP_IMAGE
from adapters.models.preprocess import to_pixels
from adapters.models.sessions import SessionOptions
from adapters.models.spec import Role
from service.domain import Float32
from tests.support.golden import GOLDEN_SOUNDS, read_golden_sound

SHARED = Path(__file__).resolve().parents[3] / "shared"
GOLDEN_PICTURES = {0: "parrot.jpg", 1: "dog_image.jpg", 3: "0.jpg"}
"""By row; the picture of row 2 is not at hand."""
PICTURES = {
    "clip_224": CLIP_IMAGE,
    "siglip_224": SIGLIP_IMAGE,
    "siglip_256": replace(SIGLIP_IMAGE, size=256),
}
TOLERANCE_PIXELS, TOLERANCE_SOUND, TOLERANCE_BATCH = 1e-4, 1e-3, 1e-4

Row = dict[str, Any]


def run() -> list[Row]:
    """Rows of measurements; none where the golden tensors are not at hand."""
    if not SHARED.is_dir():
        return []
    return [*_pictures(), *_sounds(), _batches()]


def _pictures() -> list[Row]:
    rows = []
    with np.load(SHARED / "golden/image_golden.npz") as golden:
        for name, wanted in PICTURES.items():
            apart = [
                _apart(to_pixels([_picture(file)], wanted)[0], golden[name][row])
                for row, file in GOLDEN_PICTURES.items()
            ]
            rows.append(_row(f"{name}, max difference", max(apart), "", TOLERANCE_PIXELS))
    return rows


def _sounds() -> list[Row]:
    with np.load(SHARED / "golden/audio_golden.npz") as golden:
        clap, banks = golden["clap_mel_slaney"], {m: golden[f"lb_fbank_{m}"] for m in (112, 126)}
        htk = golden["clap_mel_htk"]
    high, low = mels.SAMPLE_RATE_HZ, fbank.SAMPLE_RATE_HZ
    windows = [
        read_golden_sound(SHARED, name, high)[: mels.WINDOW_SAMPLES] for name in GOLDEN_SOUNDS
    ]
    ours = mels.to_log_mels(windows)[:, 0]
    rows = [
        _row("CLAP's mels, max difference", _apart(ours, clap), "dB", TOLERANCE_SOUND),
        _row("CLAP's mels, mean distance from the wrong filters", _mean(ours, htk), "dB"),
    ]
    for count, wanted in banks.items():
        found = [
            fbank.to_fbanks(read_golden_sound(SHARED, name, low), count)[0]
            for name in GOLDEN_SOUNDS
        ]
        apart = _apart(np.stack(found), wanted)
        rows.append(
            _row(f"LanguageBind's {count} banks, max difference", apart, "", TOLERANCE_SOUND)
        )
    return rows


def _batches() -> Row:
    directory = SHARED / "models/standin-clip"
    encoder = ClipEncoder(
        "standin-clip",
        CLIP,
        {
            Role.IMAGE_TOWER: directory / "vision_model.onnx",
            Role.TEXT_TOWER: directory / "text_model.onnx",
            Role.TOKENIZER: directory / "tokenizer.json",
        },
        SessionOptions(threads=2),
        batch_size=8,
    )
    pictures = [_picture(name) for name in GOLDEN_PICTURES.values()]
    views = [view for picture in pictures for view in (picture, picture[::-1], picture[:, ::-1])]
    together = encoder.encode_images(views)
    alone = np.concatenate([encoder.encode_images([view]) for view in views])
    return _row("batches against one by one", _apart(together, alone), "", TOLERANCE_BATCH)


def _picture(name: str) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(SHARED / "golden/images" / name).convert("RGB"))


def _apart(ours: Float32, theirs: Float32) -> float:
    return float(np.abs(ours - theirs).max())


def _mean(ours: Float32, theirs: Float32) -> float:
    return float(np.abs(ours - theirs).mean())


def _row(name: str, value: float, unit: str, tolerance: float | None = None) -> Row:
    return {
        "name": f"parity: {name}",
        "value": float(f"{value:.3g}"),
        "unit": unit,
        "baseline": tolerance,
        "ratio": round(value / tolerance, 4) if tolerance else None,
    }
