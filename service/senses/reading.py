"""Reading: what a medium itself holds as text."""

from __future__ import annotations

from service.domain import TextTrack
from service.errors import PermanentError, TransientError
from service.ports import OpenMedia, TextReader
from service.senses.notes import Notes


async def read_texts(media: OpenMedia, notes: Notes) -> tuple[TextTrack, ...]:
    """Its subtitles and lyrics. Nothing depends on them: what goes wrong is a warning."""
    if not isinstance(media, TextReader):
        return ()
    try:
        with notes.timed("read"):
            return tuple(await media.read_texts())
    except (TransientError, PermanentError) as error:
        notes.warnings.append(f"no text tracks: {error}")
        return ()
