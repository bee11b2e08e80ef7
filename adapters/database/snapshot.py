"""A Postgres as it was at one moment, however long it is read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql

from adapters.database.psycopg_transport import describe_dsn, probe, translate_psycopg
from adapters.database.transports import CONNECT_TIMEOUT_S
from service.domain import Json

BEGIN = """
begin isolation level repeatable read read only;
set local idle_in_transaction_session_timeout = 0;
"""
"""The other side may be slow: between two questions the transaction idles."""


class SnapshotTransport:
    """All calls in one transaction that sees nothing of what is written meanwhile."""

    request_bytes: int | None = None

    def __init__(self, connection: psycopg.AsyncConnection[Any], place: str) -> None:
        self.place = place
        self._connection = connection

    async def call(self, function: str, request: Json) -> Any:  # noqa: ANN401  any JSON value
        query = sql.SQL("select public.{}(%s::jsonb)").format(sql.Identifier(function))
        try:
            cursor = await self._connection.execute(query, [json.dumps(request)])
            row = await cursor.fetchone()
        except psycopg.Error as error:
            raise translate_psycopg(error, tried=f"{function} on {self.place}") from error
        return row[0] if row else None

    async def aclose(self) -> None:
        await self._connection.close()


@asynccontextmanager
async def open_snapshot(dsn: str) -> AsyncIterator[SnapshotTransport]:
    """Read a database as it is now.

    Raises:
        ConfigurationError: It refuses us.
        TransientError: It does not answer.
    """
    await probe(dsn)
    place = describe_dsn(dsn)
    try:
        async with await psycopg.AsyncConnection.connect(
            dsn,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=int(CONNECT_TIMEOUT_S),
            application_name="moodreel-copy",
        ) as connection:
            await connection.execute(BEGIN)
            yield SnapshotTransport(connection, place)
    except psycopg.Error as error:
        raise translate_psycopg(error, tried=f"reading {place}") from error
