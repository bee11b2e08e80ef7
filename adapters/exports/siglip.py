"""SigLIP and SigLIP 2 of fixed resolution: transformers' ``SiglipModel`` as two towers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from transformers import SiglipConfig, SiglipModel

from adapters.exports import vocabularies
from adapters.exports.blueprint import Blueprint
from adapters.exports.checkpoints import build_random, load_published
from adapters.exports.clip import TINY, TINY_VOCABULARY, text_table
from adapters.exports.description import Table, image_table, read_json, read_preprocessing
from adapters.exports.spec import Size, Weights
from adapters.exports.towers import Signal, Tokens, projected_tower
from adapters.exports.vocabularies import Specials
from service.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """In what the two differ: their texts, and how pictures are shrunk."""

    family: str
    vocabulary_size: int
    specials: Specials
    pad_id: int
    end_id: int
    canonicalize: bool
    interpolation: str


FIRST = Generation(
    family="siglip",
    vocabulary_size=32_000,
    specials=vocabularies.SIGLIP,
    pad_id=1,
    end_id=1,
    canonicalize=True,
    interpolation="bicubic",
)
SECOND = Generation(
    family="siglip2",
    vocabulary_size=256_000,
    specials=vocabularies.SIGLIP2,
    pad_id=0,
    end_id=1,
    canonicalize=False,
    interpolation="bilinear",
)
"""Their papers' reference implementation (big_vision), and its tokenizers."""


def open_siglip(weights: Weights, generation: Generation) -> Blueprint:
    """SigLIP of published or random weights.

    Raises:
        ConfigurationError: The checkpoint is not of that generation, or of no fixed resolution.
    """
    directory = weights.directories[0] if weights.directories else None
    preprocessing = {}
    if directory:
        preprocessing = read_preprocessing(directory)
        _check_kind(read_json(directory / "config.json"), generation, directory.name)
    model = (
        load_published(SiglipModel, directory)
        if directory
        else build_random(lambda: SiglipModel(_config(weights.size, generation)), weights.seed)
    )
    config = model.config
    edge = config.vision_config.image_size
    text = _tokens(config.text_config, generation)
    return Blueprint(
        family=generation.family,
        dimension=config.vision_config.hidden_size,
        towers=(
            projected_tower(
                role="image_tower",
                file="vision_model.onnx",
                body=model.vision_model,
                head=nn.Identity(),
                inputs=Signal(name="pixel_values", shape=(3, edge, edge)),
                output="pooler_output",
            ),
            projected_tower(
                role="text_tower",
                file="text_model.onnx",
                body=model.text_model,
                head=nn.Identity(),
                inputs=text,
                output="pooler_output",
            ),
        ),
        tables={
            "image": {**image_table(preprocessing, _image(generation)), "size": edge},
            "text": text_table(text, lower_case=True, canonicalize=generation.canonicalize),
            "calibration": {
                "kind": "sigmoid",
                "logit_scale": float(torch.exp(model.logit_scale.detach()).item()),
                "logit_bias": float(model.logit_bias.detach().item()),
            },
        },
        tokenizer_source=directory,
        specials=generation.specials,
        vocabulary_size=config.text_config.vocab_size,
        configs={"config.json": config.to_dict()},
    )


def _check_kind(config: dict[str, object], generation: Generation, name: str) -> None:
    kind = config.get("model_type")
    if kind != "siglip":
        raise ConfigurationError(
            f"{name} is a {kind}, not a SigLIP of fixed resolution (model_type siglip): "
            "the variants of any resolution (NaFlex) have no picture input that we could feed"
        )
    text = config.get("text_config")
    size = text.get("vocab_size", FIRST.vocabulary_size) if isinstance(text, dict) else None
    if size is not None and (size > FIRST.vocabulary_size) != (generation is SECOND):
        other = FIRST if generation is SECOND else SECOND
        raise ConfigurationError(
            f"{name} has {size} tokens: that is {other.family}, not {generation.family}"
        )


def _config(size: Size, generation: Generation) -> SiglipConfig:
    """B/16 at 224, or a tiny one."""
    if size is Size.FULL:
        return SiglipConfig(text_config={"vocab_size": generation.vocabulary_size})
    text = {**TINY, "vocab_size": TINY_VOCABULARY, "projection_size": TINY["hidden_size"]}
    return SiglipConfig(text_config=text, vision_config={**TINY, "patch_size": 32})


def _tokens(config: SiglipConfig, generation: Generation) -> Tokens:
    """The last position is what is pooled: every text is padded to the end."""
    return Tokens(
        context_length=config.max_position_embeddings,
        words=vocabularies.words_of(generation.specials, config.vocab_size),
        start_id=None,
        end_id=generation.end_id,
        pad_id=generation.pad_id,
        has_mask=False,
        is_fixed=True,
    )


def _image(generation: Generation) -> Table:
    half = (0.5, 0.5, 0.5)
    return {
        "size": 224,
        "resize": "squash",
        "interpolation": generation.interpolation,
        "mean": half,
        "std": half,
    }
