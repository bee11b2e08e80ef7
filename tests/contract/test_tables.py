"""What we call our tables is what the migrations make."""

from __future__ import annotations

import psycopg
import pytest

from adapters.database import migrate, tables
from adapters.queue import ProcrastinateQueue


@pytest.fixture
async def connection(database_dsn):
    await migrate.apply(database_dsn)
    await (await ProcrastinateQueue.open(database_dsn)).aclose()
    async with await psycopg.AsyncConnection.connect(database_dsn) as connection:
        yield connection


async def test_no_table_is_forgotten(connection):
    cursor = await connection.execute(
        "select schemaname || '.' || tablename from pg_tables "
        "where schemaname not in ('pg_catalog', 'information_schema')"
    )
    found = {name for (name,) in await cursor.fetchall()}
    ours = {table.full_name for table in (*tables.RESULTS, *tables.QUEUE)}
    assert found == ours | {*tables.FLEETING, *tables.HISTORIES}


async def test_a_table_comes_after_those_that_it_refers_to(connection):
    cursor = await connection.execute(
        "select conrelid::regclass::text, confrelid::regclass::text from pg_constraint "
        "where contype = 'f' and conrelid::regclass::text not like '%.%'"
    )
    order = [table.name for table in tables.RESULTS]
    for name, referred in await cursor.fetchall():
        assert order.index(referred) < order.index(name)


async def test_keys_are_those_of_the_database(connection):
    for table in (*tables.RESULTS, *tables.QUEUE):
        cursor = await connection.execute(
            "select array(select attname::text from unnest(i.indkey) with ordinality k (n, place) "
            "join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.n order by place) "
            "from pg_index i where i.indisprimary and i.indrelid = %s::regclass",
            [table.full_name],
        )
        row = await cursor.fetchone()
        assert table.key == (tuple(row[0]) if row else ())


async def test_computed_columns_are_not_written(connection):
    groups = next(table for table in tables.RESULTS if table.name == "publication_groups")
    found = {column.name: column for column in await tables.columns(connection, groups)}
    assert "key" not in found
    assert found["id"].has_sequence
    assert found["created_at"].type == "timestamp with time zone"
    embeddings = next(table for table in tables.RESULTS if table.name == "scene_embeddings")
    kinds = {column.name: column.type for column in await tables.columns(connection, embeddings)}
    assert kinds["embedding"] == "halfvec"
    assert await tables.count(connection, [groups]) == {"public.publication_groups": 0}
    assert await tables.existing(connection, [groups]) == (groups,)
