"""Text tracks as the decoding process sends them: nothing of it is believed."""

from __future__ import annotations

import math

from pydantic import TypeAdapter, ValidationError

from adapters.media.wire import ProtocolError
from service.domain import Json, TextTrack
from service.subtitles import MAX_LINE_CHARS, MAX_LINES, MOST_TRACKS

TRACKS = TypeAdapter(tuple[TextTrack, ...])
LANGUAGE_CHARS = 16


def read_tracks(_: Json, payload: bytes) -> tuple[TextTrack, ...]:
    """Make text tracks of a message.

    Raises:
        ProtocolError: They are none, or beyond the bounds that were set.
    """
    try:
        tracks = TRACKS.validate_json(payload)
    except ValidationError as error:
        raise ProtocolError("no text tracks") from error
    if len(tracks) > MOST_TRACKS or not all(map(_is_bounded, tracks)):
        raise ProtocolError("text tracks beyond their bounds")
    return tracks


def _is_bounded(track: TextTrack) -> bool:
    return (
        len(track.language) <= LANGUAGE_CHARS
        and len(track.lines) <= MAX_LINES
        and all(
            0 <= line.start_s <= line.end_s < math.inf and len(line.text) <= MAX_LINE_CHARS
            for line in track.lines
        )
    )
