"""What a database gave out, so that it gives out nothing twice when a backup takes its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapters.database import tables
from adapters.database.backup import OURS, last_number
from adapters.database.tables import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a database gave out before, and a worker may know that sleeps or is out of reach.

    If others got the same again, its word about its own job would be taken for theirs.
    """

    token: int | None
    """The highest of all items."""
    numbers: Mapping[tuple[str, str], int]
    """The last one, by table and column."""
    runs: Sequence[tuple[int, int]]
    """Jobs that somebody is at, and the attempts before: what a run of a job is known by."""


async def read_given(connection: Connection) -> Given:
    """Ask a database; one without our tables gave out nothing."""
    found = await tables.existing(connection, OURS)
    numbers = {}
    for table in found:
        for column in await tables.columns(connection, table):
            number = (
                await last_number(connection, table, column.name) if column.has_sequence else None
            )
            if number is not None:
                numbers[table.full_name, column.name] = number
    token = None
    if found[:1] == OURS[:1]:
        cursor = await connection.execute("select max(token) from public.media_items")
        [(token,)] = await cursor.fetchall()
    runs: Sequence[tuple[int, int]] = ()
    if tables.JOBS in found:
        cursor = await connection.execute(
            "select id, attempts from procrastinate.procrastinate_jobs where status = 'doing'"
        )
        runs = await cursor.fetchall()
    return Given(token=token, numbers=numbers, runs=runs)


async def go_on_after(connection: Connection, given: Given) -> None:
    """Give out nothing again, and let no token count that was given out, and no run.

    A run that is over this way costs an attempt, as one does whose worker fell silent.
    """
    for (table, column), number in given.numbers.items():
        await connection.execute(
            "select setval(name, greatest(%s, pg_sequence_last_value(name))) "
            "from (select pg_get_serial_sequence(%s, %s)::regclass) as sequence (name)",
            [number, table, column],
        )
    if given.token is not None:
        above = given.token + 1
        await connection.execute(
            "update public.media_items set token = %s where token < %s", [above, above]
        )
    await connection.execute("set local search_path = procrastinate, pg_catalog")  # of its triggers
    for job_id, attempts in given.runs:
        await connection.execute(
            "update procrastinate_jobs set attempts = greatest(attempts, %s) "
            "where id = %s and status in ('todo', 'doing')",
            [attempts + 1, job_id],
        )
    await connection.execute("set local search_path = public, extensions")
