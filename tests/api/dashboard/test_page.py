"""Signing in, the page's policy, and the stream of changes."""

from __future__ import annotations

import asyncio
import json
import re
from html import unescape
from typing import Any

import pytest

from api.dashboard.hub import Hub
from api.dashboard.pages import NAVIGATION
from app.errors import StoreUnavailable
from app.reporting import Report
from tests.api.conftest import World


async def test_without_a_session_the_page_leads_to_the_sign_in(world: World) -> None:
    answer = await world.client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert (await world.client.get("/session")).status_code == 401


async def test_the_sign_in_page_learns_who_is_signed_in_without_an_error(world: World) -> None:
    """A browser's console shows each answer of 400 and above."""
    asked = re.findall(r'fetch\("([^"]+)"\)', (await world.client.get("/static/sign_in.js")).text)
    assert len(asked) == 1
    answer = await world.client.get(asked[0])
    assert (answer.status_code, answer.json()) == (200, {"signedIn": False})
    await world.client.post("/session", json={"apiKey": world.project_keys["shop"]})
    assert (await world.client.get(asked[0])).json() == {"signedIn": True}


async def test_a_key_is_exchanged_for_a_session_that_scripts_cannot_read(world: World) -> None:
    key = world.project_keys["shop"]
    answer = await world.client.post("/session", json={"apiKey": key})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert key not in answer.text + cookie
    page = await world.client.get("/")
    assert "shop" in page.text
    assert key not in page.text
    assert (await world.client.delete("/session")).status_code == 200
    assert (await world.client.get("/")).status_code == 303


async def test_signing_in_needs_no_script_and_leads_back_to_the_page_that_was_asked_for(world: World) -> None:
    asked = await world.client.get("/pipeline")
    assert asked.headers["location"] == "/sign-in?next=/pipeline"
    assert 'value="/pipeline"' in (await world.client.get(asked.headers["location"])).text
    form = {"key": world.project_keys["shop"], "next": "/pipeline"}
    answer = await world.client.post("/sign-in", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/pipeline")
    assert (await world.client.get("/pipeline")).status_code == 200
    assert (await world.client.post("/sign-out", data={"": ""})).status_code == 303
    assert (await world.client.get("/pipeline")).status_code == 303


async def test_a_wrong_key_is_told_in_a_sentence(world: World) -> None:
    text = unescape((await world.client.post("/sign-in", data={"key": "sk_wrong"})).text)
    assert "This is not an API key: a key begins with sk_ and is shown once, when it is created." in text


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "/a?b", "javascript:x"]
)
async def test_signing_in_leads_nowhere_else(world: World, elsewhere: str) -> None:
    form = {"key": world.project_keys["shop"], "next": elsewhere}
    assert (await world.client.post("/sign-in", data=form)).headers["location"] == "/"


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}, {"origin": "null"}]
)
async def test_forms_of_other_sites_are_refused(world: World, headers: dict[str, str]) -> None:
    form = {"key": world.project_keys["shop"]}
    assert (await world.client.post("/sign-in", data=form, headers=headers)).status_code == 403
    ours = {"sec-fetch-site": "same-origin", "origin": "http://scorekeeper"}
    assert (await world.client.post("/sign-in", data=form, headers=ours)).status_code == 303


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}])
async def test_other_sites_neither_open_nor_use_nor_close_a_session(world: World, headers: dict[str, str]) -> None:
    key = {"apiKey": world.project_keys["shop"]}
    assert (await world.client.post("/session", json=key, headers=headers)).status_code == 403
    await world.client.post("/session", json=key)
    assert (await world.client.post("/api/goals", json={}, headers=headers)).status_code == 403
    assert (await world.client.delete("/session", headers=headers)).status_code == 403
    assert (await world.client.get("/session")).status_code == 200


async def test_a_wrong_key_opens_no_session(world: World) -> None:
    answer = await world.client.post("/session", json={"apiKey": "sk_no"})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline(world: World) -> None:
    policy = (await world.client.get("/sign-in")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("asset", ["page.css", "goals.js", "live.js", "sign_in.js", "icon.svg"])
async def test_assets_lie_in_the_package(world: World, asset: str) -> None:
    assert (await world.client.get(f"/static/{asset}")).status_code == 200


async def test_the_reference_shows_every_operation_with_an_example(world: World) -> None:
    shown = await world.client.get("/docs")
    document = (await world.client.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            assert f"{method.upper()} {path}" in shown.text
            assert shown.text.count(f'"#{said["operationId"]}"') == 1
            assert shown.text.count(f'id="{said["operationId"]}"') == 1
    assert "cdn" not in shown.text


async def test_the_reference_shows_what_is_code_as_code_and_what_may_be_chosen(world: World) -> None:
    for path in ("/docs", "/docs/errors"):
        assert "`" not in (await world.client.get(path)).text
    shown = (await world.client.get("/docs")).text
    choices = ", ".join(f"<code>{one}</code>" for one in ("count", "sum", "unique", "rate"))
    assert f"<td>Default: count. One of: {choices}.</td>" in shown


@pytest.mark.parametrize("path", ["/docs", "/docs/errors"])
async def test_the_reference_has_the_navigation_for_who_is_signed_in(world: World, path: str) -> None:
    assert 'aria-label="Main"' not in (await world.client.get(path)).text
    await world.client.post("/session", json={"apiKey": world.project_keys["shop"]})
    assert 'aria-label="Main"' in (await world.client.get(path)).text


async def test_the_type_of_an_error_is_an_address_that_explains_it(world: World) -> None:
    problem = (await world.client.get("/api/goals")).json()
    path, _, code = problem["type"].partition("#")
    assert f'id="{code}"' in (await world.client.get(path)).text


BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/nonsense", "Nothing is at '/nonsense'."),
        ("/goals/none", "no goal with the id 'none'"),
        ("/static/none.js", "Nothing is at '/static/none.js'."),
    ],
)
async def test_an_address_that_leads_nowhere_is_a_page_with_the_navigation(world: World, path: str, why: str) -> None:
    await world.client.post("/session", json={"apiKey": world.project_keys["shop"]})
    answer = await world.client.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page" in answer.text
    assert why in unescape(answer.text)
    for address, name in NAVIGATION:
        assert f'<a href="{address}">{name}</a>' in answer.text
    assert "Sign out" in answer.text


async def test_an_address_that_leads_nowhere_tells_a_stranger_nothing_more(world: World) -> None:
    answer = await world.client.get("/nonsense", headers=BROWSER)
    assert answer.status_code == 404
    assert "There is no such page" in answer.text
    assert "Sign out" not in answer.text


async def test_the_address_of_a_form_opened_by_hand_is_a_page_too(world: World) -> None:
    answer = await world.client.get("/sign-out", headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (405, "text/html; charset=utf-8")
    assert (answer.headers["allow"], "There is no such page" in answer.text) == ("POST", True)


@pytest.mark.parametrize(("path", "headers"), [("/nonsense", {"accept": "*/*"}), ("/api/nonsense", BROWSER)])
async def test_clients_of_the_api_get_a_problem_document(world: World, path: str, headers: dict[str, str]) -> None:
    answer = await world.client.get(path, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_what_a_key_may_not_do_is_told_on_a_page_with_the_navigation(world: World) -> None:
    reader = world.keys.create("shop", scopes=("read",))[1]
    await world.client.post("/session", json={"apiKey": reader})
    answer = await world.client.get("/alerts/new", headers=BROWSER)
    assert answer.status_code == 403
    assert '<a href="/pipeline">Pipeline</a>' in answer.text


class Goals:
    """Goals that a test changes."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {"a": {"id": "a", "current": 1}, "b": {"id": "b", "current": 1}}
        self.is_away = False

    async def read(self, project: str) -> Report:
        if self.is_away:
            raise StoreUnavailable("redis", "away")
        return Report([{**item, "project": project} for item in self.items.values()], None)


async def received(watch: Any) -> dict[str, Any]:
    found = await watch.next(60)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


async def test_a_watcher_gets_everything_first_and_then_what_changed() -> None:
    goals = Goals()
    async with Hub(goals.read).watch("shop") as watch:
        first = await received(watch)
        assert (first["order"], len(first["goals"])) == (["a", "b"], 2)
        goals.items["b"]["current"] = 2
        then = await received(watch)
        assert (then["order"], [(goal["id"], goal["current"]) for goal in then["goals"]]) == (None, [("b", 2)])
        del goals.items["a"]
        assert (await received(watch))["order"] == ["b"]


async def test_a_slow_watcher_gets_the_latest_value_once() -> None:
    goals = Goals()
    hub = Hub(goals.read)
    async with hub.watch("shop") as slow, hub.watch("shop") as quick:
        await received(slow)
        await received(quick)
        for value in (2, 3, 4):
            goals.items["a"]["current"] = value
            await received(quick)
        assert [goal["current"] for goal in (await received(slow))["goals"]] == [4]
        assert await slow.next(0.05) is None


async def test_watchers_are_told_when_the_counters_do_not_answer() -> None:
    goals = Goals()
    async with Hub(goals.read).watch("shop") as watch:
        await received(watch)
        goals.is_away = True
        assert (await received(watch))["state"] == {"stale": True, "freshAsOf": None}


async def test_nothing_is_read_when_nobody_watches() -> None:
    goals = Goals()
    hub = Hub(goals.read)
    async with hub.watch("shop") as watch:
        await received(watch)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 60)
