"""What was said against a definition is shown on the page that comes after saving it, once."""

from __future__ import annotations

import json
import zlib
from base64 import urlsafe_b64encode
from html import unescape

import pytest
from playwright.sync_api import Browser, expect
from starlette.requests import Request

from api.dashboard.saying import COOKIE, go_on, warnings_for
from tests.api.conftest import World
from tests.api.dashboard.site import Site
from tests.api.dashboard.test_forms import OURS, sign_in

REACHED = "startValue 10 has reached the target 5 already"
NEVER = "No event can ever count: a is more than 5 and less than 3."
GOAL = {"metric": "nothing", "target": "5", "startValue": "10", "deadline": "2099-12-31"}
CONTRADICTION = {"name": "Never", "eventType": "x", "conditions": '{"a": {"$gt": 5, "$lt": 3}}'}


async def shown(world: World, place: str) -> str:
    answer = await world.client.get(place)
    assert answer.status_code == 200, answer.text
    return unescape(answer.text)


async def test_what_is_said_against_a_goal_is_shown_once_after_it_was_made_and_after_an_edit(world: World) -> None:
    await sign_in(world)
    made = await world.client.post("/goals/new", data=GOAL, headers=OURS)
    place = made.headers["location"]
    cookie = made.headers["set-cookie"]
    assert f"Path={place};" in cookie
    assert "HttpOnly" in cookie
    text = await shown(world, place)
    assert REACHED in text
    assert "No conversion goal feeds the metric 'nothing' yet" in text
    assert REACHED not in await shown(world, place)
    await world.client.post(f"{place}/edit", data={**GOAL, "startValue": "6"}, headers=OURS)
    assert "startValue 6 has reached the target 5 already" in await shown(world, place)


async def test_what_is_said_against_a_conversion_goal_is_shown_on_its_form(world: World) -> None:
    await sign_in(world)
    made = await world.client.post("/conversion-goals/new", data=CONTRADICTION, headers=OURS)
    place = made.headers["location"]
    assert NEVER in await shown(world, place)
    assert NEVER not in await shown(world, place)
    edited = await world.client.post(place, data=CONTRADICTION, headers=OURS)
    assert edited.headers["location"] == place
    assert NEVER in await shown(world, place)


async def test_that_no_worker_knows_of_a_pause_is_shown(world: World) -> None:
    await sign_in(world)
    made = (await world.call("POST", "/api/conversion-goals", json={"name": "Order", "eventType": "x"})).json()
    place = f"/conversion-goals/{made['id']}"
    paused = await world.client.post(f"{place}/status", data={"status": "paused"}, headers=OURS)
    assert paused.headers["location"] == f"/conversion-goals#{made['id']}"
    world.workers.clear()
    resumed = await world.client.post(f"{place}/status", data={"status": "active"}, headers=OURS)
    assert resumed.headers["location"] == place
    assert "No worker has confirmed this change yet" in await shown(world, place)


def asked_with(value: str) -> Request:
    return Request({"type": "http", "headers": [(b"cookie", f"{COOKIE}={value}".encode())]})


@pytest.mark.parametrize(
    "texts",
    [["short"], ["商" * 200] * 100, ["".join(chr(0x4E00 + n * 7 % 20_000) for n in range(9_000))]],
    ids=["short", "many", "one long one"],
)
def test_as_much_is_said_as_a_cookie_holds(texts: list[str]) -> None:
    request = Request({"type": "http", "headers": [], "scheme": "http", "path": "/", "server": ("here", 80)})
    cookie = go_on(request, "/goals/g", texts).headers["set-cookie"]
    assert len(cookie) < 4_096
    packed = cookie.partition("=")[2].partition(";")[0].strip('"')
    found = warnings_for(asked_with(packed))
    assert found
    assert texts[0].startswith(found[0].removesuffix("…"))


@pytest.mark.parametrize("value", ["", "x", "eA==", "ä", urlsafe_b64encode(zlib.compress(b"[1]")).decode()])
def test_a_cookie_that_is_not_ours_says_nothing(value: str) -> None:
    assert warnings_for(asked_with(value)) == []


def test_a_cookie_that_stands_for_too_much_says_nothing() -> None:
    bomb = urlsafe_b64encode(zlib.compress(json.dumps(["a" * 1_000_000]).encode())).decode()
    assert warnings_for(asked_with(bomb)) == []


@pytest.mark.browser
def test_a_contradiction_is_seen_before_any_event_came_and_after_it_was_saved(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    site.sign_in(page)
    page.goto(f"{site.url}/conversion-goals/new")
    page.get_by_label("Name").fill("Never")
    page.get_by_label("Event type").fill("x")
    page.get_by_text("Write it as JSON instead").click()
    page.get_by_label("Conditions as JSON").fill(CONTRADICTION["conditions"])
    expect(page.locator("#preview .warning")).to_contain_text(NEVER)
    page.get_by_role("button", name="Create the conversion goal").click()
    expect(page.locator("#warnings")).to_contain_text(NEVER)
    page.close()
