"""Takes finished graphs apart: the tower here, the projection behind it there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from adapters.exports.graph import OPSET
from adapters.exports.spec import ExportError
from service.domain import Float32

POOLED = "pooler_output"
"""What readers of Termite's layout look for, by name."""
EMBEDDINGS = ("image_embeds", "text_embeds", "audio_embeds", POOLED)


def split_projection(source: Path, tower: Path, projection: Path) -> tuple[int, int]:
    """Write a tower up to its last linear layer, and that layer as a graph of its own.

    Where the last layer is no plain product (8 bit, or a network), the tower stays whole and the
    identity stands for its projection: whoever runs one after the other gets the same vectors.

    Returns:
        Dimensions before and after the projection.

    Raises:
        ExportError: No output of the graph is an embedding.
    """
    model = onnx.load(str(source))
    output = _find_embedding(model, source.name)
    last = next(node for node in model.graph.node if output.name in node.output)
    weight = _weight_of(model, last)
    if weight is None:
        dimension = output.type.tensor_type.shape.dim[-1].dim_value
        if not dimension:
            raise ExportError(f"{source.name} does not say how long its embeddings are")
        weight = np.eye(dimension, dtype=np.float32)
        _rename(model, output.name)
    else:
        model.graph.node.remove(last)
        used = {name for node in model.graph.node for name in node.input}
        _keep(model.graph.initializer, [t for t in model.graph.initializer if t.name in used])
        _rename(model, last.input[0])
    _declare(model, weight.shape[0])
    onnx.save(model, str(tower))
    _write_product(weight, projection)
    return int(weight.shape[0]), int(weight.shape[1])


def normalise_sounds(source: Path, target: Path) -> int:
    """Write CLAP's ears with unit vectors as their pooled output; return the dimension.

    Raises:
        ExportError: No output of the graph is an embedding, or its length is not told.
    """
    model = onnx.load(str(source))
    output = _find_embedding(model, source.name)
    dimension = int(output.type.tensor_type.shape.dim[-1].dim_value)
    if not dimension:
        raise ExportError(f"{source.name} does not say how long its embeddings are")
    node = helper.make_node("LpNormalization", [output.name], [POOLED], axis=-1, p=2)
    if output.name == POOLED:
        _rename(model, POOLED, to="projected")
        node.input[0] = "projected"
    model.graph.node.append(node)
    _declare(model, dimension)
    onnx.save(model, str(target))
    return dimension


def place(source: Path, target: Path) -> None:
    """Link a file, or copy it where a link cannot be."""
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)


def dimensions(projection: Path) -> tuple[int, int]:
    """Of what a projection takes and gives."""
    graph = onnx.load(str(projection)).graph
    before, after = (
        value.type.tensor_type.shape.dim[-1].dim_value
        for value in (graph.input[0], graph.output[0])
    )
    return int(before), int(after)


def patch_size(tower: Path) -> int | None:
    """Edge of the patches that a picture tower cuts: its first convolution's; None without one."""
    graph = onnx.load(str(tower)).graph
    shapes: dict[str, tuple[int, ...]] = {t.name: tuple(t.dims) for t in graph.initializer}
    for node in graph.node:
        if node.op_type in {"Conv", "ConvInteger"}:
            shape = shapes.get(node.input[1])
            return shape[-1] if shape else None
    return None


def _find_embedding(model: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    outputs = {output.name: output for output in model.graph.output}
    found = next((outputs[known] for known in EMBEDDINGS if known in outputs), None)
    if found is None:
        raise ExportError(
            f"{name} has the outputs {', '.join(outputs)}; an embedding is called "
            f"{' or '.join(EMBEDDINGS)}"
        )
    return found


def _weight_of(model: onnx.ModelProto, node: onnx.NodeProto) -> Float32 | None:
    """The matrix that a last layer without bias multiplies by, ``(in, out)``."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    if node.op_type not in {"MatMul", "Gemm"} or node.input[1] not in tensors:
        return None
    if any(node.input[2:]):
        return None
    weight: Float32 = numpy_helper.to_array(tensors[node.input[1]])
    flags = {attribute.name: attribute.i for attribute in node.attribute}
    return weight.T if flags.get("transB") else weight


def _rename(model: onnx.ModelProto, name: str, to: str = POOLED) -> None:
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, known in enumerate(names):
                if known == name:
                    names[index] = to


def _declare(model: onnx.ModelProto, dimension: int) -> None:
    """The pooled output alone."""
    value = helper.make_tensor_value_info(POOLED, TensorProto.FLOAT, ["batch", dimension])
    _keep(model.graph.output, [value])
    # What was said of the shapes in between may bear the old names.
    del model.graph.value_info[:]


def _keep(field: Any, values: Sequence[Any]) -> None:  # noqa: ANN401  protocol buffers' lists
    del field[:]
    field.extend(values)


def _write_product(weight: Float32, path: Path) -> None:
    """A graph that multiplies ``input`` ``(B, D)`` by a matrix into ``output``."""
    rows, columns = weight.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weight"], ["output"])],
        "projection",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", rows])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", columns])],
        [numpy_helper.from_array(np.ascontiguousarray(weight, dtype=np.float32), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 8  # of that operator set; newer ones need newer readers
    onnx.save(model, str(path))
