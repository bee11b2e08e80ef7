"""``moodreel status``: what is done, what waits, what failed and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.console import command, out, print_json, shown
from service.cli.logs import configure_logging
from service.domain import FailedJob, ItemState, ItemStatus
from service.settings import ServiceSettings
from service.wiring import open_moodreel

STYLES = {ItemState.ANALYZED: "green", ItemState.FAILED: "red", ItemState.DELETED: "dim"}


@command
async def status(
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many of the latest items to show.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what is done, what waits, and what failed and why."""
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    async with open_moodreel(settings) as moodreel:
        jobs = await moodreel.queue.counts()
        counts = await moodreel.store.counts()
        items = await moodreel.store.list_statuses(limit=limit)
        failures = await moodreel.queue.failures(limit=limit)
    if as_json:
        print_json(
            {
                "jobs": dict(jobs),
                "store": dict(counts),
                "items": [_item_json(item) for item in items],
                "failed_jobs": [_failure_json(failure) for failure in failures],
            }
        )
        return
    out.print(f"[bold]jobs[/]   {_counts(jobs)}")
    out.print(f"[bold]store[/]  {_counts(counts)}")
    if items:
        out.print(_items_table(items))
    untold = [failure for failure in failures if failure.kind == "publish"]
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
