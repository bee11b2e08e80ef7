"""``moodreel models bench``: how fast the models on this machine are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.console import EXIT_FAILED, command, err, out, print_json, progress_bar, shown
from service.wiring.benching import Bench, advise_bench, plan_bench, run_bench


@command
async def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names or directories of models; all that are here when left out."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> int:
    """Measure how fast models are here, on everything that this onnxruntime can run them on."""
    jobs = plan_bench(names or [])
    measured = []
    with progress_bar() as progress:
        task = progress.add_task("measuring", total=len(jobs))
        for job in jobs:
            progress.update(task, description=f"{escape(job.model.name)} on {job.provider}")
            measured.append(await run_bench(job))
            progress.advance(task)
    advice = advise_bench(measured)
    if as_json:
        print_json({"models": [_plain(found) for found in measured], "advice": advice})
    else:
        out.print(_table(measured))
        if advice:
            out.print(escape(advice))
    for found in measured:
        if found.error:
            message = f"{found.model} on {found.provider}: {shown(found.error)}"
            err.print(message, style="red", markup=False)
    return EXIT_FAILED if all(found.error for found in measured) else 0


def _plain(found: Bench) -> dict[str, Any]:
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in asdict(found).items()
        if name != "pictures_per_s"
    } | {"pictures_per_s": {size: round(rate, 2) for size, rate in found.pictures_per_s.items()}}


def _table(measured: Sequence[Bench]) -> Table:
    sizes = sorted({size for found in measured for size in found.pictures_per_s})
    headings = [f"pictures/s: {size}" if size == 1 else str(size) for size in sizes]
    columns = ("model", "on", "threads", "load s", "MB", *headings, "texts/s", "sounds/s")
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    best = max((found.best_pictures_per_s for found in measured), default=0.0)
    for found in measured:
        if found.error:
            continue
        table.add_row(
            escape(found.model),
            _where(found),
            str(found.threads),
            f"{found.load_s:.1f}",
            f"{found.peak_mb:.0f}",
            *(_rate(found.pictures_per_s.get(size), best) for size in sizes),
            _rate(found.texts_per_s),
            _rate(found.sounds_per_s),
        )
    return table


def _where(found: Bench) -> str:
    if found.device == found.provider:
        return found.device
    return f"{found.device} [yellow](not {found.provider})[/]"


def _rate(rate: float | None, best: float | None = None) -> str:
    if rate is None:
        return ""
    text = f"{rate:.1f}" if rate < 100 else f"{rate:.0f}"  # noqa: PLR2004  three figures at least
    return f"[bold green]{text}[/]" if rate == best else text
