"""What ``moodreel models export`` and ``moodreel models train-clipclap`` do.

PyTorch comes with an extra alone: what needs it is imported when a command does, after a look
whether it is there.
"""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from adapters.exports.bridges import Bridge, BridgeKind, bridge_sounds, bridge_texts
from adapters.exports.extra import require_extra
from adapters.exports.pairs import read_captions, read_pairs
from adapters.exports.sources import published_weights, random_weights
from adapters.exports.spec import Exported, Family, Progress, Size
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from adapters.models.settings import ModelSettings
from adapters.models.spec import SoundTextSpec, VisualSpec
from service.wiring.exports_parts import find_files, open_clap, open_clip, parts_of, read_sound

if TYPE_CHECKING:
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

        dimension = find_files(str(clip), VisualSpec)[0].spec.dimension
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
    seeing, hearing = parts_of(clip, VisualSpec), parts_of(clap, SoundTextSpec)

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
        parts_of(clip, VisualSpec),
        parts_of(clap, SoundTextSpec),
        projection,
        target,
        replace=replace,
        progress=progress,
    )


async def _build_bridge(clip: str, clap: str, data: Data, progress: Progress) -> Bridge:
    seeing, hearing = open_clip(clip), open_clap(clap)
    try:
        if data.kind is BridgeKind.TEXT:
            return await bridge_texts(read_captions(data.file), seeing, hearing, progress)
        read = partial(read_sound, ProcessReader(ReaderSettings.read()))
        return await bridge_sounds(read_pairs(data.file), seeing, hearing, read, progress)
    finally:
        seeing.close()
        hearing.close()
