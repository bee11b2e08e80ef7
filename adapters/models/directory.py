"""A directory as a model: described by its ``model.toml``, else read off its files.

What is inferred without a ``model.toml``:

- which file is which: ``vision_model*.onnx``, ``visual_model.onnx`` or ``visual/model.onnx``
  (pictures), ``text_model*.onnx`` or ``textual/model.onnx`` (texts), ``tokenizer.json`` beside
  either; the full precision before the 8 bit one; ``visual_projection.onnx`` and
  ``text_projection.onnx`` where an export keeps them apart; a graph beside a ``*.csv`` of class
  names is a sound tagger;
- the family: from ``config.json`` (transformers' ``model_type``, open_clip's ``text_cfg``), else a
  picture tower whose output is ``pooler_output`` and no ``image_embeds`` is SigLIP; SigLIP 2 where
  the tokenizer knows more than 100,000 tokens; anything else is CLIP;
- size, resizing, mean and deviation from ``preprocessor_config.json`` (transformers) or
  ``visual/preprocess_cfg.json`` (Immich, open_clip), else the graph's size and the family's values;
- the end token from the tokenizer, and for CLIP the padding too.

``model.toml`` overrides: top level ``name``, ``family`` (clip, siglip, siglip2, mobileclip,
yamnet), ``licence``, ``dimension``, ``output``; tables ``[files]`` by role, ``[image]``, ``[text]``
and ``[calibration]`` with the fields of ``adapters.models.spec``, ``[sound]`` for taggers, and
``[sha256]`` by role.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from adapters.models.families import CLIP, MOBILECLIP, SIGLIP, SIGLIP2, YAMNET
from adapters.models.sessions import Session, SessionOptions
from adapters.models.spec import (
    ImageInput,
    Interpolation,
    Model,
    ModelFile,
    Resize,
    Role,
    SoundSpec,
    TextInput,
    VisualSpec,
)
from service.domain import ScoreKind
from service.errors import ConfigurationError, MissingModelError

DESCRIPTION = "model.toml"
FAMILIES: dict[str, VisualSpec | SoundSpec] = {
    "clip": CLIP,
    "siglip": SIGLIP,
    "siglip2": SIGLIP2,
    "mobileclip": MOBILECLIP,
    "yamnet": YAMNET,
}
USUAL_PATHS = {
    Role.IMAGE_TOWER: (
        "vision_model.onnx",
        "vision_model_quantized.onnx",
        "onnx/vision_model.onnx",
        "onnx/vision_model_quantized.onnx",
        "visual/model.onnx",
        "visual_model.onnx",
    ),
    Role.TEXT_TOWER: (
        "text_model.onnx",
        "text_model_quantized.onnx",
        "onnx/text_model.onnx",
        "onnx/text_model_quantized.onnx",
        "textual/model.onnx",
    ),
    Role.TOKENIZER: ("tokenizer.json", "textual/tokenizer.json"),
    Role.IMAGE_PROJECTION: ("visual_projection.onnx",),
    Role.TEXT_PROJECTION: ("text_projection.onnx",),
    Role.TAGGER: ("*.onnx",),
    Role.LABELS: ("*.csv",),
}
VISUAL_ROLES = (Role.IMAGE_TOWER, Role.TEXT_TOWER, Role.TOKENIZER)
OPTIONAL_ROLES = (Role.IMAGE_PROJECTION, Role.TEXT_PROJECTION)
SOUND_ROLES = (Role.TAGGER, Role.LABELS)
SIGLIP2_VOCABULARY = 100_000
"""SigLIP has 32,000 tokens, CLIP 49,408, SigLIP 2 256,000."""
PILLOW_BILINEAR = 2
"""``resample`` in transformers' ``preprocessor_config.json``; 3 is bicubic."""


def read_directory(directory: Path) -> Model:
    """Describe the model in a directory.

    Raises:
        MissingModelError: It is no directory, or holds no model's files.
        ConfigurationError: Its ``model.toml`` is wrong.
    """
    name = directory.name
    if not directory.is_dir():
        raise MissingModelError(str(directory), f"{directory} is no directory")
    told = _read_toml(directory / DESCRIPTION)
    files = _find_files(directory, told)
    spec = _spec_of(directory, files, told)
    return Model(
        name=str(told.get("name", name)),
        summary=f"in {directory}",
        files=files,
        spec=_override(spec, told, directory / DESCRIPTION),
        licence=str(told.get("licence", "")),
        revision="",
        directory=directory,
    )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _find_files(directory: Path, told: Mapping[str, Any]) -> tuple[ModelFile, ...]:
    named: dict[str, str] = told.get("files", {})
    unknown = set(named) - set(Role)
    if unknown:
        raise ConfigurationError(
            f"{directory / DESCRIPTION}: [files] names {', '.join(sorted(unknown))}; "
            f"known: {', '.join(Role)}"
        )
    found = {
        role: path for role in Role if (path := named.get(role) or _usual_path(directory, role))
    }
    for roles in (VISUAL_ROLES, SOUND_ROLES):
        if all(role in found for role in roles):
            sums: dict[str, str] = told.get("sha256", {})
            extra = OPTIONAL_ROLES if roles == VISUAL_ROLES else ()
            return tuple(
                ModelFile(role=role, path=found[role], sha256=sums.get(role))
                for role in (*roles, *extra)
                if role in found
            )
    missing = ", ".join(role for role in VISUAL_ROLES if role not in found)
    raise MissingModelError(
        directory.name,
        f"{directory} holds neither a picture-and-text model (no {missing}) nor a sound tagger "
        "(a graph and a csv of class names)",
    )


def _usual_path(directory: Path, role: Role) -> str | None:
    for pattern in USUAL_PATHS[role]:
        for path in sorted(directory.glob(pattern)):
            return path.relative_to(directory).as_posix()
    return None


def _spec_of(
    directory: Path, files: tuple[ModelFile, ...], told: Mapping[str, Any]
) -> VisualSpec | SoundSpec:
    if "family" in told and told["family"] not in FAMILIES:
        raise ConfigurationError(
            f"{directory / DESCRIPTION}: family {told['family']!r} is unknown; "
            f"known: {', '.join(FAMILIES)}"
        )
    if files[0].role is Role.TAGGER:
        return YAMNET
    return _infer_visual(directory, files, FAMILIES.get(told.get("family", "")))


def _infer_visual(
    directory: Path, files: tuple[ModelFile, ...], told: VisualSpec | SoundSpec | None
) -> VisualSpec:
    tower = Session(directory.name, directory / files[0].path, SessionOptions())
    edge = tower.inputs()[0].shape[-1]
    outputs = {port.name for port in tower.outputs()}
    tower.close()
    is_split = any(file.role is Role.IMAGE_PROJECTION for file in files)
    if isinstance(told, VisualSpec):
        spec = told
    elif _is_siglip(directory, outputs, is_split=is_split):
        vocabulary = Tokenizer.from_file(str(directory / files[2].path)).get_vocab_size()
        spec = SIGLIP2 if vocabulary > SIGLIP2_VOCABULARY else SIGLIP
    else:
        spec = CLIP
    image = replace(spec.image, size=edge or spec.image.size)
    text = replace(spec.text, end_id=None, pad_id=None if spec is CLIP else spec.text.pad_id)
    return replace(
        spec,
        dimension=None,
        image=_read_preprocessing(directory, image),
        text=_read_text_rules(directory, text),
    )


def _is_siglip(directory: Path, outputs: set[str], *, is_split: bool) -> bool:
    config = _read_json(directory / "config.json")
    text = config.get("text_cfg", {})
    if text:  # Immich keeps open_clip's description of the model
        return _is_canonical(text)
    if "model_type" in config:
        return str(config["model_type"]).startswith("siglip")
    return "pooler_output" in outputs and "image_embeds" not in outputs and not is_split


def _is_canonical(text_cfg: Mapping[str, Any]) -> bool:
    return bool(text_cfg.get("tokenizer_kwargs", {}).get("clean") == "canonicalize")


def _read_text_rules(directory: Path, text: TextInput) -> TextInput:
    """What transformers or open_clip wrote of the text tower, over the family's values."""
    config = _read_json(directory / "config.json")
    open_clip, transformers = config.get("text_cfg", {}), config.get("text_config", {})
    length = open_clip.get("context_length") or transformers.get("max_position_embeddings")
    return replace(
        text,
        context_length=int(length) if length else text.context_length,
        canonicalize=text.canonicalize or _is_canonical(open_clip),
        lower_case=text.lower_case or _is_canonical(open_clip),
    )


def _read_preprocessing(directory: Path, image: ImageInput) -> ImageInput:
    """What transformers or Immich wrote beside the graphs, over the family's values."""
    transformers = _read_json(directory / "preprocessor_config.json")
    if transformers:
        return replace(image, **_from_transformers(transformers))
    immich = _read_json(directory / "visual" / "preprocess_cfg.json")
    return replace(image, **_from_open_clip(immich)) if immich else image


def _from_transformers(config: Mapping[str, Any]) -> dict[str, Any]:
    values = _statistics(config, "image_mean", "image_std")
    size = config.get("crop_size") or config.get("size") or {}
    edge = size if isinstance(size, int) else size.get("height") or size.get("shortest_edge")
    if edge:
        values["size"] = int(edge)
    if "do_center_crop" in config:
        values["resize"] = Resize.CROP if config["do_center_crop"] else Resize.SQUASH
    if "resample" in config:
        bilinear = config["resample"] == PILLOW_BILINEAR
        values["interpolation"] = Interpolation.BILINEAR if bilinear else Interpolation.BICUBIC
    return values


def _from_open_clip(config: Mapping[str, Any]) -> dict[str, Any]:
    values = _statistics(config, "mean", "std")
    size = config.get("size")
    if size:
        values["size"] = int(size[0] if isinstance(size, list) else size)
    squash = config.get("resize_mode", "shortest") == "squash"
    values["resize"] = Resize.SQUASH if squash else Resize.CROP
    if config.get("interpolation") in set(Interpolation):
        values["interpolation"] = Interpolation(config["interpolation"])
    return values


def _statistics(config: Mapping[str, Any], mean: str, std: str) -> dict[str, Any]:
    return {
        field: tuple(map(float, config[key]))
        for field, key in (("mean", mean), ("std", std))
        if key in config
    }


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _override(
    spec: VisualSpec | SoundSpec, told: Mapping[str, Any], path: Path
) -> VisualSpec | SoundSpec:
    try:
        if isinstance(spec, SoundSpec):
            return replace(spec, **told.get("sound", {}))
        return replace(
            spec,
            dimension=told.get("dimension", spec.dimension),
            output=told.get("output", spec.output),
            image=replace(spec.image, **_typed(told.get("image", {}))),
            text=replace(spec.text, **told.get("text", {})),
            calibration=replace(spec.calibration, **_typed(told.get("calibration", {}))),
        )
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _typed(table: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"resize": Resize, "interpolation": Interpolation, "kind": ScoreKind}
    return {
        key: kinds[key](value)
        if key in kinds
        else tuple(value)
        if isinstance(value, list)
        else value
        for key, value in table.items()
    }
