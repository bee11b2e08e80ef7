"""From weights to a model directory that is proven against them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from transformers.utils import logging as transformers_logging

from adapters.exports import siglip
from adapters.exports.blueprint import Blueprint
from adapters.exports.checkpoints import save_tokenizer
from adapters.exports.clap import open_clap
from adapters.exports.clip import open_clip
from adapters.exports.description import write_description
from adapters.exports.directory import size_of, whole_directory
from adapters.exports.graph import OPSET, compare, least_cosine, write_graph
from adapters.exports.languagebind import open_languagebind
from adapters.exports.quantize import quantize
from adapters.exports.spec import Exported, Family, ParityRow, Progress, Weights
from adapters.exports.towers import Tower

PARITY = "parity.json"
TOKENIZER = "tokenizer.json"
OPENERS: dict[Family, Callable[[Weights], Blueprint]] = {
    Family.CLIP: open_clip,
    Family.SIGLIP: partial(siglip.open_siglip, generation=siglip.FIRST),
    Family.SIGLIP2: partial(siglip.open_siglip, generation=siglip.SECOND),
    Family.CLAP: open_clap,
    Family.LANGUAGEBIND: open_languagebind,
}


def export(
    family: Family,
    weights: Weights,
    target: Path,
    *,
    in_8_bit: bool = False,
    replace: bool = False,
    progress: Progress,
) -> Exported:
    """Write a family's graphs, tokenizer and description, and hold them against PyTorch.

    Args:
        family: What the weights are.
        weights: Where they come from.
        target: The directory to make; it appears when all is well, and never in part.
        in_8_bit: Whether the graphs' products are computed in 8 bit. They are compared in full
            precision before.
        replace: Whether a directory that is there already gives way.
        progress: Is told of each step.

    Raises:
        ConfigurationError: The weights are not the family's, or the target is there already.
        ExportError: A graph does not compute what PyTorch computes.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with whole_directory(target, replace=replace) as draft:
        progress("reading the weights", 0, 1)
        blueprint = OPENERS[family](weights)
        steps = _Steps(progress, 2 * len(blueprint.towers))
        parity = [row for tower in blueprint.towers for row in _write_tower(tower, draft, steps)]
        cosines = [_shrink(tower, draft) for tower in blueprint.towers] if in_8_bit else []
        _write_texts(blueprint, draft, target.name)
        exported = Exported(
            directory=target,
            family=blueprint.family,
            weights=weights.name,
            parity=parity,
            size_bytes=size_of(draft),
            is_quantized=in_8_bit,
            least_cosine=min(cosines, default=None),
        )
        write_report(draft, exported, seed=weights.seed)
    return exported


class _Steps:
    """Counts what is done.

    Args:
        progress: Is told.
        total: How many steps there are.
    """

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def begin(self, what: str) -> None:
        self._progress(what, self._done, self._total)
        self._done += 1


def _write_tower(tower: Tower, draft: Path, steps: _Steps) -> Sequence[ParityRow]:
    steps.begin(f"writing {tower.file}")
    write_graph(tower, draft / tower.file)
    steps.begin(f"comparing {tower.file}")
    return compare(tower, draft / tower.file)


def _shrink(tower: Tower, draft: Path) -> float:
    quantize(draft / tower.file)
    return least_cosine(tower, draft / tower.file)


def _write_texts(blueprint: Blueprint, draft: Path, name: str) -> None:
    save_tokenizer(
        blueprint.tokenizer_source,
        draft / TOKENIZER,
        blueprint.specials,
        blueprint.vocabulary_size,
    )
    for file, config in blueprint.configs.items():
        text = json.dumps(config, indent=1, default=str)
        (draft / file).write_text(text + "\n", encoding="utf-8")
    write_description(
        draft,
        {"name": name, "family": blueprint.family, "dimension": blueprint.dimension},
        blueprint.tables,
        {tower.role: tower.file for tower in blueprint.towers} | {"tokenizer": TOKENIZER},
    )


def write_report(directory: Path, exported: Exported, *, seed: int) -> None:
    """Write ``parity.json``: what was compared, how far apart it was, and with what."""
    made_with = {name: version(name) for name in ("torch", "transformers", "onnxruntime")}
    report = {**exported.as_json(), "seed": seed, "opset": OPSET, "made_with": made_with}
    (directory / PARITY).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
