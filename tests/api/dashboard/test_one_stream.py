"""What a browser costs: one event stream whatever the number of tabs, few bytes, and no focus lost."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.dashboard.site import Site
from tests.end_to_end.processes import eventually

pytestmark = pytest.mark.browser
TABS = 9
MOST_BYTES = 100_000


def current(page: Page, goal: str) -> Any:
    return page.locator(f'tr[data-id="{goal}"] strong')


def test_nine_tabs_share_one_stream_and_it_outlives_the_one_that_opened_it(browser: Browser, site: Site) -> None:
    goal = site.create_goal()
    context = browser.new_context(base_url=site.url)
    tabs = [context.new_page() for _ in range(TABS)]
    site.sign_in(tabs[0])
    for tab in tabs[1:]:
        tab.goto("/")
    for tab in tabs:
        expect(tab.locator("#connection")).to_have_text("live")
        expect(current(tab, goal)).to_have_text("0")
    eventually(lambda: site.streams() == 1, what="one stream")
    first, *others = tabs
    first.close()
    site.count(goal, 3)
    for tab in others:
        expect(current(tab, goal)).to_have_text("3")
        expect(tab.locator("#connection")).to_have_text("live")
    eventually(lambda: site.streams() == 1, what="one stream")
    context.close()
    eventually(lambda: site.streams() == 0, 90, "the end of a stream that nobody sees")


def test_fifty_goals_are_shown_with_few_bytes(browser: Browser, site: Site) -> None:
    site.define_goals(50)
    page = browser.new_context(base_url=site.url).new_page()
    site.sign_in(page)
    fresh = browser.new_context(base_url=site.url, storage_state=page.context.storage_state())
    page.context.close()
    page = fresh.new_page()
    protocol = fresh.new_cdp_session(page)
    sizes: list[float] = []
    protocol.on("Network.loadingFinished", lambda told: sizes.append(told["encodedDataLength"]))
    protocol.send("Network.enable")
    page.goto("/")
    expect(page.locator("tr[data-id]")).to_have_count(50)
    # The stream is the shared worker's, with its two scripts.
    beside = len(site.first_frame()) + sum(
        len(site.read(f"/static/{name}")) for name in ("stream.js", "stream_worker.js")
    )
    assert len(sizes) > 10
    assert sum(sizes) + beside <= MOST_BYTES
    fresh.close()


def test_focus_stays_in_a_row_that_changes(browser: Browser, site: Site) -> None:
    goals = site.define_goals(20)
    page = browser.new_context(base_url=site.url).new_page()
    site.sign_in(page)
    page.locator(f'tr[data-id="{goals[-1]}"] a').focus()
    for number, goal in enumerate((goals[-1], *goals), 1):
        site.count(goal, number)
    for number, goal in enumerate(goals[:-1], 2):
        expect(current(page, goal)).to_have_text(str(number))
    held = "document.activeElement.closest('tr')?.dataset.id"
    assert page.evaluate(held) == goals[-1]
    page.context.close()
