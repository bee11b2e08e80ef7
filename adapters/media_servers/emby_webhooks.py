"""What Emby 4.7 and newer send: JSON, or a form with the JSON in its field ``data``. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from adapters.media_servers.bodies import peek_object, read_object, read_title
from adapters.media_servers.emby_parsers import KINDS, parse_id
from service.domain import Change, ItemRef, LibraryEvent
from service.errors import BadPayloadError

CHANGES: Mapping[str, Change] = MappingProxyType(
    {"library.new": Change.ADDED, "library.deleted": Change.DELETED}
)
"""Events that concern the library; there is none for a changed item."""
GROUPS = frozenset({"Series", "Season", "MusicAlbum"})
"""Item types that hold others."""


def recognises(body: bytes, content_type: str) -> bool:
    """Whether a body names its event as Emby does: ``library.new``, ``playback.start``."""
    event = peek_object(body, content_type).get("Event")
    return isinstance(event, str) and "." in event


def parse_webhook(body: bytes, content_type: str, server_name: str) -> Sequence[LibraryEvent]:
    """Read a body. Early ones say nothing of the item but its id: they are believed to be items.

    Raises:
        BadPayloadError: No JSON object, no event, or no item id where one belongs.
    """
    payload = read_object(body, content_type, "Emby")
    event = payload.get("Event")
    if not isinstance(event, str):
        raise BadPayloadError('Emby webhook without "Event"')
    if event not in CHANGES:
        return ()
    item = payload.get("Item")
    if not isinstance(item, dict):
        raise BadPayloadError(f'Emby webhook {event} without "Item"')
    item_type = item.get("Type")
    is_bare = item_type is None
    if not is_bare and item_type not in (*KINDS, *GROUPS):
        return ()
    try:
        ref = ItemRef(server=server_name, item_id=parse_id(item.get("Id")))
    except ValueError as error:
        raise BadPayloadError(f"Emby webhook {event}, item's id: {error}") from error
    return (
        LibraryEvent(
            change=CHANGES[event],
            ref=ref,
            title=read_title(item.get("Name")),
            is_group=item.get("IsFolder") is True if is_bare else item_type in GROUPS,
        ),
    )
