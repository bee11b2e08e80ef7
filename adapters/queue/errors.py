"""What psycopg raises, in the words of ``service.errors``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from service.errors import ConfigurationError, PermanentError, TransientError

TRANSIENT = (
    psycopg.OperationalError,
    psycopg.InterfaceError,  # a connection that broke in our hands
    psycopg.InternalError,
    psycopg.IntegrityError,  # an equal job came in between two statements
)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Translate errors of the database; ``what`` completes the sentence "could not ..."."""
    try:
        yield
    except psycopg.DataError as error:
        raise PermanentError(f"queue: could not {what}: {error}") from error
    except TRANSIENT as error:
        raise TransientError(f"queue: could not {what}: {error}") from error
    except psycopg.Error as error:
        raise ConfigurationError(f"queue: could not {what}: {error}") from error
