"""What Plex sends: a form of several parts, with the JSON in its field ``payload``. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.media_servers.bodies import peek_object, read_object, read_title
from adapters.media_servers.plex_parsers import GROUPS, KINDS, parse_id
from service.domain import Change, ItemRef, LibraryEvent
from service.errors import BadPayloadError

NEW = "library.new"
"""The one event that concerns the library: there is none for what was changed or deleted."""


def recognises(body: bytes, content_type: str) -> bool:
    """Whether a body names its event as Plex does: ``library.new``, ``media.play``."""
    event = peek_object(body, content_type).get("event")
    return isinstance(event, str) and "." in event


def parse_webhook(body: bytes, content_type: str, server_name: str) -> Sequence[LibraryEvent]:
    """Read a body; a picture beside the JSON is left alone.

    Many new episodes often make one event, about their season or show.

    Raises:
        BadPayloadError: No JSON object, no event, or no item id where one belongs.
    """
    payload = read_object(body, content_type, "Plex")
    event = payload.get("event")
    if not isinstance(event, str):
        raise BadPayloadError('Plex webhook without "event"')
    if event != NEW:
        return ()
    item = payload.get("Metadata")
    if not isinstance(item, dict):
        raise BadPayloadError(f'Plex webhook {event} without "Metadata"')
    item_type = item.get("type")
    if item_type not in (*KINDS, *GROUPS):
        return ()
    try:
        ref = ItemRef(server=server_name, item_id=parse_id(item.get("ratingKey")))
    except ValueError as error:
        raise BadPayloadError(f"Plex webhook {event}, ratingKey: {error}") from error
    return (
        LibraryEvent(
            change=Change.ADDED,
            ref=ref,
            title=read_title(item.get("title")),
            is_group=item_type in GROUPS,
        ),
    )
