"""``moodreel encode-server``: lend this machine's model to others."""

from __future__ import annotations

import logging

from service.cli.console import command
from service.cli.logs import configure_logging
from service.cli.run import stop_signals
from service.settings import ServiceSettings
from service.web.app import serve
from service.web.encode_settings import EncodeSettings
from service.wiring.encoding import open_encode_server

logger = logging.getLogger(__name__)


@command
async def encode_server() -> None:
    """Encode texts and pictures for other machines, those that know CLIP_RUNPOD_SECRET."""
    configure_logging(ServiceSettings.read())
    settings = EncodeSettings.read()
    with stop_signals() as stop:
        async with (
            open_encode_server(settings) as server,
            serve(server.app(), host=settings.host, port=settings.port) as port,
        ):
            logger.info(
                "listening",
                extra={
                    "action": "listening",
                    "address": f"http://{settings.host}:{port}",
                    "model": server.identity.model,
                    "device": server.identity.device,
                },
            )
            await stop.wait()
            logger.info("stopping", extra={"action": "stopping"})
