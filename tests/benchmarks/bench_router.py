"""What routing a query costs, and where the router and a person disagree."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from statistics import quantiles
from typing import Any

import yaml

from service.search.lexicon import compile_lexicon
from service.search.router import route
from service.vocabulary import load_signals

LABELLED = Path(__file__).parents[1] / "data" / "search" / "router-queries.yaml"
REPEATS = 20
BUDGET_MS = 1.0
"""What a route may take."""


def run() -> list[dict[str, Any]]:
    """Processor time, agreement, and the confusion: ``asked for -> chosen``."""
    labelled = [
        (mode, text)
        for modes in yaml.safe_load(LABELLED.read_text("utf-8")).values()
        for mode, texts in modes.items()
        for text in texts
    ]
    began = time.thread_time()
    compile_lexicon(load_signals())
    load_ms = (time.thread_time() - began) * 1_000
    rows = [{"name": "load all words, once", "value": load_ms, "unit": "ms"}]
    times_ms = sorted(_time_ms(text) for _ in range(REPEATS) for _, text in labelled)
    percent = quantiles(times_ms, n=100)
    cjk_ms = min(_time_ms("車" * 5_000) for _ in range(REPEATS))
    long_ms = min(_time_ms("a red car says " * 1_000) for _ in range(REPEATS))
    for name, value in (
        ("p50", percent[49]),
        ("p99", percent[98]),
        ("15 kB", long_ms),
        ("5,000 x 車", cjk_ms),
    ):
        rows.append(
            {
                "name": f"route, {name}",
                "value": round(value, 3),
                "unit": "ms",
                "baseline": f"{BUDGET_MS} ms",
                "ratio": round(value / BUDGET_MS, 3),
            }
        )
    confusion = Counter((mode, str(route(text).mode)) for mode, text in labelled)
    right = sum(count for (wanted, chosen), count in confusion.items() if wanted == chosen)
    rows.append({"name": f"agreement, {len(labelled)} queries", "value": right / len(labelled)})
    rows += [
        {"name": f"{wanted} -> {chosen}", "value": count, "unit": "queries"}
        for (wanted, chosen), count in sorted(confusion.items())
    ]
    return rows


def _time_ms(text: str) -> float:
    began = time.thread_time()  # other processes of a busy machine are no cost of ours
    route(text)
    return (time.thread_time() - began) * 1_000
