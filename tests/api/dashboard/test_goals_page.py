"""The list of goals in a browser: how the reader wants it, while it moves."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.dashboard.site import Site
from tests.chromium import page_with_modules
from tests.end_to_end.test_page import fits_a_phone

pytestmark = pytest.mark.browser


def order(page: Page, *wanted: str) -> None:
    expect(page.locator("#goals tbody tr[data-id]:visible .name a")).to_have_text(list(wanted))


def opened(browser: Browser, site: Site, query: str = "") -> Page:
    page = browser.new_context(base_url=site.url).new_page()
    site.sign_in(page)
    page.goto(f"/{query}")
    expect(page.locator("#goals")).to_be_visible()
    return page


def test_goals_are_sorted_and_grouped_as_the_reader_chooses_while_they_move(browser: Browser, site: Site) -> None:
    goals = {
        name: site.create_goal(description=name, metric=name.lower(), deadline=f"20{years}-01-01")
        for name, years in (("Beta", 38), ("alpha", 37), ("Gamma", 36))
    }
    site.count(goals["Beta"], 4)
    site.count(goals["Gamma"], 12)
    page = opened(browser, site)
    order(page, "alpha", "Beta", "Gamma")

    page.get_by_label("Sort by").select_option("Furthest along")
    order(page, "Gamma", "Beta", "alpha")
    site.count(goals["alpha"], 5)
    order(page, "Gamma", "alpha", "Beta")
    page.get_by_label("Sort by").select_option("Name")
    order(page, "alpha", "Beta", "Gamma")

    # With the keyboard alone; a screen reader hears the groups as headings of their rows.
    page.get_by_label("Sort by").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.wait_for_url("**/?sort=name&group=status")
    headings = page.get_by_role("rowheader", name="goal", exact=False)
    expect(page.locator("#goals .group:visible")).to_have_text(["● On track 2 goals", "✓ Completed 1 goal"])
    expect(headings.first).to_be_visible()
    expect(page.locator("#goals caption")).to_have_text("Goals with their progress, name, grouped by status")
    site.count(goals["alpha"], 5)
    expect(page.locator("#goals .group:visible")).to_have_text(["● On track 1 goal", "✓ Completed 2 goals"])
    order(page, "Beta", "alpha", "Gamma")

    # A link shows the same, and so does going back.
    page.get_by_role("link", name="Beta").click()
    page.go_back()
    order(page, "Beta", "alpha", "Gamma")
    again = opened(browser, site, "?sort=ends&status=completed")
    order(again, "Gamma", "alpha")
    assert again.get_by_label("Sort by").input_value() == "ends"
    for one in (page, again):
        one.set_viewport_size({"width": 360, "height": 700})
        fits_a_phone(one)
        one.context.close()


def test_rows_do_not_move_under_the_readers_focus_and_new_ones_come_at_once(browser: Browser, site: Site) -> None:
    first, second = (site.create_goal(description=name, metric=name) for name in ("one", "two"))
    page = opened(browser, site, "?sort=progress")
    site.count(first, 1)
    order(page, "one", "two")
    page.get_by_role("link", name="one").focus()
    site.count(second, 5)
    page.get_by_role("button", name="The order changed").wait_for()
    site.create_goal(description="three", metric="three")
    order(page, "one", "two", "three")
    assert page.evaluate("document.activeElement.textContent") == "one"
    page.get_by_role("button", name="The order changed").click()
    order(page, "two", "one", "three")
    page.context.close()


@pytest.mark.parametrize(
    ("query", "view"),
    [
        ("", {"sort": "need", "isGrouped": False, "status": None, "search": ""}),
        ("?sort=pace&group=status", {"sort": "pace", "isGrouped": True, "status": None, "search": ""}),
        ("?status=at_risk&search=a%26b", {"sort": "need", "isGrouped": False, "status": "at_risk", "search": "a&b"}),
        ("?sort=toString&group=no&status=x", {"sort": "need", "isGrouped": False, "status": None, "search": ""}),
    ],
)
def test_the_view_is_in_the_address(browser: Browser, query: str, view: dict[str, Any]) -> None:
    page = page_with_modules(browser)
    script = """async (query) => {
        const { readView, queryOf } = await import("/static/goals_view.js");
        return [readView(query), readView(queryOf(readView(query)))];
    }"""
    assert page.evaluate(script, query) == [view, view]
    page.context.close()


def test_who_has_no_value_stands_last_and_equals_stand_by_need(browser: Browser) -> None:
    page = page_with_modules(browser)
    some = [
        {"id": "a", "status": "on_track", "lastConversionAt": None},
        {"id": "b", "status": "on_track", "lastConversionAt": "2026-01-02T00:00:00Z"},
        {"id": "c", "status": "behind", "lastConversionAt": None},
        {"id": "d", "status": None, "lastConversionAt": "2026-01-03T00:00:00Z"},
    ]
    script = """async ([goals, order, isGrouped]) => {
        const { arrange } = await import("/static/goal_order.js");
        const groups = arrange(goals, order, isGrouped);
        return groups.map(([status, found]) => [status, found.map((goal) => goal.id).join("")]);
    }"""
    assert page.evaluate(script, [some, "last", False]) == [[None, "dbca"]]
    assert page.evaluate(script, [some, "need", False]) == [[None, "cabd"]]
    assert page.evaluate(script, [some, "last", True]) == [
        ["behind", "c"],
        ["at_risk", ""],
        ["on_track", "ba"],
        ["completed", ""],
        [None, "d"],
    ]
    page.context.close()


@pytest.mark.parametrize("width", [360, 640, 1280])
def test_the_figure_stands_off_from_its_target(browser: Browser, site: Site, width: int) -> None:
    site.count(site.create_goal(), 11)
    page = opened(browser, site)
    page.set_viewport_size({"width": width, "height": 740})
    figure, target = page.locator("td[data-label=Current] > span > *").all()
    expect(figure).to_have_text("11")
    one, other = figure.bounding_box(), target.bounding_box()
    assert one is not None
    assert other is not None
    assert other["x"] >= one["x"] + one["width"] + 2 or other["y"] >= one["y"] + one["height"] / 2
    page.context.close()


def test_on_paper_there_are_the_goals_and_nothing_to_press(browser: Browser, site: Site) -> None:
    goal = site.create_goal(description="Signups")
    site.count(goal, 11)
    page = opened(browser, site, "?sort=name")
    order(page, "Signups")
    page.emulate_media(media="print", color_scheme="dark")
    order(page, "Signups")
    expect(page.locator("#fresh")).to_be_visible()
    for pressed in page.locator("button, select, input, nav, .button").all():
        expect(pressed).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(22, 25, 29)", "dark on white"

    page.goto(f"/goals/{goal}")
    chart = page.locator(".chart svg")
    expect(chart.locator("path.expected")).to_be_visible()
    for pressed in page.locator("button, select, .by-hand, .delete").all():
        expect(pressed).to_be_hidden()
    # As it was drawn for a screen that is wider than the page: nothing draws it anew for paper.
    script = """svg => {
        svg.setAttribute("width", 5000);
        return svg.getBoundingClientRect().right <= svg.parentNode.getBoundingClientRect().right;
    }"""
    assert chart.evaluate(script)
    page.context.close()
