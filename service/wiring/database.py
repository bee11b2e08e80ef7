"""Which database: the operator's own, or the embedded one."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.settings import DatabaseSettings
from service.errors import ConfigurationError, MoodreelError
from service.settings import ServiceSettings, prepare_data_dir

logger = logging.getLogger(__name__)

LOOK_AFTER_S = 2.0
"""How often the embedded Postgres is looked after; a server that died is started anew."""
SHORT_COMMAND_S = 15.0
"""How long the service waits for a short command, such as `moodreel status`, that came first."""


async def open_database(
    stack: AsyncExitStack,
    settings: ServiceSettings,
    database: DatabaseSettings,
    *,
    must_own: bool = False,
) -> str:
    """The address of the queue's database, its schema up to date where results are kept there.

    On the main thread: the embedded Postgres is its child, and stops with the stack.

    Args:
        stack: What is opened here ends with it.
        settings: Where the embedded one lies.
        database: The operator's own, if any.
        must_own: Whether the embedded one must live as long as this process.

    Raises:
        ConfigurationError: It cannot be used, or belongs to another service that runs.
        TransientError: It does not answer.
    """
    dsn = database.dsn or start_embedded(stack, settings, must_own=must_own)
    if not database.dsn:  # a worker that was to share another machine's finds no job here
        logger.info(
            "no DATABASE_URL: jobs and results are kept in an embedded Postgres of this machine",
            extra={"action": "database_embedded", "directory": str(settings.data_dir)},
        )
    if not database.supabase_url:
        await migrate.apply(dsn)
    return dsn


def start_embedded(
    stack: AsyncExitStack, settings: ServiceSettings, *, must_own: bool = False
) -> str:
    """Start the embedded Postgres, or attach to the one that runs; return its address."""
    server = EmbeddedPostgres(prepare_data_dir(settings) / "postgres")
    stack.callback(server.stop)
    dsn = server.start()
    deadline = time.monotonic() + SHORT_COMMAND_S
    while must_own and not server.is_owner:
        time.sleep(0.2)  # nothing runs yet that could be kept waiting
        dsn = server.start(may_attach=time.monotonic() < deadline)
    task = asyncio.get_running_loop().create_task(_look_after(server))
    stack.callback(task.cancel)
    return dsn


async def _look_after(server: EmbeddedPostgres) -> None:
    """Start the server again when it died (killed for memory, or by a mistaken hand), or when the
    process that owned it has left.
    """
    while True:
        await asyncio.sleep(LOOK_AFTER_S)
        before = server.pid
        try:
            # On this thread: the kernel ends a child with the thread that made it.
            server.start(may_attach=False)
        except ConfigurationError:
            continue  # another process owns it, and looks after it
        except MoodreelError as error:
            logger.exception(
                "the embedded Postgres is down",
                extra={"action": "database_down", "why": str(error)},
            )
        if server.pid != before:
            logger.warning("started the embedded Postgres anew", extra={"action": "database_up"})
