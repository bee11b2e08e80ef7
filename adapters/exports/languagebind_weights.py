"""LanguageBind's published checkpoints: their configuration, names, and low-rank updates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.modeling_utils import load_state_dict

from adapters.exports.checkpoints import check_keys
from adapters.exports.description import read_json
from service.errors import ConfigurationError

ARCHITECTURE = {
    "attention_dropout",
    "bos_token_id",
    "eos_token_id",
    "hidden_act",
    "hidden_size",
    "image_size",
    "intermediate_size",
    "layer_norm_eps",
    "max_position_embeddings",
    "num_attention_heads",
    "num_channels",
    "num_hidden_layers",
    "patch_size",
    "vocab_size",
}
PEFT = "vision_model.encoder.base_model.model."
"""How peft names what it wraps: the encoder."""
LOW_RANK = re.compile(r"^(?P<layer>.+)\.lora_(?P<side>[AB])(\.default)?\.weight$")
ALIKE = 1e-3
"""Relative, of weights that training left alone: half precision may have rounded them."""

State = dict[str, Any]
"""Tensors by name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """One modality's repository."""

    name: str
    vision: Mapping[str, Any]
    text: Mapping[str, Any]
    dimension: int
    state: State

    def architecture(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """What transformers' configurations of CLIP know of; the rest is LanguageBind's own."""
        return {key: value for key, value in told.items() if key in ARCHITECTURE}


def read_checkpoint(directory: Path) -> Checkpoint:
    """Read ``config.json`` and the weights beside it, in full precision.

    Raises:
        ConfigurationError: They are not there, or not LanguageBind's.
    """
    config = read_json(directory / "config.json")
    if not config.get("vision_config") or not config.get("text_config"):
        raise ConfigurationError(f"{directory.name} has no config.json of a LanguageBind model")
    return Checkpoint(
        name=directory.name,
        vision=config["vision_config"],
        text=config["text_config"],
        dimension=int(config["projection_dim"]),
        state={name: value.float() for name, value in _read_state(directory).items()},
    )


def _read_state(directory: Path) -> State:
    files = (directory / "model.safetensors", directory / "pytorch_model.bin")
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ConfigurationError(
            f"{directory.name} has no weights: neither {' nor '.join(file.name for file in files)}"
        )
    try:
        return dict(load_state_dict(file, weights_only=True))
    except Exception as error:  # pickle's and safetensors' have no common base
        raise ConfigurationError(f"{directory.name}/{file.name} cannot be read: {error}") from error


def fill(module: Any, checkpoint: Checkpoint) -> None:  # noqa: ANN401  a torch module
    """Load a checkpoint into a module.

    Raises:
        ConfigurationError: Names or shapes differ; the message lists them.
    """
    state = translate(checkpoint.state, checkpoint.vision)
    wanted = module.state_dict()
    check_keys(checkpoint.name, wanted.keys() - state.keys(), state.keys() - wanted.keys())
    wrong = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    if wrong:
        raise ConfigurationError(f"the checkpoint {checkpoint.name} has {', '.join(wrong[:12])}")
    module.load_state_dict(state, strict=False)


def translate(state: Mapping[str, Any], vision: Mapping[str, Any]) -> State:
    """Published names to the module's; low-rank updates are added to what they update.

    Args:
        state: A checkpoint's tensors.
        vision: The configuration of its vision tower: ``lora_alpha`` and ``lora_r``.
    """
    plain: State = {}
    low_rank: dict[str, State] = {}
    for name, value in state.items():
        if name.endswith("position_ids"):
            continue
        key = name.replace(PEFT, "vision_model.encoder.")
        found = LOW_RANK.match(key)
        if found:
            low_rank.setdefault(found["layer"], {})[found["side"]] = value
        else:
            plain[key.replace(".base_layer.", ".")] = value
    for layer, sides in low_rank.items():
        scale = float(vision["lora_alpha"]) / float(vision["lora_r"])
        plain[f"{layer}.weight"] = plain[f"{layer}.weight"] + scale * sides["B"] @ sides["A"]
    return plain


def same_texts(one: Any, other: Any) -> None:  # noqa: ANN401  torch modules
    """See that two checkpoints share their text tower: it is what makes one space of two.

    Raises:
        ConfigurationError: They do not; the message names a weight.
    """
    others = other.state_dict()
    for name, value in one.state_dict().items():
        if value.shape != others[name].shape or not torch.allclose(
            value, others[name], rtol=ALIKE, atol=1e-5
        ):
            raise ConfigurationError(
                f"the two checkpoints were trained against different text towers ({name} differs): "
                "their pictures and sounds share no space"
            )
