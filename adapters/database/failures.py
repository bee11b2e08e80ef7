"""What Postgres and PostgREST answer when they refuse, in the words of ``service.errors``."""

from __future__ import annotations

from service.errors import (
    ConfigurationError,
    MoodreelError,
    NotFoundError,
    PermanentError,
    StaleTokenError,
    TransientError,
)

MIGRATE = "moodreel migrate"


class SchemaError(ConfigurationError):
    """The database lacks the schema of this version, or has an older one."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message}; bring it up to date with: {MIGRATE}")


_OWN: dict[str, type[MoodreelError]] = {
    "PT404": NotFoundError,
    "PT409": StaleTokenError,
    "PT503": TransientError,
}
"""Raised by our functions; PostgREST makes HTTP statuses of them."""

_NO_SCHEMA = {
    "3F000": "no such schema",
    "42883": "no such function",
    "42P01": "no such table",
    "PGRST106": "the schema is not exposed",
    "PGRST202": "no such function",
    "PGRST205": "no such table",
}

_REFUSED = ("28", "3D", "42501", "PGRST3", "401", "403", "404")
"""SQLSTATE classes of authorisation and unknown database; PostgREST's of JWTs; HTTP statuses. A
404 without a code of PostgREST's own comes from something else that listens there."""

_PASSING = ("08", "25006", "40", "53", "55P03", "57", "58", "XX", "PGRST0", "429", "5")
"""Connection, read-only (a full disk or a failover), deadlock, resources (53100: disk full),
lock, shutdown and timeouts, system and internal errors; PostgREST's own connection errors; HTTP
429 and 5xx. Appendix A of the PostgreSQL manual, PostgREST's manual of errors."""

_REFUSED_TEXTS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no password supplied",
    "Tenant or user not found",
)
"""libpq gives no SQLSTATE for a failed connection (psycopg 3.3): only its words tell."""


def failure(code: str, message: str, *, tried: str, setting: str) -> MoodreelError:
    """Name what an answer means for the caller.

    Args:
        code: An SQLSTATE, a code of PostgREST's (``PGRST202``) or an HTTP status.
        message: What came back.
        tried: What was tried, and on what.
        setting: What the operator should look at where we are refused.
    """
    said = f"{tried}: {message.strip()} ({code})"
    own: type[MoodreelError] | None = _OWN.get(code)
    if own is not None:
        return own(said)
    if code in _NO_SCHEMA:
        return SchemaError(
            f"{tried}: the database has not the schema of this version ({_NO_SCHEMA[code]}, {code})"
        )
    if code.startswith(_REFUSED):
        return ConfigurationError(f"{said}; check {setting}")
    if code.startswith(_PASSING):
        return TransientError(said)
    return PermanentError(said)


def connection_failure(message: str, *, tried: str, setting: str) -> MoodreelError:
    """Name what a connection that failed means for the caller."""
    said = f"{tried}: {message.strip()}"
    if any(text in message for text in _REFUSED_TEXTS):
        return ConfigurationError(f"{said}; check {setting}")
    return TransientError(said)
