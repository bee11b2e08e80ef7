"""``moodreel copy``: everything that was found, to another database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.console import EXIT_FAILED, command, err, out, print_json, shown
from service.cli.following import work_bar
from service.cli.logs import configure_logging
from service.errors import TransientError
from service.settings import ServiceSettings
from service.wiring.copying import CopyReport, OpenCopy, open_copy

LISTED_DIFFERENCES = 20
GOES_ON = "What was copied stays; the same command goes on where this one ended."
QUEUE_STAYS = (
    "The queue was not copied: let it run empty before you move (`moodreel status --watch`), or "
    "enqueue what is missing there with `moodreel backfill`."
)


@command
async def copy(
    *,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="supabase (SUPABASE_URL and its key), local (from Supabase back to DATABASE_URL "
            "or the embedded Postgres), postgresql://... without a password, or env:NAME of a "
            "variable that holds it. By default what MOODREEL_COPY_TO says.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Compare both sides, and copy nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> int:
    """Copy everything that was found to another database. Safe to interrupt and to run twice."""
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    with _progress() as (show, set_total):
        async with open_copy(settings, to, dry_run=dry_run, show=show) as opened:
            set_total(await opened.copy.total())
            try:
                report = await (opened.copy.plan() if dry_run else opened.copy.run())
            except TransientError as error:
                raise TransientError(f"{error}. {GOES_ON}") from error
            except asyncio.CancelledError:
                err.print(f"[yellow]moodreel:[/] interrupted. {GOES_ON}", highlight=False)
                raise
    if as_json:
        print_json(_report_json(opened, report, dry_run=dry_run))
    else:
        _print_report(opened, report, dry_run=dry_run)
    return 0 if dry_run or report.is_complete else EXIT_FAILED


@contextmanager
def _progress() -> Iterator[tuple[Callable[[str, int], None], Callable[[int], None]]]:
    item_count = 0
    with work_bar(unit="items") as bar:
        task = bar.add_task("connecting", total=None)

        def show(what: str, count: int) -> None:
            total = item_count if " " not in what else None  # only items are counted beforehand
            bar.update(task, description=what, completed=count, total=total)

        def set_total(count: int) -> None:
            nonlocal item_count
            item_count = count

        yield show, set_total


def _report_json(opened: OpenCopy, report: CopyReport, *, dry_run: bool) -> dict[str, object]:
    return {
        "from": opened.source,
        "to": opened.target,
        "dry_run": dry_run,
        "copied" if not dry_run else "wanted": dict(report.wanted),
        "present": dict(report.present),
        "newer": dict(report.newer),
        "tables": {
            name: {"here": count.here, "there": count.there, "newer": count.newer}
            for name, count in sorted(report.tables.items())
        },
        "sampled_vectors": report.sampled_vector_count,
        "different": report.different,
        "complete": report.is_complete,
    }


def _print_report(opened: OpenCopy, report: CopyReport, *, dry_run: bool) -> None:
    out.print(
        f"from {escape(shown(opened.source))} to {escape(shown(opened.target))}", soft_wrap=True
    )
    verb = "would be copied" if dry_run else "copied"
    for kind in dict.fromkeys((*report.wanted, *report.present)):
        line = f"{kind}: {report.wanted[kind]} {verb}, {report.present[kind]} there already"
        if report.newer[kind]:
            line += f", {report.newer[kind]} newer there and left alone"
        out.print(line, soft_wrap=True)
    if dry_run:
        return
    out.print(_tables(report))
    for line in report.different[:LISTED_DIFFERENCES]:
        err.print(f"[red]differs:[/] {escape(shown(line))}", highlight=False, soft_wrap=True)
    if len(report.different) > LISTED_DIFFERENCES:
        err.print(f"and {len(report.different) - LISTED_DIFFERENCES} more")
    if report.is_complete:
        out.print(
            f"[green]both sides are the same[/], {report.sampled_vector_count} vectors compared",
            soft_wrap=True,
        )
        if opened.leaves_queue:
            out.print(QUEUE_STAYS, soft_wrap=True)
    else:
        err.print(f"[red]moodreel:[/] the two sides differ. {GOES_ON}", highlight=False)


def _tables(report: CopyReport) -> Table:
    table = Table("table", "here", "there", "newer there", box=None, padding=(0, 2, 0, 0))
    for name, count in sorted(report.tables.items()):
        style = "red" if count.there != count.here - count.newer else ""
        table.add_row(name, str(count.here), str(count.there), str(count.newer or ""), style=style)
    return table
