"""Puts CLIP, CLAP and a trained projection into one directory, in Termite's layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.exports.description import Table, read_json, write_description
from adapters.exports.spec import ExportError
from adapters.exports.surgery import (
    dimensions,
    normalise_sounds,
    patch_size,
    place,
    split_projection,
)
from service.errors import ConfigurationError

METADATA = "projection_training_metadata.json"
CONFIG = "clip_config.json"
SAMPLE_RATE_HZ = 48_000
MAX_LENGTH_S = 10
"""CLAP's, of its feature extractor."""
TEMPERATURE = 0.07
"""The projection was trained with it: its inverse is what cosines are multiplied by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A finished model of the runtime, as far as it is needed here."""

    name: str
    paths: Mapping[str, Path]
    """By role: ``image_tower``, ``text_tower``, ``audio_tower``, ``tokenizer``, and
    ``image_projection`` and ``text_projection`` where they lie apart."""
    tables: Mapping[str, Table]
    """``image``, ``text`` and ``calibration`` of its description; empty for a CLAP."""
    directory: Path
    """Where configurations of other readers may lie."""


FILES = {
    "image_tower": "visual_model.onnx",
    "image_projection": "visual_projection.onnx",
    "text_tower": "text_model.onnx",
    "text_projection": "text_projection.onnx",
    "audio_tower": "audio_model.onnx",
    "audio_projection": "audio_projection.onnx",
    "tokenizer": "tokenizer.json",
}


def assemble(
    draft: Path,
    name: str,
    clip: Parts,
    clap: Parts,
    *,
    centre: tuple[float, ...] = (),
    metadata: Mapping[str, Any],
) -> None:
    """Fill a directory that has its ``audio_projection.onnx`` already.

    Args:
        draft: The directory.
        name: Of the model to be.
        clip: Sees, and reads.
        clap: Hears.
        centre: What all projected sounds have in common, where sounds were there to tell.
        metadata: How the projection was trained.

    Raises:
        ConfigurationError: CLAP's projection lies apart from its ears.
        ExportError: The dimensions do not meet, or a graph has no embedding.
    """
    if "audio_projection" in clap.paths:
        raise ConfigurationError(
            f"{clap.name} keeps its projection apart from its ears; make it anew: "
            "moodreel models export clap"
        )
    hidden = {side: _take_apart(clip, side, draft) for side in ("image", "text")}
    heard = normalise_sounds(clap.paths["audio_tower"], draft / FILES["audio_tower"])
    dimension = hidden["image"][1]
    projected = dimensions(draft / FILES["audio_projection"])
    if projected != (heard, dimension) or hidden["text"][1] != dimension:
        raise ExportError(
            f"the parts do not meet: {clap.name} has {heard} dimensions, the projection leads from "
            f"{projected[0]} to {projected[1]}, and {clip.name} has {dimension}"
        )
    place(clip.paths["tokenizer"], draft / FILES["tokenizer"])
    config = _config(clip, clap, hidden, dimension, patch_size(draft / FILES["image_tower"]))
    for file, value in (
        (CONFIG, config),
        ("preprocessor_config.json", _preprocessor(clip.tables["image"])),
        (METADATA, metadata),
    ):
        (draft / file).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    calibration: dict[str, Any] = {"kind": "softmax", "logit_scale": 1 / TEMPERATURE}
    write_description(
        draft,
        {"name": name, "family": "clipclap", "dimension": dimension},
        {
            **clip.tables,
            "sound_calibration": calibration | ({"centre": centre} if centre else {}),
        },
        FILES,
    )


def _take_apart(clip: Parts, side: str, draft: Path) -> tuple[int, int]:
    """Place a side's two graphs; return the dimensions before and after its projection."""
    tower, projection = (draft / FILES[f"{side}_{part}"] for part in ("tower", "projection"))
    apart = clip.paths.get(f"{side}_projection")
    if apart is None:
        return split_projection(clip.paths[f"{side}_tower"], tower, projection)
    place(clip.paths[f"{side}_tower"], tower)
    place(apart, projection)
    return dimensions(projection)


def _config(
    clip: Parts,
    clap: Parts,
    hidden: Mapping[str, tuple[int, int]],
    dimension: int,
    patch: int | None,
) -> dict[str, Any]:
    """``clip_config.json``: what Termite tells a clipclap by."""
    heard = read_json(clap.directory / "config.json").get("audio_config", {})
    return {
        "model_type": "clipclap",
        "vision_config": {
            "hidden_size": hidden["image"][0],
            "image_size": clip.tables["image"]["size"],
            "patch_size": patch,
            "projection_dim": dimension,
        },
        "text_config": {
            "hidden_size": hidden["text"][0],
            "max_position_embeddings": clip.tables["text"]["context_length"],
            "projection_dim": dimension,
        },
        "audio_config": {
            # Its projection is inside the tower: what comes out is what counts, where CLAP's own
            # configuration does not tell.
            "hidden_size": heard.get("hidden_size", dimension),
            "sample_rate": SAMPLE_RATE_HZ,
            "max_length_s": MAX_LENGTH_S,
            "projection_dim": dimension,
        },
        "projection_dim": dimension,
    }


def _preprocessor(image: Table) -> dict[str, Any]:
    """As transformers' ``CLIPImageProcessor`` keeps it."""
    size = image["size"]
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 2 if image["interpolation"] == "bilinear" else 3,
        "do_center_crop": image["resize"] == "crop",
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": image["mean"],
        "image_std": image["std"],
    }
