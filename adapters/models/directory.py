"""A directory as a model: described by its ``model.toml``, else read off its files.

What is inferred without a ``model.toml``:

- which file is which, by the names that exporters use (``adapters.models.layouts``): the full
  precision before the 8 bit one;
- the kind: graphs for pictures, sounds and texts are a joint model, before they are a picture
  model or a sound-text model; a graph beside a ``*.csv`` of class names is a sound tagger;
- a joint model's family: clipclap by ``clip_config.json``, LanguageBind by its ``video_model``;
- a picture model's family: from ``config.json`` (transformers' ``model_type``, open_clip's
  ``text_cfg``), else a picture tower whose output is ``pooler_output``, with no ``image_embeds``
  and no projection beside it, is SigLIP; SigLIP 2 where the tokenizer knows more than 100,000
  tokens; anything else is CLIP;
- size, resizing, mean and deviation from ``preprocessor_config.json`` (transformers) or
  ``visual/preprocess_cfg.json`` (Immich, open_clip), else the graph's size and the family's values;
- context length and canonicalisation from ``config.json``; the end token from the tokenizer, and
  for CLIP the padding too.

``model.toml`` overrides: top level ``name``, ``family`` (one of ``FAMILIES``), ``licence``,
``dimension``, ``output``; tables ``[files]`` by role, ``[image]``, ``[text]``, ``[calibration]``
and, for a joint model, ``[sound_calibration]`` with the fields of ``adapters.models.spec``,
``[sound]`` for taggers, and ``[sha256]`` by role.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from adapters.models.families import (
    CLAP,
    CLIP,
    CLIPCLAP,
    LANGUAGEBIND,
    MOBILECLIP,
    SIGLIP,
    SIGLIP2,
    YAMNET,
)
from adapters.models.layouts import DESCRIPTION, find_files, read_description
from adapters.models.overrides import override
from adapters.models.sessions import Session, SessionOptions
from adapters.models.spec import (
    ImageInput,
    Interpolation,
    JointFamily,
    JointSpec,
    Model,
    ModelFile,
    Resize,
    Role,
    SoundSpec,
    SoundTextSpec,
    Spec,
    TextInput,
    VisualSpec,
)
from service.errors import ConfigurationError, MissingModelError

FAMILIES: dict[str, Spec] = {
    "clip": CLIP,
    "siglip": SIGLIP,
    "siglip2": SIGLIP2,
    "mobileclip": MOBILECLIP,
    "clap": CLAP,
    "clipclap": CLIPCLAP,
    "languagebind": LANGUAGEBIND,
    "yamnet": YAMNET,
}
CLIPCLAP_CONFIG = "clip_config.json"
"""Termite's; its ``model_type`` says ``clipclap``."""
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
    told = read_description(directory)
    family = _told_family(directory, told)
    kind, files = find_files(directory, told, type(family) if family else None)
    spec = _spec_of(directory, kind, files, family)
    return Model(
        name=str(told.get("name", name)),
        summary=f"in {directory}",
        files=files,
        spec=override(spec, told, directory / DESCRIPTION),
        licence=str(told.get("licence", "")),
        revision="",
        directory=directory,
    )


def is_joint(directory: Path) -> bool:
    """Whether a joint model lies there, by its files alone: opens no graph."""
    try:
        told = read_description(directory)
        family = _told_family(directory, told)
        kind, _ = find_files(directory, told, type(family) if family else None)
    except (MissingModelError, ConfigurationError):
        return False  # whoever opens it is told what is wrong
    return kind is JointSpec


def _told_family(directory: Path, told: Mapping[str, Any]) -> Spec | None:
    if "family" in told and told["family"] not in FAMILIES:
        raise ConfigurationError(
            f"{directory / DESCRIPTION}: family {told['family']!r} is unknown; "
            f"known: {', '.join(FAMILIES)}"
        )
    return FAMILIES.get(told.get("family", ""))


def _spec_of(
    directory: Path, kind: type[Spec], files: tuple[ModelFile, ...], family: Spec | None
) -> Spec:
    if kind is JointSpec:
        joint = family if isinstance(family, JointSpec) else _infer_joint(directory, files)
        return _infer_towers_of(joint, directory, files)
    if kind is SoundTextSpec:
        return replace(CLAP, dimension=None, text=replace(CLAP.text, end_id=None))
    if kind is SoundSpec:
        return YAMNET
    return _infer_visual(directory, files, family)


def _infer_joint(directory: Path, files: tuple[ModelFile, ...]) -> JointSpec:
    """LanguageBind's clips are not CLIP's pictures; clipclap is the other joint model we know."""
    if _read_json(directory / CLIPCLAP_CONFIG).get("model_type") == JointFamily.CLIPCLAP:
        return CLIPCLAP
    return LANGUAGEBIND if Path(files[0].path).stem.startswith("video") else CLIPCLAP


def _infer_towers_of(joint: JointSpec, directory: Path, files: tuple[ModelFile, ...]) -> JointSpec:
    if joint.family is JointFamily.CLIPCLAP:
        return replace(joint, visual=_infer_visual(directory, files, joint.visual))
    text = replace(joint.visual.text, end_id=None, pad_id=None)
    return replace(joint, visual=replace(joint.visual, dimension=None, text=text))


def _infer_visual(directory: Path, files: tuple[ModelFile, ...], told: Spec | None) -> VisualSpec:
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
