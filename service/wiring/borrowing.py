"""A picture-and-text model on another machine: for searches, and for analyses."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from adapters.models import calibrations
from adapters.models.borrowed import BorrowedShelf
from adapters.models.families import CLIP
from adapters.models.fingerprints import fingerprint
from adapters.models.inventory import find, locate_model
from adapters.models.remote import REST_S, RemoteEncoder, Space
from adapters.models.remote_settings import RemoteSettings
from adapters.models.settings import OFF, ModelSettings
from adapters.models.shelf import Shelf
from adapters.models.spec import JointFamily, JointSpec, Spec, VisualSpec
from service.errors import ConfigurationError, MissingModelError
from service.settings import SearchSettings

BATCH_TIMEOUT_S = 60.0
"""For a batch of an analysis, unless CLIP_TIMEOUT says otherwise: nobody waits for it, and the
server itself gives its model as long."""


def open_remote_encoder(stack: AsyncExitStack, models: ModelSettings) -> RemoteEncoder | None:
    """The configured model, on another machine; None where no address is set. Connects to nothing.

    Raises:
        ConfigurationError: Its address, or its secret, cannot be one.
    """
    settings = RemoteSettings.read()
    if not settings.serves_queries or models.visual_model == OFF:
        return None
    return _open(stack, settings, models, SearchSettings.read().text_timeout_s)


def open_analysis_shelf(
    stack: AsyncExitStack, shelf: Shelf, models: ModelSettings
) -> Shelf | BorrowedShelf:
    """What analyses are made with: this machine's models, or pictures by another machine's.

    Raises:
        ConfigurationError: Its address, or its secret, cannot be one; or the model sees movement.
    """
    settings = RemoteSettings.read()
    if not settings.serves_analysis or models.visual_model == OFF:
        return shelf
    if "timeout_s" not in settings.model_fields_set:
        settings = settings.model_copy(update={"timeout_s": BATCH_TIMEOUT_S})
    _refuse_movement(models)
    remote = _open(stack, settings, models, settings.timeout_s, rest_s=0.0)
    borrowed = BorrowedShelf(shelf, models, remote)
    stack.push_async_callback(borrowed.aclose)
    return borrowed


def open_borrowed(stack: AsyncExitStack, models: ModelSettings) -> RemoteEncoder | None:
    """The model on the other machine whatever it is asked for, to see how it is; else None."""
    settings = RemoteSettings.read()
    if not settings.address or models.visual_model == OFF:
        return None
    return _open(stack, settings, models, settings.timeout_s)


def _open(
    stack: AsyncExitStack,
    settings: RemoteSettings,
    models: ModelSettings,
    text_timeout_s: float,
    rest_s: float = REST_S,
) -> RemoteEncoder:
    encoder = RemoteEncoder(
        settings, describe_space(models), text_timeout_s=text_timeout_s, rest_s=rest_s
    )
    stack.push_async_callback(asyncio.to_thread, encoder.close)
    return encoder


def _refuse_movement(models: ModelSettings) -> None:
    try:
        spec = find(models, models.visual_model).spec
    except MissingModelError:
        return
    if isinstance(spec, JointSpec) and spec.family is JointFamily.LANGUAGEBIND:
        raise ConfigurationError(
            f"CLIP_REMOTE_FOR: {models.visual_model} looks at short clips, and an encoder on "
            "another machine is shown single pictures; set it to queries"
        )


def describe_space(models: ModelSettings) -> Space:
    """What the configured picture model's vectors are. Its files need not be here: of a directory
    that only the other machine has, the name counts.

    Raises:
        ConfigurationError: It is no picture-and-text model.
    """
    version = fingerprint(locate_model(models, models.visual_model))
    kept = calibrations.load(models.models_dir, version)
    try:
        model = find(models, models.visual_model)
    except MissingModelError:
        scale = _visual(calibrations.apply(CLIP, kept)) or CLIP
        return Space(
            model=Path(models.visual_model).name,
            dimension=None,
            calibration=scale.calibration,
            is_described=False,
        )
    visual = _visual(calibrations.apply(model.spec, kept))
    if visual is None:
        raise ConfigurationError(f"MOODREEL_VISUAL_MODEL: {model.name} is a {model.kind}")
    return Space(
        model=model.name,
        dimension=visual.dimension,
        calibration=visual.calibration,
        version=version,
    )


def _visual(spec: Spec) -> VisualSpec | None:
    visual = spec.visual if isinstance(spec, JointSpec) else spec
    return visual if isinstance(visual, VisualSpec) else None
