"""A space of texts, pictures and sounds whose every vector is known, with a gap between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.detection.moments import unit
from service.domain import Calibration, Float32, ScoreKind, UInt8

DIMENSION = 96
WORDS = ("bark", "cat", "jump", "laugh", "sad", "vase", "noise", "wall", "crash", "photo")
CLIP = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0)
CLAP = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=18.0)


class Space:
    """A model whose texts are sums of directions of known words.

    Pictures and sounds lie apart from them and from each other, as they do in models that were
    trained by contrast (Liang et al. 2022), and sounds spread wider than pictures do.
    """

    dimension = DIMENSION
    device = "cpu"
    sample_rate_hz = 48_000
    window_s = 10.0
    is_joint = True

    calibration = CLIP
    sound_calibration = CLAP

    def __init__(self, name: str = "joint", seed: int = 0) -> None:
        self.name = name
        self.texts: list[str] = []
        self.axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(DIMENSION, DIMENSION)))[0]

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        self.texts += texts
        known = np.array([[word in text for word in WORDS] for text in texts], float)
        return unit(known @ self.axes[: len(WORDS)])

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        raise AssertionError("no pictures here")

    def encode_sounds(
        self, windows: Sequence[Float32], *, timeout_s: float | None = None
    ) -> Float32:
        raise AssertionError("no sounds here")

    def sense(self, words: Sequence[str], *, gap: int, strength: float, seed: int = 1) -> Float32:
        """Vectors of what words are to be seen or heard in, on the far side of a gap.

        Args:
            words: One for each vector.
            gap: Number of the axis along which the modality lies apart, 10 to 19.
            strength: How clearly the word is in it.
            seed: Of the noise.
        """
        rng = np.random.default_rng(seed)
        noise = 0.3 * unit(rng.normal(size=(len(words), DIMENSION - 20))) @ self.axes[20:]
        shown = [strength * self.axes[WORDS.index(word)] for word in words]
        return unit(np.array(shown) + 0.7 * self.axes[gap] + noise)
