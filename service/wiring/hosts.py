"""Which hosts the settings name, and what that brings with it."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

from adapters.models.hub import download_hosts
from adapters.models.settings import ModelSettings
from publisher.discord_address import DISCORD_HOSTS
from service import outbound
from service.errors import ConfigurationError
from service.web.encode_settings import EncodeSettings
from service.wiring.all_settings import ALL_SETTINGS


def list_hosts() -> Iterator[str]:
    """Configured hosts; Discord's others where one is; the proxy; where models come from."""
    configured = set(outbound.configured_hosts(ALL_SETTINGS))
    yield from configured
    if configured & {*DISCORD_HOSTS}:
        yield from DISCORD_HOSTS
    for proxy in urllib.request.getproxies().values():
        yield from outbound.hosts_in(proxy, may_be_bare=True)
    yield socket.gethostname()
    with suppress(ConfigurationError):  # whoever reads them next says so
        # Networks and domains too, which are no addresses; only the encoder fetches from there.
        yield from outbound.own_hosts(EncodeSettings.read().picture_hosts)
    try:
        if not ModelSettings.read().offline:
            yield from download_hosts()
    except ConfigurationError:
        pass  # whoever reads them next says so
