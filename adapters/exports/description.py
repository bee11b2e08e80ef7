"""Writes ``model.toml``: everything that the runtime must know of a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DESCRIPTION = "model.toml"

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's own (its reference implementation); LanguageBind keeps them."""

PILLOW_BILINEAR = 2
"""``resample`` in ``preprocessor_config.json``; 3 is bicubic."""

Value = str | float | int | bool | tuple[float, ...]
Table = Mapping[str, Value]


def write_description(
    directory: Path, top: Table, tables: Mapping[str, Table], files: Mapping[str, str]
) -> None:
    """Write ``model.toml`` with the checksums of the files.

    Args:
        directory: Holds the files.
        top: Name, family, licence, dimension.
        tables: ``image``, ``text``, ``calibration``, ... as the runtime reads them.
        files: Paths inside the directory by role.
    """
    sums = {role: sha256_of(directory / path) for role, path in files.items()}
    text = to_toml(top, {**tables, "files": files, "sha256": sums})
    (directory / DESCRIPTION).write_text(text, encoding="utf-8")


def to_toml(top: Table, tables: Mapping[str, Table]) -> str:
    """Flat tables as TOML."""
    lines = [f"{key} = {_literal(value)}" for key, value in top.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_literal(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _literal(value: Value) -> str:
    """JSON's scalars and arrays of numbers are TOML's."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def sha256_of(path: Path) -> str:
    """In lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def image_table(config: Mapping[str, Any], default: Table) -> Table:
    """What a ``preprocessor_config.json`` says of pictures, over the family's values."""
    size = config.get("crop_size") or config.get("size") or {}
    edge = size if isinstance(size, int) else size.get("height") or size.get("shortest_edge")
    table = dict(default)
    if edge:
        table["size"] = int(edge)
    if "do_center_crop" in config:
        table["resize"] = "crop" if config["do_center_crop"] else "squash"
    if "resample" in config:
        bilinear = config["resample"] == PILLOW_BILINEAR
        table["interpolation"] = "bilinear" if bilinear else "bicubic"
    for field, key in (("mean", "image_mean"), ("std", "image_std")):
        if key in config:
            table[field] = tuple(map(float, config[key]))
    return table


def read_preprocessing(directory: Path) -> dict[str, Any]:
    """What a checkpoint says of pictures, in the file of older or newer versions of transformers;
    nothing where it has neither.
    """
    older = read_json(directory / "preprocessor_config.json")
    return older or dict(read_json(directory / "processor_config.json").get("image_processor", {}))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; nothing where the file is not there."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
