"""Weights: published ones from a directory, or random ones that hide nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoTokenizer, CLIPTokenizer

from adapters.exports import vocabularies
from adapters.exports.vocabularies import Specials, write_tokenizer
from service.errors import ConfigurationError

LISTED_KEYS = 12
NOISE = 0.1
"""On what starts out as all zeros or all ones."""
UNUSED = ("position_ids", "relative_position_index", "token_type_ids")
"""Buffers that older versions of transformers saved, and newer ones compute."""


def load_published(model_class: Any, directory: Path) -> Any:  # noqa: ANN401  transformers' classes
    """A transformers model from a directory, in full precision and evaluation mode.

    Raises:
        ConfigurationError: It cannot be read, or its weights are not exactly the model's.
    """
    try:
        model, info = model_class.from_pretrained(
            directory, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # transformers', pickle's and safetensors' have no common base
        raise ConfigurationError(
            f"{directory.name} cannot be read as a {model_class.__name__}: {error}"
        ) from error
    check_keys(directory.name, info["missing_keys"], info["unexpected_keys"])
    return model.eval()


def check_keys(name: str, missing: Iterable[str], unexpected: Iterable[str]) -> None:
    """See that a checkpoint has the model's weights, all of them and no others.

    Raises:
        ConfigurationError: It has not; the message lists them.
    """
    complaints = [
        f"{kind} {', '.join(keys[:LISTED_KEYS])}"
        + (f" and {len(keys) - LISTED_KEYS} more" if len(keys) > LISTED_KEYS else "")
        for kind, found in (("misses", missing), ("has unknown", unexpected))
        if (keys := sorted(key for key in found if not key.endswith(UNUSED)))
    ]
    if complaints:
        raise ConfigurationError(f"the checkpoint {name} {'; it '.join(complaints)}")


def build_random(build: Any, seed: int) -> Any:  # noqa: ANN401  a callable that makes a module
    """A model of seeded random weights, in evaluation mode.

    Products keep the size of what goes through them, and constants get noise: where training
    starts, layers hardly look at their input, biases are zero and norms one, and a graph that had
    lost any of them would look right.
    """
    torch.manual_seed(seed)
    model = build().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.weight.normal_(std=module.weight[0].numel() ** -0.5)
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            if value.is_floating_point() and _is_constant(value):
                noise = torch.randn_like(value) * NOISE
                value.add_(noise.abs() if name.endswith("running_var") else noise)
    return model


def _is_constant(value: Any) -> bool:  # noqa: ANN401  a tensor
    return bool(value.numel() > 1 and (value == value.flatten()[0]).all())


def save_tokenizer(source: Path | None, path: Path, specials: Specials, size: int) -> None:
    """Copy or convert a checkpoint's tokenizer; without a checkpoint, make a small one.

    Raises:
        ConfigurationError: The checkpoint has none that can be read.
    """
    if source is None:
        write_tokenizer(path, specials, size)
    elif (source / "tokenizer.json").is_file():
        shutil.copyfile(source / "tokenizer.json", path)
    else:  # vocab.json and merges.txt, or spiece.model
        try:
            # Of LanguageBind's configuration transformers knows nothing; its tokenizer is CLIP's.
            kind = CLIPTokenizer if specials is vocabularies.CLIP else AutoTokenizer
            converted = kind.from_pretrained(source, local_files_only=True)
            converted.backend_tokenizer.save(str(path))
        except (OSError, ValueError, KeyError, ImportError, AttributeError) as error:
            raise ConfigurationError(
                f"{source.name} has no tokenizer that can be read: {error}"
            ) from error
