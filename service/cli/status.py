"""``moodreel status``: what is done, what waits, what failed and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from service.cli.console import command, out, print_json
from service.cli.logs import configure_logging
from service.domain import ItemState, ItemStatus
from service.settings import ServiceSettings
from service.wiring import open_moodreel

STYLES = {ItemState.ANALYZED: "green", ItemState.FAILED: "red", ItemState.DELETED: "dim"}


@command
async def status(
    limit: Annotated[int, typer.Option(min=1, help="How many of the latest items to show.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what is done, what waits, and what failed and why."""
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    async with open_moodreel(settings) as moodreel:
        jobs = await moodreel.queue.counts()
        counts = await moodreel.store.counts()
        items = await moodreel.store.list_statuses(limit=limit)
    if as_json:
        print_json({"jobs": dict(jobs), "store": dict(counts), "items": [_json(i) for i in items]})
        return
    out.print("jobs   " + ", ".join(f"{count} {state}" for state, count in jobs.items()))
    out.print("store  " + ", ".join(f"{count} {noun}" for noun, count in counts.items()))
    if items:
        out.print(_table(items))


def _table(items: Sequence[ItemStatus]) -> Table:
    table = Table("item", "state", "since", "ref", box=None, padding=(0, 2, 0, 0))
    for item in items:
        since = f"{item.updated_at:%Y-%m-%d %H:%M}" if item.updated_at else ""
        style = STYLES.get(item.state, "")
        state = f"[{style}]{item.state.value}[/]" if style else item.state.value
        table.add_row(_plain(item.title), state, since, _plain(str(item.ref)))
        if item.reason:
            table.add_row(f"  [dim]{_plain(item.reason)}[/]")
    return table


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _json(item: ItemStatus) -> dict[str, object]:
    return {
        "ref": str(item.ref),
        "title": item.title,
        "state": item.state.value,
        "reason": item.reason,
        "pipeline": item.pipeline,
        "updated_at": item.updated_at.isoformat() if item.updated_at else None,
    }
