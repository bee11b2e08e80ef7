"""The embedded Postgres as its users see it."""

from __future__ import annotations

import psycopg


def test_a_fresh_database_takes_the_extension_and_knows_the_roles(database_dsn):
    with psycopg.connect(database_dsn) as connection:
        connection.execute("create schema if not exists extensions")
        connection.execute("create extension if not exists vector with schema extensions")
        distance = connection.execute(
            "select extensions.cosine_distance('[1,0]'::extensions.halfvec, '[0,1]')"
        ).fetchone()
        roles = connection.execute(
            "select rolname, rolbypassrls from pg_roles"
            " where rolname in ('anon', 'authenticated', 'service_role') order by 1"
        ).fetchall()
    assert distance == (1.0,)
    assert roles == [("anon", False), ("authenticated", False), ("service_role", True)]
