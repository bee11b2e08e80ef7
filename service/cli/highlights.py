"""``moodreel highlights``: the stretches worth jumping to, for people and for players."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.console import command, out, print_json, shown
from service.cli.logs import configure_logging
from service.domain import Analysis, Highlight, ItemRef, LocalFile
from service.errors import ConfigurationError, PermanentError
from service.highlights import (
    clock_span,
    describe,
    in_order,
    line_of,
    render_edl,
    render_links,
    render_m3u,
    render_webvtt,
)
from service.settings import ServiceSettings
from service.wiring.reels import Screening, open_screening


class Format(StrEnum):
    """Who is to understand it."""

    TABLE = "table"
    JSON = "json"
    EDL = "edl"
    M3U = "m3u"
    VTT = "vtt"
    LINKS = "links"


ItemArgument = Annotated[str, typer.Argument(help="The item, as `moodreel status` shows it.")]
ServerOption = Annotated[
    str | None, typer.Option("--server", help="The item's server, where ITEM is its id alone.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]


@command
async def highlights(
    *,
    item: ItemArgument,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="edl: scene markers for Kodi. m3u: a playlist for VLC. vtt: WebVTT chapters. "
            "links: the item's page, line by line.",
        ),
    ] = Format.TABLE,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="Write it there.")
    ] = None,
    server: ServerOption = None,
    force: ForceOption = False,
) -> None:
    """List an item's highlights, for reading or for a player."""
    ref = read_ref(item, server)
    if output is not None and form is Format.TABLE:
        raise ConfigurationError("--output needs another --format: a table is for reading")
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    async with open_screening(settings) as screening:
        analysis = await screening.find(ref)
        if form is Format.TABLE:
            out.print(_table(analysis))
        elif form is Format.JSON and output is None:
            print_json(_json(analysis))
        else:
            _write(await _render(screening, analysis, form), output, force=force)


async def _render(screening: Screening, analysis: Analysis, form: Format) -> str:
    found, item = analysis.highlights, analysis.item
    match form:
        case Format.EDL:
            return render_edl(found)
        case Format.VTT:
            return render_webvtt(found)
        case Format.LINKS:
            if not item.url:
                raise PermanentError(
                    f"{line_of(item.title)} has no page to link to" + _next_step(item.ref.server)
                )
            return render_links(found, url=item.url)
        case Format.M3U:
            location = await screening.locate(item.ref)
            address = location.path.as_uri() if isinstance(location, LocalFile) else location.url
            return render_m3u(found, title=item.title, address=address)
    return json.dumps(_json(analysis), ensure_ascii=False, indent=2) + "\n"


def _next_step(server: str) -> str:
    if server == "folder":
        return ": files of a directory have none"
    setting = f"{server.upper()}_PUBLIC_BASE_URL"
    return f": set {setting}, then `moodreel backfill --reprocess all --server {server}`"


def _write(text: str, output: Path | None, *, force: bool) -> None:
    if output is None:
        typer.echo(text, nl=False)
        return
    refuse_existing(output, force=force)
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{output}: {error.strerror}") from error


def refuse_existing(path: Path, *, force: bool) -> None:
    """Keep what is there, unless told otherwise.

    Raises:
        ConfigurationError: Something is there, be it a link to nothing; or nothing can be.
    """
    try:
        is_there = path.is_symlink() or path.exists()
    except OSError as error:  # its name is too long
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if is_there and not force:
        raise ConfigurationError(f"{path} is there already; --force replaces it")


def read_ref(item: str, server: str | None) -> ItemRef:
    """An item by its whole reference, or by its id and its server's name.

    Raises:
        ConfigurationError: It is neither.
    """
    if server is not None:
        return ItemRef(server=server, item_id=item.removeprefix(f"{server}/"))
    try:
        return ItemRef.parse(item)
    except ValueError as error:
        raise ConfigurationError(f"{error}; or name its server with --server") from error


def _table(analysis: Analysis) -> Table:
    table = Table(
        "when",
        "score",
        "what",
        box=None,
        padding=(0, 2, 0, 0),
        title_justify="left",
        title=escape(shown(line_of(analysis.item.title))),
    )
    for highlight in in_order(analysis.highlights):
        what = escape(shown(describe(highlight)))
        table.add_row(clock_span(highlight), f"{highlight.score:.2f}", what)
    return table


def _json(analysis: Analysis) -> dict[str, object]:
    return {
        "item": {"ref": str(analysis.item.ref), "title": analysis.item.title},
        "duration_s": round(analysis.duration_s, 3),
        "highlights": [_plain(highlight) for highlight in in_order(analysis.highlights)],
    }


def _plain(highlight: Highlight) -> dict[str, object]:
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in asdict(highlight).items()
    }
