"""Writes the table of metrics in docs/howto/watch-moodreel.md from the code.

Run ``python -m tests.support.metrics_reference`` after changing a metric.
"""

from __future__ import annotations

import re

from prometheus_client.metrics import MetricWrapperBase

from service import metrics
from tests.support.service import ROOT

PAGE = ROOT / "docs" / "howto" / "watch-moodreel.md"
BEGIN, END = "<!-- metrics -->", "<!-- end of metrics -->"


def metric_tables() -> str:
    """All metrics of ours in the order of the module: name, kind, labels, what it says."""
    rows = ["| metric | kind | labels | what it says |", "|---|---|---|---|"]
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            labels = ", ".join(f"`{name}`" for name in metric._labelnames)
            about = family.documentation.replace("|", "\\|")
            rows.append(f"| `{family.name}{suffix}` | {family.type} | {labels} | {about} |")
    return "\n".join(rows)


def render(page: str) -> str:
    """The page with the table as it should be."""
    inner = f"{BEGIN}\n\n{metric_tables()}\n\n{END}"
    return re.sub(f"{BEGIN}.*{END}", lambda _: inner, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
