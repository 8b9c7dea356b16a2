"""Alerts as a person meets them, in Chromium; every view is accessible."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from app.domain.deliveries import Attempt
from app.webhook import Webhook
from tests.api.dashboard.site import Site
from tests.api.dashboard.test_alerts_page import BODY
from tests.chromium import PATIENCE_MS
from tests.end_to_end.test_page import found_nothing_wrong, watch


def opened(browser: Browser, site: Site, path: str) -> Page:
    """Signed in without the views that lead here."""
    page = browser.new_context(base_url=site.url).new_page()
    page.set_default_timeout(PATIENCE_MS)
    assert page.request.post("/session", data={"apiKey": site.key}).ok
    page.goto(path)
    return page


@pytest.mark.browser
def test_an_alert_in_a_browser(browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the empty list to the log, which goes on while it is looked at."""

    async def call(*_: object) -> Attempt:
        return Attempt(503, "the answer was 503")

    monkeypatch.setattr(Webhook, "call", call)
    site.create_goal(description="Trials")
    page = opened(browser, site, "/explain")
    complaints = watch(page, site.url)
    page.get_by_role("link", name="Alerts").click()
    page.get_by_role("link", name="Create the first alert").click()
    expect(page.get_by_label("Minutes a changed status must hold")).to_be_visible()
    page.get_by_role("radio", name="Counting is late").check()
    expect(page.get_by_label("Trials")).to_be_hidden()
    page.get_by_role("radio", name="A goal is silent").check()
    expect(page.get_by_label("Minutes a changed status must hold")).to_be_hidden()
    page.get_by_label("Name").fill("Quiet")
    page.get_by_label("Address").fill("https://10.0.0.1/x")
    page.get_by_role("button", name="Create the alert").click()
    expect(page.locator("#fault-url, #fault-silentHours")).to_have_count(2)
    page.get_by_label("Address").fill("https://hooks.example.com/x")
    page.get_by_label("Hours without a conversion").fill("24")
    page.get_by_role("button", name="Create the alert").click()
    expect(page.locator("#secret")).to_contain_text("whsec_")
    # Loading it again asks for the alert: no second one is made, and the secret is gone.
    page.reload()
    expect(page.get_by_role("heading", name="Quiet")).to_be_visible()
    assert len(site.get("/api/alerts")) == 1
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Hours without a conversion")).to_have_value("24")
    page.get_by_role("radio", name="Counting is late").check()
    page.get_by_role("button", name="Save the alert").click()
    page.locator("#fault-staleMinutes").wait_for()
    found_nothing_wrong(page, "a wrong edit")
    page.get_by_label("Minutes that counting is late").fill("10")
    page.get_by_role("button", name="Save the alert").click()
    expect(page.get_by_text("Counting is more than 10 min late")).to_be_visible()
    page.get_by_role("button", name="Send a test of Quiet").click()
    expect(page.locator(".log [data-outcome]")).to_have_text("◌ Waiting")
    site.run(site.world.alerting.send())
    expect(page.locator(".log [data-outcome]")).to_have_text("▲ Trying again")
    assert not complaints, complaints
    page.context.close()


@pytest.mark.browser
def test_no_alert_and_a_wrong_form_are_accessible(browser: Browser, site: Site) -> None:
    site.create_goal(description="Trials")
    page = opened(browser, site, "/alerts")
    found_nothing_wrong(page, "no alerts")
    page.goto("/alerts/new")
    page.get_by_label("Name").fill("Quiet")
    page.get_by_label("Address").fill("https://10.0.0.1/x")
    page.get_by_role("button", name="Create the alert").click()
    page.locator("#fault-url").wait_for()
    found_nothing_wrong(page, "faults")
    page.context.close()


@pytest.mark.browser
def test_the_secret_and_the_log_are_accessible(browser: Browser, site: Site) -> None:
    page = opened(browser, site, "/alerts/new")
    page.get_by_label("Name").fill("Quiet")
    page.get_by_label("Address").fill("https://hooks.example.com/x")
    page.get_by_role("button", name="Create the alert").click()
    page.locator("#secret").wait_for()
    found_nothing_wrong(page, "the secret")
    page.get_by_role("button", name="Send a test of Quiet").click()
    page.locator(".log").wait_for()
    found_nothing_wrong(page, "the log")
    page.context.close()


@pytest.mark.browser
def test_the_list_is_accessible(browser: Browser, site: Site) -> None:
    goals = [site.create_goal(description=name) for name in ("One", "Two", "Three", "Four")]
    made = site.post("/api/alerts", {**BODY, "goalIds": goals}).json()
    site.post("/api/alerts", {**BODY, "status": "paused"})
    site.post(f"/api/alerts/{made['id']}/test", {})
    page = opened(browser, site, "/alerts")
    expect(page.locator(".definitions tbody tr")).to_have_count(2)
    found_nothing_wrong(page, "the list")
    page.context.close()
