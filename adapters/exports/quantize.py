"""8 bit weights for a graph's matrix products."""

from __future__ import annotations

import logging
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic


def quantize(path: Path) -> None:
    """Replace a graph by one whose products are computed in 8 bit, scaled as they come.

    A quarter of the size (word vectors are shrunk as well), and one and a half to two and a half
    times as fast on a CPU: CLIP B/32 embeds 121 pictures a second instead of 51, on two cores.
    Convolutions stay as they are: the first layer of a picture tower is where 8 bit costs most.
    """
    model = onnx.load(str(path))
    # onnxruntime transposes weights first, and would stumble over what is said of their shapes.
    del model.graph.value_info[:]
    draft = path.with_suffix(".int8")
    logging.getLogger().addFilter(_is_no_advice)
    try:
        # Unsigned weights cannot overflow on CPUs without VNNI, signed ones can.
        quantize_dynamic(
            model,
            draft,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            weight_type=QuantType.QUInt8,
            per_channel=True,
        )
    finally:
        logging.getLogger().removeFilter(_is_no_advice)
    draft.replace(path)


def _is_no_advice(record: logging.LogRecord) -> bool:
    """Its advice to prepare the graph beforehand changes nothing for ours."""
    return "pre-process" not in record.getMessage()
