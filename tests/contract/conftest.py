"""Stores over psycopg and over the real PostgREST, for every suite of the store's contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

import psycopg
import pytest

from adapters.database.index import DatabaseIndex
from adapters.database.store import DatabaseStore
from tests.support.stores import TRANSPORTS, Database, migrated_database


@pytest.fixture(scope="session", params=TRANSPORTS)
def migrated(request, postgres) -> Iterator[Database]:
    with migrated_database(request.param, postgres) as database:
        yield database


@pytest.fixture
def database(migrated: Database) -> Database:
    """An empty database."""
    migrated.clear()
    return migrated


@pytest.fixture
async def store(database) -> AsyncIterator[DatabaseStore]:
    async with aclosing(await database.open_store()) as opened:
        yield opened


@pytest.fixture
async def pair(store, database) -> AsyncIterator[list[DatabaseStore]]:
    """Two stores over the same database, as two workers have them."""
    async with aclosing(await database.open_store()) as second:
        yield [store, second]


@pytest.fixture
def pieces(database) -> Callable[[], int]:
    """How many pieces of uploads lie in the database, seen from beside the store."""

    def count() -> int:
        with psycopg.connect(database.dsn) as admin:
            row = admin.execute("select count(*) from moodreel.uploads").fetchone()
        assert row is not None
        return int(row[0])

    return count


@pytest.fixture
def index(store) -> DatabaseIndex:
    return DatabaseIndex(store.transport)
