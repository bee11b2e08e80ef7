"""Our picture-and-text model, for other machines."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np

from adapters.models.fingerprints import fingerprint
from adapters.models.inventory import find, locate_model
from adapters.models.remote_settings import RemoteSettings
from adapters.models.settings import ModelSettings
from service.ports import Encoder
from service.web.encode import EncodeServer
from service.web.encode_settings import EncodeSettings, Identity
from service.wiring.examiner import open_shelf


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
        version=fingerprint(locate_model(models, models.visual_model)),
        calibration=encoder.calibration,
    )
