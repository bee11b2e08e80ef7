"""CLIP: transformers' ``CLIPModel`` as two towers."""

from __future__ import annotations

import torch
from torch import nn
from transformers import CLIPConfig, CLIPModel

from adapters.exports import vocabularies
from adapters.exports.blueprint import Blueprint
from adapters.exports.checkpoints import build_random, load_published
from adapters.exports.description import (
    OPENAI_MEAN,
    OPENAI_STD,
    Table,
    image_table,
    read_preprocessing,
)
from adapters.exports.spec import Size, Weights
from adapters.exports.towers import Signal, Tokens, projected_tower

LOGIT_SCALE_LIMIT = 100.0
"""Training clamped it there (CLIP paper, section 2.5)."""
TINY_VOCABULARY = 320
TINY_DIMENSION = 64
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
IMAGE: Table = {
    "size": 224,
    "resize": "crop",
    "interpolation": "bicubic",
    "mean": OPENAI_MEAN,
    "std": OPENAI_STD,
}


def open_clip(weights: Weights) -> Blueprint:
    """CLIP of published or random weights.

    Raises:
        ConfigurationError: The checkpoint is not CLIP's.
    """
    directory = weights.directories[0] if weights.directories else None
    model = (
        load_published(CLIPModel, directory)
        if directory
        else build_random(lambda: CLIPModel(random_config(weights.size)), weights.seed)
    )
    config = model.config
    image = image_table(read_preprocessing(directory) if directory else {}, IMAGE)
    edge = config.vision_config.image_size
    text = text_tokens(config.text_config)
    return Blueprint(
        family="clip",
        dimension=config.projection_dim,
        towers=(
            projected_tower(
                role="image_tower",
                file="vision_model.onnx",
                body=model.vision_model,
                head=model.visual_projection,
                inputs=Signal(name="pixel_values", shape=(3, edge, edge)),
                output="image_embeds",
            ),
            projected_tower(
                role="text_tower",
                file="text_model.onnx",
                body=model.text_model,
                head=model.text_projection,
                inputs=text,
                output="text_embeds",
            ),
        ),
        tables={
            "image": {**image, "size": edge},
            "text": text_table(text),
            "calibration": {"kind": "softmax", "logit_scale": logit_scale(model.logit_scale)},
        },
        tokenizer_source=directory,
        specials=vocabularies.CLIP,
        vocabulary_size=config.text_config.vocab_size,
        configs={"config.json": config.to_dict()},
    )


def random_config(size: Size) -> CLIPConfig:
    """ViT-B/32 as OpenAI built it, or a tiny one."""
    vocabulary = 49_408 if size is Size.FULL else TINY_VOCABULARY
    shared = {} if size is Size.FULL else TINY
    ends = {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1}
    return CLIPConfig(
        text_config={**shared, **ends, "vocab_size": vocabulary, "pad_token_id": vocabulary - 1},
        vision_config=shared,
        projection_dim=512 if size is Size.FULL else TINY_DIMENSION,
    )


def text_tokens(config: CLIPConfig, *, is_fixed: bool = False) -> Tokens:
    """What CLIP's tokenizer gives: the last two ids begin and end every text.

    Configurations of old give 2 as the end token (transformers #24773); the graph then takes the
    highest id, which is the right one.
    """
    end_id = config.vocab_size - 1
    return Tokens(
        context_length=config.max_position_embeddings,
        words=vocabularies.words_of(vocabularies.CLIP, config.vocab_size),
        start_id=end_id - 1,
        end_id=end_id,
        pad_id=end_id,
        has_mask=True,
        is_fixed=is_fixed,
    )


def text_table(tokens: Tokens, *, lower_case: bool = False, canonicalize: bool = False) -> Table:
    """``[text]`` of ``model.toml``."""
    return {
        "context_length": tokens.context_length,
        "pad_id": tokens.pad_id,
        "end_id": tokens.end_id,
        "pads_to_context": tokens.is_fixed,
        "lower_case": lower_case,
        "canonicalize": canonicalize,
    }


def logit_scale(parameter: nn.Parameter) -> float:
    """What cosines were multiplied by at the end of training: weights keep its logarithm."""
    return min(float(torch.exp(parameter.detach()).item()), LOGIT_SCALE_LIMIT)
