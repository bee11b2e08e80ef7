"""Brings a database's schema up to date: numbered SQL files, applied in order.

Files and history are those of the Supabase CLI (``supabase_migrations.schema_migrations``), so
that either may apply what the other has not.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg

from adapters.database.failures import SchemaError
from adapters.database.psycopg_transport import (
    CONNECTION,
    describe_dsn,
    notice_our_end,
    probe,
    translate_psycopg,
)
from service.errors import ConfigurationError

logger = logging.getLogger(__name__)

NAME_PREFIX = "moodreel_"
"""Of our files' names: a Supabase project keeps its own migrations in the same history."""

OLDEST_POSTGRES = 150_000
"""Version 15, the oldest that hosted Supabase runs."""

LOCK_KEY = 0x6D6F6F64
"""Of the advisory lock: whoever migrates, migrates alone."""

_HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file."""

    version: str
    """14 digits: the time it was made."""
    name: str
    sql: str

    @property
    def file_name(self) -> str:
        return f"{self.version}_{self.name}.sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """What a database has of what this version knows."""

    applied: tuple[Migration, ...]
    pending: tuple[Migration, ...]
    unknown: tuple[str, ...]
    """Versions of ours that only a newer program knows."""


@cache
def migrations() -> tuple[Migration, ...]:
    """All files of this version, in order."""
    folder = resources.files("adapters.database") / "migrations"
    files = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    return tuple(
        Migration(
            version=entry.name[:14],
            name=entry.name[15:].removesuffix(".sql"),
            sql=entry.read_text(encoding="utf-8"),
        )
        for entry in files
    )


def compare_versions(found: str, *, place: str) -> None:
    """See that a database speaks the schema of this version.

    Raises:
        SchemaError: It is older.
        ConfigurationError: It is newer.
    """
    known = migrations()[-1].version
    if found < known:
        raise SchemaError(f"{place}: its schema ({found}) is older than this version's ({known})")
    if found > known:
        raise ConfigurationError(
            f"{place}: its schema ({found}) is newer than this version's ({known}); update moodreel"
        )


async def apply(dsn: str) -> tuple[Migration, ...]:
    """Apply what is pending, each file in a transaction of its own; return what was applied.

    Raises:
        ConfigurationError: The server refuses, is too old, lacks pgvector, or its schema is newer.
        TransientError: The server does not answer.
    """
    async with _connect(dsn) as connection:
        return await apply_on(connection, describe_dsn(dsn))


async def apply_on(
    connection: psycopg.AsyncConnection[tuple[Any, ...]], place: str, *, last: str | None = None
) -> tuple[Migration, ...]:
    """Apply what is pending over a connection, within its transaction if it has one.

    Args:
        connection: To the database.
        place: What messages call it.
        last: The version to stop after, where that is not the latest.
    """
    applied: list[Migration] = []
    while (migration := await _apply_next(connection, place, last)) is not None:
        logger.info(
            "migration applied",
            extra={"action": "migration_applied", "migration": migration.file_name},
        )
        applied.append(migration)
    return tuple(applied)


async def status(dsn: str) -> MigrationStatus:
    """Compare a database with the files of this version.

    Raises:
        ConfigurationError: The server refuses.
        TransientError: The server does not answer.
    """
    async with _connect(dsn) as connection:
        return await read_status(connection)


def write(directory: Path) -> Sequence[Path]:
    """Write the files into a ``supabase/migrations`` folder, for ``supabase db push``."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for migration in migrations():
        path = directory / migration.file_name
        path.write_text(migration.sql, encoding="utf-8")
        paths.append(path)
    return paths


def render() -> str:
    """All files as one text, each under its name."""
    return "\n".join(
        f"-- supabase/migrations/{migration.file_name}\n\n{migration.sql}"
        for migration in migrations()
    )


@asynccontextmanager
async def _connect(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
    await probe(dsn)
    try:
        async with await psycopg.AsyncConnection.connect(
            dsn, **CONNECTION, application_name="moodreel-migrate"
        ) as connection:
            await notice_our_end(connection)
            if connection.info.server_version < OLDEST_POSTGRES:
                raise ConfigurationError(
                    f"{describe_dsn(dsn)}: Postgres 15 or newer is needed, "
                    f"this is {connection.info.server_version // 10_000}"
                )
            yield connection
    except psycopg.Error as error:
        raise translate_psycopg(error, tried=f"migrating {describe_dsn(dsn)}") from error


async def _apply_next(
    connection: psycopg.AsyncConnection[tuple[Any, ...]], place: str, last: str | None
) -> Migration | None:
    async with connection.transaction():
        # Held until the end of the transaction, which a transaction pooler leaves in one piece.
        await connection.execute("select pg_advisory_xact_lock(%s)", [LOCK_KEY])
        found = await read_status(connection)
        if found.unknown:
            compare_versions(found.unknown[-1], place=place)
        if not found.pending or (last is not None and found.pending[0].version > last):
            return None
        migration = found.pending[0]
        try:
            await connection.execute(_HISTORY)
            await connection.execute(migration.sql.encode())
        except psycopg.Error as error:
            raise _name_failure(error, migration, place) from error
        await connection.execute(
            "insert into supabase_migrations.schema_migrations (version, name, statements) "
            "values (%s, %s, %s)",
            [migration.version, migration.name, [migration.sql]],
        )
        return migration


async def read_status(
    connection: psycopg.AsyncConnection[tuple[Any, ...]],
) -> MigrationStatus:
    """Compare a database with the files of this version, over a connection."""
    versions: set[str] = set()
    cursor = await connection.execute("select to_regclass('supabase_migrations.schema_migrations')")
    if await cursor.fetchone() != (None,):
        rows = await connection.execute(
            "select version from supabase_migrations.schema_migrations where name like %s",
            [f"{NAME_PREFIX}%"],
        )
        versions = {version for (version,) in await rows.fetchall()}
    known = migrations()
    return MigrationStatus(
        applied=tuple(migration for migration in known if migration.version in versions),
        pending=tuple(migration for migration in known if migration.version not in versions),
        unknown=tuple(sorted(versions - {migration.version for migration in known})),
    )


def _name_failure(error: psycopg.Error, migration: Migration, place: str) -> Exception:
    tried = f"{migration.file_name} on {place}"
    said = error.diag.message_primary or str(error)
    if "halfvec" in said or 'extension "vector"' in said:
        return ConfigurationError(
            f"{tried}: pgvector 0.7 or newer is needed, in the schema extensions or public: {said}"
        )
    if (error.sqlstate or "").startswith(("42", "0A")):
        return ConfigurationError(f"{tried}: {said}")
    return translate_psycopg(error, tried=tried)
