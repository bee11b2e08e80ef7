"""Download progress in a terminal; nothing in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from adapters.models.hub import Progress as Report


@contextmanager
def show_progress(console: Console | None = None) -> Iterator[Report]:
    """A bar for each file, for as long as the block runs.

    Args:
        console: Where to draw; standard error by default, so that output can be piped.
    """
    console = console or Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def report(file: str, done_bytes: int, total_bytes: int | None) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file, total=total_bytes)
            bars.update(tasks[file], completed=done_bytes, total=total_bytes)

        yield report
