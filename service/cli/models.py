"""``moodreel models``: what is on this machine, and how to get the rest."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.bench import bench
from service.cli.calibrate import calibrate
from service.cli.console import EXIT_FAILED, command, err, out, print_json
from service.cli.models_export import register
from service.wiring.upkeep import list_models, pull_model, verify_model

app = typer.Typer(help="List, fetch and verify models.", no_args_is_help=True)
register(app)

app.command()(bench)
app.command()(calibrate)

GOOD = {"ok", "not pinned"}

AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
Name = Annotated[str, typer.Argument(help="A name of `moodreel models list`, or a directory.")]


@app.command("list")
@command
async def list_(as_json: AsJson = False) -> None:
    """Show the models that Moodreel knows, and which are here."""
    listings = list_models()
    if as_json:
        print_json(
            [
                {
                    "name": listing.model.name,
                    "kind": listing.model.kind,
                    "state": listing.state.value,
                    "configured": listing.is_configured,
                    "size_bytes": listing.model.size_bytes,
                    "licence": listing.model.licence,
                    "research_only": listing.model.is_research_only,
                    "summary": listing.model.summary,
                }
                for listing in listings
            ]
        )
        return
    table = Table("", "name", "kind", "state", "MB", "licence", box=None, padding=(0, 1, 0, 0))
    table.columns[1].no_wrap = table.columns[3].no_wrap = True  # a name is to be copied
    for listing in listings:
        size, licence = listing.model.size_bytes, escape(listing.model.licence)
        if listing.model.is_research_only:
            licence += " [yellow](research only)[/]"
        table.add_row(
            "*" if listing.is_configured else "",
            escape(listing.model.name),
            listing.model.kind.removesuffix(" model"),
            listing.state.value,
            f"{size / 1e6:.0f}" if size else "",
            licence,
        )
    out.print(table)
    out.print("[dim]* is configured[/]")


@app.command()
@command
async def pull(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names of `moodreel models list`; those that the settings name."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch even what is here.")] = False,
) -> None:
    """Fetch models; what is here and whole stays as it is."""
    configured = [listing.model.name for listing in list_models() if listing.is_configured]
    for name in names or configured:
        model = await pull_model(name, err, force=force)
        out.print(f"{escape(model.name)} is here")


@app.command()
@command
async def verify(name: Name, as_json: AsJson = False) -> int:
    """Read every file of a model and hold it against the published checksums."""
    checks = verify_model(name)
    if as_json:
        print_json(
            [
                {
                    "file": check.file.path,
                    "verdict": check.verdict.value,
                    "size_bytes": check.size_bytes,
                    "sha256": check.sha256,
                }
                for check in checks
            ]
        )
    else:
        for check in checks:
            out.print(f"{check.verdict.value:12} {escape(check.file.path)}  {check.sha256 or ''}")
    return 0 if all(check.verdict.value in GOOD for check in checks) else EXIT_FAILED
