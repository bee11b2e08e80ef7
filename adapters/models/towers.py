"""One side of a model: a graph that embeds, and the projection behind it where that lies apart."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from adapters.models.sessions import Port, Session, SessionOptions
from adapters.models.spec import TextInput
from adapters.models.texts import TextMemory
from adapters.models.tokenizer import TextTokenizer
from service.domain import Float32
from service.errors import ConfigurationError, TransientError

TOKEN_INPUTS = ("input_ids", "text")
MASK_INPUT = "attention_mask"
EMBEDDING_RANK = 2
"""``(N, D)``."""

Array = npt.NDArray[Any]
T = TypeVar("T")


class Deadline:
    """A time limit over several runs.

    Args:
        timeout_s: From now; None for no limit.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self._until_s = None if timeout_s is None else time.monotonic() + timeout_s

    def left_s(self) -> float | None:
        """What is left, 0 when it is over."""
        return None if self._until_s is None else max(0.0, self._until_s - time.monotonic())


class Tower:
    """Embeds one kind of thing. Loads at its first use; may be used from several threads.

    Args:
        model: Name of the model, for messages.
        path: The graph.
        options: Threads and providers.
        outputs: Names of the embedding, the best first; else the first output of rank 2 is taken.
        takes_any: Whether an output of no such name will do.
        projection: A graph from the tower's own output into the common space.
    """

    def __init__(
        self,
        model: str,
        path: Path,
        options: SessionOptions,
        *,
        outputs: Sequence[str],
        takes_any: bool = True,
        projection: Path | None = None,
    ) -> None:
        self._model = model
        self._outputs = outputs
        self._takes_any = takes_any
        self._body = Session(model, path, options)
        self._head = Session(model, projection, options) if projection else None

    @property
    def device(self) -> str:
        """What it runs on. Loads it, and the projection, which may be broken by itself."""
        if self._head is not None:
            self._head.inputs()
        return self._body.device

    @property
    def dimension(self) -> int | None:
        """Of the vectors, where the graph says. Loads it, or only the projection."""
        if self._head is not None:
            return self._head.outputs()[0].shape[-1]
        name = self._output()
        return next(port.shape[-1] for port in self._body.outputs() if port.name == name)

    def inputs(self) -> tuple[Port, ...]:
        """The graph's inputs."""
        return self._body.inputs()

    def embed(self, feeds: Mapping[str, Array], *, timeout_s: float | None = None) -> Float32:
        """Run the graph: ``(N, D)`` unit vectors.

        Raises:
            ModelTimeoutError: Not done within the limit, and stopped.
            ConfigurationError: What it returns is no embedding.
        """
        output = self._output()
        deadline = Deadline(timeout_s)  # loading is no part of it
        rows = self._body.run_rows(feeds, output, timeout_s=deadline.left_s())
        if self._head is not None:
            port = self._head.inputs()[0]
            # What is an embedding by itself is projected as one; a hidden state stays as it is.
            hidden = to_unit(rows) if output.endswith("embeds") else rows
            rows = self._head.run_rows(
                {port.name: hidden.astype(port.dtype, copy=False)},
                self._head.outputs()[0].name,
                timeout_s=deadline.left_s(),
            )
        if rows.ndim != EMBEDDING_RANK:
            raise ConfigurationError(
                f"{self._model}: its graph returns {rows.shape[1:]} a row, which is no vector"
            )
        return to_unit(rows)

    def close(self) -> None:
        """Free its memory."""
        self._body.close()
        if self._head is not None:
            self._head.close()

    def unload_if_idle(self) -> None:
        """Free its memory if nobody used it for long enough."""
        self._body.unload_if_idle()
        if self._head is not None:
            self._head.unload_if_idle()

    def _output(self) -> str:
        ports = self._body.outputs()
        flat = [port for port in ports if self._takes_any and len(port.shape) == EMBEDDING_RANK]
        named = [port for name in self._outputs for port in ports if port.name == name]
        fitting = [port for port in named if self._suits_projection(port)] or named or flat
        if not fitting:
            raise ConfigurationError(
                f"{self._model}: no output of its graph is an embedding; looked for "
                f"{', '.join(self._outputs)} among {', '.join(port.name for port in ports)}"
            )
        return fitting[0].name

    def _suits_projection(self, port: Port) -> bool:
        """Whether a projection takes it: some exports have the model's own inside the tower."""
        wanted = self._head.inputs()[0].shape[-1] if self._head is not None else None
        return wanted is None or port.shape[-1:] in {(wanted,), (None,)}


class TextTower:
    """Embeds texts. May be used from several threads.

    Args:
        model: Name of the model, for messages.
        tower: The graph.
        tokenizer: ``tokenizer.json``.
        wanted: Length, padding and case.
        batch_size: Texts that are encoded at once, at most.
        memory: Keeps vectors; without it every text is encoded anew.
    """

    def __init__(
        self,
        model: str,
        tower: Tower,
        tokenizer: Path,
        wanted: TextInput,
        *,
        batch_size: int,
        memory: TextMemory | None = None,
    ) -> None:
        self._model = model
        self._tower = tower
        self._tokenizer_path = tokenizer
        self._wanted = wanted
        self._batch_size = batch_size
        self._memory = memory
        self._tokenizer: TextTokenizer | None = None
        self._lock = threading.Lock()

    @property
    def dimension(self) -> int:
        """Of the vectors. Loads the tower."""
        return self._tower.dimension or int(self._run(["a"]).shape[1])

    def encode(self, texts: Sequence[str]) -> Float32:
        """Embed at least one text: ``(N, D)`` unit vectors."""
        return self._memory.recall(texts, self._run) if self._memory else self._run(texts)

    def close(self) -> None:
        """Free its memory."""
        self._tower.close()
        with self._lock:
            self._tokenizer = None

    def unload_if_idle(self) -> None:
        """Free its memory if nobody used it for long enough."""
        self._tower.unload_if_idle()

    def _run(self, texts: Sequence[str]) -> Float32:
        return np.concatenate(
            [self._tower.embed(self._feeds(batch)) for batch in batches(texts, self._batch_size)]
        )

    def _feeds(self, texts: Sequence[str]) -> dict[str, Array]:
        ports = self._tower.inputs()
        ids = pick(ports, TOKEN_INPUTS)
        tokens = self._open_tokenizer().encode(texts, length=ids.shape[-1])
        feeds: dict[str, Array] = {ids.name: tokens.ids.astype(ids.dtype)}
        # Who pools the last position was trained to look at the padding (SigLIP).
        mask = np.ones_like(tokens.mask) if self._wanted.pads_to_context else tokens.mask
        for port in ports:
            if port.name == MASK_INPUT:
                feeds[port.name] = mask.astype(port.dtype)
        return feeds

    def _open_tokenizer(self) -> TextTokenizer:
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = TextTokenizer(self._model, self._tokenizer_path, self._wanted)
            return self._tokenizer


def pick(ports: Sequence[Port], names: Sequence[str]) -> Port:
    """The first that bears one of the names; an export with names of its own has it first."""
    return next((port for port in ports if port.name in names), ports[0])


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Neighbours, ``size`` at once; the last may be fewer."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def require_dimension(model: str, vectors: Float32, told: int | None) -> Float32:
    """The vectors as they are.

    Raises:
        ConfigurationError: They have another dimension than the model is told to have.
    """
    if told not in {None, vectors.shape[1]}:
        raise ConfigurationError(
            f"{model}: its graph returns {vectors.shape[1:]} a row, but its description says {told}"
        )
    return vectors


def require_numbers(model: str, vectors: Float32) -> Float32:
    """The vectors as they are.

    Raises:
        TransientError: One is not a number, as of half precision where it does not suffice.
    """
    if not np.isfinite(vectors).all():
        raise TransientError(f"{model}: its vector is not a number", max_attempts=1)
    return vectors


def to_unit(rows: Array) -> Float32:
    """Rows of length one; a vector of nothing stays one, for NaN would spoil every product."""
    vectors: Float32 = rows.astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    norms[norms == 0] = 1
    with np.errstate(invalid="ignore"):  # infinite ones become no number, which is told
        vectors /= norms
    return vectors
