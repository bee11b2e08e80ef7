"""Tiny real models for tests: graphs whose answers can be worked by hand.

``colour_model`` is a CLIP: a picture's vector is its mean red, green and blue after preprocessing,
a text's vector is the sum of its words' vectors, and the words are ``red``, ``green`` and ``blue``.
The graphs are written in ONNX's wire format (onnx.proto3, opset 13), for want of a smaller way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

FLOAT, INT32, INT64 = 1, 6, 7
"""``TensorProto.DataType``."""

WORDS = {"[pad]": 0, "[start]": 1, "[end]": 2, "[unknown]": 3, "red": 4, "green": 5, "blue": 6}
VECTORS = np.array(
    [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32
)
SIZE = 8
"""Edge of the colour model's pictures."""

Shape = Sequence[int | str]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def node(
    operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int | list[int]
) -> bytes:
    """A ``NodeProto`` with integer attributes."""
    parts = [_field(1, name) for name in inputs] + [_field(2, name) for name in outputs]
    parts.append(_field(4, operator))
    for name, value in attributes.items():
        numbers = value if isinstance(value, list) else [value]
        key, kind = (8, 7) if isinstance(value, list) else (3, 2)
        values = b"".join(_field(key, number) for number in numbers)
        parts.append(_field(5, _field(1, name) + values + _field(20, kind)))
    return b"".join(parts)


def constant(name: str, array: npt.NDArray[np.float32] | npt.NDArray[np.int64]) -> bytes:
    """A ``TensorProto``."""
    dims = b"".join(_field(1, edge) for edge in array.shape)
    dtype = INT64 if array.dtype == np.int64 else FLOAT
    return dims + _field(2, dtype) + _field(8, name) + _field(9, array.tobytes())


def value(name: str, dtype: int, shape: Shape) -> bytes:
    """A ``ValueInfoProto``; a word as an edge means any length."""
    dims = b"".join(
        _field(1, _field(1, edge) if isinstance(edge, int) else _field(2, edge)) for edge in shape
    )
    tensor = _field(1, dtype) + _field(2, dims)
    return _field(1, name) + _field(2, _field(1, tensor))


def write_graph(
    path: Path,
    *,
    nodes: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
    constants: Sequence[bytes] = (),
) -> Path:
    """Write a ``ModelProto``."""
    graph = b"".join(
        [
            *(_field(1, part) for part in nodes),
            _field(2, "tiny"),
            *(_field(5, part) for part in constants),
            *(_field(11, part) for part in inputs),
            *(_field(12, part) for part in outputs),
        ]
    )
    opset = _field(1, "") + _field(2, 13)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, opset))
    return path


def image_tower(
    path: Path,
    *,
    name: str = "pixel_values",
    output: str = "image_embeds",
    size: int = SIZE,
    batch: int | str = "batch",
) -> Path:
    """Mean of each channel: ``(b, 3, size, size)`` to ``(b, 3)``."""
    return write_graph(
        path,
        nodes=[
            node("GlobalAveragePool", [name], ["pooled"]),
            node("Flatten", ["pooled"], [output], axis=1),
        ],
        inputs=[value(name, FLOAT, [batch, 3, size, size])],
        outputs=[value(output, FLOAT, [batch, 3])],
    )


def text_tower(
    path: Path,
    *,
    name: str = "input_ids",
    dtype: int = INT64,
    length: int | str = "sequence",
    batch: int | str = "batch",
    with_mask: bool = True,
    output: str = "text_embeds",
) -> Path:
    """Sum of the words' vectors under the mask: ``(b, L)`` to ``(b, 3)``."""
    gathered = "words" if with_mask else "masked"
    nodes = [node("Gather", ["vectors", name], [gathered], axis=0)]
    inputs = [value(name, dtype, [batch, length])]
    if with_mask:
        nodes += [
            node("Cast", ["attention_mask"], ["weights"], to=FLOAT),
            node("Reshape", ["weights", "column"], ["columns"]),
            node("Mul", ["words", "columns"], ["masked"]),
        ]
        inputs.append(value("attention_mask", dtype, [batch, length]))
    nodes.append(node("ReduceMean", ["masked"], [output], axes=[1], keepdims=0))
    # Batch, length, one column: so that the mask spreads over the vectors.
    column = constant("column", np.array([0, -1, 1], dtype=np.int64))
    return write_graph(
        path,
        nodes=nodes,
        inputs=inputs,
        outputs=[value(output, FLOAT, ["batch", 3])],
        constants=[constant("vectors", VECTORS), *([column] if with_mask else [])],
    )


def projection(path: Path, matrix: npt.NDArray[np.float32]) -> Path:
    """A linear layer without a bias: ``input`` ``(b, n)`` to ``output`` ``(b, m)``."""
    rows, columns = matrix.shape
    return write_graph(
        path,
        nodes=[node("MatMul", ["input", "matrix"], ["output"])],
        inputs=[value("input", FLOAT, ["batch", rows])],
        outputs=[value("output", FLOAT, ["batch", columns])],
        constants=[constant("matrix", matrix)],
    )


def slow_graph(path: Path, *, operator_count: int = 4000) -> Path:
    """``x`` multiplied with itself again and again: ``(n, n)`` to ``(n, n)``."""
    names = ["x", *(f"x{index}" for index in range(operator_count - 1)), "y"]
    return write_graph(
        path,
        nodes=[node("MatMul", [before, "x"], [after]) for before, after in pairwise(names)],
        inputs=[value("x", FLOAT, ["n", "n"])],
        outputs=[value("y", FLOAT, ["n", "n"])],
    )


def tokenizer(path: Path, *, start: bool = True) -> Path:
    """A tokenizer of three words that brackets its texts."""
    words = Tokenizer(WordLevel(WORDS, unk_token="[unknown]"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(
        single="[start] $A [end]" if start else "$A [end]",
        special_tokens=[("[start]", WORDS["[start]"]), ("[end]", WORDS["[end]"])],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    words.save(str(path))
    return path


def colour_model(directory: Path) -> Path:
    """A directory that loads as a CLIP model."""
    image_tower(directory / "vision_model.onnx")
    text_tower(directory / "text_model.onnx")
    tokenizer(directory / "tokenizer.json")
    return directory


def loudness_tagger(
    directory: Path,
    *,
    labels: Sequence[str] = ("Noise", "Silence"),
    batch: int | str = "batch",
) -> Path:
    """A YAMNet whose first class is the mean absolute sample, and whose second is one minus it."""
    write_graph(
        directory / "tagger.onnx",
        nodes=[
            node("Abs", ["waveform"], ["magnitude"]),
            node("ReduceMean", ["magnitude"], ["loudness"], axes=[1], keepdims=1),
            node("MatMul", ["loudness", "slope"], ["sloped"]),
            node("Add", ["sloped", "offset"], ["scores"]),
        ],
        inputs=[value("waveform", FLOAT, [batch, 15600])],
        outputs=[value("scores", FLOAT, [batch, 2])],
        constants=[
            constant("slope", np.array([[1, -1]], dtype=np.float32)),
            constant("offset", np.array([[0, 1]], dtype=np.float32)),
        ],
    )
    write_labels(directory / "classes.csv", labels)
    return directory


def write_labels(path: Path, labels: Sequence[str]) -> Path:
    lines = [f"{index},/m/{index},{label}" for index, label in enumerate(labels)]
    path.write_text("\n".join(["index,mid,display_name", *lines]) + "\n", encoding="utf-8")
    return path


def solid(
    colour: tuple[int, int, int], *, width: int = 40, height: int = 30
) -> npt.NDArray[np.uint8]:
    """A picture of one colour."""
    return np.full((height, width, 3), colour, dtype=np.uint8)


def files_of(directory: Path) -> Mapping[str, bytes]:
    """Every file by its path inside the directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
