"""Alerts over HTTP: rules, what they tell to a real receiver, and to whom they tell nothing."""

from __future__ import annotations

import hashlib
import hmac
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app import alerting
from app.metrics import API
from app.stores.sql_answers import SqlAnswers
from app.webhook import Webhook, signature
from tests.api.conftest import World, make_defective, surrounded
from tests.api.test_goals import GOAL, count, create
from tests.docs.pages import ROOT, blocks
from tests.servers.receiver import Receiver, receiving
from tests.servers.secured import Authority

MINUTE = 60_000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def receiver(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Over TLS, with a certificate that is believed."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    with receiving(authority) as made:
        yield made


@pytest.fixture
async def open_world(tmp_path: Path) -> AsyncIterator[World]:
    """Where alerts may go to this machine."""
    async with surrounded(tmp_path, allow_private=True) as made:
        yield made


async def alert(
    world: World, url: str = "https://hooks.example.com/x", project: str = "shop", **more: Any
) -> dict[str, Any]:
    body = {"name": "Tell", "url": url, "when": "status_change", "holdMinutes": 0, **more}
    given = {name: one for name, one in body.items() if one is not None}
    made = await world.call("POST", "/api/alerts", project, json=given)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def deliveries(world: World, made: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await world.call("GET", f"/api/alerts/{made['id']}/deliveries")).json()
    return found


def attempts() -> dict[str, float]:
    """As the metric tells them."""
    outcomes = ("delivered", "failed", "given_up")
    return {one: API.get_sample_value("scorekeeper_alert_attempts_total", {"outcome": one}) or 0 for one in outcomes}


async def send_until(world: World, is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_done():
        assert time.monotonic() < deadline, "nothing more was sent"
        await world.alerting.send()


async def test_a_change_is_told_once_signed_and_logged(open_world: World, receiver: Receiver) -> None:
    world = open_world
    made = await alert(world, f"https://localhost:{receiver.port}/hook?a=b")
    goal = await create(world)
    assert await world.alerting.look() == 0, "what is so when the rule is made is no change"
    await count(world, goal["id"], 600)
    assert [await world.alerting.look() for _ in range(3)] == [1, 0, 0]
    assert await world.alerting.send() == 1
    assert await world.alerting.send() == 0
    ((path, headers, body),) = receiver.calls
    assert path == "/hook?a=b"
    assert headers["host"] == f"localhost:{receiver.port}"
    at, given = (part.partition("=")[2] for part in headers["x-scorekeeper-signature"].split(","))
    expected = hmac.new(made["secret"].encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert given == expected
    assert abs(time.time() - int(at)) < 60
    message = receiver.last
    assert headers["x-scorekeeper-delivery"] == message["id"]
    assert (message["from"], message["to"], message["goal"]["current"]) == ("on_track", "completed", 600)
    (logged,) = await deliveries(world, made)
    assert (logged["state"], logged["attempts"], logged["answer"], logged["error"]) == ("delivered", 1, 200, None)
    assert logged["message"] == message


def test_the_signature_covers_the_time_and_the_body() -> None:
    made = {signature("s", 1, b"a"), signature("s", 2, b"a"), signature("s", 1, b"b"), signature("t", 1, b"a")}
    assert len(made) == 4


async def test_receivers_check_the_signature_as_the_documentation_says(receiver: Receiver) -> None:
    (block,) = (one for one in blocks(ROOT / "docs/how-to/alerts.md") if one.language == "python")
    said: dict[str, Any] = {}
    exec(block.text, said)
    body = b'{"id":"dlv_1","text":"\xc4\x8dajovna"}'
    await Webhook(allow_private=True).call(f"https://localhost:{receiver.port}/", "secret", "dlv_1", body)
    ((_, headers, got),) = receiver.calls
    given = headers["x-scorekeeper-signature"]
    assert said["is_genuine"]("secret", given, got)
    assert not said["is_genuine"]("another", given, got)
    assert not said["is_genuine"]("secret", given, got + b" ")
    assert not said["is_genuine"]("secret", signature("secret", int(time.time()) - 301, got), got)
    assert not said["is_genuine"]("secret", "v1=", got)


async def test_what_fails_is_sent_again_with_the_same_id(open_world: World, receiver: Receiver) -> None:
    receiver.answers = [500, 503, 429]
    made = await alert(open_world, f"https://localhost:{receiver.port}/")
    asked = await open_world.call("POST", f"/api/alerts/{made['id']}/test")
    assert asked.json()["state"] == "pending"
    before = attempts()
    await send_until(open_world, lambda: len(receiver.calls) == 4)
    assert set(receiver.ids) == {asked.json()["id"]}
    assert receiver.last["test"] is True
    (logged,) = await deliveries(open_world, made)
    assert (logged["state"], logged["attempts"], logged["answer"]) == ("delivered", 4, 200)
    assert {outcome: after - before[outcome] for outcome, after in attempts().items()} == {
        "delivered": 1,
        "failed": 3,
        "given_up": 0,
    }


async def test_what_fails_for_too_long_is_given_up(
    open_world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answers = [500] * 10
    made = await alert(open_world, f"https://localhost:{receiver.port}/")
    await open_world.call("POST", f"/api/alerts/{made['id']}/test")
    monkeypatch.setattr(alerting, "KEEP_TRYING_MS", 0)
    assert await open_world.alerting.send() == 1
    (logged,) = await deliveries(open_world, made)
    assert (logged["state"], logged["answer"], logged["error"]) == ("given_up", 500, "the answer was 500")
    assert await open_world.alerting.send() == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(open_world: World, receiver: Receiver, status: int) -> None:
    receiver.answers = [status]
    outcome = await Webhook(allow_private=True).call(f"https://localhost:{receiver.port}/", "s", "dlv_1", b'{"id":1}')
    assert (outcome.status, outcome.error) == (status, f"the answer was {status}, which is not followed")
    assert [path for path, _, _ in receiver.calls] == ["/"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001"])
async def test_nothing_goes_to_a_private_address_by_whatever_name(receiver: Receiver, host: str) -> None:
    outcome = await Webhook(allow_private=False).call(f"https://{host}:{receiver.port}/", "s", "dlv_1", b'{"id":1}')
    assert outcome.status is None
    assert outcome.error.startswith("refused: ")
    assert receiver.calls == []


async def test_a_private_address_is_refused_when_the_rule_is_made(world: World) -> None:
    for url in ("https://10.0.0.1/x", "https://[::1]/x", "http://hooks.example.com/x"):
        body = {"name": "Tell", "url": url, "when": "status_change"}
        answer = await world.call("POST", "/api/alerts", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/url"), url


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names have these addresses, another list at each look-up; the names that are looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if host != "hook.test":
            return real(host, port, *args, **more)
        addresses = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


async def test_a_name_that_nobody_knows_is_told_in_words() -> None:
    outcome = await Webhook(allow_private=True).call("https://hooks.invalid/", "s", "dlv_1", b"{}")
    assert outcome.error == "its name is not known to the domain name system"


async def test_one_private_address_of_a_name_is_enough_to_refuse_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, ["1.1.1.1", "127.0.0.1"])
    outcome = await Webhook(allow_private=False).call(f"https://hook.test:{receiver.port}/", "s", "dlv_1", b"{}")
    assert outcome.error == "refused: hook.test has the address 127.0.0.1, which is not public"


async def test_a_name_is_resolved_once_so_that_it_cannot_change_after_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Connected to is what was checked. Nobody listens at the second address."""
    with receiving() as plain:
        asked = resolve_to(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
        outcome = await Webhook(allow_private=True).call(f"http://hook.test:{plain.port}/", "s", "dlv_1", b'{"id":1}')
        assert (outcome.status, outcome.error) == (200, "")
        assert (asked, len(plain.calls)) == (["hook.test"], 1)


async def test_a_certificate_has_to_be_of_the_name_and_of_a_known_authority(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, ["127.0.0.1"])
    other = await Webhook(allow_private=True).call(f"https://hook.test:{receiver.port}/", "s", "dlv_1", b"{}")
    monkeypatch.delenv("SSL_CERT_FILE")
    unknown = await Webhook(allow_private=True).call(f"https://localhost:{receiver.port}/", "s", "dlv_1", b"{}")
    assert "certificate" in other.error.lower()
    assert "certificate" in unknown.error.lower()
    assert receiver.calls == []


async def test_a_receiver_that_never_answers_is_given_up_in_time(receiver: Receiver) -> None:
    receiver.hangs = True
    webhook = Webhook(allow_private=True, patience_seconds=1.0)
    outcome = await webhook.call(f"https://localhost:{receiver.port}/", "s", "dlv_1", b"{}")
    assert outcome.error == "no answer within 1 s"


async def test_names_and_ports_without_an_answer_are_failed_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = Webhook(allow_private=True)
    strange = ("http://[::1%25eth0]:1/", "http://127.0.0.1:0/", "http://[::1", "http://:1/")
    for url in ("http://127.0.0.1:1/", "http://" + "a" * 70 + ".test/", "http://a..b/", *strange):
        attempt = await webhook.call(url, "s", "dlv_1", b"{}")
        assert attempt.status is None
        assert attempt.error, url


async def test_what_a_paused_alert_misses_is_never_told(world: World) -> None:
    goal = await create(world)
    made = await alert(world)
    await world.alerting.look()
    await world.call("PATCH", f"/api/alerts/{made['id']}", json={"status": "paused"})
    await count(world, goal["id"], 600)
    assert await world.alerting.look() == 0
    await world.call("PATCH", f"/api/alerts/{made['id']}", json={"status": None})
    assert await world.alerting.look() == 0
    await world.call("PATCH", "/api/goals", json={"id": goal["id"], "status": "behind"})
    assert await world.alerting.look() == 1


async def test_a_test_whose_answer_was_cut_off_is_one_message_when_it_is_asked_for_again(
    open_world: World, receiver: Receiver
) -> None:
    world = open_world
    made = await alert(world, f"https://localhost:{receiver.port}/")
    other = await alert(world, f"https://localhost:{receiver.port}/")

    async def ask(of: dict[str, Any], **headers: str) -> dict[str, Any]:
        asked = await world.call("POST", f"/api/alerts/{of['id']}/test", headers=headers)
        assert asked.status_code == 201, asked.text
        SqlAnswers(world.database, abandoned_ms=60_000).forget("shop", "k1")
        return dict(asked.json())

    first = await ask(made, **{"idempotency-key": "k1"})
    assert await world.alerting.send() == 1
    again = await ask(made, **{"idempotency-key": "k1"})
    assert (again["id"], again["state"], again["message"]) == (first["id"], "delivered", first["message"])
    assert await world.alerting.send() == 0

    others = [await ask(other, **{"idempotency-key": "k1"}), await ask(made), await ask(made)]
    assert await world.alerting.send() == 3
    assert len({first["id"], *(one["id"] for one in others)}) == 4


async def test_a_test_that_is_asked_for_again_is_sent_once(world: World) -> None:
    made = await alert(world)
    headers = {"idempotency-key": "t1"}
    first, again = [await world.call("POST", f"/api/alerts/{made['id']}/test", headers=headers) for _ in range(2)]
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert [one["id"] for one in await deliveries(world, made)] == [first.json()["id"]]


async def test_a_project_that_cannot_be_shown_keeps_no_other_from_being_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = await create(world)
    await create(world, project="other")
    for project in ("other", "shop", "other"):
        await alert(world, project=project)
    await world.alerting.look()
    make_defective(monkeypatch, "other")
    await count(world, goal["id"], 600)
    assert await world.alerting.look() == 1


async def test_a_status_has_to_hold_before_it_is_told(world: World) -> None:
    goal = await create(world)
    await alert(world, holdMinutes=5)
    assert await world.alerting.look() == 0
    await count(world, goal["id"], 600)
    found = []
    for _ in range(4):
        found.append(await world.alerting.look())
        world.now += 2 * MINUTE
        world.counters.fresh_as_of = world.now
    assert found == [0, 0, 0, 1]


async def test_silence_and_staleness_are_told_over_the_api_s_own_reads(world: World) -> None:
    await create(world, {**GOAL, "startsAt": "2027-01-15T07:00:00Z"})
    await alert(world, when="goal_silent", silentHours=3, holdMinutes=None)
    stale = await alert(world, when="stale", staleMinutes=10, holdMinutes=None)
    assert await world.alerting.look() == 0
    world.now += 11 * MINUTE
    assert await world.alerting.look() == 1, "the pipeline stands still"
    world.counters.rebuilding = True
    world.now += 300 * MINUTE
    assert await world.alerting.look() == 0, "nothing is known while it is counted again"
    world.counters.rebuilding = False
    world.counters.fresh_as_of = world.now
    assert await world.alerting.look() == 1, "the goal is silent"
    (told,) = await deliveries(world, stale)
    assert told["message"]["freshAsOf"] == "2027-01-15T08:00:00.000Z"


async def test_a_deleted_alert_sends_nothing_more(open_world: World, receiver: Receiver) -> None:
    made = await alert(open_world, f"https://localhost:{receiver.port}/")
    await open_world.call("POST", f"/api/alerts/{made['id']}/test")
    await open_world.call("DELETE", f"/api/alerts/{made['id']}")
    assert await open_world.alerting.send() == 0


def test_a_worker_loads_no_http_client() -> None:
    """It calls no webhook, and would pay with its start time and memory."""
    asked = "import sys, app.bootstrap.worker; print({'httpx', 'httpcore'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
