"""Who may send webhooks: all whose bodies are understood, configured or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from adapters.media_servers import emby_webhooks, jellyfin_webhooks, plex_webhooks
from adapters.media_servers.arr import FILE_MANAGERS
from service.errors import ConfigurationError
from service.ports import WebhookSender


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsentServer:
    """A server that is not configured: whoever sets it up to send learns what is missing."""

    name: str
    settings: str
    """What configures it."""
    knows: Callable[[bytes, str], bool]

    def recognises(self, body: bytes, content_type: str) -> bool:
        return self.knows(body, content_type)

    def parse_webhook(self, body: bytes, content_type: str) -> NoReturn:  # noqa: ARG002  the port's
        """Refuse.

        Raises:
            ConfigurationError: Always; it names the settings.
        """
        raise ConfigurationError(f"{self.name} is not configured here: set {self.settings}")


ABSENT: Sequence[AbsentServer] = (
    AbsentServer(
        name="jellyfin",
        settings="JELLYFIN_URL and JELLYFIN_API_KEY",
        knows=jellyfin_webhooks.recognises,
    ),
    AbsentServer(name="emby", settings="EMBY_URL and EMBY_API_KEY", knows=emby_webhooks.recognises),
    AbsentServer(name="plex", settings="PLEX_URL and PLEX_TOKEN", knows=plex_webhooks.recognises),
)
"""The media servers that send webhooks; a directory is watched instead."""


def list_senders(servers: Mapping[str, WebhookSender]) -> dict[str, WebhookSender]:
    """All senders by the name in their address: media servers, Sonarr and Radarr.

    Args:
        servers: The configured media servers.
    """
    media_servers = {absent.name: servers.get(absent.name, absent) for absent in ABSENT}
    return {**media_servers, **{manager.name: manager for manager in FILE_MANAGERS}}
