"""Tiny real models that hear: CLAP, clipclap and LanguageBind whose answers can be worked by hand.

The first axis of their common space is red and low tones, the second green and middle tones, the
third blue and high tones; ``red``, ``green`` and ``blue`` are the words for both.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.support.models import (
    FLOAT,
    SIZE,
    constant,
    image_tower,
    node,
    text_tower,
    tokenizer,
    value,
    write_graph,
)

MEL_COUNT, FRAME_COUNT = 64, 1001
JOINT_DIMENSION = 512
FBANK_FRAMES = 1036
LOW_HZ, MIDDLE_HZ, HIGH_HZ = 100.0, 1_500.0, 6_000.0
"""Tones that lie in one third of the bands, for CLAP's bands as for LanguageBind's."""


def tone(
    frequency_hz: float, *, sample_rate_hz: int, seconds: float = 10.0
) -> npt.NDArray[np.float32]:
    """A loud sine."""
    times_s = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    return (0.5 * np.sin(2 * np.pi * frequency_hz * times_s)).astype(np.float32)


def clap_model(directory: Path) -> Path:
    """A directory that loads as a CLAP model, laid out as the public exports are."""
    mel_tower(directory / "onnx/audio_model.onnx")
    text_tower(directory / "onnx/text_model.onnx")
    tokenizer(directory / "tokenizer.json")
    return directory


def clipclap_model(directory: Path) -> Path:
    """A directory in Termite's layout: towers give hidden states, projections lie beside them."""
    image_tower(directory / "visual_model.onnx", output="pooler_output")
    text_tower(directory / "text_model.onnx", output="pooler_output")
    mel_tower(directory / "audio_model.onnx", output="pooler_output", with_hidden_state=True)
    for name in ("visual", "text", "audio"):
        projection(directory / f"{name}_projection.onnx")
    tokenizer(directory / "tokenizer.json")
    config = {"model_type": "clipclap", "projection_dim": JOINT_DIMENSION}
    (directory / "clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    preprocessing = {"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "crop_size": SIZE}
    (directory / "preprocessor_config.json").write_text(json.dumps(preprocessing), encoding="utf-8")
    return directory


def languagebind_model(directory: Path, *, mel_count: int = 112) -> Path:
    """A directory as our exporter writes it; a clip's vector is the mean of all its pixels."""
    write_graph(
        directory / "video_model.onnx",
        nodes=[
            node("GlobalAveragePool", ["pixel_values"], ["pooled"]),
            node("Flatten", ["pooled"], ["embeddings"], axis=1),
        ],
        inputs=[value("pixel_values", FLOAT, ["batch", 3, 8, SIZE, SIZE])],
        outputs=[value("embeddings", FLOAT, ["batch", 3])],
    )
    write_graph(
        directory / "audio_model.onnx",
        nodes=[
            node("ReduceMean", ["pixel_values"], ["bands"], axes=[1, 3], keepdims=0),
            node("Relu", ["bands"], ["heard"]),
            node("MatMul", ["heard", "thirds"], ["embeddings"]),
        ],
        inputs=[value("pixel_values", FLOAT, ["batch", 3, mel_count, FBANK_FRAMES])],
        outputs=[value("embeddings", FLOAT, ["batch", 3])],
        constants=[constant("thirds", _thirds(mel_count))],
    )
    text_tower(directory / "text_model.onnx", length=77, output="embeddings")
    tokenizer(directory / "tokenizer.json")
    (directory / "model.toml").write_text(
        """
        family = "languagebind"
        licence = "MIT"
        [image]
        mean = [0.0, 0.0, 0.0]
        std = [1.0, 1.0, 1.0]
        [calibration]
        logit_scale = 50.0
        [sound_calibration]
        logit_scale = 20.0
        """,
        encoding="utf-8",
    )
    return directory


def mel_tower(
    path: Path,
    *,
    output: str = "audio_embeds",
    with_hidden_state: bool = False,
    with_pooler_output: bool = False,
) -> Path:
    """What is louder than -40 dB in the low, middle and high bands: ``(b, 3)``.

    ``with_hidden_state`` puts an output of the rank of an embedding before it, of which only the
    name tells that it is none; ``with_pooler_output`` adds five numbers, of which only the last is
    not zero.
    """
    nodes = [
        node("ReduceMean", ["input_features"], ["bands"], axes=[1, 2], keepdims=0),
        node("Add", ["bands", "threshold"], ["above"]),
        node("Relu", ["above"], ["heard"]),
        node("MatMul", ["heard", "thirds"], [output]),
    ]
    outputs = [value(output, FLOAT, ["batch", 3])]
    constants = [
        constant("threshold", np.array([40], dtype=np.float32)),
        constant("thirds", _thirds(MEL_COUNT)),
    ]
    if with_hidden_state:
        nodes.append(node("Relu", ["heard"], ["last_hidden_state"]))
        outputs.insert(0, value("last_hidden_state", FLOAT, ["batch", MEL_COUNT]))
    if with_pooler_output:
        nodes.append(node("MatMul", ["heard", "last"], ["pooler_output"]))
        outputs.append(value("pooler_output", FLOAT, ["batch", 5]))
        last = np.eye(5, dtype=np.float32)[[4] * MEL_COUNT]
        constants.append(constant("last", last))
    return write_graph(
        path,
        nodes=nodes,
        inputs=[value("input_features", FLOAT, ["batch", 1, FRAME_COUNT, MEL_COUNT])],
        outputs=outputs,
        constants=constants,
    )


def projection(path: Path, *, inputs: int = 3, outputs: int = JOINT_DIMENSION) -> Path:
    """Puts a few numbers in front of many zeros: ``(b, inputs)`` to ``(b, outputs)``."""
    return write_graph(
        path,
        nodes=[node("MatMul", ["input", "weights"], ["output"])],
        inputs=[value("input", FLOAT, ["batch", inputs])],
        outputs=[value("output", FLOAT, ["batch", outputs])],
        constants=[constant("weights", np.eye(inputs, outputs, dtype=np.float32))],
    )


def _thirds(band_count: int) -> npt.NDArray[np.float32]:
    """``(bands, 3)``: which third a band lies in."""
    thirds = np.arange(band_count) * 3 // band_count
    return np.eye(3, dtype=np.float32)[thirds]
