"""Events over HTTP, health, and what is told of the pipeline."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.stores.sql_answers import SqlAnswers
from tests.api.conftest import World

EVENT = {"type": "purchase", "id": "e1", "visitorId": "v1", "data": {"amount": 5}}
NO_MOMENT = '"1" is not an RFC 3339 date-time (nor epoch milliseconds)'
CLOUD_EVENT = {"specversion": "1.0", "type": "a", "source": "/s", "id": "1"}


async def test_an_event_is_sent_keyed_by_its_subject(world: World) -> None:
    answer = await world.call("POST", "/api/events", json=EVENT)
    assert answer.json() == {"received": 1, "duplicates": 0, "errors": []}
    ((key, value),) = world.published
    assert (key, json.loads(value)) == (b"v1", EVENT)


async def test_a_correction_follows_its_original_whatever_its_own_id_is(world: World) -> None:
    original = {"type": "purchase", "id": "e1"}
    back = {"type": "$retract", "eventType": "purchase", "retracts": "e1"}
    body = {"events": [original, {**back, "id": "e1"}, {**back, "id": "r1"}, {**back, "id": "r1"}]}
    answer = (await world.call("POST", "/api/events", json=body)).json()
    assert (answer["received"], answer["duplicates"]) == (3, 1)
    assert [key for key, _ in world.published] == [b"e1"] * 3


async def test_good_events_go_on_beside_wrong_ones(world: World) -> None:
    body = {"events": [EVENT, {"id": "x"}, EVENT, {**EVENT, "id": "e2"}]}
    answer = (await world.call("POST", "/api/events", json=body)).json()
    assert (answer["received"], answer["duplicates"]) == (2, 1)
    assert [(error["index"], error["code"]) for error in answer["errors"]] == [(1, "missing_type")]


@pytest.mark.parametrize(
    "body",
    [
        {"specversion": "1.0", "type": "purchase", "source": "/shop", "id": "1", "data": {"amount": 1}},
        {"type": "track", "event": "purchase", "messageId": "m", "anonymousId": "a", "properties": {"amount": 1}},
    ],
    ids=["CloudEvents", "Segment"],
)
async def test_foreign_forms_are_understood(world: World, body: dict[str, Any]) -> None:
    assert (await world.call("POST", "/api/events", json=body)).json()["received"] == 1


async def test_a_key_publishes_for_its_own_project_only(world: World) -> None:
    answer = await world.call("POST", "/api/events", json={**EVENT, "projectKey": "other"})
    assert answer.status_code == 403
    assert world.published == []


async def test_more_than_a_hundred_events_are_refused(world: World) -> None:
    assert (await world.call("POST", "/api/events", json=[EVENT] * 101)).status_code == 422


async def test_when_kafka_is_away_the_answer_says_when_to_try_again(world: World) -> None:
    world.kafka_is_away = True
    answer = await world.call("POST", "/api/events", json=EVENT)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "kafka" not in answer.text.lower()


async def test_where_a_part_may_be_stored_the_answer_says_so_and_what_to_do(world: World) -> None:
    world.kafka_is_silent = True
    answer = await world.call("POST", "/api/events", json=EVENT)
    assert (answer.status_code, answer.json()["code"]) == (503, "unconfirmed")
    assert "same request again" in answer.json()["detail"]
    assert answer.headers["retry-after"]


async def test_validation_sends_nothing(world: World) -> None:
    answer = await world.call("POST", "/api/events/validate", json=[EVENT, {}])
    assert answer.json()["valid"] == 1
    assert len(answer.json()["errors"]) == 1
    assert world.published == []


async def test_readiness_names_what_is_missing(world: World) -> None:
    ready = await world.client.get("/health/ready")
    assert (ready.status_code, ready.json()["missing"]) == (503, ["kafka"])
    assert (await world.client.get("/health/live")).status_code == 200


async def test_a_project_sees_its_own_accounting_only(world: World) -> None:
    assert (await world.call("GET", "/api/pipeline")).json()["projects"] == {"shop": {"received": 1}}


async def test_metrics_hold_no_project(world: World) -> None:
    await world.call("GET", "/api/goals")
    text = (await world.client.get("/metrics")).text
    assert "scorekeeper_http_seconds" in text
    assert "shop" not in text


async def test_every_answer_has_a_request_id_and_security_headers(world: World) -> None:
    answer = await world.client.get("/health/live", headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_numbers_are_sent_as_they_were_given(world: World) -> None:
    body = (
        b'{"userId": "u", "events": [{"type": "a", "data": {"n": 0.1000000000000000055, "m": 18446744073709551616}}]}'
    )
    sent = await world.call("POST", "/api/events", content=body, headers={"content-type": "application/json"})
    assert sent.json()["received"] == 1, sent.text
    ((key, value),) = world.published
    assert key == b"u"
    assert b"0.1000000000000000055" in value
    assert b"18446744073709551616" in value


async def test_a_batch_inside_a_batch_is_refused(world: World) -> None:
    body = [{"events": [EVENT] * 200}]
    answer = await world.call("POST", "/api/events", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "no_valid_event")
    assert answer.json()["errors"][0]["pointer"] == "/0"
    assert world.published == []


@pytest.mark.parametrize(
    ("body", "pointer", "problem"),
    [
        ({"type": 5}, "/type", 'type: 5 is a number, not a string; put it in quotes: "5"'),
        ({}, "/type", "type: missing"),
        ([{"type": "a", "data": []}], "/0/data", "data: not an object"),
        ({"events": [{"type": "a", "userId": []}]}, "/events/0/userId", "userId: [] is an array, not a string"),
        ({"userId": [], "events": [{"type": "a"}]}, "/events/0", "userId: [] is an array, not a string"),
        ([5], "/0", "the value is a number, not an object"),
        ({**CLOUD_EVENT, "userid": []}, "", "userId: [] is an array, not a string"),
        ({**CLOUD_EVENT, "time": "1", "data": {"timestamp": 1}}, "", f"timestamp: {NO_MOMENT}"),
    ],
)
async def test_a_wrong_field_is_named_with_its_place_and_value(
    world: World, body: Any, pointer: str, problem: str
) -> None:
    (error,) = (await world.call("POST", "/api/events", json=body)).json()["errors"]
    assert (error["pointer"], error["problem"]) == (pointer, problem)


async def test_common_fields_do_not_multiply_beyond_a_limit(world: World) -> None:
    body = {"events": [{"type": "a"}] * 100, "data": {"text": "x" * 20_000}}
    answer = await world.call("POST", "/api/events", json=body)
    assert answer.status_code == 413
    assert world.published == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ([CLOUD_EVENT], "application/cloudevents-batch+json"),
        (CLOUD_EVENT, "application/cloudevents+json"),
        ({"batch": [{"type": "track", "event": "a", "anonymousId": "v", "messageId": "m"}]}, "application/json"),
    ],
    ids=["CloudEvents batch", "CloudEvents", "Segment batch"],
)
async def test_bodies_of_other_products_are_understood(world: World, body: Any, kind: str) -> None:
    answer = await world.call("POST", "/api/events", content=json.dumps(body), headers={"content-type": kind})
    assert answer.json()["received"] == 1, answer.text


async def test_a_cloud_event_may_come_in_headers(world: World) -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-type": "a",
        "ce-source": "/s",
        "ce-id": "1",
        "content-type": "application/json",
    }
    answer = await world.call("POST", "/api/events", content=b'{"amount": 5}', headers=headers)
    assert answer.json()["received"] == 1, answer.text


async def test_an_idempotency_key_gives_events_ids_that_stay(world: World) -> None:
    headers = {"idempotency-key": "order-1"}
    body = [{"type": "a"}, {"type": "track", "event": "b", "anonymousId": "v"}]
    world.kafka_is_away = True
    assert (await world.call("POST", "/api/events", json=body, headers=headers)).status_code == 503
    world.kafka_is_away = False
    assert (await world.call("POST", "/api/events", json=body, headers=headers)).json()["received"] == 2
    ids = [json.loads(value)["messageId"] for _, value in world.published]
    assert len(set(ids)) == 2
    again = await world.call("POST", "/api/events", json=body, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    assert len(world.published) == 2


async def test_that_a_store_is_away_is_logged_once_by_the_request(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.kafka_is_away = True
    headers = {"idempotency-key": "order-1", "x-request-id": "mine"}
    assert (await world.call("POST", "/api/events", json={"type": "a"}, headers=headers)).status_code == 503
    (line,) = [record for record in caplog.records if record.getMessage().startswith("503")]
    assert vars(line)["fields"] == {"requestId": "mine", "store": "kafka"}


async def test_other_events_under_a_key_that_is_forgotten_are_no_copies(world: World) -> None:
    headers = {"idempotency-key": "nightly"}
    answers = SqlAnswers(world.database, abandoned_ms=60_000)
    for kind in ("a", "b", "b"):
        assert (await world.call("POST", "/api/events", json={"type": kind}, headers=headers)).status_code == 200
        answers.forget("shop", "nightly")
    first, second, again = (json.loads(value)["messageId"] for _, value in world.published)
    assert first != second == again


async def test_a_refusal_for_the_rate_limit_is_not_the_answer_for_a_day(world: World) -> None:
    headers = {"idempotency-key": "k"}
    world.allowed = 1
    assert (await world.call("POST", "/api/events", json=[EVENT] * 5, headers=headers)).status_code == 429
    world.allowed = 100
    assert (await world.call("POST", "/api/events", json=[EVENT] * 5, headers=headers)).status_code == 200
