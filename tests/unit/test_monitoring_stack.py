"""Dashboard, alerts and documentation name metrics that there are, in queries that can be asked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from service import metrics
from tests.support.metrics_reference import PAGE, metric_tables
from tests.support.service import ROOT

STACK = ROOT / "stack"
DASHBOARD = json.loads((STACK / "grafana-dashboard.json").read_text())
ALERTS = yaml.safe_load((STACK / "alerts.yml").read_text())
PROMTOOL = shutil.which("promtool") or shutil.which(
    "promtool", path=ROOT / ".venv" / "prometheus" / "usr" / "bin"
)
MISSING = "no promtool here: sh scripts/install-deb.sh prometheus usr/bin/promtool .venv/prometheus"
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason=MISSING)
NAME = re.compile(r"\bmoodreel_\w+")
FORBIDDEN_LABELS = {"title", "path", "ref", "item", "address", "url", "file", "peer"}


def expressions() -> Iterator[str]:
    """All queries of the dashboard and the alerts."""
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for group in ALERTS["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def known_names() -> dict[str, tuple[str, ...]]:
    """Every series that a scrape may hold, with its labels."""
    found: dict[str, tuple[str, ...]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for family in metric.describe():
                suffixes = {
                    "counter": ("_total",),
                    "histogram": ("_bucket", "_sum", "_count"),
                    "info": ("_info",),
                }.get(family.type, ("",))
                found |= {family.name + suffix: metric._labelnames for suffix in suffixes}
    return found


def promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_that_is_asked_for_is_there():
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    asked |= set(NAME.findall(DASHBOARD["templating"]["list"][1]["query"]["query"]))

    assert asked - known_names().keys() == set()


def test_every_metric_is_of_use_to_the_dashboard_or_an_alert():
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    shown = {re.sub(r"_(total|bucket|sum|count|info)$", "", name) for name in asked}
    own = {re.sub(r"_(total|bucket|sum|count|info)$", "", name) for name in known_names()}

    assert own - shown == {"moodreel_build"}


def test_every_value_of_a_label_that_is_asked_for_exists():
    known = {
        "outcome": {
            *metrics.JOB_OUTCOMES,
            *metrics.EVENT_OUTCOMES,
            *metrics.PUBLICATION_OUTCOMES,
            *(*metrics.LOAD_OUTCOMES, "hit", "miss"),
        },
        "stage": set(metrics.STAGES),
        "kind": set(metrics.KINDS),
        "state": {"waiting", "later", "running", "failed"},
        "place": {"data"},
    }
    for expression in expressions():
        for label, values in re.findall(r'(\w+)=~?"([^"$]+)"', expression):
            assert label == "job" or set(values.split("|")) <= known[label], expression


def test_no_label_comes_in_unlimited_kinds():
    labels = {label for names in known_names().values() for label in names}

    assert labels & FORBIDDEN_LABELS == set()


def test_ours_are_all_that_the_registry_has_of_ours():
    ours = {family.name for family in REGISTRY.collect() if family.name.startswith("moodreel")}

    assert ours <= {re.sub(r"_(total|bucket|sum|count|info)$", "", name) for name in known_names()}


def test_every_panel_says_what_its_numbers_are():
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

    assert len(panels) > 15
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
    places = [tuple(panel["gridPos"][edge] for edge in "xy") for panel in panels]
    assert len(set(places)) == len(places)


def test_every_alert_says_how_bad_it_is_and_what_to_do():
    page = PAGE.read_text()
    for rule in ALERTS["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in page


def test_the_page_lists_the_metrics_as_they_are():
    assert metric_tables() in PAGE.read_text(), "run: python -m tests.support.metrics_reference"


@needs_promtool
def test_promtool_takes_the_configuration_and_its_alerts():
    promtool("check", "config", str(STACK / "prometheus.yml"))


@needs_promtool
def test_alerts_fire_when_they_should_and_only_then():
    promtool("test", "rules", str(ROOT / "tests" / "data" / "alerts-test.yml"))


@needs_promtool
def test_promtool_takes_every_query_of_the_dashboard(tmp_path: Path):
    rules: list[dict[str, Any]] = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__rate_interval", "5m", expression)}
        for number, expression in enumerate(expressions())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    promtool("check", "rules", str(file))
