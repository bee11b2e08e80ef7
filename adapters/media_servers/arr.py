"""Sonarr and Radarr: they move, replace and delete the files that media servers find later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from adapters.media_servers.bodies import peek_object, read_object, read_title
from service.domain import Change, FileEvent, Json
from service.errors import BadPayloadError

CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        "Download": Change.ADDED,
        "Rename": Change.UPDATED,
        "EpisodeFileDelete": Change.DELETED,
        "MovieFileDelete": Change.DELETED,
        "SeriesDelete": Change.DELETED,
        "MovieDelete": Change.DELETED,
    }
)
"""Events that concern files; a whole import is a ``Download`` too. ``Test``, ``Grab``, ``Health``
and the rest do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileManager:
    """One of the two: their bodies differ in what they are about."""

    name: str
    subject: str
    """The key of what an event is about: ``series`` or ``movie``."""

    def recognises(self, body: bytes, content_type: str) -> bool:
        """Whether a body has their ``eventType`` and this one's subject, or this one's name.

        ``Health`` and the like are about nothing: then the instance's name decides, which is the
        program's own until somebody changes it.
        """
        payload = peek_object(body, content_type)
        if not isinstance(payload.get("eventType"), str):
            return False
        return isinstance(payload.get(self.subject), dict) or self.name == _instance(payload)

    def parse_webhook(self, body: bytes, content_type: str) -> Sequence[FileEvent]:
        """Read a body. Of the files only that they changed is kept, never where they are.

        Raises:
            BadPayloadError: No JSON object, no event, or none of what the event is about.
        """
        subject_name = self.name.capitalize()
        payload = read_object(body, content_type, subject_name)
        event = payload.get("eventType")
        if not isinstance(event, str):
            raise BadPayloadError(f'{subject_name} webhook without "eventType"')
        change = _change(event, payload)
        if change is None:
            return ()
        subject = payload.get(self.subject)
        if not isinstance(subject, dict):
            raise BadPayloadError(f'{subject_name} webhook {event} without "{self.subject}"')
        return (FileEvent(change=change, title=read_title(subject.get("title"))),)


def _change(event: str, payload: Json) -> Change | None:
    """What happened to files; None: nothing.

    A file that made room for a better one is an update, and a film can leave its manager while its
    files stay (``deletedFiles`` of ``SeriesDelete`` and ``MovieDelete`` says so).
    """
    is_upgrade = payload.get("isUpgrade") is True or payload.get("deleteReason") == "upgrade"
    if is_upgrade and event in CHANGES:
        return Change.UPDATED
    if payload.get("deletedFiles") is False:
        return None
    return CHANGES.get(event)


def _instance(payload: Json) -> str:
    name = payload.get("instanceName")
    return name.lower() if isinstance(name, str) else ""


FILE_MANAGERS = (
    FileManager(name="sonarr", subject="series"),
    FileManager(name="radarr", subject="movie"),
)
