"""From a CLIP, a CLAP and what they are bridged with to a proven clipclap directory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from adapters.exports.bridges import Bridge
from adapters.exports.clipclap import METADATA, Parts, assemble
from adapters.exports.description import read_json, sha256_of
from adapters.exports.directory import size_of, whole_directory
from adapters.exports.export import write_report
from adapters.exports.graph import compare, open_session, write_graph
from adapters.exports.projection import FILE, Recipe, Trained, projection_tower, train
from adapters.exports.spec import Exported, ExportError, ParityRow, Progress
from service.domain import Float32

IDENTITY_NOISE = 0.02
"""Around the identity, for a projection of random weights: enough that it is not the identity."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """What leads from CLAP into CLIP."""

    source: str
    """For reports: where it comes from."""
    weight: Float32 | None = None
    """``(D, D)``; None for a graph that is there already."""
    file: Path | None = None
    centre: tuple[float, ...] = ()
    metadata: Mapping[str, Any]


def trained_projection(
    bridge: Bridge, clip: Parts, clap: Parts, *, recipe: Recipe, progress: Progress
) -> tuple[Projection, Trained]:
    """Train; the metadata are enough to do it again, and hold no path of this machine.

    Raises:
        ConfigurationError: The two spaces do not fit together.
    """
    trained = train(bridge, progress, recipe)
    metadata = {
        "bridge": bridge.kind.value,
        "clip_model": clip.name,
        "clap_model": clap.name,
        "files_sha256": {
            f"{kind}/{role}": sha256_of(path)
            for kind, parts in (("clip", clip), ("clap", clap))
            for role, path in sorted(parts.paths.items())
        },
        "data_sha256": bridge.data_sha256,
        "dimension": len(trained.weight),
        "initialised": "identity",
        "bias": False,
        "loss": "symmetric InfoNCE",
        "optimizer": "Adam",
        "centred": bridge.kind.value == "text",
        **trained.as_json(),
        "made_with": {name: version(name) for name in ("torch", "numpy", "onnxruntime")},
    }
    # Of texts it is not where sounds lie.
    centre = tuple(map(float, trained.centre)) if bridge.kind.value == "audio" else ()
    source = f"trained on a bridge of {bridge.kind.value}"
    return (
        Projection(source=source, weight=trained.weight, centre=centre, metadata=metadata),
        trained,
    )


def random_projection(dimension: int, seed: int) -> Projection:
    """One that was never trained, for machines without data."""
    noise = np.random.default_rng(seed).normal(0, IDENTITY_NOISE, (dimension, dimension))
    weight = (np.eye(dimension) + noise).astype(np.float32)
    source = f"random weights, seed {seed}"
    return Projection(source=source, weight=weight, metadata={"initialised": source})


def finished_projection(file: Path) -> Projection:
    """A graph that was trained before, with what is told beside it.

    Raises:
        ExportError: It is no projection.
    """
    session = open_session(file)
    inputs = [port.name for port in session.get_inputs()]
    outputs = [port.name for port in session.get_outputs()]
    if (inputs, outputs) != (["input"], ["output"]):
        raise ExportError(
            f"{file.name} takes {', '.join(inputs)} and returns {', '.join(outputs)}; a projection "
            "takes input and returns output"
        )
    metadata = {"projection_sha256": sha256_of(file), **read_json(file.with_name(METADATA))}
    return Projection(source=file.name, file=file, metadata=metadata)


def unify(
    clip: Parts,
    clap: Parts,
    projection: Projection,
    target: Path,
    *,
    replace: bool,
    progress: Progress,
) -> Exported:
    """Write the directory, its projection held against PyTorch.

    Raises:
        ConfigurationError: The target is there already, or the models do not fit.
        ExportError: A graph is not what it should be.
    """
    with whole_directory(target, replace=replace) as draft:
        parity = _place_projection(projection, draft / FILE, progress)
        progress("putting the graphs together", 0, 1)
        assemble(
            draft,
            target.name,
            clip,
            clap,
            centre=projection.centre,
            metadata={**projection.metadata, "parity": [row.as_json() for row in parity]},
        )
        exported = Exported(
            directory=target,
            family="clipclap",
            weights=f"{clip.name}, {clap.name}, projection: {projection.source}",
            parity=parity,
            size_bytes=size_of(draft),
        )
        write_report(draft, exported, seed=0)
    return exported


def _place_projection(projection: Projection, path: Path, progress: Progress) -> list[ParityRow]:
    if projection.weight is None:
        assert projection.file is not None  # noqa: S101  one of the two is there
        shutil.copyfile(projection.file, path)
        return []
    tower = projection_tower(projection.weight)
    progress(f"writing {FILE}", 0, 1)
    write_graph(tower, path)
    return list(compare(tower, path))
