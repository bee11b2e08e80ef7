"""What ``moodreel copy`` does: from where results are kept now to another database."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from adapters.database import migrate
from adapters.database.copying import Copy, CopyReport, CopySettings, Show
from adapters.database.psycopg_transport import (
    PsycopgTransport,
    describe_dsn,
    has_password,
    is_same_place,
)
from adapters.database.settings import DatabaseSettings
from adapters.database.snapshot import open_snapshot
from adapters.database.store import DatabaseStore
from adapters.database.transports import Transport
from service import outbound
from service.errors import ConfigurationError
from service.settings import ServiceSettings
from service.wiring.database import start_embedded

__all__ = ["CopyReport", "OpenCopy", "open_copy"]

SETTING = "MOODREEL_COPY_TO"
LOCAL = "local"
SUPABASE = "supabase"
VARIABLE = "env:"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCopy:
    """Both sides are open."""

    copy: Copy
    source: str
    """Its place, without secrets."""
    target: str
    leaves_queue: bool
    """Whether the queue would have to move as well."""


@asynccontextmanager
async def open_copy(
    settings: ServiceSettings, to: str | None, *, dry_run: bool, show: Show
) -> AsyncIterator[OpenCopy]:
    """Open where results are kept now, as it is at this moment, and where they shall go.

    On the main thread: the embedded Postgres is its child.

    Args:
        settings: Where the embedded one lies.
        to: ``supabase``, ``local``, a DSN without a password, or ``env:NAME`` of a variable that
            holds one of them; ``MOODREEL_COPY_TO`` where it is None.
        dry_run: Leave the other side's schema as it is.
        show: Is told how it goes.

    Raises:
        ConfigurationError: One of them is not configured, refuses us, or both are the same.
        TransientError: One of them does not answer.
    """
    goal = _read_goal(to)
    database = DatabaseSettings.read()
    async with AsyncExitStack() as stack:
        comes_from_supabase = bool(database.supabase_url) and goal != SUPABASE
        local = ""
        if not comes_from_supabase or goal == LOCAL:
            local = database.dsn or start_embedded(stack, settings)
        if comes_from_supabase:
            source: Transport = await _open_supabase(stack, database)
        else:
            if goal == LOCAL:
                raise ConfigurationError(f"results are kept here already ({describe_dsn(local)})")
            await migrate.apply(local)
            source = await stack.enter_async_context(open_snapshot(local))
        if goal == SUPABASE:
            target: Transport | None = await _open_supabase(stack, database)
            place = database.supabase_url
        else:
            dsn = local if goal == LOCAL else goal
            outbound.allow(dsn)
            with _blaming(SETTING if goal != LOCAL else ""):
                place = describe_dsn(dsn)
                if not comes_from_supabase and is_same_place(dsn, local):
                    raise ConfigurationError(f"{SETTING}: results are kept there already")
                target = await _open_postgres(stack, dsn, dry_run=dry_run)
        yield OpenCopy(
            copy=Copy(source, target, show),
            source=source.place,
            target=place,
            leaves_queue=goal not in (SUPABASE, LOCAL),
        )


def _read_goal(to: str | None) -> str:
    """Where to.

    Raises:
        ConfigurationError: Nowhere, or a password is named where everybody can read it.
    """
    if to is None:
        goal = CopySettings.read().copy_to.get_secret_value()
        if not goal:
            raise ConfigurationError(f"copy where? Set {SETTING}, or give --to supabase")
    elif to.startswith(VARIABLE):
        goal = os.environ.get(to.removeprefix(VARIABLE), "")
        if not goal:
            raise ConfigurationError(f"--to {to}: there is no such variable, or it is empty")
    else:
        goal = to
    if goal in (LOCAL, SUPABASE):
        return goal
    if to == goal and "=" not in goal and "://" not in goal:
        raise ConfigurationError(
            f"--to {to}: neither {SUPABASE}, {LOCAL}, {VARIABLE}NAME nor postgresql://..."
        )
    if to is not None and not to.startswith(VARIABLE) and has_password(to):
        raise ConfigurationError(
            "--to holds a password, which every user of this machine can read in the list of "
            f"processes: set {SETTING} (or {SETTING}_FILE), or give --to env:NAME"
        )
    return goal


async def _open_supabase(stack: AsyncExitStack, database: DatabaseSettings) -> Transport:
    if not database.supabase_url:
        raise ConfigurationError("--to supabase needs SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY")
    from adapters.database.supabase_transport import (  # noqa: PLC0415  0.5 s and 50 MB
        SupabaseTransport,
    )

    transport = await SupabaseTransport.open(database.supabase_url, database.supabase_key)
    stack.push_async_callback(transport.aclose)
    await DatabaseStore(transport).verify_schema()
    return transport


async def _open_postgres(stack: AsyncExitStack, dsn: str, *, dry_run: bool) -> Transport | None:
    """With the schema of this version; None where it lacks that and must not be given it."""
    if dry_run:
        if (await migrate.status(dsn)).pending:
            return None
    else:
        await migrate.apply(dsn)
    transport = await PsycopgTransport.open(dsn)
    stack.push_async_callback(transport.aclose)
    return transport


@contextmanager
def _blaming(setting: str) -> Iterator[None]:
    """Name the setting that an address came from, instead of the usual one."""
    try:
        yield
    except ConfigurationError as error:
        if not setting:
            raise
        # Without a cause: it may quote the address.
        raise ConfigurationError(str(error).replace("DATABASE_URL", setting)) from None
