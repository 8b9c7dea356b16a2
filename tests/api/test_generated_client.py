"""The OpenAPI document is good enough for a generated, typed client: one is made, and does the main job."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import World
from tests.api.test_openapi import document

GENERATOR = Path(sys.executable).parent / "openapi-python-client"
PACKAGE = "scorekeeper_client"


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which the client can be imported; nothing of it stays."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


async def generate(world: World, folder: Path) -> None:
    (folder / "openapi.json").write_text(json.dumps(await document(world)), encoding="utf-8")
    (folder / "config.yml").write_text("post_hooks: []\n", encoding="utf-8")
    options = ["--meta", "none", "--path", "openapi.json", "--config", "config.yml", "--output-path", PACKAGE]
    command = [str(GENERATOR), "generate", "--fail-on-warning", *options]
    done = await asyncio.to_thread(subprocess.run, command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def call(operation: str, **options: Any) -> Any:
    """The parsed answer of an operation, named by its module below `api`."""
    return await importlib.import_module(f"{PACKAGE}.api.{operation}").asyncio(**options)


async def test_a_generated_client_defines_counts_and_reads(world: World, importable: Path) -> None:
    await generate(world, importable)
    models: Any = importlib.import_module(f"{PACKAGE}.models")
    made: Any = importlib.import_module(PACKAGE)
    client = made.AuthenticatedClient("", "unused").set_async_httpx_client(world.client)
    world.client.headers["x-api-key"] = world.project_keys["shop"]

    counting = models.ConversionGoalIn(name="Purchase", event_type="purchase", value_property="amount")
    defined = await call("conversion_goals.create_conversion_goal", client=client, body=counting)
    assert (type(defined).__name__, defined.metric) == ("ConversionGoal", "purchase")
    wanted = models.GoalIn(metric="purchase", target=500, deadline="2099-12-31", unit="orders")
    goal = await call("goals.create_goal", client=client, body=wanted)
    assert (type(goal).__name__, goal.current, goal.target) == ("Goal", 0, 500)
    assert [one.id for one in await call("goals.list_goals", client=client)] == [goal.id]
    event = models.EventIn.from_dict({"type": "purchase", "id": "order-1", "data": {"amount": 5}})
    sent: list[str] = []

    async def note(request: httpx.Request) -> None:
        sent.append(request.headers["content-type"])

    world.client.event_hooks["request"].append(note)
    published = await call("events.publish_events", client=client, body=event)
    assert (published.received, published.duplicates) == (1, 0)
    assert sent == ["application/json"]

    refused = await call("goals.create_goal", client=client, body=models.GoalIn("purchase", -1, "2099-12-31"))
    assert (type(refused).__name__, refused.status) == ("Problem", 422)
