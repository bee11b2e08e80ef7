"""What ``moodreel migrate`` and ``moodreel models`` do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from rich.console import Console

from adapters.database import migrate
from adapters.database.settings import DatabaseSettings
from adapters.models import inventory
from adapters.models.hub import FileCheck
from adapters.models.progress import show_progress
from adapters.models.settings import ModelSettings
from adapters.models.spec import Model
from service.errors import ConfigurationError
from service.settings import ServiceSettings
from service.wiring.database import start_embedded


async def apply_migrations(settings: ServiceSettings) -> Sequence[str]:
    """Bring the schema up to date; return what was applied.

    Raises:
        ConfigurationError: Results are kept in a Supabase project that only its API reaches.
    """
    database = DatabaseSettings.read()
    _require_sql(database)
    async with AsyncExitStack() as stack:
        dsn = database.dsn or start_embedded(stack, settings)
        return [migration.file_name for migration in await migrate.apply(dsn)]


async def migration_status(settings: ServiceSettings) -> migrate.MigrationStatus:
    """Compare the database with this version. Raises as ``apply_migrations`` does."""
    database = DatabaseSettings.read()
    _require_sql(database)
    async with AsyncExitStack() as stack:
        return await migrate.status(database.dsn or start_embedded(stack, settings))


print_migrations = migrate.render
write_migrations = migrate.write


def list_models() -> Sequence[inventory.Listing]:
    """The models that Moodreel knows, and which are here."""
    return inventory.list_models(ModelSettings.read())


async def pull_model(name: str, console: Console, *, force: bool = False) -> Model:
    """Fetch a model with a progress bar. Raises MissingModelError and ConfigurationError."""
    with show_progress(console) as progress:
        return await asyncio.to_thread(
            inventory.pull, ModelSettings.read(), name, progress, force=force
        )


def verify_model(name: str) -> Sequence[FileCheck]:
    """Hold a model's files against their published checksums."""
    return inventory.verify(ModelSettings.read(), name)


def _require_sql(database: DatabaseSettings) -> None:
    if database.supabase_url and not database.dsn:
        raise ConfigurationError(
            "a Supabase project's schema is changed by its own tool: "
            "`moodreel migrate --write supabase/migrations`, then `supabase db push`; "
            "or set DATABASE_URL to its direct connection"
        )
