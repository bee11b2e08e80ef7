"""The command line: a file per command."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from service.cli.analyze import analyze
from service.cli.backfill import backfill
from service.cli.backup import backup, restore
from service.cli.copy import copy
from service.cli.database import app as database_app
from service.cli.doctor import app as doctor_app
from service.cli.encode_server import encode_server
from service.cli.feedback import app as feedback_app
from service.cli.hardening import harden
from service.cli.highlights import highlights
from service.cli.index import app as index_app
from service.cli.migrate import app as migrate_app
from service.cli.models import app as models_app
from service.cli.prune import prune
from service.cli.publish import publish
from service.cli.reel import reel
from service.cli.retag import retag
from service.cli.run import run, serve, work
from service.cli.search import search
from service.cli.status import status
from service.cli.tags import app as tags_app
from service.cli.triggers import app as triggers_app


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"moodreel {metadata.version('moodreel')}")
        raise typer.Exit


app = typer.Typer(
    name="moodreel",
    help="Watches and listens to what your media server adds: tags, moods, highlights.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=True,
)


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="Say which this is."),
    ] = False,
) -> None:
    """Watches and listens to what your media server adds: tags, moods, highlights."""


for function in (
    run,
    serve,
    work,
    analyze,
    backfill,
    status,
    publish,
    highlights,
    search,
    retag,
    reel,
    backup,
    restore,
    copy,
    prune,
    encode_server,
):
    app.command()(function)
app.add_typer(doctor_app, name="doctor")
app.add_typer(models_app, name="models")
app.add_typer(database_app, name="database")
app.add_typer(migrate_app, name="migrate")
app.add_typer(index_app, name="index")
app.add_typer(tags_app, name="tags")
app.add_typer(triggers_app, name="triggers")
app.add_typer(feedback_app, name="feedback")


def main() -> None:
    """The ``moodreel`` command."""
    harden()
    app()
