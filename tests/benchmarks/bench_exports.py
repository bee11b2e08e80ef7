"""How far exported graphs are from PyTorch, and what a trained projection finds."""

from __future__ import annotations

import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

DIMENSION = 512
PAIR_COUNT = 5_000
"""CLIP's and CLAP's, and as many pairs as Termite trains on."""
NOISE = 1 / 3
"""Of a vector's length."""


def run() -> list[dict[str, Any]]:
    """Rows of measurements; none where PyTorch is not installed.

    LanguageBind at full size is left out: it takes minutes and gigabytes
    (docs/howto/make-joint-models.md has its figures).
    """
    if find_spec("torch") is None or find_spec("transformers") is None:
        return []
    from adapters.exports.spec import Family, Size

    sizes = [(family, Size.TINY) for family in Family if family is not Family.CLIPCLAP]
    rows = [
        row for family, size in [*sizes, (Family.CLIP, Size.FULL)] for row in _parity(family, size)
    ]
    return [*rows, *_recall()]


def _parity(family: Any, size: Any) -> list[dict[str, Any]]:
    from adapters.exports.export import export
    from adapters.exports.sources import random_weights

    started_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        made = export(
            family,
            random_weights(size, seed=0),
            Path(place) / "made",
            progress=lambda *_: None,
        )
    seconds = time.perf_counter() - started_s
    what = f"{family.value}, {size.value} size"
    return [
        _row(f"{what}: largest difference from PyTorch", made.max_abs_diff, "", 1e-4),
        _row(f"{what}: to export and compare", seconds, "s"),
        _row(f"{what}: on disk", made.size_bytes / 1e6, "MB"),
    ]


def _recall() -> list[dict[str, Any]]:
    """CLIP's vectors turned by a rotation and blurred: what is held out must be found again."""
    from adapters.exports.bridges import Bridge, BridgeKind
    from adapters.exports.projection import train

    generator = np.random.default_rng(5)
    clip = _unit(generator.normal(size=(PAIR_COUNT, DIMENSION)))
    rotation = np.linalg.qr(generator.normal(size=(DIMENSION, DIMENSION)))[0]
    noise = generator.normal(size=clip.shape) * NOISE / np.sqrt(DIMENSION)
    bridge = Bridge(
        kind=BridgeKind.AUDIO,
        clap=_unit(clip @ rotation + noise),
        clip=clip,
        groups=np.arange(PAIR_COUNT),
        data_sha256="",
    )
    started_s = time.perf_counter()
    trained = train(bridge, lambda *_: None)
    seconds = time.perf_counter() - started_s
    rows = [
        _row(f"projection, held out, {way} R@1 {when}", found[1], "")
        for when, recall in (("before", trained.before), ("after", trained.after))
        for way, found in (
            ("CLAP to CLIP", recall.clap_to_clip),
            ("CLIP to CLAP", recall.clip_to_clap),
        )
    ]
    return [*rows, _row(f"projection: training on {PAIR_COUNT} pairs", seconds, "s")]


def _unit(rows: Any) -> Any:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _row(name: str, value: float, unit: str, tolerance: float | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "value": float(f"{value:.3g}"),
        "unit": unit,
        "baseline": "tolerance 1e-4" if tolerance else "",
        "ratio": float(f"{value / tolerance:.2g}") if tolerance else None,
    }


if __name__ == "__main__":
    for row in run():
        print(row)
