"""``moodreel status``: what is done, what waits, what failed and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.console import command, out, print_json, shown
from service.cli.logs import configure_logging
from service.cli.watch import watch
from service.domain import FailedJob, ItemState, ItemStatus
from service.failures import find_failures
from service.settings import ServiceSettings
from service.wiring.house import open_moodreel

STYLES = {ItemState.ANALYZED: "green", ItemState.FAILED: "red", ItemState.DELETED: "dim"}


@command
async def status(
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many of the latest items to show.")
    ] = 20,
    watching: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Stay, and show what is being done, how fast, and how long it will take; outside "
            "a terminal a line a minute.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print it as JSON; with --watch a line a minute.")
    ] = False,
) -> None:
    """Show what is done, what waits, and what failed and why."""
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    async with open_moodreel(settings) as moodreel:
        if watching:
            await watch(moodreel.queue, moodreel.store, as_json=as_json)
            return
        jobs = await moodreel.queue.counts()
        counts = await moodreel.store.counts()
        items = await moodreel.store.list_statuses(limit=limit)
        failures = await find_failures(moodreel.queue, moodreel.store)
    if as_json:
        print_json(
            {
                "jobs": dict(jobs),
                "store": dict(counts),
                "items": [_item_json(item) for item in items],
                "failed_jobs": [
                    _failure_json(failure) | {"made_good": failure not in failures.open}
                    for failure in failures.all[:limit]
                ],
                "failed_open": len(failures.open),
            }
        )
        return
    made_good = len(failures.all) - len(failures.open)
    note = f" ({made_good} of the failed were done since)" if made_good else ""
    out.print(f"[bold]jobs[/]   {_counts(jobs)}{note}")
    out.print(f"[bold]store[/]  {_counts(counts)}")
    if items:
        out.print(_items_table(items))
    untold = [failure for failure in failures.open if failure.kind == "publish"][:limit]
    if untold:
        out.print("\n[bold]not told[/]")
        for failure in untold:
            out.print(f"  [red]{escape(shown(failure.message))}[/]")


def _counts(counts: Mapping[str, int]) -> str:
    found = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    return ", ".join(found) or "nothing"


def _items_table(items: Sequence[ItemStatus]) -> Table:
    table = Table("state", "since", "item", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for item in items:
        since = f"{item.updated_at:%Y-%m-%d %H:%M}" if item.updated_at else ""
        style = STYLES.get(item.state, "yellow")
        lines = [escape(shown(item.title)), f"[dim]{escape(shown(str(item.ref)))}[/]"]
        if item.reason:
            lines.append(f"[red]{escape(shown(item.reason))}[/]")
        table.add_row(f"[{style}]{item.state.value}[/]", since, "\n".join(lines))
    return table


def _item_json(item: ItemStatus) -> dict[str, object]:
    return {
        "ref": str(item.ref),
        "title": item.title,
        "state": item.state.value,
        "reason": item.reason,
        "pipeline": item.pipeline,
        "updated_at": item.updated_at.isoformat() if item.updated_at else None,
    }


def _failure_json(failure: FailedJob) -> dict[str, object]:
    return {
        "kind": failure.kind,
        "ref": failure.ref,
        "attempts": failure.attempts,
        "error": failure.error,
        "message": failure.message,
        "failed_at": failure.failed_at.isoformat(),
    }
