"""``moodreel backfill``: the historical library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from service.backfill import BackfillReport, Reprocess
from service.backfill import backfill as walk
from service.cli.console import command, out, print_json, progress_bar
from service.cli.logs import configure_logging
from service.errors import ConfigurationError
from service.settings import ServiceSettings
from service.wiring import Moodreel, open_moodreel


@command
async def backfill(
    *,
    server: Annotated[
        list[str] | None,
        typer.Option("--server", help="Only this media server; all configured ones by default."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Only items added since."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many jobs.")] = None,
    reprocess: Annotated[
        Reprocess,
        typer.Option(
            help="missing: never analysed as it is now. outdated: also what another version, "
            "model or vocabulary analysed, and what failed. all: everything."
        ),
    ] = Reprocess.MISSING,
    announce: Annotated[
        bool, typer.Option("--announce/--quiet", help="Tell the channels of each item.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Count, and enqueue nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Enqueue what a library holds and the store does not. Safe to interrupt and to run twice."""
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    reports: dict[str, BackfillReport] = {}
    async with open_moodreel(settings) as moodreel:
        for name in server or _servers(moodreel):
            with _progress(name, limit) as show:
                reports[name] = await walk(
                    moodreel.server(name),
                    store=moodreel.store,
                    queue=moodreel.queue,
                    version=moodreel.pipeline.version,
                    since=since.astimezone(UTC) if since else None,
                    limit=limit,
                    reprocess=reprocess,
                    announce=announce,
                    dry_run=dry_run,
                    on_page=show,
                )
            _tell(name, reports[name], as_json=as_json, dry_run=dry_run)


@contextmanager
def _progress(name: str, limit: int | None) -> Iterator[Callable[[BackfillReport], None]]:
    with progress_bar() as progress:
        task = progress.add_task(name, total=limit)
        yield lambda report: progress.update(task, completed=report.seen_count)


def _servers(moodreel: Moodreel) -> list[str]:
    if moodreel.servers:
        return list(moodreel.servers)
    raise ConfigurationError(
        "no media server is configured: set MOODREEL_MEDIA_DIRS to your folders, "
        "or JELLYFIN_URL and JELLYFIN_API_KEY"
    )


def _tell(name: str, report: BackfillReport, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json(
            {
                "server": name,
                "seen": report.seen_count,
                "wanted": report.wanted_count,
                "enqueued": report.enqueued_count,
                "dry_run": dry_run,
            }
        )
        return
    done = "would be enqueued" if dry_run else "enqueued"
    count = report.wanted_count if dry_run else report.enqueued_count
    out.print(f"{name}: {report.seen_count} items, {count} {done}", end="")
    waiting = 0 if dry_run else report.wanted_count - report.enqueued_count
    out.print(f", {waiting} waited already" if waiting else "")
