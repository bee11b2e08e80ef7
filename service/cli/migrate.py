"""``moodreel migrate``: the database's schema."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from service.cli.console import command, out, print_json
from service.settings import ServiceSettings
from service.wiring.upkeep import (
    apply_migrations,
    migration_status,
    print_migrations,
    write_migrations,
)

app = typer.Typer(help="Bring the database's schema up to date.", invoke_without_command=True)


@app.callback()
def migrate(
    context: typer.Context,
    show: Annotated[
        bool, typer.Option("--print", help="Print the SQL for `supabase db push`; apply nothing.")
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option("--write", help="Write the files here (a supabase/migrations folder)."),
    ] = None,
) -> None:
    """Apply what is pending. `run`, `serve` and `work` do so by themselves."""
    if context.invoked_subcommand is not None:
        return
    if show:
        sys.stdout.write(print_migrations())
    elif directory is not None:
        for path in write_migrations(directory):
            out.print(str(path))
    else:
        _apply()


@command
async def _apply() -> None:
    applied = await apply_migrations(ServiceSettings.read())
    for name in applied:
        out.print(f"applied {name}")
    if not applied:
        out.print("nothing to apply")


@app.command()
@command
async def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show which migrations the database has."""
    found = await migration_status(ServiceSettings.read())
    if as_json:
        print_json(
            {
                "applied": [migration.file_name for migration in found.applied],
                "pending": [migration.file_name for migration in found.pending],
                "unknown": list(found.unknown),
            }
        )
        return
    for migration in found.applied:
        out.print(f"applied  {migration.file_name}")
    for migration in found.pending:
        out.print(f"pending  {migration.file_name}")
    for version in found.unknown:
        out.print(f"unknown  {version} (of a newer Moodreel)")
