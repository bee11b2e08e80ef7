"""What Jellyfin's webhook plugins send: the official one, and shemanaev's. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from adapters.media_servers.bodies import peek_object, read_object, read_title
from adapters.media_servers.jellyfin_parsers import KINDS, parse_id
from service.domain import Change, ItemRef, Json, LibraryEvent
from service.errors import BadPayloadError

CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        "ItemAdded": Change.ADDED,
        "ItemUpdated": Change.UPDATED,
        "ItemDeleted": Change.DELETED,
        "ItemRemoved": Change.DELETED,
    }
)
"""Events that concern the library. The official plugin has none for a changed item and says
"deleted"; the other one says "removed"."""
GROUPS = frozenset({"Series", "Season", "MusicAlbum"})
"""Item types that hold others; the official plugin sends no further ones."""
PARTS = frozenset({"Item", "Server"})
"""What the other plugin's events hold: one of them at least (its ``DefaultFormat``)."""


def recognises(body: bytes, content_type: str) -> bool:
    """Whether a body names its event as one of the plugins does."""
    payload = peek_object(body, content_type)
    if isinstance(payload.get("NotificationType"), str):
        return True
    event = payload.get("Event")
    return isinstance(event, str) and "." not in event and not payload.keys().isdisjoint(PARTS)


def parse_webhook(body: bytes, content_type: str, server_name: str) -> Sequence[LibraryEvent]:
    """Read a body made by template, by "Send All Properties", or by the other plugin.

    Raises:
        BadPayloadError: No JSON object, no event, or no item id where one belongs.
    """
    payload = read_object(body, content_type, "Jellyfin")
    event = payload.get("NotificationType") or payload.get("Event")
    if not isinstance(event, str):
        raise BadPayloadError(
            'Jellyfin webhook without "NotificationType": tick "Send All Properties" '
            "in the webhook plugin's destination"
        )
    if event not in CHANGES:
        return ()
    item_type, item_id, title = _read_item(payload, event)
    if item_type not in KINDS and item_type not in GROUPS:
        return ()
    try:
        ref = ItemRef(server=server_name, item_id=parse_id(item_id))
    except ValueError as error:
        raise BadPayloadError(f"Jellyfin webhook {event}, item's id: {error}") from error
    return (
        LibraryEvent(
            change=CHANGES[event],
            ref=ref,
            title=read_title(_unescape(title)),
            is_group=item_type in GROUPS,
        ),
    )


def _read_item(payload: Json, event: str) -> tuple[str, Any, Any]:
    """Type, id and name: flat with the official plugin, a whole ``BaseItemDto`` with the other."""
    item = payload.get("Item")
    if "NotificationType" not in payload and isinstance(item, dict):
        found, prefix = item, ""
    else:
        found, prefix = payload, "Item"
    item_type = found.get(f"{prefix}Type")
    if not isinstance(item_type, str):
        raise BadPayloadError(f'Jellyfin webhook {event} without "ItemType"')
    return item_type, found.get(f"{prefix}Id"), found.get("Name")


def _unescape(text: Any) -> Any:  # noqa: ANN401  JSON
    """Undo the escape that the plugin adds for its templates before the JSON's own."""
    return text.replace('\\"', '"') if isinstance(text, str) else text
