"""A quiet project beside a busy one: what its forms, previews and explanations look at is found all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.streams.recent import MOST_MESSAGES
from tests.end_to_end.processes import Deployment, ForkedDeployment, eventually

SIGNUP = {"name": "Sign-up", "eventType": "signup"}


def lines(project: str, kind: str, number: int) -> list[bytes]:
    return [
        json.dumps({"type": kind, "projectKey": project, "id": f"{project}-{kind}-{n}", "visitorId": str(n)}).encode()
        for n in range(number)
    ]


def seen(site: Deployment) -> list[Any]:
    preview = site.request("POST", "/api/conversion-goals/preview", json=SIGNUP)
    assert preview.status_code == 200, preview.text
    recent = {event["id"] for event in site.get("/api/events/recent")}
    return [preview.json()["matched"], sorted(recent), [kind["type"] for kind in site.get("/api/event-types")]]


@pytest.mark.kafka
def test_recent_events_of_a_quiet_project_are_found_beside_a_busy_one(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, sqlite_url: str, make_topic: Callable[..., str]
) -> None:
    with ForkedDeployment(tmp_path, kafka_bootstrap, redis_url, sqlite_url, make_topic(3)) as site:
        site.start_worker()
        site.create_project("busy")
        site.create_project("quiet")
        site.start_api()
        eventually(site.live_workers, what="a worker with partitions")
        for number in range(3):
            # One by one, as a quiet project's come; each in a batch of its own.
            site.publish(lines("quiet", "signup", number + 1)[-1:], f"quiet-{number}")
            site.wait()
        site.publish(lines("busy", "pageview", 2 * MOST_MESSAGES), "busy")
        site.wait()
        expected = [3, [f"quiet-signup-{n}" for n in range(3)], ["signup"]]
        eventually(lambda: seen(site) == expected, what="the quiet project's events to be found")
