"""What every page keeps to in a browser: nothing is cut off on a phone, and no column is shown that says nothing."""

from __future__ import annotations

import itertools

import pytest
from playwright.sync_api import Browser, Route, expect

from api.dashboard.pages import NAVIGATION
from tests.api.dashboard.site import Site
from tests.api.dashboard.test_alerts_in_browser import opened
from tests.api.dashboard.test_alerts_page import BODY

CUT_OFF = """() => [document.documentElement, ...document.querySelectorAll(
    "nav.main, nav.main a, #controls, #controls button, #controls select, table.cards tbody :is(th, td, div)"
)].filter((one) => one.clientWidth && one.scrollWidth > one.clientWidth + 1).map((one) => one.outerHTML.slice(0, 80))"""
BEYOND_THE_MARGIN = """() => document.querySelector("table").getBoundingClientRect().right
    - document.querySelector(".heading").getBoundingClientRect().right"""
EMPTY_COLUMNS = """() => [...document.querySelectorAll("#partitions, #workers")].flatMap((body) =>
    [...body.parentElement.tHead.rows[0].cells].filter((head, index) => head.offsetWidth &&
        [...body.rows].every((row) => row.cells[index].textContent === "–")).map((head) => head.textContent))"""


@pytest.mark.browser
def test_nothing_is_cut_off_on_a_phone(browser: Browser, site: Site) -> None:
    """Also where the letters are wider than ours."""
    goals = [site.create_goal(description=f"Visits that end with an order, {n}") for n in range(2)]
    site.post("/api/alerts", {**BODY, "goalIds": goals, "url": f"https://hooks.example.com/{'X' * 90}"})
    page = opened(browser, site, "/")
    page.set_viewport_size({"width": 360, "height": 740})
    for path, _ in NAVIGATION:
        page.goto(path)
        expect(page.locator("#loading")).to_be_hidden()
        for letters in ("normal", "0.06em"):
            page.evaluate("(wide) => { document.body.style.letterSpacing = wide; }", letters)
            assert page.evaluate(CUT_OFF) == [], (path, letters)
    page.context.close()


@pytest.mark.browser
def test_no_page_is_wider_than_its_window(browser: Browser, site: Site) -> None:
    """Neither on tablets nor in half a screen, where tables are no cards yet, nor with figures as long as they get."""
    goals = [site.create_goal(description="Visits that end with an order", target=123_456_789.25, unit="leads of May")]
    definition = {
        "eventType": "form_submit",
        "urlPattern": "/signup/complete",
        "conditions": {"plan": {"$in": ["pro"]}},
    }
    assert site.post("/api/conversion-goals", {"name": "Trial signup", "metric": "m", **definition}).status_code == 201
    old = {"name": "Newsletter (old form)", "eventType": "newsletter", "status": "archived"}
    assert site.post("/api/conversion-goals", old).status_code == 201
    site.post("/api/alerts", {**BODY, "goalIds": goals, "url": f"https://hooks.example.com/{'X' * 90}"})
    site.count(goals[0], 1_234_567)
    page = opened(browser, site, "/")
    for path in (*(path for path, _ in NAVIGATION), f"/goals/{goals[0]}"):
        page.goto(path)
        expect(page.locator("#loading")).to_be_hidden()
        for width in (601, 700, 701, 760, 761, 860, 861, 1000, 1001, 1150, 1151):
            page.set_viewport_size({"width": width, "height": 740})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.goto("/conversion-goals")
    for width in (601, 700, 761, 800, 860, 861, 1000, 1001):
        page.set_viewport_size({"width": width, "height": 740})
        page.evaluate("""() => {
            document.querySelector("[data-counted]").textContent = "worth 76,521.88";
            document.querySelector("[data-last]").textContent = "38 min ago";
        }""")
        assert page.evaluate(BEYOND_THE_MARGIN) <= 0, width
    page.goto("/")
    for width in (601, 701, 861, 1151):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.locator(".goals tbody .name").evaluate("(name) => name.offsetWidth") > 100, width
    page.context.close()


@pytest.mark.browser
def test_no_word_is_too_long_for_a_page(browser: Browser, site: Site) -> None:
    long = site.create_goal(metric="W" * 150, unit="W" * 60, target=999_999_999_999)
    page = opened(browser, site, "/")
    for path in ("/", f"/goals/{long}", "/docs", "/docs/errors"):
        page.goto(path)
        for width in (360, 768, 1280):
            page.set_viewport_size({"width": width, "height": 740})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.goto(f"/goals/{long}")
    for narrow in (".hero", ".columns > div"):
        assert page.locator(narrow).first.evaluate("(one) => one.scrollWidth <= one.clientWidth"), narrow
    page.context.close()


@pytest.mark.browser
def test_fields_beside_each_other_lie_on_a_line_also_with_a_fault(browser: Browser, site: Site) -> None:
    page = opened(browser, site, "/goals/new")
    page.locator("#metric").fill("m")
    page.get_by_label("Target").fill("many")
    page.locator("#deadline").fill("2036-12-31")
    page.get_by_role("button", name="Create the goal").click()
    expect(page.locator("#fault-target")).to_be_visible()
    for one, other in (("target", "unit"), ("period", "deadline")):
        for name in ("#{}", "label[for={}]"):
            tops = [
                page.locator(name.format(field)).evaluate("(it) => it.getBoundingClientRect().top")
                for field in (one, other)
            ]
            assert abs(tops[0] - tops[1]) < 4, (name, one, other)
    page.set_viewport_size({"width": 360, "height": 740})
    places = [page.locator(f"#{field}").bounding_box() for field in ("target", "unit", "period", "deadline")]
    heights = [(one["y"], one["y"] + one["height"]) for one in places if one is not None]
    assert all(below[0] > above[1] + 20 for above, below in itertools.pairwise(heights)), heights
    page.context.close()


@pytest.mark.browser
def test_no_figure_is_broken(browser: Browser, site: Site) -> None:
    """The second half of one would read as another one."""
    huge = site.create_goal(startValue=123_456_789_012_345, target=999_999_999_999_999, unit="EUR")
    page = opened(browser, site, f"/goals/{huge}")
    expect(page.locator("#current")).to_have_text("123,456,789,012,345")
    for width in (360, 390, 768, 820, 901, 1024, 1440):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        for figure in ("#current", "#expected", "#needed", "#ends"):
            lines = page.locator(figure).evaluate("""(one) => {
                const range = document.createRange();
                range.selectNodeContents(one);
                return new Set([...range.getClientRects()].map((line) => line.top)).size;
            }""")
            assert lines == 1, (figure, width)
    page.context.close()


@pytest.mark.browser
def test_buttons_below_each_other_do_not_touch(browser: Browser, site: Site) -> None:
    site.work_in("other")
    page = opened(browser, site, "/")
    page.set_viewport_size({"width": 360, "height": 740})
    buttons = page.locator("#empty .button")
    expect(buttons.nth(1)).to_be_visible()
    first, second = (buttons.nth(n).bounding_box() for n in range(2))
    assert first is not None
    assert second is not None
    assert second["y"] >= first["y"] + first["height"] + 4
    page.context.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1280])
def test_a_field_that_was_left_empty_comes_into_view_with_its_name(browser: Browser, site: Site, width: int) -> None:
    page = opened(browser, site, "/conversion-goals/new")
    page.set_viewport_size({"width": width, "height": 560})
    page.get_by_label("Name").fill("Trials")
    page.get_by_role("button", name="Create the conversion goal").click()
    field, label = page.get_by_label("Event type"), page.locator("label[for=eventType]")
    expect(field).to_be_focused()
    page.wait_for_function("(label) => label.getBoundingClientRect().bottom > 0", arg=label.element_handle())
    below = page.locator(".top").evaluate("(top) => top.getBoundingClientRect().bottom")
    assert label.evaluate("(label) => label.getBoundingClientRect().top") >= below
    page.context.close()


@pytest.mark.browser
def test_who_signs_in_may_paste_the_key_at_once(browser: Browser, site: Site) -> None:
    page = browser.new_context(base_url=site.url).new_page()
    page.goto("/")
    page.keyboard.insert_text(site.key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Goals", exact=True)).to_be_visible()
    page.context.close()


@pytest.mark.browser
def test_a_long_project_and_a_lost_connection_push_nothing_out_of_the_window(browser: Browser, site: Site) -> None:
    page = opened(browser, site, "/")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    page.evaluate("""() => {
        const connection = document.querySelector("#connection");
        connection.dataset.state = connection.textContent = "reconnecting";
        document.querySelector(".project").lastChild.textContent = "a-project-whose-key-is-as-long-as-keys-get";
    }""")
    for width in (861, 900, 960, 1024, 1280):
        page.set_viewport_size({"width": width, "height": 740})
        out = page.get_by_role("button", name="Sign out").bounding_box()
        assert out is not None
        assert out["x"] + out["width"] <= width
        assert out["height"] < 45, "its words stand in one line"
    page.context.close()


@pytest.mark.browser
def test_conversions_are_asked_for_again_when_the_log_could_not_be_read(browser: Browser, site: Site) -> None:
    goal = site.create_goal()
    page = opened(browser, site, "/explain")
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(status=503, json={"detail": "Kafka is away."})
        else:
            route.fulfill(json={"seen": 7, "conversions": []})

    page.route("**/conversions?*", answer)
    page.goto(f"/goals/{goal}")
    expect(page.locator("#conversions-state")).to_contain_text("Kafka is away.")
    expect(page.locator("#conversions-state")).to_have_text("None among the last 7 events.")
    page.context.close()


@pytest.mark.browser
def test_a_goal_whose_conversions_left_the_log_waits_for_no_first_event(browser: Browser, site: Site) -> None:
    """Its figures may come from a baseline, too: that one was counted is known by the moment of the last."""
    new = site.create_goal(startValue=3)
    old = site.create_goal(metric="n")
    site.count(old, 7, last_at=site.world.now - 3_600_000)
    page = opened(browser, site, f"/goals/{new}")
    state = page.locator("#conversions-state")
    expect(state).to_have_text("Waiting for the first event.")
    page.goto(f"/goals/{old}")
    expect(state).to_contain_text("None to be read back from the log any more; what was counted stays. Last: ")
    page.context.close()


@pytest.mark.browser
def test_what_is_not_told_to_a_key_has_no_column(browser: Browser, site: Site) -> None:
    """Other projects share the pipeline: their figures are left out of what the key may read."""
    page = opened(browser, site, "/pipeline")
    expect(page.locator("#partitions tr")).not_to_have_count(0)
    expect(page.locator("#workers tr")).not_to_have_count(0)
    assert page.evaluate(EMPTY_COLUMNS) == []
    expect(page.get_by_role("columnheader", name="Lag")).to_be_hidden()
    page.evaluate("document.getElementById('pipeline').dataset.whole = 'true'")
    expect(page.get_by_role("columnheader", name="Lag")).to_be_visible()
    page.context.close()
