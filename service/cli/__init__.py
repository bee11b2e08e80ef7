"""The command line: a file per command, loaded when the command is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperGroup
from typer.main import get_group

Command: TypeAlias = Any
"""Typer's own, of a type that it keeps to itself."""

COMMANDS = {
    "run": "run:run",
    "serve": "run:serve",
    "work": "run:work",
    "analyze": "analyze:analyze",
    "backfill": "backfill:backfill",
    "status": "status:status",
    "publish": "publish:publish",
    "highlights": "highlights:highlights",
    "search": "search:search",
    "retag": "retag:retag",
    "reel": "reel:reel",
    "backup": "backup:backup",
    "restore": "backup:restore",
    "copy": "copy:copy",
    "prune": "prune:prune",
    "encode-server": "encode_server:encode_server",
    "doctor": "doctor:app",
    "models": "models:app",
    "database": "database:app",
    "migrate": "migrate:app",
    "index": "index:app",
    "tags": "tags:app",
    "triggers": "triggers:app",
    "feedback": "feedback:app",
}
"""Where each is: the file in this package, and the function or the group of commands in it."""


class _Loaded(Mapping[str, Command]):
    """The commands by name, each loaded when it is looked up.

    A command takes with it what it alone needs (models, media, a web server): all of them took
    1.6 s of processor time at every start, ``moodreel --version`` takes 0.3 s this way.
    """

    def __init__(self) -> None:
        self._known: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._known:
            self._known[name] = _load(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Commands(TyperGroup):
    """``moodreel`` itself."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  typer's own
        super().__init__(**{**options, "commands": _Loaded()})

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002  typer's own
        """Their names, without loading them: a shell completes the one that is begun."""
        return [*self.commands]


def _load(name: str) -> Command:
    file, _, attribute = COMMANDS[name].partition(":")
    found = getattr(import_module(f"service.cli.{file}"), attribute)
    alone = typer.Typer()
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name)(found)
    return get_group(alone).commands[name]


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"moodreel {metadata.version('moodreel')}")
        raise typer.Exit


app = typer.Typer(
    name="moodreel",
    cls=_Commands,
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


def main() -> None:
    """The ``moodreel`` command."""
    from service.cli.hardening import harden  # noqa: PLC0415  it reads settings: tests do not

    harden()
    app()
