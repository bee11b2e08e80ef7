"""The CLIP and SigLIP family: two towers, one space."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from adapters.models.preprocess import to_pixels
from adapters.models.sessions import Port, Session, SessionOptions
from adapters.models.spec import Role, VisualSpec
from adapters.models.texts import TextMemory
from adapters.models.tokenizer import TextTokenizer
from service.domain import Calibration, Float32, UInt8
from service.errors import ConfigurationError

IMAGE_OUTPUTS = ("image_embeds", "pooler_output")
TEXT_OUTPUTS = ("text_embeds", "pooler_output")
"""In this order; else the first output of rank 2."""

PIXEL_INPUTS = ("pixel_values", "image")
TOKEN_INPUTS = ("input_ids", "text")
MASK_INPUT = "attention_mask"
T = TypeVar("T")

DEFAULT_BATCH_SIZE = 8
"""Beyond it a CPU gains nothing and memory grows: 8.1 ms and 151 MB at 8, 9.3 ms and 258 MB at 16
(the stand-in CLIP, 2 cores)."""


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
        self._paths = paths
        self._batch_size = batch_size
        self._memory = memory
        self._images = Session(name, paths[Role.IMAGE_TOWER], options)
        self._texts = Session(name, paths[Role.TEXT_TOWER], options)
        self._tokenizer: TextTokenizer | None = None
        self._lock = threading.Lock()
        self._dimension = spec.dimension

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        """Of the vectors. A model that does not declare it is asked, which loads a tower."""
        if self._dimension is None:
            outputs = self._images.outputs()
            chosen = self._output(outputs, IMAGE_OUTPUTS)
            edge = next(port.shape[-1] for port in outputs if port.name == chosen)
            self._dimension = edge or self._probe_dimension()
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
        """
        if not len(images):
            return self._nothing()
        pixels = _pick(self._images.inputs(), PIXEL_INPUTS)
        output = self._output(self._images.outputs(), IMAGE_OUTPUTS)
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        rows = [
            self._images.run(
                {pixels.name: to_pixels(batch, self._spec.image).astype(pixels.dtype, copy=False)},
                output,
                timeout_s=None if until_s is None else max(0.0, until_s - time.monotonic()),
            )
            for batch in _batches(images, self._batch_size)
        ]
        return self._to_unit(rows)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Embed texts: ``(N, D)`` unit vectors."""
        if not len(texts):
            return self._nothing()
        return (
            self._memory.recall(texts, self._run_texts) if self._memory else self._run_texts(texts)
        )

    def _run_texts(self, texts: Sequence[str]) -> Float32:
        inputs, output = self._texts.inputs(), self._output(self._texts.outputs(), TEXT_OUTPUTS)
        rows = [
            self._texts.run(self._token_feeds(batch, inputs), output)
            for batch in _batches(texts, self._batch_size)
        ]
        return self._to_unit(rows)

    def close(self) -> None:
        """Free the towers' memory."""
        self._images.close()
        self._texts.close()
        with self._lock:
            self._tokenizer = None

    def unload_if_idle(self) -> None:
        """Free the towers that nobody used for long enough."""
        self._images.unload_if_idle()
        self._texts.unload_if_idle()

    def _token_feeds(
        self, texts: Sequence[str], inputs: Sequence[Port]
    ) -> dict[str, npt.NDArray[Any]]:
        ids = _pick(inputs, TOKEN_INPUTS)
        tokens = self._open_tokenizer().encode(texts, length=ids.shape[-1])
        feeds = {ids.name: tokens.ids.astype(ids.dtype)}
        for port in inputs:
            if port.name == MASK_INPUT:
                feeds[port.name] = tokens.mask.astype(port.dtype)
        return feeds

    def _open_tokenizer(self) -> TextTokenizer:
        with self._lock:
            if self._tokenizer is None:
                path = self._paths[Role.TOKENIZER]
                self._tokenizer = TextTokenizer(self._name, path, self._spec.text)
            return self._tokenizer

    def _output(self, outputs: Sequence[Port], preferred: Sequence[str]) -> str:
        wanted = (self._spec.output,) if self._spec.output else preferred
        names = {port.name for port in outputs}
        chosen = next((name for name in wanted if name in names), None)
        if chosen is None and not self._spec.output:
            chosen = next((port.name for port in outputs if len(port.shape) == 2), None)  # noqa: PLR2004  (N, D)
        if chosen is None:
            raise ConfigurationError(
                f"{self._name}: no output of its graph is an embedding; looked for "
                f"{', '.join(wanted)} among {', '.join(sorted(names))}"
            )
        return chosen

    def _to_unit(self, rows: Sequence[npt.NDArray[Any]]) -> Float32:
        vectors: Float32 = np.concatenate(rows).astype(np.float32)
        if vectors.ndim != 2 or self._dimension not in {None, vectors.shape[1]}:  # noqa: PLR2004  (N, D)
            raise ConfigurationError(
                f"{self._name}: its graph returns {vectors.shape[1:]} a row, "
                f"but its description says {self._dimension}"
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        norms[norms == 0] = 1  # a vector of nothing stays one: NaN would spoil every later product
        vectors /= norms
        return vectors

    def _nothing(self) -> Float32:
        return np.empty((0, self.dimension), dtype=np.float32)

    def _probe_dimension(self) -> int:
        black = np.zeros((1, 1, 3), dtype=np.uint8)
        return int(self.encode_images([black]).shape[1])


def _pick(ports: Sequence[Port], names: Sequence[str]) -> Port:
    """The first that bears one of the names; an export with names of its own has it first."""
    return next((port for port in ports if port.name in names), ports[0])


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
