"""Subtitles and lyrics as lines of text that are searched. Pure, tolerant and bounded.

Files in the wild mix the formats' rules (commas and points, missing numbers, any encoding), so
what looks like a time is believed, and what does not is skipped. Nothing here raises.
"""

from service.subtitles.cleaning import MAX_LINE_CHARS, MAX_LINES, clean_text, make_lines
from service.subtitles.encodings import decode_text
from service.subtitles.formats import (
    MAX_BYTES,
    lines_until_next,
    parse_dialogue,
    parse_lyrics,
    parse_text,
)
from service.subtitles.tracks import (
    MOST_TRACKS,
    choose_tracks,
    distinct_tracks,
    is_lesser,
    join_tracks,
    language_of,
    name_of_language,
    preference,
)

__all__ = [
    "MAX_BYTES",
    "MAX_LINES",
    "MAX_LINE_CHARS",
    "MOST_TRACKS",
    "choose_tracks",
    "clean_text",
    "decode_text",
    "distinct_tracks",
    "is_lesser",
    "join_tracks",
    "language_of",
    "lines_until_next",
    "make_lines",
    "name_of_language",
    "parse_dialogue",
    "parse_lyrics",
    "parse_text",
    "preference",
]
