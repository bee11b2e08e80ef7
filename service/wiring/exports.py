"""What ``moodreel models export`` and ``moodreel models train-clipclap`` do.

PyTorch comes with an extra alone: what needs it is imported when a command does, after a look
whether it is there.
"""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from adapters.exports.bridges import Bridge, BridgeKind, bridge_sounds, bridge_texts
from adapters.exports.extra import require_extra
from adapters.exports.pairs import read_captions, read_pairs
from adapters.exports.sources import published_weights, random_weights
from adapters.exports.spec import Exported, Family, Progress, Size
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from adapters.models.clap import ClapEncoder
from adapters.models.clip import ClipEncoder
from adapters.models.inventory import find, open_hub, session_options
from adapters.models.settings import ModelSettings
from adapters.models.spec import Model, Role, SoundTextSpec, VisualSpec
from service.domain import Float32, LocalFile
from service.errors import ConfigurationError, MissingModelError

if TYPE_CHECKING:
    from adapters.exports.clipclap import Parts
    from adapters.exports.unified import Projection

__all__ = [
    "BridgeKind",
    "Data",
    "Exported",
    "Family",
    "Made",
    "Size",
    "export_clipclap",
    "export_family",
    "export_random_clipclap",
    "target_of",
    "train_clipclap",
]

T = TypeVar("T")

MAX_SOUND_S = 120.0
"""What is heard of a file at most: a caption tells little of what comes later."""
WINDOW_S = 10.0
DEFAULT_EPOCHS = 20
"""Termite's, for five thousand pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What a projection is trained on: a table of sounds and captions, or captions alone."""

    kind: BridgeKind
    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A directory that was made, and how its projection was trained."""

    exported: Exported
    training: dict[str, Any]
    """As ``projection_training_metadata.json``; empty where nothing was trained."""


def target_of(family: Family, wanted: Path | None) -> Path:
    """The directory to make: as wanted, else below the models' directory, where it has a name."""
    return wanted or ModelSettings.read().models_dir / f"{family.value}-export"


async def export_family(
    family: Family,
    target: Path,
    *,
    sources: Sequence[str] = (),
    random: Size | None = None,
    seed: int = 0,
    in_8_bit: bool = False,
    replace: bool = False,
    progress: Progress,
) -> Exported:
    """Make a directory from published or random weights.

    Args:
        family: Anything but clipclap.
        target: The directory to make.
        sources: Repositories or directories; the usual ones when empty.
        random: The size of an architecture with random weights; None for published ones.
        seed: Of random weights.
        in_8_bit: Whether products are computed in 8 bit.
        replace: Whether a directory that is there gives way.
        progress: Is told of each step.

    Raises:
        ConfigurationError: The extra is not installed, or the weights are not the family's.
        MissingModelError: A repository cannot be reached.
        ExportError: The graphs do not compute what PyTorch computes.
    """
    require_extra()
    from adapters.exports.export import export  # noqa: PLC0415  comes with the extra

    def make() -> Exported:
        if random is None:
            progress("looking for the weights", 0, 1)
            offline = ModelSettings.read().offline
            weights = published_weights(family, sources, offline=offline)
        else:
            weights = random_weights(random, seed)
        return export(
            family, weights, target, in_8_bit=in_8_bit, replace=replace, progress=progress
        )

    return _at_once(make)


async def export_clipclap(
    clip: str,
    clap: str,
    projection: Path,
    target: Path,
    *,
    replace: bool = False,
    progress: Progress,
) -> Exported:
    """Put a CLIP, a CLAP and a projection that was trained before into one directory.

    Raises:
        ConfigurationError: The extra is not installed, or the models are of other kinds.
        MissingModelError: A model's files are not to be had.
        ExportError: The parts do not fit together.
    """
    require_extra()
    from adapters.exports.unified import finished_projection  # noqa: PLC0415  comes with the extra

    return _at_once(
        lambda: _unify(
            clip, clap, finished_projection(projection), target, replace=replace, progress=progress
        )
    )


async def export_random_clipclap(
    size: Size, target: Path, *, seed: int = 0, replace: bool = False, progress: Progress
) -> Exported:
    """The same with random weights for all three. Raises as ``export_family`` does."""
    with tempfile.TemporaryDirectory(prefix="moodreel-") as place:
        clip, clap = (Path(place) / family.value for family in (Family.CLIP, Family.CLAP))
        for family, directory in ((Family.CLIP, clip), (Family.CLAP, clap)):
            await export_family(family, directory, random=size, seed=seed, progress=progress)
        from adapters.exports.unified import random_projection  # noqa: PLC0415  likewise

        dimension = _find(str(clip), VisualSpec)[0].spec.dimension
        projection = random_projection(dimension, seed)
        return _at_once(
            lambda: _unify(
                str(clip), str(clap), projection, target, replace=replace, progress=progress
            )
        )


async def train_clipclap(
    clip: str,
    clap: str,
    data: Data,
    target: Path,
    *,
    epochs: int = DEFAULT_EPOCHS,
    seed: int = 0,
    replace: bool = False,
    progress: Progress,
) -> Made:
    """Train a projection, and put the three into one directory.

    Raises:
        ConfigurationError: The extra is not installed, the data are wrong or too few, or the
            models are of other kinds.
        MissingModelError: A model's files are not to be had.
        UnreadableMediaError: A sound cannot be decoded.
        ExportError: The parts do not fit together.
    """
    require_extra()
    from adapters.exports.projection import Recipe  # noqa: PLC0415  comes with the extra
    from adapters.exports.unified import trained_projection  # noqa: PLC0415  likewise

    bridge = await _build_bridge(clip, clap, data, progress)
    seeing, hearing = _parts(clip, VisualSpec), _parts(clap, SoundTextSpec)

    def make() -> Made:
        projection, trained = trained_projection(
            bridge, seeing, hearing, recipe=Recipe(epochs=epochs, seed=seed), progress=progress
        )
        exported = _unify(clip, clap, projection, target, replace=replace, progress=progress)
        return Made(exported=exported, training={**projection.metadata, **trained.as_json()})

    return _at_once(make)


def _at_once(make: Callable[[], T]) -> T:
    """Do minutes of work on this thread, as the command's only one: Ctrl-C ends it there and then.

    On a thread of its own it would go on to the end; and the loop's way of being interrupted is to
    wait for the next ``await``, which there is none of.
    """
    if threading.current_thread() is not threading.main_thread():
        return make()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return make()
    finally:
        signal.signal(signal.SIGINT, before)


def _unify(
    clip: str,
    clap: str,
    projection: Projection,
    target: Path,
    *,
    replace: bool,
    progress: Progress,
) -> Exported:
    from adapters.exports.unified import unify  # noqa: PLC0415  likewise

    return unify(
        _parts(clip, VisualSpec),
        _parts(clap, SoundTextSpec),
        projection,
        target,
        replace=replace,
        progress=progress,
    )


async def _build_bridge(clip: str, clap: str, data: Data, progress: Progress) -> Bridge:
    seeing, hearing = _open_clip(clip), _open_clap(clap)
    try:
        if data.kind is BridgeKind.TEXT:
            return await bridge_texts(read_captions(data.file), seeing, hearing, progress)
        read = partial(_read_sound, ProcessReader(ReaderSettings.read()))
        return await bridge_sounds(read_pairs(data.file), seeing, hearing, read, progress)
    finally:
        seeing.close()
        hearing.close()


async def _read_sound(reader: ProcessReader, path: Path, sample_rate_hz: int) -> Float32:
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


def _open_clip(name: str) -> ClipEncoder:
    model, paths = _find(name, VisualSpec)
    return ClipEncoder(model.name, model.spec, paths, session_options(ModelSettings.read()))


def _open_clap(name: str) -> ClapEncoder:
    model, paths = _find(name, SoundTextSpec)
    return ClapEncoder(model.name, model.spec, paths, session_options(ModelSettings.read()))


def _find(name: str, kind: type[VisualSpec | SoundTextSpec]) -> tuple[Any, dict[Role, Path]]:
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


def _parts(name: str, kind: type[VisualSpec | SoundTextSpec]) -> Parts:
    from adapters.exports.clipclap import Parts  # noqa: PLC0415  comes with the extra

    model, paths = _find(name, kind)
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
