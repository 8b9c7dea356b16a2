"""Whether alerts would fire: real processes are scraped twice, what was seen is taken to go on, promtool judges."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config" / "monitoring" / "alerts.yml"
BETWEEN_SECONDS = 2.5
INTERVAL_SECONDS = 15
MINUTES = 20


@dataclass(frozen=True, slots=True)
class Scrape:
    """One look at every process: series as Prometheus writes it -> value."""

    at: float
    values: Mapping[str, float]


def scrape(urls: Sequence[str]) -> Scrape:
    """Read /metrics of each process, as Prometheus would."""
    found: dict[str, float] = {}
    at = time.time()
    for url in urls:
        answer = httpx.get(f"{url}/metrics", timeout=60)
        assert answer.status_code == 200, answer.text
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                labels = {**sample.labels, "instance": url.removeprefix("http://")}
                inside = ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(labels.items()))
                found[f"{sample.name}{{{inside}}}"] = sample.value
    return Scrape(at, found)


def look(urls: Sequence[str]) -> tuple[Scrape, Scrape]:
    """Two scrapes, far enough apart to see what moves."""
    first = scrape(urls)
    time.sleep(BETWEEN_SECONDS)  # what is measured is how much happens meanwhile
    return first, scrape(urls)


def series(first: Scrape, second: Scrape) -> list[dict[str, str]]:
    """The two scrapes, going on as they began, in promtool's notation. Its clock begins at 0, at the second scrape.

    Only what the rules name: most are histograms that no rule looks at, and promtool loads all of it for each rule.
    """
    rules = RULES.read_text()
    steps = MINUTES * 60 // INTERVAL_SECONDS
    step = INTERVAL_SECONDS / (second.at - first.at)
    rows = []
    for name, now in second.values.items():
        if name.partition("{")[0] not in rules:
            continue
        before = first.values.get(name, now)
        start, growth = now, 0.0
        if "_timestamp_seconds{" in name:
            # What moves keeps its age; what stands grows old.
            start, growth = now - second.at, INTERVAL_SECONDS if now > before else 0.0
        elif any(part in name for part in ("_total{", "_count{", "_sum{", "_bucket{", "_offset{")):
            growth = (now - before) * step
        going_on = f"+{growth:.3f}x{steps}" if growth else f"x{steps}"
        values = " ".join(["NaN"] * steps) if isnan(start) else f"{start:.3f}{going_on}"
        rows.append({"series": name, "values": values})
    return rows


def alerts() -> list[str]:
    """The names of the rules."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"]]


def firing(promtool: str, folder: Path, looked: tuple[Scrape, Scrape]) -> set[str]:
    """The alerts that fire when what was seen goes on for MINUTES: each is asked of promtool by itself."""
    asked: dict[str, Any] = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{INTERVAL_SECONDS}s",
        "tests": [
            {
                "name": alert,
                "interval": f"{INTERVAL_SECONDS}s",
                "input_series": series(*looked),
                "promql_expr_test": [
                    {
                        "expr": f'group(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                        "eval_time": f"{MINUTES - 1}m",
                        "exp_samples": [],
                    }
                ],
            }
            for alert in alerts()
        ],
    }
    file = folder / "alerts_test.yml"
    file.write_text(yaml.safe_dump(asked, allow_unicode=True))
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    found = {alert for alert in alerts() if f'alertname=\\"{alert}\\"' in told}
    assert (done.returncode != 0) == bool(found), told[:5_000]
    return found
