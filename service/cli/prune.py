"""``moodreel prune``: delete for good what nobody needs any more."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from service.cli.console import command, out, print_json, shown
from service.cli.logs import configure_logging
from service.settings import ServiceSettings
from service.wiring.pruning import Holdings, Pruned, open_pruner

WORDS = {
    "findings": "deleted items' scenes, vectors and tags",
    "events": "published events",
    "uploads": "abandoned uploads",
    "groups": "messages of which all items are forgotten",
    "ledgers": "deleted items, with what was told of them",
    "vectors": "vectors of a model",
}


@command
async def prune(
    *,
    dry_run: Annotated[bool, typer.Option(help="Count, and delete nothing.")] = False,
    model: Annotated[
        str,
        typer.Option(
            help="Also all vectors of this model, which is no longer configured; --dry-run lists "
            "the models that there are vectors of."
        ),
    ] = "",
    forget_deleted: Annotated[
        bool,
        typer.Option(
            "--forget-deleted",
            help="Also all trace of items that were deleted before MOODREEL_KEEP_DELETED_DAYS: "
            "one that comes back is told as new.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Delete what is not needed any more. The service does so once a day, without the options."""
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    async with open_pruner(settings, dropping=model) as pruner:
        pruned = await pruner.prune(dry_run=dry_run)
        if forget_deleted:
            pruned.append(await pruner.forget_deleted(dry_run=dry_run))
        if model:
            pruned.append(await pruner.drop_vectors(model, dry_run=dry_run))
        holdings = await pruner.holdings()
    if as_json:
        print_json(_json(pruned, holdings, dry_run=dry_run))
    else:
        _print(pruned, holdings, dry_run=dry_run)


def _json(pruned: list[Pruned], holdings: Holdings, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "pruned": {
            entry.what.value: {"count": entry.count, "size_bytes": entry.size_bytes}
            for entry in pruned
        },
        "vectors": dict(holdings.vectors),
        "doubtful": holdings.doubtful_count,
    }


def _print(pruned: list[Pruned], holdings: Holdings, *, dry_run: bool) -> None:
    verb = "would go" if dry_run else "gone"
    for entry in pruned:
        size = f", about {entry.size_bytes / 1e6:,.1f} MB" if entry.count else ""
        out.print(f"{entry.count:>8} {WORDS[entry.what.value]} {verb}{size}", soft_wrap=True)
    for name, count in sorted(holdings.vectors.items()):
        out.print(f"{count:>8} vectors of {escape(shown(name))} kept", soft_wrap=True)
    if holdings.doubtful_count:
        out.print(
            f"{holdings.doubtful_count:>8} messages in doubt kept, so that none is sent twice",
            soft_wrap=True,
        )
