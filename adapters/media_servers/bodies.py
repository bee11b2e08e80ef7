"""One reader for all webhook bodies: JSON, alone or in a form's field. Pure.

The content type says little: Jellyfin's plugin sends JSON as ``text/plain`` by default, and Emby
4.8 a form where 4.9 sends JSON. So the body itself is looked at first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from adapters.media_servers.values import text
from service.domain import Json
from service.errors import BadPayloadError

FIELDS = ("payload", "data")
"""Form fields that hold the JSON: Plex's, and Emby's."""
MAX_FIELDS = 16
"""Plex sends two, Emby one."""
MAX_HEAD_BYTES = 2048
"""Of one part of a form: three short lines with every sender."""
MAX_TITLE_LENGTH = 200
"""Titles are for logs only."""

_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,70})', re.IGNORECASE)
"""RFC 2046, 5.1.1: 70 characters at most."""
_NAME = re.compile(rb'content-disposition:[^\r\n]*[;\s]name="?([^";\r\n]+)', re.IGNORECASE)
_FORM = re.compile(rb"[\w.\-]+=")


def read_object(body: bytes, content_type: str, sender: str) -> Json:
    """Read the JSON object of a body: plain, in a form, or in a form of several parts.

    Control characters inside of strings are let through: templates write them unescaped.

    Args:
        body: As it came, already bounded in length.
        content_type: The whole header, for the parts' boundary; may be empty or a lie.
        sender: Who sent it, for messages.

    Raises:
        BadPayloadError: There is no JSON object in it.
    """
    try:
        payload = json.loads(_find_json(body, content_type).decode("utf-8-sig"), strict=False)
    except (ValueError, RecursionError) as error:  # wrong UTF-8, wrong JSON, or nested too deep
        raise BadPayloadError(f"{sender} webhook of {len(body)} bytes is not JSON") from error
    if not isinstance(payload, dict):
        raise BadPayloadError(f"{sender} webhook is JSON, but not an object")
    return payload


def peek_object(body: bytes, content_type: str) -> Json:
    """As ``read_object``; empty where there is none."""
    try:
        return read_object(body, content_type, "a")
    except BadPayloadError:
        return {}


def read_title(value: Any) -> str:  # noqa: ANN401  JSON
    """A title on one line of any log, without what a database refuses."""
    return " ".join(text(value).split())[:MAX_TITLE_LENGTH]


def _find_json(body: bytes, content_type: str) -> bytes:
    start = body.lstrip()
    if start.startswith(b"--"):
        fields: Iterator[tuple[str, bytes]] = _read_parts(start, content_type)
    elif _FORM.match(start):
        fields = _read_pairs(start)
    else:
        return body
    found = dict(fields)
    return next((found[name] for name in FIELDS if name in found), b"")


def _read_parts(body: bytes, content_type: str) -> Iterator[tuple[str, bytes]]:
    """The named parts of ``multipart/form-data``; pictures beside the JSON are never looked at."""
    declared = _BOUNDARY.search(content_type)
    first_line = body.split(b"\n", 1)[0].rstrip()
    boundary = b"--" + declared[1].encode("utf-8", "replace") if declared else first_line
    for part in body.split(boundary, MAX_FIELDS)[1:]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head[:MAX_HEAD_BYTES])
        if name is not None:
            yield name[1].decode("utf-8", "replace"), content.removesuffix(b"\r\n")


def _read_pairs(body: bytes) -> Iterator[tuple[str, bytes]]:
    """The fields of ``application/x-www-form-urlencoded``."""
    pairs = parse_qsl(body.decode("utf-8"), max_num_fields=MAX_FIELDS)
    return ((name, value.encode("utf-8", "replace")) for name, value in pairs)
