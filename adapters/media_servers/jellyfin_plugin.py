"""The settings of jellyfin-plugin-webhook, as its API has them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from service.domain import Json

PLUGIN_ID = "71552a5a5c5c4350a2aeebe451a30173"
"""Of the official plugin (``WebhookPlugin.cs``)."""
OUR_NAME = "Moodreel"
OUR_PATHS = ("/webhooks/jellyfin", "/webhooks")
TOKEN_HEADER = "X-Moodreel-Token"  # noqa: S105  a name, no secret
WANTED_EVENTS = ("ItemAdded", "ItemDeleted")
WANTED_KINDS = ("EnableMovies", "EnableEpisodes", "EnableSongs", "EnableVideos")
"""Everything with media of its own; shows, seasons and albums would tell of the same again."""
NEW_DESTINATION: Json = {
    "NotificationTypes": [],
    "WebhookName": OUR_NAME,
    "EnableSeries": False,
    "EnableSeasons": False,
    "EnableAlbums": False,
    "EnableLiveTv": False,
    "TrimWhitespace": False,
    "SkipEmptyMessageBody": False,
    "Template": "",
    "UserFilter": [],
    "Headers": [],
    "Fields": [],
}
"""What the plugin's own page writes for an empty one."""


def find_plugin(plugins: Sequence[Json]) -> Json | None:
    """The webhook plugin among the installed ones (``GET /Plugins``)."""
    return next((one for one in plugins if plugin_id(one) == PLUGIN_ID), None)


def plugin_id(found: Json) -> str:
    return str(found.get("Id", "")).replace("-", "").lower()


def is_active(found: Json) -> bool:
    """Whether it runs; freshly installed ones wait for a restart."""
    return str(found.get("Status", "Active")) == "Active"


def destinations(configuration: Json) -> list[Json]:
    """Generic destinations that send to an address like ours."""
    return [one for one in _options(configuration) if _is_ours(one)]


def tells_all(destination: Json) -> bool:
    """Whether a destination is on and tells of everything that we want to know."""
    events = destination.get("NotificationTypes")
    return (
        destination.get("EnableWebhook", True) is True
        and isinstance(events, list)
        and all(event in events for event in WANTED_EVENTS)
        and all(destination.get(kind) is True for kind in WANTED_KINDS)
        and (destination.get("SendAllProperties") is True or bool(destination.get("Template")))
    )


def point_at(configuration: Json, address: str, token: str) -> Json:
    """The settings with our destination in them, added or corrected; all else as it was."""
    options = _options(configuration)
    same = [one for one in options if one.get("WebhookUri") == address]
    named = [one for one in options if one.get("WebhookName") == OUR_NAME and _is_ours(one)]
    ours = next(iter([*same, *named]), None)
    corrected = _corrected(ours or NEW_DESTINATION, address, token)
    kept = [corrected if one is ours else one for one in options]
    return {**configuration, "GenericOptions": kept if ours else [*kept, corrected]}


def _corrected(destination: Json, address: str, token: str) -> Json:
    events, headers = destination.get("NotificationTypes"), destination.get("Headers")
    known = events if isinstance(events, list) else []
    others = [
        header
        for header in (headers if isinstance(headers, list) else [])
        if not (isinstance(header, dict) and _is_token_header(header.get("Key")))
    ]
    return {
        **destination,
        "WebhookUri": address,
        "EnableWebhook": True,
        "NotificationTypes": [*known, *(event for event in WANTED_EVENTS if event not in known)],
        **dict.fromkeys(WANTED_KINDS, True),
        "SendAllProperties": True,
        "Headers": [*others, {"Key": TOKEN_HEADER, "Value": token}],
    }


def _options(configuration: Json) -> list[Json]:
    options = configuration.get("GenericOptions")
    return [one for one in options if isinstance(one, dict)] if isinstance(options, list) else []


def _is_ours(destination: Json) -> bool:
    try:
        path = urlsplit(str(destination.get("WebhookUri") or "")).path
    except ValueError:
        return False
    return path.rstrip("/").endswith(OUR_PATHS)


def _is_token_header(name: Any) -> bool:  # noqa: ANN401  JSON
    return isinstance(name, str) and name.casefold() == TOKEN_HEADER.casefold()
