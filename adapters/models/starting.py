"""Starting a graph: on what, with how many threads, and on the CPU where nothing else will."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from adapters.models.limits import QUIET
from adapters.models.providers import CPU, OPENVINO, find_libraries, short_name

UNLOADABLE = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
    ValueError,
)
"""What onnxruntime raises for files that are broken, truncated, or of an operator set too new, and
where a provider does not start."""
NoteLoad = Callable[[str, Path, str], None]
"""Hears of each load of a graph: its model, its file, and what was wrong; empty where nothing."""
Start = Callable[..., Any]
"""``onnxruntime.InferenceSession``, or what stands in for it."""


def _nobody_hears(_model: str, _path: Path, _problem: str) -> None:
    """What models are opened for once, as commands do, is not watched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """What every session of this process shares."""

    providers: tuple[str, ...] = (CPU,)
    """The best first."""
    threads: int = 1
    openvino_device: str = ""
    """``CPU``, ``GPU``, ``NPU``; empty for OpenVINO's own choice."""
    idle_s: float = 0.0
    """Seconds without use after which a session is unloaded; 0 keeps it."""
    note_load: NoteLoad = _nobody_hears


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    session: Any
    """An ``InferenceSession``; onnxruntime ships no types."""
    device: str


def start_graph(
    graph: Path | bytes,
    options: SessionOptions,
    providers: tuple[str, ...],
    start: Start = ort.InferenceSession,
) -> Loaded:
    """Start a graph, a file or its content, on the first of the providers; else on the CPU.

    Raises:
        UNLOADABLE: The CPU cannot start it either.
    """
    find_libraries(providers[0])
    try:
        return _start_on(graph, options, providers, start)
    except UNLOADABLE:
        if providers == (CPU,):
            raise
    return _start_on(graph, options, (CPU,), start)


def _start_on(
    graph: Path | bytes, options: SessionOptions, providers: tuple[str, ...], start: Start
) -> Loaded:
    session = start(
        graph if isinstance(graph, bytes) else str(graph),
        _native_options(options, providers),
        [(name, _provider_options(name, options)) for name in providers],
        enable_fallback=0,  # its own tells so on standard output
    )
    return Loaded(session, _device_of(session))


def _native_options(options: SessionOptions, providers: tuple[str, ...]) -> ort.SessionOptions:
    native = ort.SessionOptions()
    native.intra_op_num_threads = options.threads
    native.inter_op_num_threads = 1
    native.log_severity_level = QUIET
    # Without spinning, waiting threads leave the CPU to playback.
    native.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if providers != (CPU,):
        native.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    # The arena stays on, although it holds the memory of the largest batch until the session is
    # unloaded: without it every run faults its pages in anew (measured: 14 ms of CPU a picture
    # instead of 9).
    return native


def _provider_options(provider: str, options: SessionOptions) -> dict[str, str]:
    if provider != OPENVINO:
        return {}
    device = {"device_type": options.openvino_device} if options.openvino_device else {}
    return {"num_of_threads": str(options.threads), **device}


def _device_of(session: Any) -> str:  # noqa: ANN401  onnxruntime ships no types
    """What runs most of the operators: a provider may be there and take none of them.

    OpenVINO does so, and does not say it, where its device is absent (onnxruntime-openvino 1.24).
    """
    registered: list[str] = session.get_providers()
    if registered[0] == CPU or not hasattr(session, "get_provider_graph_assignment_info"):
        return short_name(registered[0])
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return short_name(counts.most_common(1)[0][0] if counts else registered[0])
