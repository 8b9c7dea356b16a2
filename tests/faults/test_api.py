"""An API process that dies between a definition's commit and the nudge that tells the workers of it."""

from __future__ import annotations

import sys
from functools import partial

import httpx
import pytest

from app.stores.sql_keys import SqlKeys
from tests.end_to_end.processes import eventually
from tests.faults.site import IS_LONG, MakeSite, Site, in_time, seconds_until
from tests.servers.forking import ForkedProcess
from tests.servers.ports import free_port

pytestmark = [pytest.mark.faults, pytest.mark.kafka]

DEATHS = 100 if IS_LONG else 4
KNOWN_SECONDS = 5.0


def is_serving(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def all_run(site: Site, revision: int) -> bool:
    running = site.revisions()
    return len(running) == 2 and min(running) >= revision


def test_every_definition_that_was_committed_reaches_the_workers(make_site: MakeSite) -> None:
    site = make_site(seed=61, spread=False)
    site.start_workers(2)
    _, key = SqlKeys(site.database).create("shop", name="test")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.faults.crashing_api", str(DEATHS)]
    api = ForkedProcess("the API", command, site.home / "api.log", {**site.environment, "SCOREKEEPER_PORT": str(port)})
    try:
        before = len(site.definitions.current("shop", "conversion_goal")[1])
        slowest = 0.0
        for number in range(DEATHS):
            eventually(lambda: is_serving(url), 90, "the API")
            body = {"name": f"Click {number}", "eventType": "click"}
            with pytest.raises(httpx.HTTPError):
                httpx.post(f"{url}/api/conversion-goals", json=body, headers={"x-api-key": key}, timeout=60)
            assert len(site.definitions.current("shop", "conversion_goal")[1]) == before + number + 1
            revision, _ = site.definitions.revision()
            took = seconds_until(partial(all_run, site, revision), 60, "the workers' knowledge")
            slowest = max(slowest, took)
            site.publish(50)
        sys.stdout.write(f"{DEATHS} deaths; each definition known to both workers within {slowest:.2f} s\n")
        assert slowest < in_time(KNOWN_SECONDS)
        site.publish(200)
        site.wait_until_counted()
        assert site.differences() == []
    finally:
        api.kill()
