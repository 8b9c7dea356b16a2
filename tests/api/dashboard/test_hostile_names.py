"""Names that do harm, on every view: shown as the text that they are, and nothing else happens."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from app.domain.conversion_goal import compile_conversion_goal
from app.domain.event import Event
from app.domain.goal_definition import compile_goal
from app.domain.history import DefinitionVersion, Project
from app.errors import InvalidDefinition
from app.stores.alert_rows import MOST
from tests import hostile
from tests.api.dashboard.site import Site
from tests.builders import version
from tests.end_to_end.test_page import watch

pytestmark = pytest.mark.browser
PROJECT = "hostile"
PICKED = (0, 25)

WHAT_DOES_NOT_BELONG = """() => {
    const tags = "IMG IFRAME OBJECT EMBED BASE STYLE VIDEO MATH MARQUEE PLAINTEXT X".split(" ");
    const isOurs = (address) => (address ?? "").startsWith("/static/");
    const belongs = (node) => !tags.includes(node.tagName)
        && (node.tagName !== "SCRIPT" || isOurs(node.getAttribute("src")) || node.type === "application/json")
        && (node.tagName !== "LINK" || isOurs(node.getAttribute("href")))
        && (node.tagName !== "META" || !node.httpEquiv)
        && !node.getAttributeNames().some((name) => name.startsWith("on") || name === "style" || name === "autofocus")
        && !/^(javascript|data|vbscript):/i.test((node.getAttribute("href") ?? "").trim());
    const foreign = [...document.querySelectorAll("*")].filter((node) => !belongs(node));
    return foreign.map((node) => node.outerHTML.slice(0, 200));
}"""
WHAT_TURNS_ITS_NEIGHBOURS = """() => {
    const own = (node) => [...node.childNodes].filter((one) => one.nodeType === 3).map((one) => one.data).join("");
    const turns = (node) => /[\\u202a-\\u202e\\u2067\\u2068]/.test(own(node).replaceAll(/\\u2068.*?\\u2069/gs, ""))
        && getComputedStyle(node).display.startsWith("inline")
        && !/isolate|plaintext/.test(getComputedStyle(node).unicodeBidi);
    const shown = [...document.querySelectorAll("main *:not(script, option, textarea)")];
    return shown.filter(turns).map((node) => node.outerHTML.slice(0, 300));
}"""


def as_text(page: Page, selector: str) -> set[str]:
    """The texts of the nodes, as they are and not as they are laid out."""
    found: list[str] = page.locator(selector).evaluate_all("(nodes) => nodes.map((node) => node.textContent)")
    return set(found)


def is_harmless(page: Page, where: str) -> None:
    assert page.evaluate(WHAT_DOES_NOT_BELONG) == [], where
    assert page.evaluate(WHAT_TURNS_ITS_NEIGHBOURS) == [], where
    assert page.evaluate("window.harmed") is None, where


def define(site: Site, names: list[str]) -> tuple[set[str], set[str]]:
    """A goal and a conversion goal of each name, as far as the API takes it, in one change; the names that it takes."""
    goals: dict[str, DefinitionVersion] = {}
    definitions: dict[str, DefinitionVersion] = {}
    for number, name in enumerate(names):
        short = name[:200]
        asked = {"name": short, "eventType": short, "conditions": {short: {"$in": [name[:1000], 7]}}}
        goal = {"metric": short, "unit": short, "description": name[:2000], "target": 10, "deadline": "2036-12-31"}
        with suppress(InvalidDefinition):
            asked["metric"] = compile_conversion_goal(asked).metric
            definitions[short] = version("conversion_goal", f"cg_{number:03}", asked, PROJECT)
        with suppress(InvalidDefinition):
            compile_goal(goal, ident="", project=PROJECT, time_zone="UTC", created_at=site.world.now)
            goals[name[:2000]] = version("goal", f"goal_{number:03}", goal, PROJECT)
    made = [*goals.values(), *definitions.values()]
    site.world.definitions.restore(Project(PROJECT, PROJECT, "UTC", 0), made, "somebody")
    site.work_in(PROJECT)
    return set(goals), set(definitions)


def define_alerts(site: Site, names: list[str]) -> dict[str, str]:
    """As many as a project may have, about goals of such names, each with a message; name -> id."""
    goals = [goal["id"] for goal in site.get("/api/goals")]
    made: dict[str, str] = {}
    for number, name in enumerate(names[::7]):
        rule = {"name": name[:200], "url": "https://hooks.example.com/x", "when": "target_reached"}
        answer = site.post("/api/alerts", {**rule, "goalIds": [goals[number], "nobody's"]})
        if answer.status_code == 201:
            made[name[:200]] = answer.json()["id"]
            assert site.post(f"/api/alerts/{made[name[:200]]}/test", {}).status_code == 201
        if len(made) == MOST:
            return made
    raise AssertionError(made)


def event(name: str, number: int, data: dict[str, Any], now: int) -> Event:
    return Event(
        type=name[:200],
        project=PROJECT,
        id=name[:200],
        occurred_at=now - number,
        received_at=now - number,
        url=f"https://shop.example/{name[:500]}",
        visitor_id=name[:200],
        data=json.dumps(data).encode(),
    )


def test_two_hundred_hostile_names_are_text_on_every_view(browser: Browser, site: Site) -> None:
    names = list(hostile.names())
    assert len(names) >= 200
    goals, definitions = define(site, names)
    assert min(len(goals), len(definitions)) >= 150  # control characters are refused, for example
    world = site.world
    data = {name: name for name in names}
    world.recent = [event(name, number, {name: name}, world.now) for number, name in enumerate(names)]
    world.letters = [{"id": f"{name}/0/1", "reason": "invalid_field", "detail": name, "value": name} for name in names]
    world.pipeline["projects"][PROJECT] = {"received": 9, "rejected": dict.fromkeys(("invalid_field", *names[:9]), 1)}
    page = browser.new_page(base_url=site.url)
    complaints = watch(page, site.url)
    site.sign_in(page)

    expect(page.locator("#goals tbody tr[data-id]")).to_have_count(len(goals))
    assert as_text(page, ".goals .name a") == goals
    is_harmless(page, "goals")
    listed = site.get("/api/goals")
    for place in PICKED:
        page.goto(f"/goals/{listed[place]['id']}")
        name = listed[place]["description"]
        assert as_text(page, "h1") == {name}
        expect(page.locator("#conversions-state")).not_to_contain_text("Reading")
        is_harmless(page, f"the goal {name!r}")
    page.goto("/conversion-goals")
    assert as_text(page, ".definitions .name a") == definitions
    assert definitions <= as_text(page, ".definitions .asks code")
    is_harmless(page, "conversion goals")
    listed = site.get("/api/conversion-goals")
    for place in PICKED:
        page.goto(f"/conversion-goals/{listed[place]['id']}")
        assert page.get_by_label("Event type").input_value() == listed[place]["eventType"]
        expect(page.locator("#preview-verdict")).to_contain_text("would count")
        is_harmless(page, f"the definition {listed[place]['name']!r}")
    alerts = define_alerts(site, names)
    page.goto("/alerts")
    assert as_text(page, ".definitions .name a") == set(alerts)
    is_harmless(page, "alerts")
    page.goto("/alerts/new")
    assert goals <= as_text(page, ".some span")
    is_harmless(page, "the form of alerts")
    for name, ident in list(alerts.items())[:: len(alerts) - 1]:
        page.goto(f"/alerts/{ident}")
        assert as_text(page, "h1") == {name}
        is_harmless(page, f"the alert {name!r}")
        page.get_by_role("link", name="Edit").click()
        assert page.locator("#name").input_value() == name
        is_harmless(page, f"the form of the alert {name!r}")
    page.goto("/explain")
    shown = {"type": listed[PICKED[0]]["eventType"], "data": data}
    page.get_by_label("One event").fill(json.dumps(shown))
    page.get_by_role("button", name="Explain it").click()
    expect(page.locator(".verdict h3 a")).to_have_count(len(definitions))
    assert as_text(page, ".verdict h3 a") == definitions
    is_harmless(page, "explain")
    page.goto("/pipeline")
    page.locator("#letters > li", has_text="invalid_field").locator("summary").click()
    page.locator("#letters pre").first.wait_for()
    is_harmless(page, "pipeline")
    assert not complaints, complaints
    page.close()
