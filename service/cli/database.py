"""``moodreel database``: the embedded Postgres itself."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.backup import quiet_settings, stages, tell_rows
from service.cli.console import command, out, print_json
from service.wiring.upgrading import remove_old_databases, upgrade_database

app = typer.Typer(help="Look after the embedded Postgres.", no_args_is_help=True)


@app.command()
@command
async def upgrade(
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Move the embedded database to the newest Postgres that is installed.

    The service must be stopped. The former database is kept beside the new one.
    """
    with stages() as show:
        done = await upgrade_database(quiet_settings(), show)
    if as_json:
        print_json(
            None
            if done is None
            else {
                "from": done.former,
                "to": done.present,
                "rows": dict(done.counts),
                "left_behind": list(done.left_behind),
                "kept": [str(path) for path in done.kept],
            }
        )
        return
    if done is None:
        out.print("nothing to upgrade")
        return
    out.print(f"Postgres {done.former} -> {done.present}: {tell_rows(done.counts)}")
    for name in done.left_behind:
        out.print(f"left behind, for it is not Moodreel's: {name}", markup=False, soft_wrap=True)
    for path in done.kept:
        out.print(
            f"kept {path} (`moodreel database remove-old` removes it)", markup=False, soft_wrap=True
        )


@app.command("remove-old")
@command
async def remove_old() -> None:
    """Remove databases that were kept after an upgrade."""
    removed = remove_old_databases(quiet_settings())
    for path in removed:
        out.print(f"removed {path}", markup=False, soft_wrap=True)
    if not removed:
        out.print("nothing to remove")
