"""The pages of alerts: what they show, what each form does without a script, and who is refused."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from api.dashboard.alert_form import CHOICES, SPANS, to_body, to_form
from api.dashboard.forms import Faults, Form
from app.domain.alerting import When, compile_alert
from app.stores.alert_rows import MOST
from app.stores.tables import alerts as rows
from tests.api.conftest import World, surrounded
from tests.api.dashboard.test_forms import OURS, sign_in
from tests.servers.receiver import receiving

FORM: dict[str, Any] = {
    "name": "Signups",
    "url": "https://hooks.example.com/x",
    "when": "status_change",
    "holdMinutes": "10",
}
BODY = {"name": "Signups", "url": "https://hooks.example.com/x", "when": "status_change"}
GOAL = {"metric": "m", "description": "Trials", "target": 5, "deadline": "2099-12-31"}
FAULT = re.compile(r'<p class="fault" id="fault-(\w+)"><span aria-hidden="true">✕ </span>(.*?)</p>')


@pytest.fixture
async def open_world(tmp_path: Path) -> AsyncIterator[World]:
    """Where alerts may go to this machine."""
    async with surrounded(tmp_path, allow_private=True) as made:
        yield made


async def made_alert(world: World, project: str = "shop", **more: object) -> str:
    answer = await world.call("POST", "/api/alerts", project, json={**BODY, **more})
    assert answer.status_code == 201, answer.text
    ident: str = answer.json()["id"]
    return ident


async def alerts(world: World, project: str = "shop") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await world.call("GET", "/api/alerts", project)).json()
    return found


async def shown(world: World, path: str) -> str:
    answer = await world.client.get(path)
    assert answer.status_code == 200, answer.text
    return unescape(answer.text)


async def post(world: World, path: str, form: dict[str, Any]) -> Any:
    return await world.client.post(path, data=form or {"": ""}, headers=OURS)


def secret_of(world: World, ident: str) -> str:
    with world.database.read() as connection:
        secret: str = connection.execute(select(rows.c.secret).where(rows.c.id == ident)).scalar_one()
    return secret


async def send(world: World) -> None:
    """What is due; a failure is tried again after a millisecond."""
    deadline = time.monotonic() + 30
    while not await world.alerting.send():
        assert time.monotonic() < deadline, "nothing was sent"


async def test_a_project_without_alerts_is_told_what_they_are(world: World) -> None:
    await sign_in(world)
    text = await shown(world, "/alerts")
    assert '<a href="/alerts" aria-current="page">Alerts</a>' in text
    assert "Nobody is told yet" in text
    assert 'href="/alerts/new"' in text


async def test_an_alert_is_made_paused_resumed_and_deleted_without_a_script(world: World) -> None:
    await sign_in(world)
    goal = (await world.call("POST", "/api/goals", json=GOAL)).json()["id"]
    assert "Trials" in await shown(world, "/alerts/new")
    # What belongs to another choice is on the page without a script, and is left out.
    answer = await post(world, "/alerts/new", {**FORM, "goalIds": goal, "silentHours": "", "staleMinutes": "7"})
    assert answer.status_code == 303, answer.text
    (made,) = await alerts(world)
    given: dict[str, Any] = {**FORM, "holdMinutes": 10, "goalIds": [goal], "status": "active"}
    assert made == {**given, "id": made["id"], "createdAt": made["createdAt"]}

    for path in ("/alerts", f"/alerts/{made['id']}"):
        text = await shown(world, path)
        for part in ("Signups", "A status changes and holds for 10 min", "Trials", FORM["url"], "● Active"):
            assert part in text, (path, part)
    for status, word in (("paused", "‖ Paused"), ("active", "● Active")):
        answer = await post(world, f"/alerts/{made['id']}/status", {"status": status})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/alerts#{made['id']}")
        assert (await alerts(world))[0]["status"] == status
        assert word in await shown(world, "/alerts")
    # Where it is done, the reader stays.
    place = f"/alerts/{made['id']}"
    form = {"status": "paused", **values(await shown(world, place))}
    answer = await post(world, f"{place}/status", form)
    assert (answer.status_code, answer.headers["location"]) == (303, place)
    assert "Delete for good" in await shown(world, f"/alerts/{made['id']}")
    assert (await post(world, f"/alerts/{made['id']}/delete", {})).headers["location"] == "/alerts"
    assert await alerts(world) == []


def values(text: str) -> dict[str, list[str]]:
    """What a form is filled in with, by field."""
    found: dict[str, list[str]] = {}
    for tag in re.findall(r"<input [^>]*>", text):
        name = re.search(r' name="(\w+)"', tag)
        if name is not None and ("checked" in tag or ('type="radio"' not in tag and 'type="checkbox"' not in tag)):
            value = re.search(r' value="([^"]*)"', tag)
            if value is not None and value[1]:
                found.setdefault(name[1], []).append(value[1])
    return found


async def test_an_alert_is_edited_without_a_script_and_keeps_its_state_and_secret(world: World) -> None:
    await sign_in(world)
    goal = (await world.call("POST", "/api/goals", json=GOAL)).json()["id"]
    ident = await made_alert(world, holdMinutes=10, goalIds=[goal], status="paused")
    secret = secret_of(world, ident)
    place = f"/alerts/{ident}/edit"
    assert f'href="{place}"' in await shown(world, f"/alerts/{ident}")
    form = values(await shown(world, place))
    edition = form.pop("edition")
    assert form == {**{name: [value] for name, value in FORM.items()}, "goalIds": [goal]}

    changed = {"name": "Silence", "url": "https://hooks.example.com/y", "when": "goal_silent", "silentHours": "2.5"}
    answer = await post(world, place, {**changed, "holdMinutes": "10", "edition": edition})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/alerts/{ident}"), answer.text
    (made,) = await alerts(world)
    expected = {**changed, "silentHours": 2.5, "goalIds": None, "status": "paused"}
    assert made == {**expected, "id": ident, "createdAt": made["createdAt"]}
    assert secret_of(world, ident) == secret


async def test_a_wrong_edit_is_told_beside_its_field_and_changes_nothing(world: World) -> None:
    await sign_in(world)
    ident = await made_alert(world)
    before = await alerts(world)
    answer = await post(world, f"/alerts/{ident}/edit", {**FORM, "name": "Mine", "url": "http://x.example.com/"})
    text = unescape(answer.text)
    assert answer.status_code == 422
    assert [field for field, _ in FAULT.findall(text)] == ["url"]
    assert 'value="Mine"' in text
    assert "Edit the alert" in text
    assert await alerts(world) == before


async def test_an_edit_over_somebody_elses_is_refused_and_one_over_a_message_is_not(world: World) -> None:
    await sign_in(world)
    ident = await made_alert(world)
    form = {**FORM, "edition": values(await shown(world, f"/alerts/{ident}/edit"))["edition"]}
    await world.call("POST", f"/api/alerts/{ident}/test")
    assert (await post(world, f"/alerts/{ident}/edit", {**form, "name": "Mine"})).status_code == 303
    answer = await post(world, f"/alerts/{ident}/edit", {**form, "name": "Mine, too"})
    assert answer.status_code == 422
    assert "It was changed meanwhile" in answer.text
    assert [one["name"] for one in await alerts(world)] == ["Mine"]


async def test_an_alert_of_deleted_goals_does_not_become_one_of_all_goals(world: World) -> None:
    await sign_in(world)
    ident = await made_alert(world, goalIds=["goal_gone"])
    text = await shown(world, f"/alerts/{ident}/edit")
    assert "a deleted goal" in text
    assert (await post(world, f"/alerts/{ident}/edit", values(text))).status_code == 303
    assert [one["goalIds"] for one in await alerts(world)] == [["goal_gone"]]


async def test_the_list_asks_for_the_last_messages_of_all_alerts_at_once(world: World) -> None:
    await sign_in(world)
    asked: list[str] = []

    @event.listens_for(world.database.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    idents = [await made_alert(world, name=f"Alert {n}") for n in range(5)]
    for ident in (*idents[1:], idents[1]):
        await world.call("POST", f"/api/alerts/{ident}/test")
    await made_alert(world, "other")
    asked.clear()
    text = await shown(world, "/alerts")
    assert (text.count("◌ Waiting"), text.count("none yet")) == (4, 1)
    assert len([one for one in asked if "alert" in one]) == 2


async def test_the_secret_is_shown_once_and_kept_by_no_browser(world: World) -> None:
    await sign_in(world)
    answer = await post(world, "/alerts/new", FORM)
    (made,) = await alerts(world)
    place = f"/alerts/{made['id']}/secret"
    assert (answer.status_code, answer.headers["location"]) == (303, place)
    for part in ("HttpOnly", "SameSite=strict", f"Path={place}", "Max-Age=300"):
        assert part in answer.headers["set-cookie"]
    page = await world.client.get(place)
    (secret,) = re.findall(r"whsec_[0-9a-f]{64}", page.text)
    assert "shown this once" in page.text
    assert page.headers["cache-control"] == "no-store"
    again = await world.client.get(place)
    assert (again.status_code, again.headers["location"]) == (303, f"/alerts/{made['id']}")
    assert secret not in again.text + again.headers.get("set-cookie", "")
    for path in ("/alerts", f"/alerts/{made['id']}", f"/alerts/{made['id']}/log", "/alerts/new"):
        assert secret not in (await world.client.get(path)).text, path


@pytest.mark.parametrize(
    ("changes", "field", "fault"),
    [
        ({"name": " "}, "name", "It is missing. Give it as a string."),
        ({"url": "http://hooks.example.com/"}, "url", "Its scheme is 'http', not https."),
        ({"url": "https://10.0.0.1/"}, "url", "Its address is not public."),
        ({"when": ""}, "when", "It is missing."),
        ({"when": "sometimes"}, "when", "sometimes"),
        ({"holdMinutes": "soon"}, "holdMinutes", "'soon' is not a number. Write it like 10 or 2.5."),
        ({"holdMinutes": "-1"}, "holdMinutes", "It is out of range."),
        ({"when": "goal_silent"}, "silentHours", "It is missing. A number above 0, at most 720."),
        ({"when": "goal_silent", "silentHours": "721"}, "silentHours", "It is out of range."),
        ({"when": "stale", "staleMinutes": "0"}, "staleMinutes", "It is out of range."),
        ({"goalIds": [f"goal_{n}" for n in range(101)]}, "goalIds", "At most 100 are allowed."),
    ],
)
async def test_a_wrong_field_is_told_beside_it_and_what_was_typed_stays(
    world: World, changes: dict[str, Any], field: str, fault: str
) -> None:
    await sign_in(world)
    await world.call("POST", "/api/goals", json=GOAL)
    form = {**FORM, **changes}
    answer = await post(world, "/alerts/new", form)
    text = unescape(answer.text)
    assert answer.status_code == 422
    assert "Not saved." in text
    ((found, words),) = FAULT.findall(text)
    assert found == field
    assert fault in words
    for name in {"name", "url", "holdMinutes"} - changes.keys():
        assert f'value="{FORM[name]}"' in text, name
    if field in SPANS or field in {"name", "url"}:
        assert f'aria-invalid="true" aria-describedby="fault-{field} hint-{field}"' in text
    assert await alerts(world) == []


async def test_one_alert_too_many_is_refused_in_words(world: World) -> None:
    await sign_in(world)
    for _ in range(MOST):
        await made_alert(world)
    answer = await post(world, "/alerts/new", FORM)
    assert answer.status_code == 422
    assert f"A project has at most {MOST} alerts" in answer.text


async def test_a_test_is_sent_and_the_log_says_how_it_went(open_world: World) -> None:
    world = open_world
    await sign_in(world)
    with receiving() as receiver:
        receiver.answers = [500]
        ident = await made_alert(world, url=f"http://127.0.0.1:{receiver.port}/hook")
        assert "none yet" in await shown(world, "/alerts")
        assert "No message so far" in await shown(world, f"/alerts/{ident}")
        answer = await post(world, f"/alerts/{ident}/test", {})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/alerts/{ident}#log")
        for words in ("◌ Waiting", "▲ Trying again", "✓ Delivered"):
            for path in ("/alerts", f"/alerts/{ident}"):
                assert words in await shown(world, path)
            (line,) = (await world.client.get(f"/alerts/{ident}/log")).json()
            assert line["word"] == words
            assert (line["next"] is not None) == ("Trying" in words)
            if "Delivered" not in words:
                await send(world)
        assert (line["text"], line["said"], line["attempts"]) == ("This is a test.", "The answer was 200", 2)


async def test_the_log_holds_the_newest_fifty(world: World) -> None:
    await sign_in(world)
    ident = await made_alert(world)
    for _ in range(51):
        await world.call("POST", f"/api/alerts/{ident}/test")
    assert (await shown(world, f"/alerts/{ident}")).count("This is a test.") == 50


@pytest.mark.parametrize("path", ["", "/edit", "/secret", "/log", "/status", "/test", "/delete"])
async def test_another_projects_alert_is_not_there(world: World, path: str) -> None:
    await sign_in(world)
    ident = await made_alert(world, "other")
    answers = []
    if path in {"", "/edit", "/secret", "/log"}:
        answers.append(await world.client.get(f"/alerts/{ident}{path}"))
    if path not in {"", "/secret", "/log"}:
        answers.append(await post(world, f"/alerts/{ident}{path}", {**FORM, "status": "paused"}))
    for answer in answers:
        assert answer.status_code == 404
        assert "There is no such page" in answer.text
    assert [one["status"] for one in await alerts(world, "other")] == ["active"]
    assert FORM["url"] not in await shown(world, "/alerts")


async def test_who_may_only_read_sees_no_address_and_no_form_and_changes_nothing(world: World) -> None:
    ident = await made_alert(world)
    _, reader = world.keys.create("shop", scopes=("read",))
    assert (await world.client.post("/sign-in", data={"key": reader}, headers=OURS)).status_code == 303
    answer = await world.client.get("/alerts")
    assert answer.status_code == 403
    assert "may read only" in answer.text
    mine = (f"/alerts/{ident}{path}" for path in ("", "/edit", "/secret", "/log"))
    for path in ("/alerts", "/alerts/new", *mine):
        answer = await world.client.get(path)
        assert answer.status_code == 403, path
        assert "hooks.example.com" not in answer.text
        assert 'action="/alerts' not in answer.text
        assert 'name="url"' not in answer.text
    for path in ("/alerts/new", *(f"/alerts/{ident}/{act}" for act in ("edit", "status", "test", "delete"))):
        assert (await post(world, path, {**FORM, "status": "paused"})).status_code == 403, path
    assert [one["status"] for one in await alerts(world)] == ["active"]


async def test_no_form_of_another_site_is_taken(world: World) -> None:
    await sign_in(world)
    ident = await made_alert(world)
    for path in ("/alerts/new", *(f"/alerts/{ident}/{act}" for act in ("edit", "status", "test", "delete"))):
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            answer = await world.client.post(path, data={**FORM, "status": "paused"}, headers=headers)
            assert answer.status_code == 403, path
    assert [one["status"] for one in await alerts(world)] == ["active"]


def test_every_choice_of_the_form_makes_a_rule() -> None:
    assert [value for value, _, _ in CHOICES] == list(When)
    for when in When:
        faults = Faults()
        pairs = [("name", "n"), ("url", FORM["url"]), ("when", str(when)), ("goalIds", "g")]
        body = to_body(Form([*pairs, *((name, "3") for name in SPANS)]), faults)
        assert faults.by_field == {}
        assert compile_alert(body, allow_private=False).when is when
        assert to_body(to_form(body), faults) == body
