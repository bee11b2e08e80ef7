"""Writes a tower as an ONNX graph, and compares the two."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch

from adapters.exports.spec import TOLERANCE, ExportError, ParityRow
from adapters.exports.towers import Feeds, Tower

OPSET = 18
"""The set that PyTorch's exporter writes without a conversion, and onnxruntime 1.22 reads."""
MAX_BYTES = 2_000_000_000
"""A file of protocol buffers cannot be larger; the largest tower we know has 1.62 GB."""

Array = npt.NDArray[Any]


def write_graph(tower: Tower, path: Path, *, seed: int = 0) -> None:
    """Trace a tower and write its graph into one file.

    Raises:
        ExportError: It cannot be traced, or is too large for one file.
    """
    size_bytes = sum(value.numel() * value.element_size() for value in tower.module.parameters())
    if size_bytes > MAX_BYTES:
        raise ExportError(f"{path.name} would have {size_bytes / 1e9:.1f} GB, beyond ONNX's 2 GB")
    example = tower.inputs.example(torch.Generator().manual_seed(seed))
    axes = tower.inputs.axes()
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                tower.module,
                args=tuple(example.values()),
                input_names=list(example),
                output_names=[tower.output],
                dynamic_shapes={"values": tuple(axes[name] for name in example)},
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
            raise ExportError(f"{path.name} cannot be traced by PyTorch: {error}") from error
        _forget_origin(program.model)
        # The program's own way to save parts a large graph in two, and checksums know of one.
        onnx.save(program.model_proto, str(path))


def _forget_origin(model: Any) -> None:  # noqa: ANN401  onnxscript ships no types to us
    """Take out the traces of this machine: every node carries file names of its call stack."""
    model.metadata_props.clear()
    for graph in model.graphs():
        graph.metadata_props.clear()
        for value in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
            value.metadata_props.clear()
        for node in graph:
            node.metadata_props.clear()
            for value in node.outputs:
                value.metadata_props.clear()


def compare(tower: Tower, path: Path, *, seed: int = 1) -> Sequence[ParityRow]:
    """Run PyTorch and onnxruntime on the same random inputs.

    Raises:
        ExportError: They differ by more than the tolerance; the message names the worst case.
    """
    generator = torch.Generator().manual_seed(seed)
    session = open_session(path)
    rows = [
        _compare_one(tower, session, feeds, path.name) for feeds in tower.inputs.cases(generator)
    ]
    worst = max(rows, key=lambda row: row.max_abs_diff)
    if not worst.max_abs_diff <= TOLERANCE:  # NaN is no parity either
        raise ExportError(
            f"{path.name} is {worst.max_abs_diff:.2g} off PyTorch's output for "
            f"{dict(worst.inputs)}; at most {TOLERANCE:g} is right"
        )
    return rows


def least_cosine(tower: Tower, path: Path, *, seed: int = 1) -> float:
    """How near a graph in 8 bit comes to PyTorch, in the worst of the comparisons."""
    generator = torch.Generator().manual_seed(seed)
    session = open_session(path)
    return min(
        float(np.min(_cosines(*_both(tower, session, feeds))))
        for feeds in tower.inputs.cases(generator)
    )


def open_session(path: Path) -> ort.InferenceSession:
    """A graph on the CPU.

    Raises:
        ExportError: onnxruntime cannot load it.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base but this
        raise ExportError(f"{path.name} cannot be loaded by onnxruntime: {error}") from error


def _compare_one(tower: Tower, session: ort.InferenceSession, feeds: Feeds, file: str) -> ParityRow:
    expected, found = _both(tower, session, feeds)
    difference = np.abs(expected - found) if expected.shape == found.shape else np.array(np.inf)
    return ParityRow(
        file=file,
        inputs={name: tuple(value.shape) for name, value in feeds.items()},
        max_abs_diff=float(np.max(difference)),
        max_abs_value=float(np.max(np.abs(expected))),
    )


def _both(tower: Tower, session: ort.InferenceSession, feeds: Feeds) -> tuple[Array, Array]:
    """PyTorch's output and the graph's."""
    with torch.no_grad():
        expected: Array = tower.module(*feeds.values()).numpy()
    arrays = {name: value.numpy() for name, value in feeds.items()}
    return expected, session.run([tower.output], arrays)[0]


def _cosines(left: Array, right: Array) -> Array:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products: Array = np.sum(left * right, axis=1) / norms
    return products


@contextmanager
def _quiet() -> Iterator[None]:
    """PyTorch's exporter speaks of its own insides: operators of packages that are not there,
    deprecations, axes of equal length. Its errors are raised, and reach the user.
    """
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "onnxscript")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
