"""What ``moodreel models list|pull|verify`` show and do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from adapters.models.catalog import CATALOG, ROWS, find_model
from adapters.models.directory import is_joint, read_directory
from adapters.models.families import CLAP, CLIP, YAMNET
from adapters.models.hub import FileCheck, ModelHub, Progress
from adapters.models.providers import choose_providers
from adapters.models.sessions import SessionOptions
from adapters.models.settings import OFF, ModelSettings
from adapters.models.spec import JointSpec, Model, Spec
from service.errors import ConfigurationError, MissingModelError


class State(StrEnum):
    """How much of a model is on this machine."""

    HERE = "here"
    PARTIAL = "partial"
    NOT_HERE = "not here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One line of ``moodreel models list``."""

    model: Model
    state: State
    is_configured: bool
    """Whether a setting names it."""


def open_hub(settings: ModelSettings) -> ModelHub:
    """The model files of this machine, as the settings say."""
    return ModelHub(settings.models_dir, offline=settings.offline)


def session_options(settings: ModelSettings) -> SessionOptions:
    """What models may use, as the settings say.

    Raises:
        ConfigurationError: A provider is unknown, or this onnxruntime was built without it.
    """
    return SessionOptions(
        providers=choose_providers(settings.providers),
        threads=settings.threads,
        idle_s=settings.idle_s,
        openvino_device=settings.openvino_device,
    )


def locate_model(
    settings: ModelSettings, name: str, *, catalog: Mapping[str, Model] = CATALOG
) -> Model | Path:
    """What a name means: a row of the catalog, or the directory of a model.

    Raises:
        ConfigurationError: It is neither; the message lists the names.
    """
    if name in catalog:
        return catalog[name]
    path = Path(name).expanduser()
    placed = settings.models_dir / name
    if path.is_dir() or path.is_absolute() or len(path.parts) > 1:
        return path.absolute()  # a volume that is not mounted yet is no mistake in the settings
    return placed if placed.is_dir() else find_model(name)


def hears_with_its_eyes(settings: ModelSettings, *, catalog: Mapping[str, Model] = CATALOG) -> bool:
    """Whether the picture model is joint, and is the sound-and-text model for want of another.

    Raises:
        ConfigurationError: The picture model's name is unknown.
    """
    if settings.visual_model == OFF or "sound_text_model" in settings.model_fields_set:
        return False
    located = locate_model(settings, settings.visual_model, catalog=catalog)
    if isinstance(located, Model):
        return isinstance(located.spec, JointSpec)
    return is_joint(located)


def find(settings: ModelSettings, name: str) -> Model:
    """The model of a name or directory.

    Raises:
        ConfigurationError: It is neither, or its ``model.toml`` is wrong.
        MissingModelError: The directory does not exist, or holds no model.
    """
    located = locate_model(settings, name)
    return located if isinstance(located, Model) else read_directory(located)


def name_of(settings: ModelSettings, name: str) -> str:
    """What the vectors of a model are called that a setting names, perhaps by its directory.

    Empty for none. Of a directory that is not there, its own name.
    """
    if name == OFF:
        return ""
    try:
        return find(settings, name).name
    except (MissingModelError, ConfigurationError):
        return Path(name).name


def list_models(settings: ModelSettings) -> Sequence[Listing]:
    """Every row of the catalog, and configured directories, mounted or not.

    Raises:
        ConfigurationError: A configured name is no model's.
    """
    hub = open_hub(settings)
    configured = _configured(settings)
    models = [
        *ROWS,
        *(_find_or_miss(settings, name, configured[name]) for name in sorted(configured)),
    ]
    return [
        Listing(
            model=model,
            state=_state(hub, model),
            is_configured=model.name in configured or model.directory is not None,
        )
        for model in dict.fromkeys(models)
    ]


def pull(
    settings: ModelSettings, name: str, progress: Progress | None = None, *, force: bool = False
) -> Model:
    """Download what a model lacks; what is here and whole stays, unless it is forced.

    Raises:
        ConfigurationError: No model is called so.
        MissingModelError: It is not to be had; the message says why, and another way.
    """
    model = find(settings, name)
    open_hub(settings).fetch(model, progress, force=force)
    return model


def verify(settings: ModelSettings, name: str) -> Sequence[FileCheck]:
    """Read every file of a model and hold it against the published checksums.

    Raises:
        ConfigurationError: No model is called so.
    """
    return open_hub(settings).check(find(settings, name), fresh=True)


def _configured(settings: ModelSettings) -> dict[str, Spec]:
    """The names that settings have, and what is expected under each."""
    named: dict[str, Spec] = {settings.visual_model: CLIP, settings.sound_model: YAMNET}
    if not hears_with_its_eyes(settings):
        named.setdefault(settings.sound_text_model, CLAP)
    return {name: spec for name, spec in named.items() if name != OFF}


def _find_or_miss(settings: ModelSettings, name: str, expected: Spec) -> Model:
    """The model of a name; without files where its directory is not mounted, or holds none."""
    try:
        return find(settings, name)
    except MissingModelError as error:
        path = Path(name)
        return Model(
            name=path.name, summary=str(error), files=(), spec=expected, revision="", directory=path
        )


def _state(hub: ModelHub, model: Model) -> State:
    if not model.files:
        return State.NOT_HERE
    here = [hub.locate(model, file) is not None for file in model.files]
    if all(here):
        return State.HERE
    return State.PARTIAL if any(here) else State.NOT_HERE
