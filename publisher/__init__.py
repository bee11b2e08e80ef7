"""Who is told of a new item, one file per channel.

A new channel is one file with ``open_channels(store)`` and one line in the list below.
"""

from __future__ import annotations

from collections.abc import Mapping

from publisher import discord, http, store
from service.ports import Channel, Store

_CHANNELS = (
    store.open_channels,
    http.open_channels,
    discord.open_channels,
)


def open_channels(kept_in: Store) -> Mapping[str, Channel]:
    """The configured channels by name; ``store`` is always among them.

    Raises:
        ConfigurationError: The settings of one of them are wrong.
    """
    return {channel.name: channel for open_some in _CHANNELS for channel in open_some(kept_in)}
