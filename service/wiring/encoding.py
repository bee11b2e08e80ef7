"""A picture-and-text model that is on another machine, and ours for other machines."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np

from adapters.models import calibrations
from adapters.models.families import CLIP
from adapters.models.fingerprints import fingerprint
from adapters.models.inventory import find, locate_model
from adapters.models.remote import RemoteEncoder, Space
from adapters.models.remote_settings import RemoteSettings
from adapters.models.settings import OFF, ModelSettings
from adapters.models.spec import JointSpec, VisualSpec
from service.errors import ConfigurationError, MissingModelError
from service.ports import Encoder
from service.settings import SearchSettings
from service.web.encode import EncodeServer
from service.web.encode_settings import EncodeSettings, Identity
from service.wiring.examiner import open_shelf


def open_remote_encoder(stack: AsyncExitStack, models: ModelSettings) -> RemoteEncoder | None:
    """The configured model, on another machine; None where no address is set. Connects to nothing.

    Raises:
        ConfigurationError: Its address, or its secret, cannot be one.
    """
    settings = RemoteSettings.read()
    if not settings.address or models.visual_model == OFF:
        return None
    encoder = RemoteEncoder(
        settings, describe_space(models), text_timeout_s=SearchSettings.read().text_timeout_s
    )
    stack.push_async_callback(asyncio.to_thread, encoder.close)
    return encoder


def describe_space(models: ModelSettings) -> Space:
    """What the configured picture model's vectors are. Its files need not be here: of a directory
    that only the other machine has, the name counts.

    Raises:
        ConfigurationError: It is no picture-and-text model.
    """
    try:
        model = find(models, models.visual_model)
    except MissingModelError:
        name = Path(models.visual_model).name
        return Space(model=name, dimension=None, calibration=CLIP.calibration)
    kept = calibrations.load(
        models.models_dir, fingerprint(locate_model(models, models.visual_model))
    )
    spec = calibrations.apply(model.spec, kept)
    visual = spec.visual if isinstance(spec, JointSpec) else spec
    if not isinstance(visual, VisualSpec):
        raise ConfigurationError(f"MOODREEL_VISUAL_MODEL: {model.name} is a {model.kind}")
    return Space(model=model.name, dimension=visual.dimension, calibration=visual.calibration)


@asynccontextmanager
async def open_encode_server(settings: EncodeSettings) -> AsyncIterator[EncodeServer]:
    """The configured model, for other machines. Its towers are loaded: what is broken says so now.

    Raises:
        ConfigurationError: The secret is missing, or a setting is wrong.
        MissingModelError: The model's files are neither here nor to be had.
    """
    models = ModelSettings.read()
    if "idle_s" not in models.model_fields_set:
        # Who asks waits a second or two: less than it takes to load a model again.
        models = models.model_copy(update={"idle_s": 0.0})
    async with AsyncExitStack() as stack:
        shelf = open_shelf(stack, models)
        encoder = await shelf.open_encoder()
        identity = await asyncio.to_thread(_introduce, encoder, models)
        yield EncodeServer(
            encoder,
            identity,
            secret=RemoteSettings.read().secret.get_secret_value(),
            settings=settings,
        )


def _introduce(encoder: Encoder, models: ModelSettings) -> Identity:
    black = np.zeros((8, 8, 3), dtype=np.uint8)
    new = secrets.token_hex(8)  # no vector of it is kept, so that the tower is needed
    vectors = np.concatenate([encoder.encode_texts([new]), encoder.encode_images([black])])
    return Identity(
        model=encoder.name,
        dimension=vectors.shape[1],
        device=encoder.device,
        pretrained=find(models, models.visual_model).repository,
    )
