"""onnxruntime sessions that load when they are needed and leave when they are not."""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from service.errors import (
    ConfigurationError,
    MissingModelError,
    ModelTimeoutError,
    TransientError,
)

logger = logging.getLogger(__name__)

PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""In order of preference. TensorRT is left out: it compiles for minutes at every first use."""

UNLOADABLE = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
"""What onnxruntime raises for files that are broken, truncated, or of an operator set too new."""

QUIET = 4
"""onnxruntime's severity FATAL: what it logs as an error it also raises, and we say it once."""

DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
}

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """What every session of this process shares."""

    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    threads: int = 1
    idle_s: float = 0.0
    """Seconds without use after which a session is unloaded; 0 keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output of a graph."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]
    """None where it is free."""


def choose_providers(wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """The execution providers of this onnxruntime, the best first and the CPU last.

    Args:
        wanted: Short names to restrict it to (``cuda``, ``openvino``, ``cpu``); empty for all.

    Raises:
        ConfigurationError: A name is unknown, or this onnxruntime was built without it.
    """
    available = set(ort.get_available_providers())
    for name in wanted:
        if name not in PROVIDERS:
            raise ConfigurationError(
                f"MOODREEL_MODEL_PROVIDERS: {name!r} is unknown; known: {', '.join(PROVIDERS)}"
            )
        if PROVIDERS[name] not in available:
            here = ", ".join(short for short, full in PROVIDERS.items() if full in available)
            raise ConfigurationError(
                f"MOODREEL_MODEL_PROVIDERS: this onnxruntime cannot do {name!r}; it can do: {here}"
            )
    names = [name for name in PROVIDERS if not wanted or name in {*wanted, "cpu"}]
    return tuple(PROVIDERS[name] for name in names if PROVIDERS[name] in available)


class Session:
    """One graph, loaded on first use. May be used from several threads.

    Args:
        model: Name of the model, for messages.
        path: The ``.onnx`` file.
        options: Threads, providers and how long it may sit idle.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        model: str,
        path: Path,
        options: SessionOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._path = path
        self._options = options
        self._clock = clock
        self._lock = threading.Lock()
        self._loaded: ort.InferenceSession | None = None
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
        with self._use() as session:
            return tuple(map(_describe, session.get_inputs()))

    def outputs(self) -> tuple[Port, ...]:
        """The graph's outputs. Raises as ``inputs`` does."""
        with self._use() as session:
            return tuple(map(_describe, session.get_outputs()))

    @property
    def device(self) -> str:
        """What the graph runs on, by its short name. Loads it."""
        with self._use() as session:
            first = session.get_providers()[0]
        return next(name for name, provider in PROVIDERS.items() if provider == first)

    def run(
        self, feeds: Mapping[str, Array], output: str, *, timeout_s: float | None = None
    ) -> Array:
        """Run the graph; with a limit, stop it inside when the time is over.

        Raises:
            MissingModelError: The file is not here, or is no ONNX graph.
            ConfigurationError: The graph wants other inputs than these.
            ModelTimeoutError: It was not done within the limit.
            TransientError: It ran out of memory, or the device failed.
        """
        with self._use() as session, _Limit(timeout_s) as limit:
            try:
                result: Array = session.run([output], dict(feeds), limit.options)[0]
            except ort_errors.InvalidArgument as error:
                shapes = {name: f"{array.dtype}{array.shape}" for name, array in feeds.items()}
                raise ConfigurationError(
                    f"{self._model}: {self._path.name} does not take {shapes}: {error}"
                ) from error
            except (ort_errors.Fail, ort_errors.RuntimeException, ort_errors.EPFail) as error:
                if limit.is_over:
                    raise ModelTimeoutError(
                        f"{self._model}: {self._path.name} took longer than {timeout_s:g} s"
                    ) from error
                raise TransientError(
                    f"{self._model}: {self._path.name} failed to run: {error}", max_attempts=2
                ) from error
        return result

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
    def _use(self) -> Iterator[ort.InferenceSession]:
        """The loaded graph, which stays loaded for as long as it is in use."""
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            session = self._loaded
            self._running_count += 1
        try:
            yield session
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

    def _load(self) -> ort.InferenceSession:
        started_s = self._clock()
        try:
            session = ort.InferenceSession(
                str(self._path), _native_options(self._options), list(self._options.providers)
            )
        except UNLOADABLE as error:
            raise MissingModelError(
                self._model,
                f"{self._model}: {self._path} cannot be loaded, it is broken or incomplete "
                f"({error}); replace it, or: moodreel models pull --force {self._model}",
            ) from error
        logger.info(
            "Loaded a model",
            extra={
                "action": "model_loaded",
                "model": self._model,
                "file": self._path.name,
                "seconds": round(self._clock() - started_s, 3),
                "providers": session.get_providers(),
            },
        )
        return session


class _Limit:
    """Tells a run to end when its time is over; onnxruntime looks between two operators."""

    def __init__(self, timeout_s: float | None) -> None:
        self.options = ort.RunOptions()
        self.options.log_severity_level = QUIET
        self.is_over = False
        self._timer = None if timeout_s is None else threading.Timer(timeout_s, self._end)

    def __enter__(self) -> Self:
        if self._timer:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()

    def _end(self) -> None:
        self.is_over = True
        self.options.terminate = True


def _native_options(options: SessionOptions) -> ort.SessionOptions:
    native = ort.SessionOptions()
    native.intra_op_num_threads = options.threads
    native.inter_op_num_threads = 1
    native.log_severity_level = QUIET
    # Without spinning, waiting threads leave the CPU to playback.
    native.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena stays on, although it holds the memory of the largest batch until the session is
    # unloaded: without it every run faults its pages in anew (measured: 14 ms of CPU a picture
    # instead of 9).
    return native


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
