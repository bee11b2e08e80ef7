"""The API below ``/api``: its key, its pictures, and what it asks."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.feedback import Feedback
from service.finder import Finder
from service.politeness import Politeness, PolitenessSettings
from service.ports import JobQueue, MediaServer, SceneIndex, Store
from service.settings import ServiceSettings, prepare_data_dir
from service.web.api import Api
from service.web.pictures import Pictures
from service.web.rates import Proxies
from service.web.session import ApiSettings, Keeper, api_key
from service.web.thumbnails import Thumbnails

MEGABYTE = 1_000_000
PICTURE_SIDE_PX = 360
"""Of the short side of what is decoded for thumbnails: 640 wide at 16:9, their widest step."""


def open_api(
    settings: ServiceSettings,
    *,
    finder: Finder,
    store: Store,
    index: SceneIndex,
    queue: JobQueue,
    feedback: Feedback,
    servers: Mapping[str, MediaServer],
) -> web.Application:
    """What is served below ``/api``.

    Raises:
        ConfigurationError: The key cannot be kept, or a setting is wrong.
    """
    api = ApiSettings.read()
    reader = ReaderSettings.read().model_copy(update={"short_side_px": PICTURE_SIDE_PX})
    pictures = Pictures(
        servers=servers,
        reader=ProcessReader(reader),
        # Nobody waits here for his turn: whoever looks is told to come again.
        politeness=Politeness(servers, PolitenessSettings.read(), patience_s=0.0),
    )
    return Api(
        finder=finder,
        store=store,
        queue=queue,
        feedback=feedback,
        thumbnails=Thumbnails(
            store=store,
            index=index,
            source=pictures,
            directory=prepare_data_dir(settings) / "thumbnails",
            limit_bytes=api.thumbnails_mb * MEGABYTE,
        ),
        keeper=Keeper(api_key(settings, api)),
        rate_per_s=api.rate_per_s,
        proxies=Proxies(api.trusted_proxies),
    ).app()
