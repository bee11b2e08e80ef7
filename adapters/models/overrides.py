"""What a ``model.toml`` tells of a model has the last word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from adapters.models.spec import (
    Interpolation,
    JointSpec,
    Resize,
    SoundSpec,
    SoundTextSpec,
    Spec,
    VisualSpec,
)
from service.domain import Calibration, ScoreKind
from service.errors import ConfigurationError


def override(spec: Spec, told: Mapping[str, Any], path: Path) -> Spec:
    """Put what a ``model.toml`` tells over what was inferred.

    Raises:
        ConfigurationError: It tells what there is not.
    """
    try:
        # From plain values: they come from TOML, in which anything may stand anywhere.
        return _check(TypeAdapter(type(spec)).validate_python(asdict(_put(spec, told))))
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigurationError(f"{path}: {'; '.join(wrong)}") from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _put(spec: Spec, told: Mapping[str, Any]) -> Spec:
    match spec:
        case SoundSpec():
            return replace(spec, **told.get("sound", {}))
        case SoundTextSpec():
            return replace(
                spec,
                dimension=told.get("dimension", spec.dimension),
                text=replace(spec.text, **told.get("text", {})),
                calibration=_override_calibration(spec.calibration, told, "calibration"),
            )
        case JointSpec():
            return replace(
                spec,
                visual=_override_visual(spec.visual, told),
                sound_calibration=_override_calibration(
                    spec.sound_calibration, told, "sound_calibration"
                ),
            )
        case VisualSpec():
            return _override_visual(spec, told)


def _check(spec: Spec) -> Spec:
    """The spec as it is; raises ValueError where a number leaves nothing to feed a graph with."""
    visual = spec.visual if isinstance(spec, JointSpec) else spec
    if isinstance(visual, VisualSpec) and (visual.image.size < 1 or 0.0 in visual.image.std):
        raise ValueError("[image] size and std must not be 0")
    if isinstance(visual, VisualSpec | SoundTextSpec) and visual.text.context_length < 1:
        raise ValueError("[text] context_length must be 1 at least")
    return spec


def _override_visual(spec: VisualSpec, told: Mapping[str, Any]) -> VisualSpec:
    return replace(
        spec,
        dimension=told.get("dimension", spec.dimension),
        output=told.get("output", spec.output),
        image=replace(spec.image, **_typed(told.get("image", {}))),
        text=replace(spec.text, **told.get("text", {})),
        calibration=_override_calibration(spec.calibration, told, "calibration"),
    )


def _override_calibration(
    calibration: Calibration, told: Mapping[str, Any], table: str
) -> Calibration:
    return replace(calibration, **_typed(told.get(table, {})))


def _typed(table: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"resize": Resize, "interpolation": Interpolation, "kind": ScoreKind}
    return {
        key: kinds[key](value)
        if key in kinds
        else tuple(value)
        if isinstance(value, list)
        else value
        for key, value in table.items()
    }
