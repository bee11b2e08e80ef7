"""What was measured of a model on this machine's media, kept beside the models."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from adapters.models.spec import JointSpec, SoundSpec, SoundTextSpec, Spec, VisualSpec
from service.domain import Calibration

logger = logging.getLogger(__name__)

FOLDER = "calibrations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Of one model, on pictures or on sounds."""

    centre: tuple[float, ...]
    flat_range: float
    item_count: int
    moment_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrations:
    """Of one model."""

    pictures: Measured | None = None
    sounds: Measured | None = None


def load(directory: Path, fingerprint: str) -> Calibrations:
    """What was measured of a model, if anything.

    Args:
        directory: Where the models are kept.
        fingerprint: The model's name and version: another version is another space.
    """
    path = _path(directory, fingerprint)
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Calibrations(**{kind: _read(told.get(kind)) for kind in ("pictures", "sounds")})
    except FileNotFoundError:
        return Calibrations()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        logger.warning(
            "A calibration cannot be read and is left out",
            extra={"action": "calibration_lost", "file": str(path), "reason": str(error)},
        )
        return Calibrations()


def save(directory: Path, fingerprint: str, found: Calibrations) -> Path:
    """Keep what was measured; what was not measured this time stays as it was.

    Raises:
        OSError: The directory cannot be written to.
    """
    before = load(directory, fingerprint)
    merged = Calibrations(
        pictures=found.pictures or before.pictures, sounds=found.sounds or before.sounds
    )
    path = _path(directory, fingerprint)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(json.dumps({"model": fingerprint, **asdict(merged)}), encoding="utf-8")
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink()
    return path


def mark(directory: Path, fingerprint: str) -> str:
    """What a calibration adds to a model's fingerprint; empty where there is none."""
    try:
        content = _path(directory, fingerprint).read_bytes()
    except OSError:
        return ""
    return f"~{hashlib.sha256(content).hexdigest()[:8]}"


def apply(spec: Spec, found: Calibrations) -> Spec:
    """The description of a model with what was measured in its calibration."""
    match spec:
        case VisualSpec():
            return replace(spec, calibration=_with(spec.calibration, found.pictures))
        case SoundTextSpec():
            return replace(spec, calibration=_with(spec.calibration, found.sounds))
        case JointSpec():
            pictures = _with(spec.visual.calibration, found.pictures)
            return replace(
                spec,
                visual=replace(spec.visual, calibration=pictures),
                sound_calibration=_with(spec.sound_calibration, found.sounds),
            )
        case SoundSpec():
            return spec


def _with(calibration: Calibration, measured: Measured | None) -> Calibration:
    if measured is None:
        return calibration
    return replace(calibration, centre=measured.centre, flat_range=measured.flat_range)


def _read(told: Mapping[str, Any] | None) -> Measured | None:
    if told is None:
        return None
    centre = tuple(float(part) for part in told["centre"])
    flat_range = float(told["flat_range"])
    if not centre or not all(map(math.isfinite, (*centre, flat_range))):
        raise ValueError("its numbers are not numbers")
    return Measured(
        centre=centre,
        flat_range=flat_range,
        item_count=int(told["item_count"]),
        moment_count=int(told["moment_count"]),
    )


def _path(directory: Path, fingerprint: str) -> Path:
    return directory / FOLDER / (re.sub(r"[^\w.-]", "-", fingerprint) + ".json")
