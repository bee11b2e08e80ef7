"""Writes our tables into an archive: one moment of the database, while others go on writing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import IO, Any

import psycopg
from psycopg import sql

from adapters.database import tables
from adapters.database.archive import FORMAT_VERSION, ArchiveWriter, Manifest, StoredTable
from adapters.database.migrate import NAME_PREFIX
from adapters.database.psycopg_transport import describe_dsn, probe, translate_psycopg
from adapters.database.tables import Connection, Table
from adapters.database.transports import CONNECT_TIMEOUT_S
from service.errors import ConfigurationError

OnProgress = Callable[[int, int], None]

SESSION = """
set local statement_timeout = 0;
set local idle_in_transaction_session_timeout = 0;
set local lock_timeout = '30s';
set local row_security = off;
set local client_encoding = 'UTF8';
"""
"""Hosted databases end statements after two minutes. Rows that a policy hides from us would be
missing; with row security off that is an error. Locks wait for whoever changes the tables
themselves: the longest migration so far takes under 1 s."""

ROWS_PER_WORD = 1_000
"""Rows between two words of progress."""

OURS = (*tables.RESULTS, *tables.QUEUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """What is known of a database beside its rows."""

    postgres: str
    created_at: datetime
    migrations: tuple[str, ...]
    queue_migrations: tuple[str, ...]


async def back_up(
    dsn: str, stream: IO[bytes], files: Mapping[str, bytes], on_progress: OnProgress
) -> Manifest:
    """Write everything of ours that a database has at one moment.

    Args:
        dsn: The database; whoever works in it goes on.
        stream: Where to.
        files: What belongs to it beside the database, by name.
        on_progress: Told rows that were written, and rows in all.

    Raises:
        ConfigurationError: The database has nothing of ours, or refuses.
        TransientError: The server does not answer, or stopped.
    """
    with ArchiveWriter(stream) as archive:
        async with _snapshot(dsn) as (connection, wanted):
            moment = await _read_moment(connection)
            stored = await _write_tables(connection, wanted, archive, on_progress)
        manifest = Manifest(
            format="moodreel-backup",
            format_version=FORMAT_VERSION,
            moodreel=version("moodreel"),
            postgres=moment.postgres,
            created_at=moment.created_at,
            migrations=moment.migrations,
            queue_migrations=moment.queue_migrations,
            tables=stored,
            files=tuple(archive.file(name, content) for name, content in files.items()),
        )
        archive.finish(manifest)
    return manifest


@asynccontextmanager
async def connected(
    dsn: str, tried: str
) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
    """A connection without prepared statements, whose errors are named."""
    await probe(dsn)
    try:
        async with await psycopg.AsyncConnection.connect(
            dsn,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=int(CONNECT_TIMEOUT_S),
            application_name="moodreel-backup",
        ) as connection:
            yield connection
    except psycopg.Error as error:
        raise translate_psycopg(error, tried=tried) from error


async def list_others(dsn: str) -> tuple[str, ...]:
    """What a backup leaves out: tables and views that are not ours."""
    async with connected(dsn, f"looking into {describe_dsn(dsn)}") as connection:
        return await tables.others(connection)


@asynccontextmanager
async def _snapshot(dsn: str) -> AsyncIterator[tuple[Connection, tuple[Table, ...]]]:
    """One moment of a database, and those of our tables that it has."""
    place = describe_dsn(dsn)
    async with connected(dsn, f"backing up {place}") as connection:
        while True:
            found = await tables.existing(connection, OURS)
            if found[:1] != OURS[:1]:
                raise ConfigurationError(f"{place} holds no results of Moodreel's to back up")
            async with connection.transaction():
                await connection.execute(
                    "set transaction isolation level repeatable read, read only"
                )
                await connection.execute(SESSION)
                # Before the first query, which fixes the moment: no migration in between.
                names = sql.SQL(", ").join(table.identifier for table in found)
                await connection.execute(
                    sql.SQL("lock table {} in access share mode").format(names)
                )
                if await tables.existing(connection, OURS) == found:
                    yield connection, found
                    return


async def _read_moment(connection: Connection) -> _Moment:
    cursor = await connection.execute(
        "select current_setting('server_version'), clock_timestamp(), "
        "to_regclass('procrastinate.applied_migrations') is not null"
    )
    [(postgres, created_at, has_queue)] = await cursor.fetchall()
    cursor = await connection.execute(
        "select version from supabase_migrations.schema_migrations where name like %s order by 1",
        [f"{NAME_PREFIX}%"],
    )
    migrations = tuple(found for (found,) in await cursor.fetchall())
    queue_migrations: tuple[str, ...] = ()
    if has_queue:
        cursor = await connection.execute(
            "select name from procrastinate.applied_migrations order by 1"
        )
        queue_migrations = tuple(found for (found,) in await cursor.fetchall())
    return _Moment(
        postgres=postgres,
        created_at=created_at,
        migrations=migrations,
        queue_migrations=queue_migrations,
    )


async def _write_tables(
    connection: Connection,
    wanted: tuple[Table, ...],
    archive: ArchiveWriter,
    on_progress: OnProgress,
) -> tuple[StoredTable, ...]:
    total = sum((await tables.count(connection, wanted)).values())
    done = 0
    stored = []
    for table in wanted:

        def progress(rows: int, before: int = done) -> None:
            on_progress(before + rows, total)

        written = await _write_table(connection, table, archive, progress)
        done += written.row_count
        stored.append(written)
    return tuple(stored)


async def _write_table(
    connection: Connection, table: Table, archive: ArchiveWriter, on_rows: Callable[[int], None]
) -> StoredTable:
    columns = await tables.columns(connection, table)
    query = sql.SQL("copy {} ({}) to stdout (format binary)").format(
        table.identifier, sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    )
    with archive.table(table.full_name) as member:
        async with connection.cursor() as cursor:
            async with cursor.copy(query) as copy:
                rows = 0
                async for data in copy:  # a row in each, after the header
                    member.write(data)
                    rows += 1
                    if rows % ROWS_PER_WORD == 0:
                        on_rows(rows)
            row_count = cursor.rowcount
    on_rows(row_count)
    # Numbers are given out outside of any snapshot: read after the rows, none of them is higher.
    numbers = {
        column.name: await last_number(connection, table, column.name)
        for column in columns
        if column.has_sequence
    }
    return StoredTable(
        name=table.full_name,
        columns=tuple(column.name for column in columns),
        row_count=row_count,
        size_bytes=member.size_bytes,
        sha256=member.sha256,
        last_numbers={name: number for name, number in numbers.items() if number is not None},
    )


async def last_number(connection: Connection, table: Table, column: str) -> int | None:
    """The last that a column's sequence gave out; None before the first."""
    cursor = await connection.execute(
        "select pg_sequence_last_value(pg_get_serial_sequence(%s, %s)::regclass)",
        [table.full_name, column],
    )
    [(number,)] = await cursor.fetchall()
    return None if number is None else int(number)
