"""``moodreel reel``: an item's highlights as a film of a minute."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from service.cli.console import command, out, progress_bar, shown
from service.cli.highlights import (
    ForceOption,
    ItemArgument,
    ServerOption,
    read_ref,
    refuse_existing,
)
from service.cli.logs import configure_logging
from service.domain import Analysis
from service.settings import ServiceSettings
from service.wiring.reels import ReelOrder, make_reel, open_screening

MEGABYTE = 1_000_000
NAME_LIMIT = 200
"""Bytes of a title in a file's name that we make; file systems take 255 in all."""


@command
async def reel(
    *,
    item: ItemArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            dir_okay=False,
            help="An .mp4; of a song an .m4a or .mp3. By the item's title when left out.",
        ),
    ] = None,
    max_s: Annotated[
        float, typer.Option(min=2, max=600, help="Seconds of it at most; of a song 30.")
    ] = 60.0,
    max_mb: Annotated[float, typer.Option(min=1, max=2000, help="Megabytes at most.")] = 40.0,
    poster: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="A picture of the best highlight too: .jpg or .png."),
    ] = None,
    server: ServerOption = None,
    force: ForceOption = False,
) -> None:
    """Cut an item's highlights together: a film's as MP4, a song's most characteristic stretch."""
    ref = read_ref(item, server)
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    async with open_screening(settings) as screening:
        analysis = await screening.find(ref)
        location = await screening.locate(ref)
    order = ReelOrder(
        analysis=analysis,
        max_s=max_s,
        limit_bytes=round(max_mb * MEGABYTE),
        path=output or Path(),
        poster=poster,
    )
    if output is None:
        order = replace(order, path=_name(analysis, is_sound=order.is_sound))
    for path in filter(None, (order.path, order.poster)):
        refuse_existing(path, force=force)
    with progress_bar() as progress:
        description = escape(shown(analysis.item.title))
        task = progress.add_task(description, total=round(order.length_s))
        made = await make_reel(
            order, location, lambda done_s: progress.update(task, completed=round(done_s))
        )
    for path in made:
        out.print(f"{path}  {path.stat().st_size / MEGABYTE:.1f} MB", markup=False, soft_wrap=True)


def _name(analysis: Analysis, *, is_sound: bool) -> Path:
    """A file in the working directory that every file system takes."""
    title = re.sub(r'[<>:"/\\|?*\x00-\x1f]+', " ", shown(analysis.item.title)).strip(" .")
    title = title.encode("utf-8", "replace")[:NAME_LIMIT].decode("utf-8", "ignore").strip(" .")
    return Path(f"{title or 'item'} - highlights{'.m4a' if is_sound else '.mp4'}")
