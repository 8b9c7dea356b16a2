"""Metrics: what is named exists, what exists is named, and nothing is told without a bound."""

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
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app import metrics
from tests.servers import is_ci

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "config" / "monitoring"
NAME = re.compile(r"\bscorekeeper_[a-z_]+")
BOARD: dict[str, Any] = json.loads((MONITORING / "grafana" / "scorekeeper.json").read_text())


def exposed() -> set[str]:
    """The names of every metric that a process exposes, as its /metrics writes them."""
    found = set()
    for registry in (metrics.API, metrics.WORKER):
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            found.add(family.name + ("_total" if family.type == "counter" else ""))
    return found


def test_the_reference_names_every_metric_and_no_other() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    assert text == metrics.reference(), "run: python -m app.metrics > docs/metrics.md"
    assert set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE)) == exposed()


def known() -> set[str]:
    """What a query may name: histograms by their parts."""
    parts = {f"{one.name}_{part}" for one in metrics.DESCRIBED if one.kind == "histogram" for part in PARTS}
    return {one.name for one in metrics.DESCRIBED if one.kind != "histogram"} | parts


PARTS = ("bucket", "count", "sum")


def queries() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_what_a_rule_or_a_panel_asks_for_exists(where: str, query: str) -> None:
    del where
    names = set(NAME.findall(query))
    assert names
    assert names <= known()


def test_documents_name_only_metrics_that_exist() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), MONITORING / "alerts.yml"]
    named = {name for file in documents for name in NAME.findall(file.read_text())}
    assert named <= known() | {one.name for one in metrics.DESCRIBED} | {"scorekeeper_session"}


def test_every_alert_says_what_to_do_first() -> None:
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert len(rule["annotations"]["runbook"]) > 40
            assert rule["labels"]["severity"] in {"critical", "warning"}


def test_no_label_is_without_a_bound() -> None:
    bounded = {"fate", "reason", "step", "topic", "partition", "state", "generation", "operation", "route", "status"}
    assert {label for one in metrics.DESCRIBED for label in one.labels} <= bounded | {"cause", "outcome"}


def test_prometheus_takes_its_configuration() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        assert not is_ci(), "CI=true needs promtool (package prometheus)"
        pytest.skip("promtool is not installed (package prometheus)")
    subprocess.run([promtool, "check", "config", str(MONITORING / "prometheus.yml")], check=True, capture_output=True)


def test_labels_that_are_gone_are_not_told_any_more() -> None:
    metrics.show_only(metrics.LAG, {("events", 0): 1, ("events", 1): 2})
    metrics.show_only(metrics.LAG, {("events", 1): 3})
    text = generate_latest(metrics.WORKER).decode()
    assert 'scorekeeper_partition_lag_messages{partition="1",topic="events"} 3.0' in text
    assert 'scorekeeper_partition_lag_messages{partition="0"' not in text
    metrics.show_only(metrics.LAG, {})
