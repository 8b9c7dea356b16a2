"""The compose file: every service is watched, nothing listens beyond this machine, no password is written down."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_or_runs_once(name: str) -> None:
    service = SERVICES[name]
    assert "healthcheck" in service or service.get("restart") == "no"


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_bound_to_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_passwords_come_from_the_environment() -> None:
    values = {
        (name, variable): str(value)
        for name, service in SERVICES.items()
        for variable, value in service.get("environment", {}).items()
        if "PASSWORD" in variable or re.search(r"://.*@", str(value))
    }
    assert {"worker", "api"} <= {name for name, _ in values}
    assert [where for where, value in values.items() if not re.search(r"\$\{\w+PASSWORD:\?", value)] == []


def test_workers_can_be_scaled() -> None:
    assert "container_name" not in SERVICES["worker"]
    assert "ports" not in SERVICES["worker"]


def test_nothing_of_ours_runs_as_root() -> None:
    assert re.search(r"^USER 10001$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_images_are_pinned_to_a_version() -> None:
    images = [service["image"] for service in SERVICES.values() if service["image"] != "scorekeeper"]
    assert all(":" in image and not image.endswith(":latest") for image in images)


def test_what_is_installed_is_locked_by_hash() -> None:
    for name in ("installer", "runtime", "development", "benchmark"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "index-url" not in text
