"""``moodreel index``: how vectors are found, and whether all that should be is."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape

from service.cli.console import EXIT_FAILED, command, out, print_json, progress_bar, shown
from service.cli.logs import configure_logging
from service.settings import ServiceSettings
from service.wiring.indexing import Built, Checked, SpaceStatus, open_index_care

app = typer.Typer(help="Look after what searches need.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
OUTCOMES = {
    "built": "built, searched {width} candidates wide",
    "kept": "is there, searched {width} candidates wide",
    "dropped": "dropped: so few vectors need no index",
    "refused": "dropped: it found too little; every vector is compared as before",
    "exact": "needs none: every vector is compared",
}


@app.command()
@command
async def build(
    *,
    memory_mb: Annotated[
        int,
        typer.Option(min=64, help="The most memory of the database server that building may take."),
    ] = 1024,
    show: Annotated[
        bool,
        typer.Option(
            "--print", help="Print the SQL of what is missing, for a project's SQL editor."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make searchable what is not yet, and build the indexes that large libraries need.

    All else goes on meanwhile. What was interrupted is built anew; what finds too little goes.
    """
    async with open_index_care(_settings()) as care:
        if show:
            sys.stdout.write(await care.statements(memory_mb=memory_mb))
            return
        with progress_bar() as progress:
            bars = {}

            def advance(name: str, done: int, total: int) -> None:
                if name not in bars:
                    bars[name] = progress.add_task(escape(shown(name)))
                progress.update(bars[name], completed=done, total=total)

            folded = await care.fold(advance)
            built = await care.build(advance, memory_mb=memory_mb)
    if as_json:
        print_json({"folded": folded, "spaces": [_built_json(entry) for entry in built]})
        return
    if folded:
        out.print(f"made the words of {folded:,} items that were analysed before", soft_wrap=True)
    for entry in built:
        told = OUTCOMES[entry.outcome.value].format(width=entry.width)
        found = f"; finds {entry.recall:.1%} of the ten nearest" if entry.recall is not None else ""
        _tell(entry.space.name, f"{entry.space.count:,} vectors", told + found)
    if not built:
        out.print("no vectors yet")


@app.command()
@command
async def status(as_json: AsJson = False) -> None:
    """Show which vectors there are, how each kind is searched, and by which model's."""
    async with open_index_care(_settings()) as care:
        statuses, current = await care.status(), await care.current()
    if as_json:
        print_json(
            {
                "spaces": [_status_json(entry) for entry in statuses],
                "current": {
                    kind.value: {
                        "model": model.model,
                        "successor": model.successor,
                        "waiting": model.waiting_count,
                    }
                    for kind, model in current.items()
                },
            }
        )
        return
    for entry in statuses:
        use = "" if entry.is_current else ", not searched"
        _tell(entry.space.name, f"{entry.space.count:,} vectors{use}", entry.why)
    for kind, model in current.items():
        if model.successor:
            _tell(
                kind.value,
                f"by {model.model} until {model.successor} knows as much",
                f"{model.waiting_count:,} items to go (`moodreel backfill --reprocess outdated`)",
            )
    if not statuses:
        out.print("no vectors yet")


@app.command()
@command
async def check(as_json: AsJson = False) -> int:
    """Search for what is near to your own vectors, and compare with all of them.

    Ends with status 1 where less than 95 of 100 of the nearest are found.
    """
    async with open_index_care(_settings()) as care:
        with progress_bar() as progress:
            task = progress.add_task("searching", total=len(await care.status()))
            checked = await care.check(lambda: progress.advance(task))
    if as_json:
        print_json([_checked_json(entry) for entry in checked])
    else:
        for entry in checked:
            _tell(entry.status.space.name, *_found(entry), entry.status.why)
        if not checked:
            out.print("no vectors yet")
    if all(entry.is_enough for entry in checked):
        return 0
    if not as_json:
        out.print("less than 95 % found: `moodreel index build` measures anew", soft_wrap=True)
    return EXIT_FAILED


def _settings() -> ServiceSettings:
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    return settings


def _tell(name: str, *told: str) -> None:
    out.print(escape(shown(f"{name}: {', '.join(told)}")), soft_wrap=True, highlight=False)


def _found(entry: Checked) -> list[str]:
    told = [
        f"recall@10 {entry.all.recall:.3f} in {entry.all.seconds * 1e3:.1f} ms "
        f"(all compared: {entry.all.exact_seconds * 1e3:.1f} ms)"
    ]
    if (found := entry.filtered) is not None:
        told.append(
            f"of a tenth of the items {found.recall:.3f} in {found.seconds * 1e3:.1f} ms "
            f"({found.exact_seconds * 1e3:.1f} ms)"
        )
    return told


def _built_json(entry: Built) -> dict[str, object]:
    return {
        "model": entry.space.model,
        "dimension": entry.space.dimension,
        "kind": entry.space.kind.value,
        "count": entry.space.count,
        "outcome": entry.outcome.value,
        "width": entry.width,
        "recall": entry.recall,
    }


def _status_json(entry: SpaceStatus) -> dict[str, object]:
    space = entry.space
    return {
        "model": space.model,
        "dimension": space.dimension,
        "kind": space.kind.value,
        "count": space.count,
        "current": entry.is_current,
        "width": space.width,
        "index": space.index_name if space.has_index else None,
        "whole": space.is_whole,
        "size_bytes": space.size_bytes,
        "why": entry.why,
    }


def _checked_json(entry: Checked) -> dict[str, object]:
    return {
        **_status_json(entry.status),
        "enough": entry.is_enough,
        "recall_at_10": entry.all.recall,
        "seconds": entry.all.seconds,
        "exact_seconds": entry.all.exact_seconds,
        "filtered": None
        if entry.filtered is None
        else {
            "share": 0.1,
            "recall_at_10": entry.filtered.recall,
            "seconds": entry.filtered.seconds,
            "exact_seconds": entry.filtered.exact_seconds,
        },
    }
