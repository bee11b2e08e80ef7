"""What models run on: the execution providers of the installed onnxruntime."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import cache
from io import StringIO

import onnxruntime as ort

from service.errors import ConfigurationError

logger = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
PROVIDERS = {
    "cuda": CUDA,
    "migraphx": "MIGraphXExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "openvino": OPENVINO,
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": CPU,
}
"""In order of preference. TensorRT is left out: it compiles for minutes at every first use."""


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
            raise ConfigurationError(
                f"MOODREEL_MODEL_PROVIDERS: this onnxruntime cannot do {name!r}; "
                f"it can do: {', '.join(available_providers())}"
            )
    return tuple(
        PROVIDERS[name] for name in available_providers() if not wanted or name in {*wanted, "cpu"}
    )


def short_name(provider: str) -> str:
    """``cuda`` for ``CUDAExecutionProvider``; unknown ones keep their name."""
    return next((name for name, full in PROVIDERS.items() if full == provider), provider)


@cache
def find_libraries(provider: str) -> None:
    """Let CUDA's libraries be found where pip put them: onnxruntime does not look there itself."""
    if provider == CUDA and hasattr(ort, "preload_dlls"):
        with redirect_stdout(StringIO()) as told:  # it prints what it does not find
            ort.preload_dlls()
        if told.getvalue():
            logger.warning(
                "CUDA's libraries were not found",
                extra={"action": "cuda_not_found", "reason": told.getvalue()},
            )


def available_providers() -> list[str]:
    """Short names of what this onnxruntime was built with, the best first."""
    available = set(ort.get_available_providers())
    return [name for name, provider in PROVIDERS.items() if provider in available]
