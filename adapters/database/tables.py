"""Our tables, by name: a database may hold others' beside them, which are none of our business."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table."""

    schema: str
    name: str
    key: tuple[str, ...]
    """Columns of its primary key; none where it has a single row."""

    @property
    def full_name(self) -> str:
        """Such as ``public.media_items``."""
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that can be written: none that the database computes from others."""

    name: str
    type: str
    """As SQL writes it, such as ``timestamp with time zone``."""
    has_sequence: bool
    """Whether the database numbers its rows, if nobody else does."""


def _results(*names_and_keys: tuple[str, str]) -> tuple[Table, ...]:
    return tuple(
        Table(schema="public", name=name, key=tuple(key.split())) for name, key in names_and_keys
    )


RESULTS = (
    *_results(
        ("media_items", "id"),
        ("media_analyses", "media_item_id"),
        ("media_scenes", "media_item_id position"),
        ("scene_embeddings", "media_item_id position kind model"),
        ("media_tags", "media_item_id position"),
        ("media_moods", "media_item_id position"),
        ("media_highlights", "media_item_id position"),
        ("media_audio_analysis", "media_item_id"),
        ("media_texts", "media_item_id channel position"),
        ("media_transcripts", "media_item_id position"),
        ("publications", "media_item_id channel"),
        ("publication_groups", "id"),
        ("gathered_publications", "group_id media_item_id"),
        ("published_events", "sequence"),
        ("reconciliations", "server"),
        ("tag_edits", "media_item_id"),
    ),
    Table(schema="moodreel", name="installation", key=()),
    Table(schema="moodreel", name="triggers", key=("name",)),
    Table(schema="moodreel", name="votes", key=("server", "item_id", "subject", "label", "voter")),
)
"""What was found and what was told; a table comes after those that it refers to."""

QUEUE = tuple(
    Table(schema="procrastinate", name=name, key=("id",))
    for name in ("procrastinate_workers", "procrastinate_jobs", "procrastinate_events")
)
"""Who does jobs, jobs, and what became of them."""
JOBS = QUEUE[1]

VIEWS = ("public.scene_clip_metadata",)

FLEETING = (
    "moodreel.uploads",
    "moodreel.text_vectors",
    "moodreel.upkeep",
    "moodreel.webhook_arrivals",
    "procrastinate.procrastinate_periodic_defers",
)
"""Worth nothing once their process is gone, or elsewhere."""

HISTORIES = ("supabase_migrations.schema_migrations", "procrastinate.applied_migrations")
"""Kept by those who change the schema."""


async def existing(connection: Connection, tables: Iterable[Table]) -> tuple[Table, ...]:
    """Those of the tables that a database has, in the same order."""
    cursor = await connection.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where c.relkind in ('r', 'p')"
    )
    found = set(await cursor.fetchall())
    return tuple(table for table in tables if (table.schema, table.name) in found)


async def columns(connection: Connection, table: Table) -> tuple[Column, ...]:
    """The columns of a table, in order, but for those that are computed.

    Types of extensions come without the name of their schema.
    """
    cursor = await connection.execute(
        "select a.attname, "
        "case when t.typnamespace = 'pg_catalog'::regnamespace "
        "then format_type(a.atttypid, a.atttypmod) else t.typname::text end, "
        "pg_get_serial_sequence(format('%%I.%%I', n.nspname, c.relname), a.attname) is not null "
        "from pg_attribute a join pg_type t on t.oid = a.atttypid "
        "join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname = %s and c.relname = %s "
        "and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by a.attnum",
        (table.schema, table.name),
    )
    return tuple(
        Column(name=name, type=kind, has_sequence=has_sequence)
        for name, kind, has_sequence in await cursor.fetchall()
    )


async def count(connection: Connection, tables: Iterable[Table]) -> dict[str, int]:
    """Rows of each table, by its full name."""
    counts: dict[str, int] = {}
    for table in tables:
        query = sql.SQL("select count(*) from {}").format(table.identifier)
        [(counts[table.full_name],)] = await (await connection.execute(query)).fetchall()
    return counts


async def others(connection: Connection) -> tuple[str, ...]:
    """Tables and views of this database that are not ours, such as an owner's own reports."""
    known = {table.full_name for table in (*RESULTS, *QUEUE)} | {*VIEWS, *FLEETING, *HISTORIES}
    cursor = await connection.execute(
        "select n.nspname || '.' || c.relname from pg_class c "
        "join pg_namespace n on n.oid = c.relnamespace "
        "where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' "
        "and n.nspname <> 'information_schema' and not exists (select from pg_depend d "
        "where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') order by 1"
    )
    return tuple(name for (name,) in await cursor.fetchall() if name not in known)
