"""The types of single fields of the API: their bounds, and what is no value of them."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue, PlainValidator, WithJsonSchema

from service.query import SearchMode

TEXT_LENGTH = 500
"""Characters of a query; the longest line of a subtitle has a fifth of it."""
NAME_LENGTH = 200
LIMIT = 100
"""Hits of one answer; a page shows twenty."""
ITEMS_LIMIT = 1000
FILTER_COUNT = 50
EXAMPLE_COUNT = 8
WEIGHT = 10.0
LAST_POSITION = 2**31 - 1
"""What the database counts with."""
WIDTHS = (160, 320, 640)
"""Pixels: a list, a grid, and a large picture on a good screen."""


def _is_plain(text: str) -> str:
    """Without what no text of a person has, and what the database keeps not."""
    if any(ord(sign) < ord(" ") or "\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError("has a control character")
    return text


def _is_a_step(width: int) -> int:
    if width not in WIDTHS:
        raise ValueError(f"must be one of {', '.join(map(str, WIDTHS))}")
    return width


def _read_moment(text: object) -> datetime:
    """A date is its beginning. Without a zone UTC is meant, which has not all hours of the first
    and the last years.
    """
    try:
        at = datetime.fromisoformat(text.upper() if isinstance(text, str) else "")
    except ValueError:
        raise ValueError("is no time (2026-11-20T20:15:00Z) and no date (2026-11-20)") from None
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is no time in UTC") from error


Plain = AfterValidator(_is_plain)
PLAIN: dict[str, JsonValue] = {"pattern": "^[^\\u0000-\\u001f]*$"}
Text = Annotated[str, Field(max_length=TEXT_LENGTH, json_schema_extra=PLAIN), Plain]
Words = Annotated[Text, Field(description="In any language; a quoted phrase is exact.")]
Mode = Annotated[
    SearchMode,
    Field(description="What part pictures take; auto: as VISUAL_MODE says, else by the words."),
]
Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH, json_schema_extra=PLAIN), Plain]
Ref = Annotated[
    str,
    Field(
        max_length=2 * NAME_LENGTH,
        pattern=r"^[^/\u0000-\u001f]+/[^\u0000-\u001f]+$",
        examples=["jellyfin/4f2a"],
    ),
]
Moment = Annotated[
    datetime,
    PlainValidator(_read_moment),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "format": kind} for kind in ("date-time", "date")]}
    ),
]
Position = Annotated[int, Field(ge=0, le=LAST_POSITION)]
Width = Annotated[int, Field(json_schema_extra={"enum": list(WIDTHS)}), AfterValidator(_is_a_step)]
Weight = Annotated[float, Field(ge=0, le=WEIGHT)]
ExampleWeight = Annotated[float, Field(ge=-WEIGHT, le=WEIGHT)]


class Judgement(StrEnum):
    """What somebody says."""

    RIGHT = "right"
    WRONG = "wrong"
    WITHDRAWN = "withdrawn"
