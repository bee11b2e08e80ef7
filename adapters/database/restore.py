"""Puts a backup into a database: all of it in one transaction, or nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from adapters.database import migrate, tables
from adapters.database.archive import Archive, Manifest, StoredTable
from adapters.database.backup import OURS, SESSION, OnProgress, connected
from adapters.database.given import go_on_after, read_given
from adapters.database.psycopg_transport import describe_dsn
from adapters.database.tables import Connection, Table
from service.errors import ConfigurationError, PermanentError

BY_NAME = {table.full_name: table for table in OURS}
WITHOUT_WORTH = {"moodreel.installation", "procrastinate.procrastinate_workers"}
"""A database that was only started once has rows in them."""

LEAVE_S = 2.0
"""A server needs milliseconds to end the session of a client that is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a database has since."""

    counts: Mapping[str, int]
    """Rows by table."""
    replaced: Mapping[str, int]
    """What it had before."""
    requeued: int
    """Jobs that ran when the backup was made, and wait now."""
    migrations: tuple[str, ...]
    """Files that were applied to what was restored, since this version is newer."""


def check_versions(archive: Archive) -> None:
    """See that this version knows all that is in an archive.

    Raises:
        ConfigurationError: A newer one made it.
    """
    manifest = archive.manifest
    known = {migration.version for migration in migrate.migrations()}
    unknown = [
        *(f"migration {version}" for version in manifest.migrations if version not in known),
        *(f"table {table.name}" for table in manifest.tables if table.name not in BY_NAME),
    ]
    if unknown or not manifest.migrations:
        raise ConfigurationError(
            f"{archive.name} was made by Moodreel {manifest.moodreel}, which is newer than this "
            f"one (it lacks {', '.join(unknown) or 'its schema'}): update moodreel"
        )


async def count_rows(dsn: str) -> Mapping[str, int]:
    """What a database has of ours, by table; nothing of tables that it lacks or that are empty."""
    async with connected(dsn, f"looking into {describe_dsn(dsn)}") as connection:
        return await _count(connection)


async def restore(
    dsn: str, archive: Archive, on_progress: OnProgress, *, may_replace: bool = False
) -> Restored:
    """Load an archive that was verified, and bring it up to this version.

    Args:
        dsn: A database with the queue's tables.
        archive: What to load.
        on_progress: Told bytes that were loaded, and bytes in all.
        may_replace: Whether what the database has may be lost.

    Raises:
        ConfigurationError: The database has something already, is in use, or refuses.
        TransientError: The server does not answer, or stopped: nothing was changed.
        PermanentError: It has not got what the archive says.
    """
    place = describe_dsn(dsn)
    async with (
        connected(dsn, f"restoring into {place}") as connection,
        connection.transaction(),
    ):
        await connection.execute(SESSION)
        await connection.execute("select pg_advisory_xact_lock(%s)", [migrate.LOCK_KEY])
        await _refuse_users(connection, place)
        replaced = await _count(connection)
        if replaced and not may_replace:
            raise ConfigurationError(
                f"{place} is not empty ({tell(replaced)}): with --force the backup takes the place "
                "of all that"
            )
        given = await read_given(connection)
        async with _alone(place):
            await _clear(connection, archive.manifest, place)
        await _load(connection, archive, on_progress)
        counts = await _check_counts(connection, archive)
        requeued = await _requeue(connection)
        applied = await migrate.apply_on(connection, place)
        await go_on_after(connection, given)
        await _analyze(connection)
    return Restored(
        counts=counts,
        replaced=replaced,
        requeued=requeued,
        migrations=tuple(migration.file_name for migration in applied),
    )


def tell(counts: Mapping[str, int]) -> str:
    """Counts in words."""
    return ", ".join(f"{count} in {name}" for name, count in counts.items() if count)


async def _refuse_users(connection: Connection, place: str) -> None:
    """Whoever left a moment ago, such as ourselves, may be listed still."""
    deadline = time.monotonic() + LEAVE_S
    while found := await _list_users(connection):
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"a Moodreel on {', '.join(found)} works in {place}: stop it before a restore"
            )
        await asyncio.sleep(0.05)


async def _list_users(connection: Connection) -> list[str]:
    # What a transaction has seen of others once, it would see again.
    await connection.execute("select pg_stat_clear_snapshot()")
    cursor = await connection.execute(
        "select distinct coalesce(host(client_addr), 'this machine') from pg_stat_activity "
        "where datname = current_database() "
        "and application_name in ('moodreel-store', 'moodreel-queue')"
    )
    return [address for (address,) in await cursor.fetchall()]


async def _count(connection: Connection) -> dict[str, int]:
    found = await tables.existing(connection, OURS)
    counts = await tables.count(connection, found)
    return {name: count for name, count in counts.items() if count and name not in WITHOUT_WORTH}


async def _clear(connection: Connection, manifest: Manifest, place: str) -> None:
    """Leave the schema that the backup was made with, and no rows."""
    status = await migrate.read_status(connection)
    if status.unknown:
        migrate.compare_versions(status.unknown[-1], place=place)
    if status.applied and status.applied[-1].version > manifest.schema_version:
        await _drop_results(connection)
    await migrate.apply_on(connection, place, last=manifest.schema_version)
    fleeting = (_table(name) for name in tables.FLEETING)
    found = await tables.existing(connection, (*OURS, *fleeting))
    names = sql.SQL(", ").join(table.identifier for table in found)
    await connection.execute(sql.SQL("truncate {}").format(names))


@asynccontextmanager
async def _alone(place: str) -> AsyncIterator[None]:
    """See that nobody built upon our tables what would go with them."""
    try:
        yield
    except (psycopg.errors.DependentObjectsStillExist, psycopg.errors.FeatureNotSupported) as error:
        said = " ".join((error.diag.message_detail or str(error)).split())
        raise ConfigurationError(
            f"something of others in {place} depends on Moodreel's tables, which a restore makes "
            f"anew; drop it first, and make it again afterwards: {said}"
        ) from error


def _table(full_name: str) -> Table:
    schema, _, name = full_name.partition(".")
    return Table(schema=schema, name=name, key=())


async def _drop_results(connection: Connection) -> None:
    """Without ``cascade``: what others built upon our tables is theirs to drop."""
    cursor = await connection.execute(
        "select format('drop function %s', oid::regprocedure) from pg_proc "
        "where pronamespace = 'public'::regnamespace and proname like 'moodreel\\_%'"
    )
    statements = [text for (text,) in await cursor.fetchall()]
    statements += [f"drop view if exists {name}" for name in tables.VIEWS]
    statements.append("drop schema moodreel cascade")
    found = await tables.existing(connection, tables.RESULTS)
    names = ", ".join(table.full_name for table in found if table.schema == "public")
    statements.append(f"drop table {names}")
    for statement in statements:
        await connection.execute(statement.encode())
    await connection.execute(
        "delete from supabase_migrations.schema_migrations where name like %s",
        [f"{migrate.NAME_PREFIX}%"],
    )


async def _load(connection: Connection, archive: Archive, on_progress: OnProgress) -> None:
    total = sum(table.size_bytes for table in archive.manifest.tables)
    done = 0
    await _let_jobs_be(connection, "disable")
    for stored in archive.manifest.tables:
        async for size_bytes in _load_table(connection, archive, stored):
            done += size_bytes
            on_progress(done, total)
    await _let_jobs_be(connection, "enable")


async def _let_jobs_be(connection: Connection, word: str) -> None:
    """Its triggers would note every job as new."""
    statement = f"alter table procrastinate.procrastinate_jobs {word} trigger user"
    await connection.execute(statement.encode())


async def _load_table(
    connection: Connection, archive: Archive, stored: StoredTable
) -> AsyncIterator[int]:
    """Load it in blocks, and give their sizes."""
    table = BY_NAME[stored.name]
    has = {column.name for column in await tables.columns(connection, table)}
    if lacking := [name for name in stored.columns if name not in has]:
        raise ConfigurationError(
            f"{archive.name} has {stored.name} with {', '.join(lacking)}, which this version's has "
            f"not: restore it with Moodreel {archive.manifest.moodreel}, then update"
        )
    query = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        table.identifier, sql.SQL(", ").join(map(sql.Identifier, stored.columns))
    )
    async with connection.cursor() as cursor, cursor.copy(query) as copy:
        for block in archive.table(stored.name):
            await copy.write(block)
            await asyncio.sleep(0)  # an interrupt is heard
            yield len(block)
    for column, number in stored.last_numbers.items():
        await connection.execute(
            "select setval(pg_get_serial_sequence(%s, %s), %s)", [stored.name, column, number]
        )


async def _analyze(connection: Connection) -> None:
    """Let the planner know what it has now; by itself it would look a minute later."""
    names = sql.SQL(", ").join(BY_NAME[name].identifier for name in BY_NAME)
    await connection.execute(sql.SQL("analyze {}").format(names))


async def _check_counts(connection: Connection, archive: Archive) -> dict[str, int]:
    expected = archive.manifest.row_counts
    counts = await tables.count(connection, (BY_NAME[name] for name in expected))
    if counts != expected:
        wrong = (name for name in expected if counts[name] != expected[name])
        raise PermanentError(
            f"{archive.name} is not what it says: "
            + ", ".join(f"{counts[name]} rows of {expected[name]} in {name}" for name in wrong)
        )
    return counts


async def _requeue(connection: Connection) -> int:
    """Let jobs wait whose worker is not here.

    Where an equal job waits already, the service's own rescue merges the two.
    """
    await connection.execute("set local search_path = procrastinate, pg_catalog")
    cursor = await connection.execute(
        "update procrastinate_jobs job "
        "set status = 'todo', worker_id = null, abort_requested = false "
        "where status = 'doing' and not exists (select from procrastinate_jobs twin "
        "where twin.status = 'todo' and twin.queueing_lock = job.queueing_lock)"
    )
    await connection.execute("delete from procrastinate_workers")
    await connection.execute("set local search_path = public, extensions")
    return cursor.rowcount
