"""Who is told of a new item, one file per channel.

A new channel is one file with ``open_channels(store)`` and one line in the list below.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from service.errors import ConfigurationError
from service.ports import Channel, Store, TagKeeper

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
    # Loaded here: their clients take a quarter of a second that commands without channels save.
    from publisher import discord, http, library, nats, store  # noqa: PLC0415

    channels: dict[str, Channel] = {}
    for found in (
        store.open_channels(kept_in),
        nats.open_channels(kept_in),
        http.open_channels(kept_in),
        discord.open_channels(kept_in),
        library.open_channels(kept_in, keepers),
    ):
        for channel in found:
            if channel.name in channels:
                raise ConfigurationError(f"two channels are called {channel.name}: rename one")
            channels[channel.name] = channel
    return channels
