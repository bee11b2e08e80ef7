"""CLAP with a fixed ten second input: transformers' ``ClapModel`` as two towers."""

from __future__ import annotations

from typing import Any

import torch
from transformers import ClapConfig, ClapModel

from adapters.exports import vocabularies
from adapters.exports.blueprint import Blueprint
from adapters.exports.checkpoints import build_random, load_published
from adapters.exports.clip import TINY, TINY_DIMENSION, TINY_VOCABULARY, text_table
from adapters.exports.spec import Size, Weights
from adapters.exports.towers import Signal, Tokens, projected_tower
from service.errors import ConfigurationError

MEL_FRAMES = 1001
"""Ten seconds at 48 kHz, a hop of 480 samples, both ends included."""
CONTEXT_LENGTH = 77
"""Training cut texts there (LAION-CLAP's ``get_text_features``); the tower itself takes 512."""
LOUDNESS_DB, LOUDNESS_SPREAD_DB = -40.0, 20.0
"""Of mel bands, roughly: what ESC-10's recordings have in the middle, and around it."""
POSITION_OFFSET = 2
"""RoBERTa counts positions from the padding's id on: two rows of its table are never used."""


def open_clap(weights: Weights) -> Blueprint:
    """CLAP of published or random weights.

    Raises:
        ConfigurationError: The checkpoint is not CLAP's, or one with feature fusion.
    """
    directory = weights.directories[0] if weights.directories else None
    model = (
        load_published(ClapModel, directory)
        if directory
        else build_random(lambda: _random_model(weights.size), weights.seed)
    )
    config = model.config
    if config.audio_config.enable_fusion:
        raise ConfigurationError(
            f"{weights.name} is a CLAP with feature fusion, which wants four spectrograms of a "
            "sound; laion/clap-htsat-unfused and laion/larger_clap_* want one, as we make it"
        )
    text = Tokens(
        context_length=min(
            CONTEXT_LENGTH, config.text_config.max_position_embeddings - POSITION_OFFSET
        ),
        words=vocabularies.words_of(vocabularies.ROBERTA, config.text_config.vocab_size),
        start_id=0,
        end_id=2,
        pad_id=1,
        has_mask=True,
        is_fixed=False,
    )
    shape = (1, MEL_FRAMES, config.audio_config.num_mel_bins)
    return Blueprint(
        family="clap",
        dimension=config.projection_dim,
        towers=(
            projected_tower(
                role="audio_tower",
                file="audio_model.onnx",
                body=model.audio_model,
                head=model.audio_projection,
                inputs=Signal(
                    name="input_features",
                    shape=shape,
                    mean=LOUDNESS_DB,
                    deviation=LOUDNESS_SPREAD_DB,
                ),
                output="audio_embeds",
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
            "text": text_table(text),
            "calibration": {
                "kind": "softmax",
                # Texts compete for a sound: its logits over texts, of the two that are trained.
                "logit_scale": float(torch.exp(model.logit_scale_a.detach()).item()),
            },
        },
        tokenizer_source=directory,
        specials=vocabularies.ROBERTA,
        vocabulary_size=config.text_config.vocab_size,
        configs={"config.json": config.to_dict()},
    )


def _random_model(size: Size) -> Any:  # noqa: ANN401  a torch module
    """With a norm for the decibels that come in: without it, all sounds would look alike."""
    model = ClapModel(_config(size))
    norm = model.audio_model.audio_encoder.batch_norm
    norm.running_mean.fill_(LOUDNESS_DB)
    norm.running_var.fill_(LOUDNESS_SPREAD_DB**2)
    return model


def _config(size: Size) -> ClapConfig:
    """HTSAT-tiny ears and RoBERTa-base, as LAION built it; or a tiny one."""
    if size is Size.FULL:
        return ClapConfig()
    audio = {
        "depths": [2, 2],  # the second block of a stage is the one whose windows are shifted
        "num_attention_heads": [2, 4],
        "patch_embeds_hidden_size": 16,
        "hidden_size": 32,
        "projection_dim": TINY_DIMENSION,
    }
    text = {**TINY, "vocab_size": TINY_VOCABULARY, "projection_dim": TINY_DIMENSION}
    return ClapConfig(text_config=text, audio_config=audio, projection_dim=TINY_DIMENSION)
