"""The pages in Chromium, on real parts: create what counts and what to reach, watch it move, lose parts, find them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.chromium import PATIENCE_MS, open_browser
from tests.end_to_end.processes import Deployment, ForkedDeployment, eventually

HOSTILE = ("<script>alert(1)</script>", "\u202egnp.exe", '"><img src=x onerror=alert(1)>', "{{7*7}}", "a" * 1900)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from open_browser()


@pytest.mark.browser
@pytest.mark.kafka
def test_the_page_follows_what_is_counted_and_says_when_nothing_is(
    browser: Browser,
    tmp_path: Path,
    kafka_bootstrap: str,
    redis_url: str,
    sqlite_url: str,
    make_topic: Callable[..., str],
) -> None:
    with ForkedDeployment(tmp_path, kafka_bootstrap, redis_url, sqlite_url, make_topic(2)) as scorekeeper:
        worker = scorekeeper.start_worker()
        scorekeeper.start_api()
        scorekeeper.create_project("shop")
        eventually(lambda: len(scorekeeper.live_workers()) == 1, what="a worker with partitions")
        publish(scorekeeper, "earlier", [{"plan": plan} for plan in ("pro", "pro", "free")])
        page = browser.new_page(base_url=scorekeeper.url)
        page.set_default_timeout(PATIENCE_MS)
        complaints = watch(page, scorekeeper.url)

        sign_in(page, scorekeeper)
        expect(page.get_by_text("No goals yet")).to_be_visible()
        page.get_by_role("link", name="Say what counts").click()
        create_conversion_goal(page)
        create_goal(page)
        expect(page.locator("#status")).to_contain_text("On track")
        chart = page.locator("#chart path.actual")
        before = chart.get_attribute("d") or ""

        publish(scorekeeper, "now", [{"plan": "pro"}] * 5)
        expect(page.locator("#current")).to_have_text("5")
        expect(page.locator("#bar .fill")).to_have_attribute("width", re.compile(r"150(\.0+)?"))
        expect(chart).not_to_have_attribute("d", before)
        expect(page.locator("#conversions tbody tr")).to_have_count(5)
        page.locator("#chart").focus()
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#readout")).to_contain_text("expected")
        publish(scorekeeper, "more", [{"plan": "pro"}] * 5)
        expect(page.locator("#status")).to_contain_text("Completed")
        expect(page.locator("#changes")).to_contain_text("Completed")
        expect(page.locator("#status-changes li")).not_to_have_count(0)
        goal = page.url.removeprefix(scorekeeper.url)

        hostile(scorekeeper)
        for path in (
            "/",
            goal,
            "/goals/new",
            "/conversion-goals",
            "/conversion-goals/new",
            "/explain",
            "/alerts",
            "/alerts/new",
            "/pipeline",
            "/docs",
        ):
            page.goto(path)
            page.wait_for_load_state("networkidle") if path not in {"/", goal} else page.locator("#fresh").wait_for()
            found_nothing_wrong(page, path)
        page.goto("/explain")
        page.locator(".pick", has_text="form_submit").first.click()
        expect(page.get_by_text("the event type is")).not_to_have_count(0)
        found_nothing_wrong(page, "explained")
        page.goto("/")
        for name in HOSTILE:
            expect(page.get_by_text(name, exact=True).first).to_be_visible()
        assert not complaints, complaints

        worker.kill()
        expect(page.locator("#banner")).to_contain_text("Counting stands still")
        scorekeeper.start_worker()
        expect(page.locator("#banner")).to_be_hidden()
        assert scorekeeper.api is not None
        scorekeeper.api.kill()
        expect(page.locator("#connection")).to_contain_text("reconnecting")
        expect(page.locator("#banner")).to_contain_text("No connection since")
        found_nothing_wrong(page, "disconnected")
        scorekeeper.start_api()
        expect(page.locator("#connection")).to_have_text("live")
        expect(page.locator("#banner")).to_be_hidden()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_visible()
        found_nothing_wrong(page, "signed out")


def create_conversion_goal(page: Page) -> None:
    """With completion from what was seen, and the preview beside it."""
    page.get_by_label("Name").fill("Trial")
    expect(page.locator("#event-types option[value=form_submit]")).to_be_attached()
    page.get_by_label("Event type").fill("form_submit")
    expect(page.locator("#preview-verdict")).to_contain_text("3 of the last 3 events would count")
    expect(page.locator("#properties option[value=plan]")).to_be_attached()
    page.get_by_label("Property").first.fill("plan")
    page.get_by_label("Value", exact=True).first.fill("enterprise")
    expect(page.locator(".warning").first).to_contain_text("None of the last 3 events of this type would count")
    page.get_by_label("Value", exact=True).first.fill("pro")
    expect(page.locator("#preview-verdict")).to_contain_text("2 of the last 3 events would count")
    expect(page.locator(".samples .why")).to_contain_text('plan is "pro": no, found "free"')
    page.get_by_role("button", name="Create the conversion goal").click()
    row = page.locator("tbody tr", has_text="Trial")
    expect(row).to_contain_text('plan is "pro"')
    row.get_by_role("link", name="Trial").click()
    page.get_by_label("Value", exact=True).first.fill("free")
    expect(page.locator(".difference")).to_contain_text("+1 gained")
    expect(page.locator(".difference")).to_contain_text("−2 lost")
    found_nothing_wrong(page, "a conversion goal")


def create_goal(page: Page) -> None:
    page.goto("/goals/new")
    page.get_by_label("Name").fill("Trials")
    page.locator("#metric").fill("trial")
    page.locator("#target").fill("10")
    page.locator("#deadline").fill("2036-12-31")
    page.get_by_role("button", name="Create the goal").click()
    expect(page.get_by_role("heading", name="Trials")).to_be_visible()


def hostile(scorekeeper: Deployment) -> None:
    for name in HOSTILE:
        body = {"name": name[:100], "eventType": "form_submit", "conditions": {name[:100]: name}, "metric": name[:100]}
        scorekeeper.post("/api/conversion-goals", body)
        scorekeeper.post(
            "/api/goals", {"metric": name[:100], "target": 10, "deadline": "2036-12-31", "description": name}
        )
        rule = {"name": name[:100], "url": "https://hooks.example.com/x", "when": "stale", "staleMinutes": 43_200}
        scorekeeper.post("/api/alerts", rule)


def publish(scorekeeper: Deployment, name: str, data: list[dict[str, object]]) -> None:
    common = {"type": "form_submit", "projectKey": "shop", "url": "https://shop.example/signup/complete"}
    lines = [{**common, "id": f"{name}-{number}", "data": one} for number, one in enumerate(data)]
    scorekeeper.publish([json.dumps(line).encode() for line in lines], name)


def found_nothing_wrong(page: Page, where: str) -> None:
    """axe-core in light and dark; and nothing is wider than a phone."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        found = Axe().run(page)
        assert found.violations_count == 0, f"{where}, {scheme}: {found.generate_report()}"
    size = page.viewport_size
    page.set_viewport_size({"width": 360, "height": 700})
    fits_a_phone(page)
    assert size is not None
    page.set_viewport_size(size)


def fits_a_phone(page: Page) -> None:
    """Once what is drawn anew for the width is drawn."""
    page.wait_for_function("document.documentElement.scrollWidth <= 360", timeout=PATIENCE_MS)


def watch(page: Page, origin: str) -> list[str]:
    """What the page must not do: complain in the console, or ask another origin."""
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error" and "401" not in message.text and "422" not in message.text:
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
    expect(page.locator("#connection")).to_have_text("live")
