"""What ``moodreel prune`` does, and what the service does by itself once a day."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from adapters.database.pruning import Holdings, Pruned, Pruner, PruneSettings
from adapters.database.settings import DatabaseSettings
from adapters.database.store import DatabaseStore, open_store
from adapters.database.vector_indexes import VectorIndexes
from adapters.models.settings import ModelSettings
from service.errors import ConfigurationError, MoodreelError
from service.settings import ServiceSettings
from service.wiring.current_models import wanted_models
from service.wiring.database import open_database

__all__ = ["Holdings", "Pruned", "Pruner", "check_unused", "open_pruner", "prune_forever"]

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 3600.0
"""Whether a day has passed since anybody pruned."""


@asynccontextmanager
async def open_pruner(settings: ServiceSettings, *, dropping: str = "") -> AsyncIterator[Pruner]:
    """Where results are kept. On the main thread: the embedded Postgres is its child.

    Args:
        settings: The service's own.
        dropping: A model whose vectors are to go.

    Raises:
        ConfigurationError: It is in use.
    """
    if dropping:
        check_unused(dropping)
    database = DatabaseSettings.read()
    async with AsyncExitStack() as stack:
        dsn = None
        if not database.supabase_url:
            dsn = await open_database(stack, settings, database)
        store = await open_store(database, dsn)
        stack.push_async_callback(store.aclose)
        if dropping:
            await _check_replaced(VectorIndexes(store.transport), dropping)
        yield pruner_of(store)


def check_unused(model: str) -> None:
    """See that a model is not the one that makes vectors now.

    Raises:
        ConfigurationError: It is.
    """
    if model in wanted_models(ModelSettings.read()).values():
        raise ConfigurationError(
            f"{model} is configured: its vectors are what search finds by. Configure another model "
            "and let `moodreel backfill --reprocess outdated` run through first"
        )


async def _check_replaced(indexes: VectorIndexes, model: str) -> None:
    current = await indexes.current_models(wanted_models(ModelSettings.read()))
    for kind, used in current.items():
        if used.model == model and used.successor:
            raise ConfigurationError(
                f"searches still compare with the {kind.value} vectors of {model}: "
                f"{used.waiting_count} items wait for {used.successor}. Let `moodreel backfill "
                "--reprocess outdated` run through first"
            )


def pruner_of(store: DatabaseStore) -> Pruner:
    """Prunes where a store keeps its results."""
    return Pruner(store.transport, PruneSettings.read())


async def prune_forever(pruner: Pruner) -> None:
    """Prune once a day, whoever of all processes comes first, until cancelled."""
    while True:
        try:
            for pruned in await pruner.prune_if_due() or ():
                if pruned.count:
                    logger.info(
                        "pruned",
                        extra={
                            "action": "pruned",
                            "what": pruned.what.value,
                            "count": pruned.count,
                            "size_bytes": pruned.size_bytes,
                        },
                    )
        except MoodreelError as error:
            logger.warning("could not prune: %s", error, extra={"action": "prune_failed"})
        await asyncio.sleep(LOOK_EVERY_S)
