"""Straight to a Postgres, the embedded one or any other."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from adapters.database.failures import connection_failure, failure
from adapters.database.transports import CALL_TIMEOUT_S, CONNECT_TIMEOUT_S
from service.domain import Json
from service.errors import ConfigurationError, MoodreelError, TransientError

SETTING = "DATABASE_URL"
POOL_SIZE = 6
"""A worker's jobs and the web's reads; the embedded server allows 40 connections for all."""


CONNECTION: dict[str, Any] = {
    "autocommit": True,
    "prepare_threshold": None,
    "connect_timeout": int(CONNECT_TIMEOUT_S),
    # A server that vanished without a word is noticed after half a minute, for a statement that
    # waits for its answer as for a connection that lies idle; the kernel's own limit is two hours.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""How to connect, but for the name."""

NOTICE_OUR_END = """
set tcp_keepalives_idle = 15;
set tcp_keepalives_interval = 5;
set tcp_keepalives_count = 3;
set tcp_user_timeout = '30s'
"""
"""Makes the server notice as soon that our host vanished. Else it keeps the connection, and what it
has locked, such as the right to migrate, for two hours."""


class PsycopgTransport:
    """One transaction for each call.

    Prepared statements are off: a transaction pooler would lose them.
    """

    request_bytes: int | None = None

    def __init__(self, dsn: str, *, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        self.place = describe_dsn(dsn)
        self._pool = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=POOL_SIZE,
            timeout=connect_timeout_s,
            # The pool waits longer after each failure. By default it does for five minutes, and
            # would miss for two that the server is back: give up early, the next call tries anew.
            reconnect_timeout=connect_timeout_s / 2,
            kwargs=CONNECTION | {"application_name": "moodreel-store"},
            configure=notice_our_end,
            check=AsyncConnectionPool.check_connection,  # outlives a restart of the server
            open=False,
            name="moodreel-store",
        )

    @classmethod
    async def open(cls, dsn: str, *, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> Self:
        """Connect.

        Args:
            dsn: Where, as libpq reads it.
            connect_timeout_s: How long a call waits for a connection.

        Raises:
            ConfigurationError: The address cannot be read, or the server refuses us.
            TransientError: Nobody answers there.
        """
        transport = cls(dsn, connect_timeout_s=connect_timeout_s)
        await probe(dsn)  # the pool itself says only that it took too long
        await transport._pool.open()
        return transport

    async def call(self, function: str, request: Json) -> Any:  # noqa: ANN401  any JSON value
        tried = f"{function} on {self.place}"
        query = sql.SQL("select public.{}(%s::jsonb)").format(sql.Identifier(function))
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S), self._pool.connection() as connection:
                cursor = await connection.execute(query, [json.dumps(request)])
                row = await cursor.fetchone()
        except TimeoutError as error:
            raise TransientError(f"{tried}: no answer within {CALL_TIMEOUT_S:g} s") from error
        except PoolTimeout as error:
            raise TransientError(f"{tried}: no connection ({error})") from error
        except psycopg.Error as error:
            raise translate_psycopg(error, tried=tried) from error
        return row[0] if row else None

    async def aclose(self) -> None:
        await self._pool.close()


async def notice_our_end(connection: psycopg.AsyncConnection[Any]) -> None:
    """Make the server notice when our host vanishes."""
    await connection.execute(NOTICE_OUR_END)


async def probe(dsn: str) -> None:
    """Connect once, for the sake of the error.

    Raises:
        MoodreelError: Named by what the caller should do next.
    """
    tried = f"connecting to {describe_dsn(dsn)}"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connection = await psycopg.AsyncConnection.connect(dsn)
    except TimeoutError as error:
        raise TransientError(f"{tried}: no answer within {CONNECT_TIMEOUT_S:g} s") from error
    except psycopg.Error as error:
        raise translate_psycopg(error, tried=tried) from error
    await connection.close()


def describe_dsn(dsn: str) -> str:
    """Name a server without its secrets.

    Raises:
        ConfigurationError: It is no connection string.
    """
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        parts = None
    host = str(parts.get("host", "localhost")) if parts else "@"
    if "@" in host:  # the rest of a password that was cut at its own @
        # Without a cause: it would quote the string, password and all.
        raise ConfigurationError(
            f"{SETTING} is no connection string, such as postgresql://user:password@host/name "
            "(special characters in the password are written %XX)"
        ) from None
    return f"Postgres {host}/{parts.get('dbname', '') if parts else ''}"


def has_password(dsn: str) -> bool:
    """Whether a connection string holds one. What cannot be read may be one."""
    try:
        return "password" in conninfo_to_dict(dsn)
    except psycopg.Error:
        return True


def is_same_place(one: str, other: str) -> bool:
    """Whether two connection strings name the same database in the same words."""
    names = ("host", "hostaddr", "port", "dbname")
    parts, others = conninfo_to_dict(one), conninfo_to_dict(other)
    return [parts.get(name) for name in names] == [others.get(name) for name in names]


def translate_psycopg(error: psycopg.Error, *, tried: str) -> MoodreelError:
    """Name what an error of psycopg's means for the caller."""
    if error.sqlstate:
        said = error.diag.message_primary or str(error)
        return failure(error.sqlstate, said, tried=tried, setting=SETTING)
    return connection_failure(str(error), tried=tried, setting=SETTING)
