"""The CLIP and SigLIP family: two towers, one space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from adapters.models.preprocess import to_pixels
from adapters.models.sessions import SessionOptions
from adapters.models.spec import DEFAULT_BATCH_SIZE, Role, VisualSpec
from adapters.models.texts import TextMemory
from adapters.models.towers import (
    Deadline,
    TextTower,
    Tower,
    batches,
    pick,
    require_dimension,
    require_numbers,
)
from service.domain import Calibration, Float32, UInt8

IMAGE_OUTPUTS = ("image_embeds", "pooler_output")
TEXT_OUTPUTS = ("text_embeds", "pooler_output")
"""In this order; else the first output of rank 2."""

PIXEL_INPUTS = ("pixel_values", "image")


class ClipEncoder:
    """Puts pictures and texts into one space. May be used from several threads.

    Both towers and the tokenizer load at their first use, so that searching never loads the
    picture tower and watching loads the text tower only for prompts that are not cached.

    Args:
        name: Of the model; part of what identifies its vectors.
        spec: How its graphs want to be fed.
        paths: The two towers and the tokenizer.
        options: Threads and providers.
        batch_size: Pictures or texts that are encoded at once, at most.
        memory: Keeps text vectors; without it every text is encoded anew.
    """

    def __init__(
        self,
        name: str,
        spec: VisualSpec,
        paths: Mapping[Role, Path],
        options: SessionOptions,
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        memory: TextMemory | None = None,
    ) -> None:
        self._name = name
        self._spec = spec
        self._batch_size = batch_size
        self._dimension = spec.dimension
        self._images = Tower(
            name,
            paths[Role.IMAGE_TOWER],
            options,
            outputs=(spec.output,) if spec.output else IMAGE_OUTPUTS,
            takes_any=not spec.output,
            projection=paths.get(Role.IMAGE_PROJECTION),
        )
        self._texts = TextTower(
            name,
            Tower(
                name,
                paths[Role.TEXT_TOWER],
                options,
                outputs=(spec.output,) if spec.output else TEXT_OUTPUTS,
                takes_any=not spec.output,
                projection=paths.get(Role.TEXT_PROJECTION),
            ),
            paths[Role.TOKENIZER],
            spec.text,
            batch_size=batch_size,
            memory=memory,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        """Of the vectors. A model that does not declare it is asked, which loads a tower."""
        if self._dimension is None:
            black = np.zeros((1, 1, 3), dtype=np.uint8)
            self._dimension = self._images.dimension or self._embed([black], None).shape[1]
        return self._dimension

    @property
    def calibration(self) -> Calibration:
        return self._spec.calibration

    @property
    def device(self) -> str:
        """What the picture tower runs on. Loads it."""
        return self._images.device

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        """Embed ``(H, W, 3)`` RGB pictures of any size: ``(N, D)`` unit vectors.

        Raises:
            ModelTimeoutError: Not done within the limit, and stopped.
            TransientError: A vector is not a number.
        """
        if not len(images):
            return self._nothing()
        return require_numbers(self._name, self._checked(self._embed(images, timeout_s)))

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Embed texts: ``(N, D)`` unit vectors."""
        if not len(texts):
            return self._nothing()
        return self._checked(self._texts.encode(texts))

    def close(self) -> None:
        """Free the towers' memory."""
        self._images.close()
        self._texts.close()

    def unload_if_idle(self) -> None:
        """Free the towers that nobody used for long enough."""
        self._images.unload_if_idle()
        self._texts.unload_if_idle()

    def _embed(self, images: Sequence[UInt8], timeout_s: float | None) -> Float32:
        pixels = pick(self._images.inputs(), PIXEL_INPUTS)
        deadline = Deadline(timeout_s)
        rows = []
        for batch in batches(images, self._batch_size):
            tensor = to_pixels(batch, self._spec.image).astype(pixels.dtype, copy=False)
            rows.append(self._images.embed({pixels.name: tensor}, timeout_s=deadline.left_s()))
        return np.concatenate(rows)

    def _checked(self, vectors: Float32) -> Float32:
        return require_dimension(self._name, vectors, self._dimension)

    def _nothing(self) -> Float32:
        return np.empty((0, self.dimension), dtype=np.float32)
