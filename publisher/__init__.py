"""Who is told of a new item, one file per channel.

A new channel is one file with ``open_channels(store)`` and one line in the list below.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from publisher import discord, http, library, nats, store
from service.errors import ConfigurationError
from service.ports import Channel, Store, TagKeeper

_CHANNELS = (
    store.open_channels,
    nats.open_channels,
    http.open_channels,
    discord.open_channels,
)
_NOBODY: Mapping[str, TagKeeper] = MappingProxyType({})


def open_channels(
    kept_in: Store, keepers: Mapping[str, TagKeeper] = _NOBODY
) -> Mapping[str, Channel]:
    """The configured channels by name; ``store`` is always among them.

    Args:
        kept_in: Where events and the ledger of tags are kept.
        keepers: Media servers whose items take tags, by name.

    Raises:
        ConfigurationError: The settings of one of them are wrong, or two have one name.
    """
    channels: dict[str, Channel] = {}
    for open_some in (*_CHANNELS, lambda kept: library.open_channels(kept, keepers)):
        for channel in open_some(kept_in):
            if channel.name in channels:
                raise ConfigurationError(f"two channels are called {channel.name}: rename one")
            channels[channel.name] = channel
    return channels
