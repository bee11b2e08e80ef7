"""onnxruntime sessions that load when they are needed and leave when they are not."""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from adapters.models.limits import RunLimit
from adapters.models.providers import CPU, short_name
from adapters.models.starting import UNLOADABLE, Loaded, SessionOptions, Start, start_graph
from service.errors import (
    ConfigurationError,
    MissingModelError,
    ModelTimeoutError,
    TransientError,
)

logger = logging.getLogger(__name__)

__all__ = ["Port", "Session", "SessionOptions"]

UNRUNNABLE = (ort_errors.Fail, ort_errors.RuntimeException, ort_errors.EPFail)

DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
}

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output of a graph."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]
    """None where it is free."""


class Session:
    """One graph, loaded on first use. May be used from several threads.

    Where a provider cannot start the graph, or fails at its first run, the CPU takes over.

    Args:
        model: Name of the model, for messages.
        path: The ``.onnx`` file.
        options: Threads, providers and how long it may sit idle.
        clock: Monotonic seconds.
        start: Makes an ``InferenceSession``.
    """

    def __init__(
        self,
        model: str,
        path: Path,
        options: SessionOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        start: Start = ort.InferenceSession,
    ) -> None:
        self._model = model
        self._path = path
        self._options = options
        self._clock = clock
        self._start = start
        self._providers = options.providers
        self._has_run = False
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None
        self._running_count = 0
        self._last_use_s = 0.0
        self._timer: threading.Timer | None = None

    @property
    def is_loaded(self) -> bool:
        return self._loaded is not None

    def inputs(self) -> tuple[Port, ...]:
        """The graph's inputs.

        Raises:
            MissingModelError: The file is not here, or is no ONNX graph.
        """
        with self._use() as loaded:
            return tuple(map(_describe, loaded.session.get_inputs()))

    def outputs(self) -> tuple[Port, ...]:
        """The graph's outputs. Raises as ``inputs`` does."""
        with self._use() as loaded:
            return tuple(map(_describe, loaded.session.get_outputs()))

    @property
    def device(self) -> str:
        """What most of the graph runs on, by its short name. Loads it."""
        with self._use() as loaded:
            return loaded.device

    def run(
        self, feeds: Mapping[str, Array], output: str, *, timeout_s: float | None = None
    ) -> Array:
        """Run the graph; with a limit, stop it inside when the time is over.

        The limit counts from when the graph is loaded. What another provider than the CPU's
        compiled into one operator is not stopped inside: its answer comes late.

        Raises:
            MissingModelError: The file is not here, or is no ONNX graph.
            ConfigurationError: The graph wants other inputs than these.
            ModelTimeoutError: It was not done within the limit.
            TransientError: It ran out of memory, or the device failed.
        """
        if timeout_s is not None and timeout_s <= 0:
            raise ModelTimeoutError(f"{self._model}: no time was left for {self._path.name}")
        with self._use() as loaded, RunLimit(timeout_s) as limit:
            try:
                result: Array = loaded.session.run([output], dict(feeds), limit.options)[0]
            except (ort_errors.InvalidArgument, ValueError) as error:  # wrong, or missing
                shapes = {name: f"{array.dtype}{array.shape}" for name, array in feeds.items()}
                raise ConfigurationError(
                    f"{self._model}: {self._path.name} does not take {shapes}: {error}"
                ) from error
            except UNRUNNABLE as error:
                if limit.is_over:
                    raise ModelTimeoutError(
                        f"{self._model}: {self._path.name} took longer than {timeout_s:g} s"
                    ) from error
                if not self._retreat(loaded, error):
                    raise TransientError(
                        f"{self._model}: {self._path.name} failed to run: {error}", max_attempts=2
                    ) from error
            else:
                self._has_run = True
                return result
        return self.run(feeds, output, timeout_s=timeout_s)

    def run_rows(
        self, feeds: Mapping[str, Array], output: str, *, timeout_s: float | None = None
    ) -> Array:
        """Run the graph over rows, in as many runs as it takes: Immich's exports take one at once.

        The last run is filled up with the last row. Raises as ``run`` does.
        """
        size = next((port.shape[:1] for port in self.inputs() if port.name in feeds), ())
        rows = len(next(iter(feeds.values())))
        if not size or size[0] in {None, rows}:
            return self.run(feeds, output, timeout_s=timeout_s)
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        answers = []
        for start in range(0, rows, size[0]):
            chosen = np.minimum(np.arange(start, start + size[0]), rows - 1)
            part = {name: array[chosen] for name, array in feeds.items()}
            left_s = None if until_s is None else until_s - time.monotonic()
            answers.append(self.run(part, output, timeout_s=left_s))
        return np.concatenate(answers)[:rows]

    def unload_if_idle(self) -> None:
        """Free the graph's memory if nobody used it for long enough; else look again later."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
            self._timer = None
            if self._loaded is None:
                return
            left_s = self._options.idle_s - (self._clock() - self._last_use_s)
            if self._running_count or left_s > 0:
                self._arm(max(left_s, 1.0))
                return
            self._loaded = None
        _return_memory()
        logger.info(
            "Unloaded an idle model",
            extra={"action": "model_unloaded", "model": self._model, "file": self._path.name},
        )

    def close(self) -> None:
        """Free the graph's memory now; it loads again at the next use."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
            self._timer = self._loaded = None
        _return_memory()

    @contextmanager
    def _use(self) -> Iterator[Loaded]:
        """The loaded graph, which stays loaded for as long as it is in use."""
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            loaded = self._loaded
            self._running_count += 1
        try:
            yield loaded
        finally:
            self._settle()

    def _settle(self) -> None:
        with self._lock:
            self._running_count -= 1
            self._last_use_s = self._clock()
            if self._options.idle_s > 0 and self._timer is None and self._loaded is not None:
                self._arm(self._options.idle_s)

    def _arm(self, delay_s: float) -> None:
        self._timer = threading.Timer(delay_s, self.unload_if_idle)
        self._timer.daemon = True
        self._timer.start()

    def _load(self) -> Loaded:
        started_s = self._clock()
        try:
            loaded = start_graph(self._path, self._options, self._providers, self._start)
        except UNLOADABLE as error:
            self._options.note_load(self._model, self._path, str(error))
            raise MissingModelError(
                self._model,
                f"{self._model}: {self._path} cannot be loaded, it is broken or incomplete "
                f"({str(error).strip()}); replace it, or: moodreel models pull --force "
                f"{self._model}",
            ) from error
        self._options.note_load(self._model, self._path, "")
        wanted = short_name(self._providers[0])
        if loaded.device != wanted:
            logger.warning(
                "A model does not run on what it was meant for",
                extra={
                    "action": "provider_unused",
                    "model": self._model,
                    "file": self._path.name,
                    "wanted": wanted,
                    "device": loaded.device,
                },
            )
        logger.info(
            "Loaded a model",
            extra={
                "action": "model_loaded",
                "model": self._model,
                "file": self._path.name,
                "seconds": round(self._clock() - started_s, 3),
                "device": loaded.device,
            },
        )
        return loaded

    def _retreat(self, failed: Loaded, error: Exception) -> bool:
        """Give the graph to the CPU where its provider never ran it; else False."""
        with self._lock:
            if self._has_run or failed.device == "cpu":
                return False
            self._providers = (CPU,)
            if self._loaded is failed:
                self._loaded = None
        logger.warning(
            "A model runs on the CPU, for what it was meant for failed",
            extra={
                "action": "provider_failed",
                "model": self._model,
                "file": self._path.name,
                "device": failed.device,
                "reason": str(error),
            },
        )
        return True


def _return_memory() -> None:
    """Hand freed pages back to the system, which glibc does not do by itself."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # musl has none, and needs none
            trim(0)


def _describe(node: Any) -> Port:  # noqa: ANN401  onnxruntime ships no types
    return Port(
        name=node.name,
        dtype=DTYPES.get(node.type, np.dtype(np.float32)),
        shape=tuple(edge if isinstance(edge, int) else None for edge in node.shape),
    )
