"""``moodreel models calibrate``: measure what media have in common in a model's eyes and ears."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape

from service.calibrate import Outcome
from service.cli.console import EXIT_FAILED, command, err, out, print_json, progress_bar, shown
from service.cli.logs import configure_logging
from service.cli.render import SPARKS
from service.domain import Float32, MediaItem
from service.settings import ServiceSettings
from service.wiring.calibrating import open_calibration

BINS = 31
"""Of the histogram; odd, so that one is in the middle."""


@command
async def calibrate(
    directory: Annotated[
        Path, typer.Argument(exists=True, help="Media of all sorts: a few dozen films or clips.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="A model of `moodreel models list`, or a directory; else those in use."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure, and keep nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> int:
    """Measure what your media have in common for a model, so that scores tell them apart."""
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}))
    async with open_calibration(directory, model=model) as calibration:
        with progress_bar() as progress:
            task = progress.add_task("measuring", total=len(calibration.items))
            count = -1

            def tell(item: MediaItem) -> None:
                nonlocal count
                count += 1
                progress.update(task, completed=count, description=escape(shown(item.title)))

            report = await calibration.measure(tell)
        outcomes = {"pictures": report.pictures, "sounds": report.sounds}
        is_found = any(found is not None and found.after is not None for found in outcomes.values())
        saved = calibration.keep(report) if is_found and not dry_run else []
    if as_json:
        print_json(
            {
                **{kind: _plain(found) if found else None for kind, found in outcomes.items()},
                "skipped": list(report.skipped),
                "missing_models": list(report.missing_models),
                "saved": [str(path) for path in saved],
            }
        )
    else:
        for kind, found in outcomes.items():
            if found is not None:
                _print(kind, found)
        for missing in report.missing_models:
            err.print(f"without {missing}: `moodreel models pull {missing}` gets it", markup=False)
        for reason in report.skipped:
            err.print(f"left out: {shown(reason)}", style="yellow", markup=False, highlight=False)
        for path in saved:
            out.print(f"kept in {path}; restart the service to use it", markup=False)
    return 0 if is_found else EXIT_FAILED


def _plain(found: Outcome) -> dict[str, Any]:
    return {
        "model": found.model,
        "items": found.item_count,
        "different": found.different_count,
        "needed": None if math.isinf(found.needed_count) else round(found.needed_count, 1),
        "moments": found.moment_count,
        "calibrated": found.after is not None,
        "flat_range": found.after.flat_range if found.after else None,
        "spread_before": round(_spread(found.levels_before), 5),
        "spread_after": round(_spread(found.levels_after), 5) if found.after else None,
        "near_to_everything": list(found.hubs),
        "warnings": list(found.warnings),
    }


def _print(kind: str, found: Outcome) -> None:
    out.print(
        f"[bold]{kind}[/] of {escape(found.model)}: {found.moment_count} moments of "
        f"{found.item_count} items, {found.different_count} of them different"
    )
    for warning in found.warnings:
        out.print(f"  [yellow]![/] {escape(warning)}")
    out.print("  words nearest to everything: " + escape(", ".join(found.hubs)))
    if found.after is None:
        return
    reach = float(np.abs(found.levels_before).max())
    out.print("  what each word gets from anything, in the half of the items held out (cosine):")
    for name, levels in (("before", found.levels_before), ("after", found.levels_after)):
        bars = _histogram(levels, reach)
        out.print(f"  {name:>6} {-reach:+.3f} {bars} {reach:+.3f}  spread {_spread(levels):.4f}")
    out.print(f"  words closer together than {found.after.flat_range:.4f} count as alike")


def _spread(levels: Float32) -> float:
    return float(levels.std())


def _histogram(levels: Float32, reach: float) -> str:
    counts, _ = np.histogram(np.clip(levels, -reach, reach), bins=BINS, range=(-reach, reach))
    tops = np.ceil(counts / max(1, counts.max()) * (len(SPARKS) - 1)).astype(int)
    return "".join(SPARKS[top] if count else " " for top, count in zip(tops, counts, strict=True))
