"""Forms by plain posts: what they save, what they refuse and how they say it."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.dashboard.condition_rows import OPERATORS, Row, read_value, show_value, to_conditions, to_rows
from api.dashboard.conversion_goal_form import to_body, to_form
from api.dashboard.forms import Faults, to_number
from app.domain.condition import compile_condition
from app.domain.event import Event
from tests.api.conftest import World

NOW = 1_800_000_000_000
OURS = {"sec-fetch-site": "same-origin", "origin": "http://scorekeeper"}
ORDER = {
    "name": "Order",
    "eventType": "order",
    "property": ["total", ""],
    "operator": ["$gte", "$eq"],
    "value": ["50", ""],
}


def event(type: str, url: str | None = None, **data: object) -> Event:  # noqa: A002  # the event's own word
    return Event(type, "shop", None, NOW, NOW, url=url, data=json.dumps(data).encode())


async def sign_in(world: World) -> None:
    form = {"key": world.project_keys["shop"]}
    assert (await world.client.post("/sign-in", data=form, headers=OURS)).status_code == 303


async def test_a_goal_is_created_edited_overridden_and_deleted_without_a_script(world: World) -> None:
    await sign_in(world)
    form = {
        "description": "Orders",
        "metric": "orders",
        "target": "1 500",
        "deadline": "2099-12-31",
        "aggregation": "sum",
    }
    made = await world.client.post("/goals/new", data=form, headers=OURS)
    assert made.status_code == 303, made.text
    place = made.headers["location"]
    (goal,) = (await world.call("GET", "/api/goals")).json()
    assert (goal["target"], goal["aggregation"], place) == (1500, "sum", f"/goals/{goal['id']}")
    assert "Orders" in (await world.client.get(place)).text

    shown = await world.client.get(f"{place}/edit")
    assert 'value="1500"' in shown.text
    changed = {**form, "target": "2000", "aggregation": "count", "revision": str(goal["revision"])}
    assert (await world.client.post(f"{place}/edit", data=changed, headers=OURS)).status_code == 303
    (goal,) = (await world.call("GET", "/api/goals")).json()
    assert (goal["target"], goal["aggregation"]) == (2000, "count")

    assert (await world.client.post(f"{place}/status", data={"status": "at_risk"}, headers=OURS)).status_code == 303
    assert (await world.call("GET", "/api/goals")).json()[0]["statusSource"] == "manual"
    assert (await world.client.post(f"{place}/status", data={"status": ""}, headers=OURS)).status_code == 303
    assert (await world.call("GET", "/api/goals")).json()[0]["statusSource"] == "auto"
    assert (await world.client.post(f"{place}/delete", data={"": ""}, headers=OURS)).status_code == 303
    assert (await world.call("GET", "/api/goals")).json() == []


async def test_a_goal_of_a_deleted_conversion_goal_does_not_become_one_of_all_of_its_metric(world: World) -> None:
    await sign_in(world)
    wanted = {"metric": "orders", "target": 10, "deadline": "2030-01-01", "conversionGoalIds": ["cg_gone"]}
    goal = (await world.call("POST", "/api/goals", json=wanted)).json()
    place = f"/goals/{goal['id']}/edit"
    text = (await world.client.get(place)).text
    assert "a deleted conversion goal" in text
    ticked = re.findall(r'name="conversionGoalIds" value="([^"]*)" checked', text)
    sent = {**wanted, "description": "changed", "conversionGoalIds": ticked}
    assert (await world.client.post(place, data=sent, headers=OURS)).status_code == 303
    (left,) = (await world.call("GET", "/api/goals")).json()
    assert (left["description"], left["conversionGoalIds"]) == ("changed", ["cg_gone"])


async def test_a_wrong_goal_is_shown_again_as_it_was_filled_in_with_what_is_wrong(world: World) -> None:
    await sign_in(world)
    form = {"description": "Mine", "metric": "", "target": "many", "deadline": "2099-02-30"}
    answer = await world.client.post("/goals/new", data=form, headers=OURS)
    text = unescape(answer.text)
    assert answer.status_code == 422
    assert "'many' is not a number" in text
    assert 'value="Mine"' in text
    assert 'aria-describedby="fault-target' in text


async def test_an_edit_over_somebody_elses_is_refused(world: World) -> None:
    await sign_in(world)
    body = {"metric": "orders", "target": 5, "deadline": "2099-12-31"}
    goal = (await world.call("POST", "/api/goals", json=body)).json()
    await world.call("PATCH", "/api/goals", json={"id": goal["id"], "target": 6})
    form = {"metric": "orders", "target": "7", "deadline": "2099-12-31", "revision": str(goal["revision"])}
    answer = await world.client.post(f"/goals/{goal['id']}/edit", data=form, headers=OURS)
    assert answer.status_code == 422
    assert "changed meanwhile" in answer.text
    assert (await world.call("GET", "/api/goals")).json()[0]["target"] == 6


async def test_a_conversion_goal_is_created_paused_and_archived_without_a_script(world: World) -> None:
    await sign_in(world)
    assert (await world.client.post("/conversion-goals/new", data=ORDER, headers=OURS)).status_code == 303
    (made,) = (await world.call("GET", "/api/conversion-goals")).json()
    assert (made["conditions"], made["metric"]) == ({"total": {"$gte": 50}}, "order")
    listed = unescape((await world.client.get("/conversion-goals")).text)
    assert "total is at least 50" in listed
    for status in ("paused", "active", "archived"):
        place = f"/conversion-goals/{made['id']}/status"
        assert (await world.client.post(place, data={"status": status}, headers=OURS)).status_code == 303
        assert (await world.call("GET", "/api/conversion-goals")).json()[0]["status"] == status


async def test_the_preview_of_a_form_is_the_apis(world: World) -> None:
    await sign_in(world)
    world.recent = [event("order", total=total) for total in (10, 60, 70)]
    answer = await world.client.post("/conversion-goals/preview", data=ORDER, headers=OURS)
    body = {"name": "Order", "eventType": "order", "conditions": {"total": {"$gte": 50}}}
    assert answer.json() == (await world.call("POST", "/api/conversion-goals/preview", json=body)).json()
    assert answer.json()["matched"] == 2
    made = (await world.call("POST", "/api/conversion-goals", json=body)).json()
    changed = {**ORDER, "id": made["id"], "value": ["65", ""]}
    found = (await world.client.post("/conversion-goals/preview", data=changed, headers=OURS)).json()
    assert (found["gained"], found["lost"], found["unchanged"]) == (0, 1, 1)


async def test_a_preview_of_what_makes_no_sense_yet_names_the_field(world: World) -> None:
    await sign_in(world)
    wrong = {**ORDER, "conditions": '{"total": {"$gt', "urlPattern": "/:"}
    answer = await world.client.post("/conversion-goals/preview", data=wrong, headers=OURS)
    assert answer.status_code == 422
    assert "not JSON" in answer.json()["faults"]["conditions"]


@pytest.mark.parametrize(
    "filled_in",
    [
        {"conditions": '{"plan": "\\ud83d"}'},
        {"conditions": '{"\\ud83d": 1}'},
        {"conditions": '{"plan": 1e999}'},
        {"conditions": '{"plan": NaN}'},
        {"property": ["plan"], "operator": ["$eq"], "value": ['"\\ud83d"']},
        {"property": ["plan"], "operator": ["$lt"], "value": ["1e999"]},
    ],
)
async def test_conditions_that_no_list_could_show_are_refused(world: World, filled_in: dict[str, Any]) -> None:
    await sign_in(world)
    form = {"name": "Order", "eventType": "order", **filled_in}
    answer = await world.client.post("/conversion-goals/new", data=form, headers=OURS)
    assert answer.status_code == 422
    assert "half of a surrogate pair" in answer.text or "no number that JSON knows" in answer.text
    assert (await world.call("GET", "/api/conversion-goals")).json() == []


async def test_explain_offers_another_try_where_the_log_was_not_read_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def recent(*_: object) -> list[object]:
        raise TimeoutError

    await sign_in(world)
    monkeypatch.setattr("tests.api.conftest._Recent.recent", recent)
    shown = (await world.client.get("/explain")).text
    assert 'could not be read in time. <a href="/explain">Try again</a>' in shown


async def test_explain_says_clause_by_clause_what_was_wanted_and_found(world: World) -> None:
    await sign_in(world)
    await world.client.post("/conversion-goals/new", data=ORDER, headers=OURS)
    form = {"event": '{"type": "order", "data": {"total": 20}}'}
    text = unescape((await world.client.post("/explain", data=form, headers=OURS)).text)
    assert "total is at least 50" in text
    assert "found 20" in text
    assert "does not count" in text
    wrong = await world.client.post("/explain", data={"event": '{"type": '}, headers=OURS)
    assert wrong.status_code == 422
    assert "not JSON at line 1" in wrong.text
    microseconds = {"event": '{"type": "order", "timestamp": 1760000000000000}'}
    wrong = await world.client.post("/explain", data=microseconds, headers=OURS)
    assert wrong.status_code == 422
    assert "epoch milliseconds are expected" in wrong.text


@pytest.mark.parametrize(
    "path",
    ["/sign-in", "/goals/new", "/conversion-goals/new", "/conversion-goals/preview", "/explain", "/goals/x/delete"],
)
async def test_no_form_is_taken_from_another_site(world: World, path: str) -> None:
    await sign_in(world)
    for headers in ({"origin": "https://evil.example"}, {"origin": "http://[x"}, {"sec-fetch-site": "cross-site"}):
        assert (await world.client.post(path, data=ORDER, headers=headers)).status_code == 403
    assert (await world.call("GET", "/api/conversion-goals")).json() == []


@pytest.mark.parametrize("path", ["/goals/nobodys", "/goals/nobodys/edit", "/conversion-goals/nobodys"])
async def test_what_is_not_there_is_a_page_in_words(world: World, path: str) -> None:
    await sign_in(world)
    answer = await world.client.get(path)
    assert answer.status_code == 404
    assert "There is no such page" in answer.text


HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "\u202egnp.exe", "'\"`")


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_are_text_on_every_page(world: World, name: str) -> None:
    await sign_in(world)
    conversion_goal = {"name": name, "eventType": name, "conditions": {name: name}, "metric": name}
    made = (await world.call("POST", "/api/conversion-goals", json=conversion_goal)).json()
    body = {"metric": name, "description": name, "unit": name, "target": 5, "deadline": "2099-12-31"}
    goal = (await world.call("POST", "/api/goals", json=body)).json()
    world.recent = [event(name, "/" + name, **{name: name})]
    for path in (
        "/conversion-goals",
        f"/conversion-goals/{made['id']}",
        f"/goals/{goal['id']}",
        "/goals/new",
        "/explain",
    ):
        answer = await world.client.get(path)
        assert answer.status_code == 200, path
        for harm in ("<script>alert", "<img", ">49<"):
            assert harm not in answer.text, path


@pytest.mark.parametrize("text", ["1e999999999999", "-1e31", "1e400", "nan", "inf", "1,5", ""])
def test_a_number_that_no_field_can_hold_is_none(text: str) -> None:
    assert to_number(text) is None


# ---------------------------------------------------------------- conditions as rows

scalars = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=12).map(str.strip)


@given(scalars, st.booleans())
def test_a_value_is_read_as_it_is_shown(value: object, in_list: bool) -> None:
    found = read_value(show_value(value, in_list=in_list))
    assert (found, type(found)) == (value, type(value))


@given(st.dictionaries(st.sampled_from(["plan", "a.b", "total"]), scalars | st.lists(scalars, min_size=1, max_size=3)))
def test_rows_say_the_same_as_the_conditions_they_were_made_of(wanted: dict[str, object]) -> None:
    conditions = {name: {"$in": one} if isinstance(one, list) else one for name, one in wanted.items()}
    rows = to_rows(conditions)
    assert rows is not None
    assert to_conditions(rows) == (conditions or None)


@pytest.mark.parametrize("conditions", [{"$or": [{"a": 1}]}, {"a": {"$not": {"$eq": 1}}}, {"a": [1]}, {"a": {"b": 1}}])
def test_what_rows_cannot_say_is_left_as_it_is_written(conditions: dict[str, object]) -> None:
    assert to_rows(conditions) is None


def test_a_definition_that_is_saved_as_it_is_shown_stays_as_it_is() -> None:
    body = {
        "name": "Order",
        "eventType": " order ",
        "valueProperty": "total ",
        "conditions": {" plan ": {"$regex": "^foo "}, "sku": {"$regex": " "}},
    }
    faults = Faults()
    assert to_body(to_form(body), faults) == body
    assert not faults.by_field


def test_two_conditions_on_one_property_hold_both() -> None:
    rows = [Row("total", "$gte", "50"), Row("total", "$lt", "100"), Row("", "$eq", "")]
    conditions = to_conditions(rows)
    assert conditions == {"$and": [{"total": {"$gte": 50}}, {"total": {"$lt": 100}}]}
    assert to_rows(conditions) == rows[:2]


@pytest.mark.parametrize("operator", [operator for operator, _ in OPERATORS])
def test_every_comparison_that_is_offered_is_one_that_compiles(operator: str) -> None:
    conditions = to_conditions([Row("total", operator, "5")])
    assert conditions is not None
    compile_condition(conditions)
