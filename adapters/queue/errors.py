"""What psycopg raises, in the words of ``service.errors``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from service.errors import ConfigurationError, PermanentError, TransientError


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Translate errors of the database; ``what`` completes the sentence "could not ..."."""
    try:
        yield
    except psycopg.DataError as error:
        raise PermanentError(f"queue: could not {what}: {error}") from error
    except (psycopg.OperationalError, psycopg.IntegrityError, psycopg.InternalError) as error:
        raise TransientError(f"queue: could not {what}: {error}") from error
    except psycopg.Error as error:
        raise ConfigurationError(f"queue: could not {what}: {error}") from error
