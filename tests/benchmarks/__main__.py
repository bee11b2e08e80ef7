"""Runs every ``bench_*.py`` and prints its rows: ``make bench``, or ``... bench_store`` for one.

A benchmark has ``run()``, which returns rows ``{name, value, unit, baseline, ratio}``: the ratio is
ours to the named baseline, both measured in the same run, since machines are shared and noisy.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "var" / "bench.json"


def main(wanted: list[str]) -> None:
    names = sorted(path.stem for path in HERE.glob("bench_*.py"))
    console = Console()
    results: dict[str, list[dict[str, Any]]] = {}
    for name in wanted or names:
        console.print(f"[dim]{name} ...[/]")
        results[name] = importlib.import_module(f"tests.benchmarks.{name}").run()
        console.print(_table(name, results[name]))
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "machine": platform.platform(), "python": sys.version}
    RESULTS.write_text(json.dumps({"machine": machine, "results": results}, indent=1))


def _table(name: str, rows: list[dict[str, Any]]) -> Table:
    table = Table("what", "value", "unit", "baseline", "ratio", title=name, title_justify="left")
    for row in rows:
        ratio = row.get("ratio")
        table.add_row(
            str(row["name"]),
            _number(row["value"]),
            str(row.get("unit", "")),
            str(row.get("baseline") or ""),
            _number(ratio) if ratio is not None else "",
        )
    return table


def _number(value: object) -> str:
    return f"{value:,.3g}" if isinstance(value, float) and abs(value) < 1000 else f"{value}"


if __name__ == "__main__":
    main(sys.argv[1:])
