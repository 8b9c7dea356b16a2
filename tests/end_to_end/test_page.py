"""The page in Chromium, on real parts: sign in, watch a bar move, lose the API and find it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.end_to_end.processes import Deployment, deployment, eventually
from tests.servers import is_ci

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        assert not is_ci(), "CI=true needs Chromium (package chromium)"
        pytest.skip("Chromium is not installed (package chromium)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS, headless=True)
        yield opened
        opened.close()


@pytest.mark.browser
@pytest.mark.kafka
def test_the_page_lives(
    browser: Browser,
    tmp_path: Path,
    kafka_bootstrap: str,
    redis_url: str,
    sqlite_url: str,
    make_topic: Callable[..., str],
) -> None:
    with deployment(tmp_path, kafka_bootstrap, redis_url, sqlite_url, make_topic(2)) as scorekeeper:
        scorekeeper.start_worker()
        scorekeeper.start_api()
        scorekeeper.create_project("shop")
        eventually(lambda: len(scorekeeper.live_workers()) == 1, what="a worker with partitions")
        scorekeeper.post("/api/conversion-goals", {"name": "Purchase", "eventType": "purchase"})
        for name in ("Purchases", "<script>alert(1)</script>", "\u202egnp.exe"):
            goal = {"metric": "purchase", "target": 10, "deadline": "2036-12-31", "description": name}
            scorekeeper.post("/api/goals", goal)
        page = browser.new_page(base_url=scorekeeper.url)
        complaints = watch(page, scorekeeper.url)

        sign_in(page, scorekeeper)
        row = page.locator("tr", has_text="Purchases")
        expect(row).to_contain_text("of 10")
        expect(page.locator("tbody tr")).to_have_count(3)
        expect(page.get_by_text("<script>alert(1)</script>")).to_be_visible()
        before = float(row.locator(".fill").get_attribute("width") or 0)

        event = {"type": "purchase", "projectKey": "shop"}
        scorekeeper.publish([json.dumps({**event, "id": str(n)}).encode() for n in range(5)])
        expect(row.locator("strong")).to_have_text("5", timeout=5_000)
        assert float(row.locator(".fill").get_attribute("width") or 0) > before
        assert not complaints

        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()

        assert scorekeeper.api is not None
        scorekeeper.api.stop()
        expect(page.locator("#connection")).to_contain_text("reconnecting", timeout=10_000)
        scorekeeper.start_api()
        expect(page.locator("#connection")).to_have_text("live", timeout=20_000)
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_visible()


def watch(page: Page, origin: str) -> list[str]:
    """What the page must not do: complain in the console, or ask another origin."""
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error" and "401" not in message.text:
            complaints.append(message.text)

    def on_request(request: Any) -> None:
        if not request.url.startswith((origin, "data:")):
            complaints.append(f"asked {request.url}")

    page.on("console", on_console)
    page.on("request", on_request)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def sign_in(page: Page, scorekeeper: Deployment) -> None:
    page.goto("/")
    page.get_by_label("API key").fill(scorekeeper.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#connection")).to_have_text("live", timeout=10_000)
