"""The files, their history, and what happens when two migrate at once."""

from __future__ import annotations

import asyncio
import re

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from adapters.database import migrate
from service.errors import ConfigurationError, TransientError


def query(dsn: str, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as admin:
        return admin.execute(text.encode()).fetchall()


def test_files_are_named_as_the_supabase_cli_wants_them():
    for migration in migrate.migrations():
        assert re.fullmatch(r"\d{14}_moodreel_[a-z_]+\.sql", migration.file_name)
    versions = [migration.version for migration in migrate.migrations()]
    assert versions == sorted(set(versions))


def test_the_newest_file_says_its_own_version():
    newest = migrate.migrations()[-1]
    assert "function moodreel_schema_version" in newest.sql
    assert f"'{newest.version}'::text" in newest.sql


def test_every_file_that_makes_functions_closes_them_to_strangers():
    for migration in migrate.migrations():
        if re.search(r"^create (or replace )?function", migration.sql, re.MULTILINE):
            assert "select moodreel.restrict_access();" in migration.sql


def test_every_function_that_strangers_could_reach_fixes_its_search_path():
    for migration in migrate.migrations():
        for header in re.findall(
            r"^create (?:or replace )?function moodreel_.*?as \$\$",
            migration.sql,
            re.MULTILINE | re.DOTALL,
        ):
            assert "security definer set search_path = public, extensions, pg_temp" in header


def test_files_are_written_and_printed_for_the_supabase_cli(tmp_path):
    paths = migrate.write(tmp_path / "supabase" / "migrations")
    assert [path.name for path in paths] == [m.file_name for m in migrate.migrations()]
    assert [path.read_text() for path in paths] == [m.sql for m in migrate.migrations()]
    text = migrate.render()
    for migration in migrate.migrations():
        assert f"supabase/migrations/{migration.file_name}" in text
        assert migration.sql in text


async def test_each_file_is_applied_once_and_kept_in_the_history(database_dsn):
    known = migrate.migrations()
    before = await migrate.status(database_dsn)
    assert (before.applied, before.pending) == ((), known)
    assert await migrate.apply(database_dsn) == known
    assert await migrate.apply(database_dsn) == ()
    after = await migrate.status(database_dsn)
    assert (after.applied, after.pending, after.unknown) == (known, (), ())
    rows = query(
        database_dsn,
        "select version, name from supabase_migrations.schema_migrations order by version",
    )
    assert rows == [(migration.version, migration.name) for migration in known]


async def test_two_that_migrate_at_once_apply_each_file_once(database_dsn):
    both = await asyncio.gather(migrate.apply(database_dsn), migrate.apply(database_dsn))
    applied = sorted((m for each in both for m in each), key=lambda m: m.version)
    assert tuple(applied) == migrate.migrations()


async def test_what_the_supabase_cli_applied_is_not_applied_again(database_dsn):
    """Its history has more columns than ours, and migrations of the project's owner."""
    with psycopg.connect(database_dsn, autocommit=True) as admin:
        admin.execute(
            "create schema supabase_migrations; "
            "create table supabase_migrations.schema_migrations (version text not null primary "
            "key, statements text[], name text, created_by text, idempotency_key text); "
            "insert into supabase_migrations.schema_migrations (version, name) "
            "values ('20990101000000', 'owners_own')"
        )
        for migration in migrate.migrations():
            admin.execute(migration.sql.encode())
            admin.execute(
                "insert into supabase_migrations.schema_migrations (version, name) values (%s, %s)",
                [migration.version, migration.name],
            )
    found = await migrate.status(database_dsn)
    assert (found.pending, found.unknown) == ((), ())
    assert await migrate.apply(database_dsn) == ()


async def test_a_file_that_fails_leaves_nothing_behind(database_dsn):
    with psycopg.connect(database_dsn, autocommit=True) as admin:
        admin.execute("create table published_events (id int)")
    with pytest.raises(ConfigurationError, match="published_events"):
        await migrate.apply(database_dsn)
    assert query(database_dsn, "select to_regclass('media_items')::text") == [(None,)]
    with psycopg.connect(database_dsn, autocommit=True) as admin:
        admin.execute("drop table published_events")
    assert await migrate.apply(database_dsn) == migrate.migrations()


async def test_a_database_of_a_newer_version_is_left_alone(database_dsn):
    await migrate.apply(database_dsn)
    with psycopg.connect(database_dsn, autocommit=True) as admin:
        admin.execute(
            "insert into supabase_migrations.schema_migrations (version, name) "
            "values ('20991231000000', 'moodreel_future')"
        )
    assert (await migrate.status(database_dsn)).unknown == ("20991231000000",)
    with pytest.raises(ConfigurationError, match="newer"):
        await migrate.apply(database_dsn)


async def test_a_role_that_may_not_create_is_told_so(database_dsn):
    with psycopg.connect(database_dsn, autocommit=True) as admin:
        admin.execute(
            "do $$ begin create role powerless login; exception when duplicate_object then null; "
            "end $$"
        )
    with pytest.raises(ConfigurationError, match="permission denied"):
        await migrate.apply(make_conninfo(database_dsn, user="powerless"))


async def test_where_nothing_is_pending_no_right_to_create_is_needed(database_dsn):
    await migrate.apply(database_dsn)
    with psycopg.connect(database_dsn, autocommit=True) as admin:
        admin.execute(
            "do $$ begin create role reader_only login; exception when duplicate_object then null; "
            "end $$; grant usage on schema supabase_migrations to reader_only; "
            "grant select on supabase_migrations.schema_migrations to reader_only"
        )
    assert await migrate.apply(make_conninfo(database_dsn, user="reader_only")) == ()


async def test_an_owner_who_is_no_superuser_can_migrate(database_dsn):
    """As on hosted Supabase: the extension is trusted there, or was made by somebody else."""
    with psycopg.connect(database_dsn, autocommit=True) as admin:
        admin.execute(
            "do $$ begin create role owner_only login; exception when duplicate_object then null; "
            "end $$; create schema extensions; create extension vector with schema extensions; "
            "grant usage on schema extensions to owner_only; "
            "grant create on schema public to owner_only"
        )
        row = admin.execute("select current_database()").fetchone()
        assert row is not None
        admin.execute(f'alter database "{row[0]}" owner to owner_only'.encode())
    assert await migrate.apply(make_conninfo(database_dsn, user="owner_only"))


async def test_a_server_that_does_not_answer_is_worth_another_try(tmp_path):
    with pytest.raises(TransientError):
        await migrate.apply(f"postgresql:///moodreel?host={tmp_path}")
