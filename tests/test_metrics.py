"""Metrics: what is named exists, what exists is named, and nothing is told without a bound."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from api import pipeline_metrics
from app import metrics

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "config" / "monitoring"
LOSS = "ScorekeeperLoss"
LOSSES = ("scorekeeper_lost_messages", "scorekeeper_last_loss_timestamp_seconds")
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


def test_the_alarm_of_a_loss_ends_after_a_day_and_comes_back_with_another_one(promtool: str, tmp_path: Path) -> None:
    hours = {
        "scorekeeper_lost_messages": "0 7x47 9x23",
        "scorekeeper_last_loss_timestamp_seconds": "0 3600x47 172800x23",
    }
    expected = {"0h": 0, "1h": 7, "24h": 7, "25h": 0, "48h": 0, "49h": 9, "71h": 9}
    rules = MONITORING / "alerts.yml"
    (rule,) = [one for one in yaml.safe_load(rules.read_text())["groups"][0]["rules"] if one["alert"] == LOSS]
    asked = {
        "rule_files": [str(rules)],
        "tests": [
            {
                "interval": "1h",
                "input_series": [{"series": name, "values": values} for name, values in hours.items()],
                "promql_expr_test": [
                    {
                        "expr": rule["expr"],
                        "eval_time": at,
                        "exp_samples": [{"labels": "{}", "value": number}] if number else [],
                    }
                    for at, number in expected.items()
                ],
            }
        ],
    }
    file = tmp_path / "loss.yml"
    file.write_text(yaml.safe_dump(asked))
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_newest_of_the_losses_is_told() -> None:
    reading: dict[str, Any] = {"workers": [], "logAnswers": True, "rebuilding": False, "revision": 1}
    reading |= {"evictionPolicies": None, "partitions": [], "generations": []}
    losses = [{"number": 2, "at": "1970-01-01T00:00:07Z"}, {"number": 3, "at": "1970-01-01T00:00:05Z"}]
    for found, expected in ((losses, (5, 7)), ([], (0, 0))):
        pipeline_metrics.show({**reading, "losses": found})
        told = [metrics.API.get_sample_value(name) for name in LOSSES]
        assert told == list(expected)
    pipeline_metrics.show(None)
    assert all(isnan(metrics.API.get_sample_value(name) or 0) for name in LOSSES)


def test_prometheus_takes_its_configuration(promtool: str) -> None:
    subprocess.run([promtool, "check", "config", str(MONITORING / "prometheus.yml")], check=True, capture_output=True)


def test_labels_that_are_gone_are_not_told_any_more() -> None:
    metrics.show_only(metrics.LAG, {("events", 0): 1, ("events", 1): 2})
    metrics.show_only(metrics.LAG, {("events", 1): 3})
    text = generate_latest(metrics.WORKER).decode()
    assert 'scorekeeper_partition_lag_messages{partition="1",topic="events"} 3.0' in text
    assert 'scorekeeper_partition_lag_messages{partition="0"' not in text
    metrics.show_only(metrics.LAG, {})
