"""``moodreel tags``: what was found, as tags in the media server's own library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.console import EXIT_FAILED, command, out, print_json, progress_bar, shown
from service.cli.logs import configure_logging
from service.domain import ItemRef
from service.errors import ConfigurationError, TransientError
from service.settings import ServiceSettings
from service.wiring.tags import Edited, LibraryTags, open_tags

app = typer.Typer(
    help="Write what was found as tags to the media server, and take it back.",
    no_args_is_help=True,
)

ServerOption = Annotated[
    str | None, typer.Option("--server", help="Only this media server; all that take tags else.")
]
ItemOption = Annotated[
    str | None, typer.Option("--item", help="Only this item, as `moodreel status` shows it.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object for each item that changes.")
]


@app.command()
@command
async def preview(
    *,
    server: ServerOption = None,
    item: ItemOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show which tags would be added to items and removed from them. Nothing is written."""
    only = _read_item(item)
    async with open_tags(_quietly(), server=only.server if only else server) as tags:
        return await _report(tags.preview(only), as_json=as_json, would=True)


@app.command()
@command
async def write(
    *,
    server: ServerOption = None,
    item: ItemOption = None,
    dry_run: Annotated[bool, typer.Option(help="As `moodreel tags preview`.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Write the tags of all analysed items. Safe to interrupt and to run twice."""
    only = _read_item(item)
    async with open_tags(_quietly(), server=only.server if only else server) as tags:
        walk = tags.preview(only) if dry_run else tags.write(only)
        return await _report(walk, as_json=as_json, would=dry_run)


@app.command()
@command
async def undo(
    *,
    server: ServerOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Take back the tags that Moodreel added, and no others. Interrupted, it goes on next time."""
    async with open_tags(_quietly(), server=server) as tags:
        count = await tags.count_noted()
        if count and not yes and not _is_meant(tags, count):
            return EXIT_FAILED
        return await _report(tags.undo(), as_json=as_json, total=count)


def _is_meant(tags: LibraryTags, count: int) -> bool:
    servers = ", ".join(tags.servers)
    return typer.confirm(f"Take back our tags of {count} items on {servers}?", err=True)


async def _report(
    walk: AsyncIterator[Edited], *, as_json: bool, would: bool = False, total: int | None = None
) -> int:
    """Show what becomes of each item; return the exit status."""
    table, seen, changed, failed = _table(), 0, 0, 0
    with progress_bar() as progress:
        task = progress.add_task("tags", total=total)
        try:
            async for edited in walk:
                seen += 1
                failed += bool(edited.error)
                changed += bool(edited.added or edited.removed)
                progress.update(task, completed=seen)
                if edited.added or edited.removed or edited.error:
                    _show(edited, None if as_json else table)
        except TransientError as error:
            _finish(table)
            raise TransientError(f"stopped after {seen} items, to be run again: {error}") from error
    _finish(table)
    if not as_json:
        verb = "would change" if would else "changed"
        out.print(f"{seen} items, {changed} {verb}" + (f", {failed} refused" if failed else ""))
    return EXIT_FAILED if failed else 0


def _table() -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("item", "title", "tags"):
        table.add_column(heading, overflow="fold")
    return table


def _show(edited: Edited, table: Table | None) -> None:
    if table is None:
        print_json({**asdict(edited), "ref": str(edited.ref)})
        return
    signs = [f"[green]+{_plain(tag)}[/]" for tag in edited.added]
    signs += [f"[red]-{_plain(tag)}[/]" for tag in edited.removed]
    signs += [f"[yellow]{_plain(edited.error)}[/]"] if edited.error else []
    table.add_row(_plain(str(edited.ref)), _plain(edited.title), "\n".join(signs))


def _finish(table: Table) -> None:
    if table.row_count:
        out.print(table)


def _plain(text: str) -> str:
    return escape(shown(text))


def _quietly() -> ServiceSettings:
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    return settings


def _read_item(text: str | None) -> ItemRef | None:
    try:
        return ItemRef.parse(text) if text is not None else None
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
