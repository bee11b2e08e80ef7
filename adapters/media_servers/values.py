"""Reading values of a media server's JSON, whatever is really there. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator
from yarl import URL

from service.domain import Json


def text(value: Any) -> str:  # noqa: ANN401  JSON
    """A text that any database takes: without NUL and lone surrogates, which JSON may carry."""
    if not isinstance(value, str):
        return ""
    return value.replace("\0", "").encode("utf-8", "replace").decode().strip()


def texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401  JSON
    """The texts of a list, without empty ones."""
    return tuple(filter(None, map(text, value))) if isinstance(value, list) else ()


def names(value: Any, key: str) -> tuple[str, ...]:  # noqa: ANN401  JSON
    """The texts under one key of a list's objects: ``[{"Name": "boats"}]``."""
    return tuple(filter(None, (text(entry.get(key)) for entry in objects(value))))


def objects(value: Any) -> Iterator[Json]:  # noqa: ANN401  JSON
    """The objects of a list; nothing of what is no list."""
    if isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, dict))


def child(value: Mapping[str, Any], key: str) -> Json:
    """The object under a key; an empty one where there is none."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def integer(value: Any) -> int | None:  # noqa: ANN401  JSON
    """A whole number that a database takes; None for anything else, truth values included."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and abs(value) < 2**63 else None


def moment(value: Any) -> datetime | None:  # noqa: ANN401  JSON
    """A time in ISO 8601, or in seconds since 1970; UTC where it names no zone."""
    try:
        if (seconds := integer(value)) is not None:
            return datetime.fromtimestamp(seconds, UTC)
        parsed = datetime.fromisoformat(text(value))
    except (ValueError, OverflowError, OSError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def same_text(one: str, other: str) -> bool:
    """Whether two names are one to people, and to file systems that fold case."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip()).casefold()


def edit_names(
    present: tuple[str, ...], *, add: Collection[str], remove: Collection[str]
) -> tuple[str, ...]:
    """Tags after an edit, in order. Case makes no difference: servers fold it, or change it."""
    unwanted = {name.casefold() for name in remove} - {name.casefold() for name in add}
    wanted: dict[str, str] = {}
    for name in (*present, *add):
        if name.casefold() not in unwanted:
            wanted.setdefault(name.casefold(), name)
    return tuple(wanted.values())


def _require_plain_address(value: str) -> str:
    if not value:
        return value
    url = URL(value.strip())
    if url.scheme not in {"http", "https"} or not url.host or url.query_string or _has_login(url):
        raise ValueError("must be an address like http://server:8096, without user or query")
    return str(url.with_fragment(None)).rstrip("/")


def _has_login(url: URL) -> bool:
    """Even one of a password alone: addresses are shown in messages."""
    return url.raw_user is not None or url.raw_password is not None


Address = Annotated[str, AfterValidator(_require_plain_address)]
"""Of a server: ``http`` or ``https``, without user, query, fragment and slash at the end."""
