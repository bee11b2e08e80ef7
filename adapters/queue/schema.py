"""procrastinate's tables in a schema of their own, brought up to date at every start.

procrastinate ships its schema and its migrations but notes nowhere which of them a database has
seen; we note it beside its tables.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import LiteralString

import psycopg
from procrastinate.schema import SchemaManager

from service.errors import ConfigurationError

logger = logging.getLogger(__name__)

SCHEMA = "procrastinate"
LOCK_KEY = 0x4D52_5155  # "MRQU": one process at a time changes the schema

USE_SCHEMA = "set search_path to procrastinate, pg_catalog"
CREATE_LEDGER = """
create table if not exists procrastinate.applied_migrations (
    name text primary key,
    applied_at timestamptz not null default now()
)
"""
INDEX_LOCKS = """
create index if not exists moodreel_jobs_lock_idx on procrastinate.procrastinate_jobs (lock)
 where status in ('todo', 'doing')
"""
"""Taking a job compares it with all others of its lock, for which procrastinate has no good index.
Measured with a fresh backlog of 1,000 jobs, of which the planner knows nothing yet: 66 ms for each
job that is taken, 1.8 ms with it; with 10,000: 0.65 and 0.14 ms."""
DROP_INDEX = "drop index if exists procrastinate.moodreel_jobs_lock_idx"


async def apply_schema(connection: psycopg.AsyncConnection[tuple[str]]) -> None:
    """Create procrastinate's tables, or apply the migrations that they lack.

    Args:
        connection: In autocommit mode; each migration is a transaction.

    Raises:
        ConfigurationError: The tables are of a newer version, or somebody else made them.
    """
    await connection.execute("select pg_advisory_lock(%s)", (LOCK_KEY,))
    try:
        await _migrate(connection)
        await connection.execute(INDEX_LOCKS)
    finally:
        await connection.execute("select pg_advisory_unlock(%s)", (LOCK_KEY,))


async def _migrate(connection: psycopg.AsyncConnection[tuple[str]]) -> None:
    shipped = _shipped()
    applied = await _applied(connection)
    if applied is None:
        await _install(connection, list(shipped))
        return
    if applied == shipped.keys():
        return
    if unknown := applied - shipped.keys():
        raise ConfigurationError(
            f"the queue's tables are newer than this version of Moodreel (it lacks "
            f"{', '.join(sorted(unknown))}): update this one too"
        )
    await connection.execute(DROP_INDEX)  # no migration of procrastinate's stumbles over it
    for name in sorted(shipped.keys() - applied):
        async with connection.transaction():
            await connection.execute(_trusted(shipped[name]))
            await _note(connection, [name])
        logger.info("queue migrated", extra={"action": "queue_migrated", "migration": name})


def _shipped() -> dict[str, str]:
    """Migrations of the installed procrastinate, by name; their names sort in order of time."""
    paths = Path(SchemaManager.get_migrations_path()).glob("*.sql")
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


async def _applied(connection: psycopg.AsyncConnection[tuple[str]]) -> set[str] | None:
    """Names of the migrations that this database has seen; None for an empty one."""
    if await _exists(connection, "applied_migrations"):
        cursor = await connection.execute("select name from procrastinate.applied_migrations")
        await connection.execute(USE_SCHEMA)
        return {name for (name,) in await cursor.fetchall()}
    if await _exists(connection, "procrastinate_jobs"):
        raise ConfigurationError(
            f'the database has a schema "{SCHEMA}" with a queue that Moodreel did not make: '
            "give Moodreel a database of its own"
        )
    return None


async def _exists(connection: psycopg.AsyncConnection[tuple[str]], table: LiteralString) -> bool:
    cursor = await connection.execute("select to_regclass(%s)::text", (f"{SCHEMA}.{table}",))
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def _install(connection: psycopg.AsyncConnection[tuple[str]], names: list[str]) -> None:
    async with connection.transaction():
        await connection.execute("create schema if not exists procrastinate")
        await connection.execute(USE_SCHEMA)
        await connection.execute(_trusted(SchemaManager.get_schema()))
        await connection.execute(CREATE_LEDGER)
        await _note(connection, names)


async def _note(connection: psycopg.AsyncConnection[tuple[str]], names: list[str]) -> None:
    await connection.execute(
        "insert into procrastinate.applied_migrations (name) select unnest(%s::text[])", (names,)
    )


def _trusted(sql: str) -> LiteralString:
    """Vouch for SQL that an installed package ships."""
    return sql
