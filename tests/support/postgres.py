"""An embedded Postgres for tests, fresh databases in it, and a process that owns one."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""Server parameters for clusters that nobody will miss."""


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """A directory that the server's user can reach; pytest's own are closed to others."""
    directory = Path(tempfile.mkdtemp(prefix="moodreel-test-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def fresh_database(dsn: str) -> Iterator[str]:
    """An empty database in a running cluster, dropped afterwards; yields its connection string."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        try:
            yield make_conninfo(dsn, dbname=name)
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
