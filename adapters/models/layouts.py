"""Which file of a directory is which, and what kind of model they make together."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.models.spec import (
    JointSpec,
    ModelFile,
    Role,
    SoundSpec,
    SoundTextSpec,
    Spec,
    VisualSpec,
)
from service.errors import ConfigurationError, MissingModelError

DESCRIPTION = "model.toml"
TABLES = ("files", "sha256", "image", "text", "calibration", "sound_calibration", "sound")


def _graph(stem: str) -> tuple[str, ...]:
    """Beside the tokenizer or in a folder of their own; the full precision before the 8 bit one."""
    names = (f"{stem}.onnx", f"{stem}_quantized.onnx")
    return (*names, *(f"onnx/{name}" for name in names))


USUAL_PATHS = {
    Role.IMAGE_TOWER: (
        *_graph("vision_model"),
        "visual/model.onnx",
        *_graph("visual_model"),
        *_graph("video_model"),
    ),
    Role.TEXT_TOWER: (*_graph("text_model"), "textual/model.onnx"),
    Role.AUDIO_TOWER: _graph("audio_model"),
    Role.TOKENIZER: ("tokenizer.json", "textual/tokenizer.json"),
    Role.IMAGE_PROJECTION: _graph("visual_projection"),
    Role.TEXT_PROJECTION: _graph("text_projection"),
    Role.AUDIO_PROJECTION: _graph("audio_projection"),
    Role.TAGGER: ("*.onnx",),
    Role.LABELS: ("*.csv",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The files that make a kind of model."""

    kind: type[Spec]
    roles: tuple[Role, ...]
    optional_roles: tuple[Role, ...] = ()


LAYOUTS = (
    Layout(
        kind=JointSpec,
        roles=(Role.IMAGE_TOWER, Role.TEXT_TOWER, Role.TOKENIZER, Role.AUDIO_TOWER),
        optional_roles=(Role.IMAGE_PROJECTION, Role.TEXT_PROJECTION, Role.AUDIO_PROJECTION),
    ),
    Layout(
        kind=VisualSpec,
        roles=(Role.IMAGE_TOWER, Role.TEXT_TOWER, Role.TOKENIZER),
        optional_roles=(Role.IMAGE_PROJECTION, Role.TEXT_PROJECTION),
    ),
    Layout(
        kind=SoundTextSpec,
        roles=(Role.AUDIO_TOWER, Role.TEXT_TOWER, Role.TOKENIZER),
        optional_roles=(Role.TEXT_PROJECTION, Role.AUDIO_PROJECTION),
    ),
    Layout(kind=SoundSpec, roles=(Role.TAGGER, Role.LABELS)),
)
"""In this order: a joint model has all that a picture model and a sound-text model have."""


def read_description(directory: Path) -> dict[str, Any]:
    """What ``model.toml`` says; nothing where there is none.

    Raises:
        ConfigurationError: It is no TOML.
    """
    path = directory / DESCRIPTION
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    for name in TABLES:
        if not isinstance(told.get(name, {}), dict):
            raise ConfigurationError(f"{path}: [{name}] must be a table")
    return told


def find_files(
    directory: Path, told: Mapping[str, Any], kind: type[Spec] | None = None
) -> tuple[type[Spec], tuple[ModelFile, ...]]:
    """The kind of model that lies in a directory, and its files in the order of the layout.

    Args:
        directory: Where to look.
        told: What its ``model.toml`` says.
        kind: Restricts the search to one kind of model.

    Raises:
        MissingModelError: It holds no model.
        ConfigurationError: ``model.toml`` names a role that there is not.
    """
    found = _find_paths(directory, told)
    sums: dict[str, str] = told.get("sha256", {})
    for layout in LAYOUTS:
        if kind in {None, layout.kind} and all(role in found for role in layout.roles):
            return layout.kind, tuple(
                ModelFile(role=role, path=found[role], sha256=sums.get(role))
                for role in (*layout.roles, *layout.optional_roles)
                if role in found
            )
    raise MissingModelError(directory.name, _describe_lack(directory, set(found), kind))


def _find_paths(directory: Path, told: Mapping[str, Any]) -> dict[Role, str]:
    named: dict[str, str] = told.get("files", {})
    unknown = set(named) - set(Role)
    if unknown:
        raise ConfigurationError(
            f"{directory / DESCRIPTION}: [files] names {', '.join(sorted(unknown))}; "
            f"known: {', '.join(Role)}"
        )
    return {
        role: path for role in Role if (path := named.get(role) or _usual_path(directory, role))
    }


def _usual_path(directory: Path, role: Role) -> str | None:
    for pattern in USUAL_PATHS[role]:
        for path in sorted(directory.glob(pattern)):
            return path.relative_to(directory).as_posix()
    return None


def _describe_lack(directory: Path, found: set[Role], kind: type[Spec] | None) -> str:
    lacks = {
        layout.kind: ", ".join(role for role in layout.roles if role not in found)
        for layout in LAYOUTS
    }
    if kind is not None:
        return f"{directory}: its model.toml tells a family that wants {lacks[kind]} as well"
    return (
        f"{directory} holds neither a picture-and-text model (no {lacks[VisualSpec]}) nor a "
        f"sound-and-text model (no {lacks[SoundTextSpec]}) nor a sound tagger (a graph and a csv "
        "of class names)"
    )
