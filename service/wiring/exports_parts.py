"""Finished models and sounds, as what makes new models of them wants them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.media.reader import ProcessReader
from adapters.models.clap import ClapEncoder
from adapters.models.clip import ClipEncoder
from adapters.models.inventory import find, open_hub, session_options
from adapters.models.settings import ModelSettings
from adapters.models.spec import Model, Role, SoundTextSpec, VisualSpec
from service.domain import Float32, LocalFile
from service.errors import ConfigurationError, MissingModelError

if TYPE_CHECKING:
    from adapters.exports.clipclap import Parts

MAX_SOUND_S = 120.0
"""What is heard of a file at most: a caption tells little of what comes later."""
WINDOW_S = 10.0


async def read_sound(reader: ProcessReader, path: Path, sample_rate_hz: int) -> Float32:
    """The first two minutes of a file's sound."""
    parts: list[Float32] = []
    async with reader.open(LocalFile(path=path)) as media:
        async for window in media.read_audio(
            sample_rate_hz=sample_rate_hz, window_s=WINDOW_S, hop_s=WINDOW_S
        ):
            parts.append(window.samples)
            if window.start_s + WINDOW_S >= MAX_SOUND_S:
                break
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


def open_clip(name: str) -> ClipEncoder:
    """A picture-and-text model of the runtime. Raises as ``find_files`` does."""
    model, paths = find_files(name, VisualSpec)
    return ClipEncoder(model.name, model.spec, paths, session_options(ModelSettings.read()))


def open_clap(name: str) -> ClapEncoder:
    """A sound-and-text model of the runtime. Raises as ``find_files`` does."""
    model, paths = find_files(name, SoundTextSpec)
    return ClapEncoder(model.name, model.spec, paths, session_options(ModelSettings.read()))


def find_files(name: str, kind: type[VisualSpec | SoundTextSpec]) -> tuple[Any, dict[Role, Path]]:
    """A model of the runtime and its files, fetched where they are not here.

    Raises:
        ConfigurationError: It is of another kind.
        MissingModelError: Its files are not to be had.
    """
    settings = ModelSettings.read()
    model: Model = find(settings, name)
    if not isinstance(model.spec, kind):
        wanted = "picture-and-text" if kind is VisualSpec else "sound-and-text"
        raise ConfigurationError(f"{name} is a {model.kind} model; wanted is a {wanted} one")
    hub = open_hub(settings)
    try:
        return model, hub.paths(model)
    except MissingModelError:
        if not settings.download:
            raise
    hub.fetch(model)
    return model, hub.paths(model)


def parts_of(name: str, kind: type[VisualSpec | SoundTextSpec]) -> Parts:
    """The files of a model, and what its description says. Raises as ``find_files`` does."""
    from adapters.exports.clipclap import Parts  # noqa: PLC0415  comes with the extra

    model, paths = find_files(name, kind)
    spec = model.spec
    tables: dict[str, dict[str, Any]] = {}
    if isinstance(spec, VisualSpec):
        tables = {
            part: _told(asdict(getattr(spec, part))) for part in ("image", "text", "calibration")
        }
    tower = paths[Role.IMAGE_TOWER if kind is VisualSpec else Role.AUDIO_TOWER]
    return Parts(
        name=model.name,
        paths={role.value: path for role, path in paths.items()},
        tables=tables,
        directory=model.directory or tower.parent,
    )


def _told(table: dict[str, Any]) -> dict[str, Any]:
    """What TOML can say: it has no word for nothing."""
    return {key: value for key, value in table.items() if value not in (None, ())}
