"""Which database: the operator's own, or the embedded one."""

from __future__ import annotations

from contextlib import AsyncExitStack

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.settings import DatabaseSettings
from service.settings import ServiceSettings, prepare_data_dir


async def open_database(
    stack: AsyncExitStack, settings: ServiceSettings, database: DatabaseSettings
) -> str:
    """The address of the queue's database, its schema up to date where results are kept there.

    On the main thread: the embedded Postgres is its child, and stops with the stack.

    Raises:
        ConfigurationError: It cannot be used.
        TransientError: It does not answer.
    """
    dsn = database.dsn or start_embedded(stack, settings)
    if not database.supabase_url:
        await migrate.apply(dsn)
    return dsn


def start_embedded(stack: AsyncExitStack, settings: ServiceSettings) -> str:
    """Start the embedded Postgres, or attach to the one that runs; return its address."""
    server = EmbeddedPostgres(prepare_data_dir(settings) / "postgres")
    stack.callback(server.stop)
    return server.start()
