"""One native message -> one event: aliases, defaults, limits on both sides, and the reason of each refusal."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.event import Event
from app.domain.parsing import ParsingRules, parse_message
from app.domain.properties import decode_data
from app.errors import InvalidEvent, Reason

NOW = 1_790_000_000_000
DAY = 86_400_000
RULES = ParsingRules()
Headers = Sequence[tuple[str, bytes]]


def event(value: bytes | dict[str, object], headers: Headers | None = None, rules: ParsingRules = RULES) -> Event:
    raw = (
        value if isinstance(value, bytes) else json.dumps({"type": "purchase", "projectKey": "shop", **value}).encode()
    )
    parsed = parse_message(raw, NOW, headers, rules)
    assert isinstance(parsed, Event)
    return parsed


def refused(value: bytes | dict[str, object], headers: Headers | None = None) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        event(value, headers)
    return caught.value


@pytest.mark.parametrize(
    ("timestamp", "is_taken_for_seconds"),
    [(NOW // 1000, True), (NOW // 1000 - 86_400, True), ("2020-01-01T00:00:00Z", False), (NOW - 60 * DAY, False)],
)
def test_only_a_time_that_is_right_in_seconds_is_said_to_be_in_seconds(
    timestamp: int | str, is_taken_for_seconds: bool
) -> None:
    found = refused({"timestamp": timestamp})
    assert found.reason is Reason.TOO_OLD
    assert ("in seconds" in str(found)) is is_taken_for_seconds


def test_a_full_native_event_is_read_as_it_stands() -> None:
    parsed = event(
        {
            "id": "e-1",
            "timestamp": "2026-09-21T13:20:00.123Z",
            "url": "https://shop.example/done?x=1",
            "userId": "u-1",
            "visitorId": "v-1",
            "sessionId": "s-1",
            "data": {"amount": 19.90, "plan": "pro"},
            "experiments": {"checkout": "b", "price": 2},
        }
    )
    assert (parsed.type, parsed.project, parsed.id) == ("purchase", "shop", "e-1")
    assert (parsed.occurred_at, parsed.received_at) == (1_789_996_800_123, NOW)
    assert (parsed.user_id, parsed.visitor_id, parsed.session_id, parsed.subject) == ("u-1", "v-1", "s-1", "u-1")
    assert parsed.url == "https://shop.example/done?x=1"
    assert parsed.properties == {"amount": 19.9, "plan": "pro"}
    assert parsed.experiments == {"checkout": "b", "price": "2"}
    assert (parsed.corrects, parsed.restated) == (None, None)


def test_the_least_event_is_a_type_and_a_project() -> None:
    parsed = event(b'{"type":"t","projectKey":"p"}')
    assert parsed == Event("t", "p", None, NOW, NOW, decoded={})
    assert parsed.properties == {}
    assert parsed.subject is None


@pytest.mark.parametrize(
    ("fields", "attribute", "found"),
    [
        ({"type": None, "eventType": "x"}, "type", "x"),
        ({"type": "x", "eventType": "y"}, "type", "x"),
        ({"projectKey": None, "projectId": "x"}, "project", "x"),
        ({"projectKey": None, "project": "x"}, "project", "x"),
        ({"projectKey": "", "project": "x"}, "project", "x"),
        ({"eventId": "x"}, "id", "x"),
        ({"messageId": "x"}, "id", "x"),
        ({"id": "", "eventId": "x"}, "id", "x"),
        ({"id": ""}, "id", None),
        ({"id": None}, "id", None),
        ({"anonymousId": "x"}, "visitor_id", "x"),
        ({"visitorId": "x", "anonymousId": "y"}, "visitor_id", "x"),
        ({"anonymousId": "x"}, "subject", "x"),
        ({"userId": "", "anonymousId": "x"}, "subject", "x"),
        ({"url": ""}, "url", None),
        ({"properties": {"a": 1}}, "properties", {"a": 1}),
        ({"data": {"a": 1}, "properties": {"b": 1}}, "properties", {"a": 1}),
        ({"data": None, "properties": {"b": 1}}, "properties", {"b": 1}),
        ({"data": None}, "properties", {}),
        ({"experiments": {}}, "experiments", None),
        ({"experiments": {"a": "", "": "b"}}, "experiments", None),
        ({"experiments": {"k" * 200: "v" * 200}}, "experiments", {"k" * 200: "v" * 200}),
        ({"event": {"any": 1}, "unknown": [1]}, "type", "purchase"),
        ({"events": []}, "type", "purchase"),
        ({"retracts": "e-1"}, "corrects", None),
    ],
)
def test_aliases_stand_in_and_empty_means_absent(fields: dict[str, object], attribute: str, found: object) -> None:
    assert getattr(event(fields), attribute) == found


@pytest.mark.parametrize(
    ("timestamp", "occurred_at"),
    [
        (NOW, NOW),
        (float(NOW), NOW),
        ("2026-09-21T14:13:20Z", NOW),
        ("2026-09-21T16:13:20+02:00", NOW),
        ("2026-09-21t14:13:20z", NOW),
        ("2026-09-21 14:13:20Z", NOW),
        ("2026-09-21T14:13:20.0009Z", NOW),
        (None, NOW),
    ],
)
def test_a_time_is_a_moment_in_milliseconds(timestamp: object, occurred_at: int) -> None:
    assert event({"timestamp": timestamp}).occurred_at == occurred_at


@pytest.mark.parametrize(
    ("timestamp", "reason"),
    [
        (NOW - 35 * DAY, None),
        (NOW - 35 * DAY - 1, Reason.TOO_OLD),
        (NOW + 300_000, None),
        (NOW + 300_001, Reason.IN_THE_FUTURE),
        (NOW // 1000, Reason.TOO_OLD),
        (-1, Reason.TOO_OLD),
        (10**30, Reason.IN_THE_FUTURE),
        ("0001-01-01T00:00:00+23:59", Reason.TOO_OLD),
        ("2026-09-21T14:13:20", Reason.INVALID_TIMESTAMP),
        ("2026-09-21", Reason.INVALID_TIMESTAMP),
        ("2026-02-30T00:00:00Z", Reason.INVALID_TIMESTAMP),
        ("yesterday", Reason.INVALID_TIMESTAMP),
        ("1790000000000", Reason.INVALID_TIMESTAMP),
        ("", Reason.INVALID_TIMESTAMP),
        (NOW + 0.5, Reason.INVALID_TIMESTAMP),
        (True, Reason.INVALID_TIMESTAMP),
        ([], Reason.INVALID_TIMESTAMP),
    ],
)
def test_age_is_measured_from_the_brokers_time_and_a_moment_needs_an_offset(
    timestamp: object, reason: Reason | None
) -> None:
    if reason is None:
        assert event({"timestamp": timestamp}).occurred_at == timestamp
    else:
        error = refused({"timestamp": timestamp})
        assert (error.reason, error.project) == (reason, "shop")
        assert "timestamp" in error.detail


def test_seconds_are_recognised_and_said() -> None:
    assert "seconds" in refused({"timestamp": NOW // 1000}).detail


def test_the_age_limits_are_the_rules() -> None:
    rules = ParsingRules(max_age_ms=10, max_ahead_ms=20)
    assert event({"timestamp": NOW - 10}, rules=rules).occurred_at == NOW - 10
    assert event({"timestamp": NOW + 20}, rules=rules).occurred_at == NOW + 20
    rules = ParsingRules(max_age_ms=DAY, max_ahead_ms=2_500)
    for moment, limit in ((NOW - DAY - 1, "at most 1 days"), (NOW + 2_501, "at most 2.5 s")):
        with pytest.raises(InvalidEvent, match=limit):
            event({"timestamp": moment}, rules=rules)


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"type": None}, Reason.MISSING_TYPE, "type"),
        ({"type": ""}, Reason.MISSING_TYPE, "type"),
        ({"type": 5}, Reason.INVALID_FIELD, 'type: 5 is a number, not a string; put it in quotes: "5"'),
        ({"type": "x" * 201}, Reason.INVALID_FIELD, "type: it has 201 characters; at most 200 are allowed"),
        ({"id": "x" * 201}, Reason.INVALID_FIELD, "id: it has 201 characters; at most 200"),
        ({"messageId": "x" * 201}, Reason.INVALID_FIELD, "messageId: it has 201 characters; at most 200"),
        ({"id": 7}, Reason.INVALID_FIELD, "id:"),
        ({"userId": {"a": 1}}, Reason.INVALID_FIELD, 'userId: {"a": 1} is an object, not a string'),
        ({"userId": True}, Reason.INVALID_FIELD, "userId: true is a boolean, not a string"),
        ({"url": ["x" * 99]}, Reason.INVALID_FIELD, f'url: ["{"x" * 37}… is an array, not a string'),
        ({"timestamp": []}, Reason.INVALID_TIMESTAMP, "timestamp: [] is not an RFC 3339 date-time (nor"),
        ({"experiments": 5}, Reason.INVALID_FIELD, "experiments: 5 is a number, not an object"),
        ({"projectKey": 3}, Reason.INVALID_FIELD, "projectKey:"),
        ({"data": []}, Reason.INVALID_FIELD, "data: not an object"),
        ({"data": "x"}, Reason.INVALID_FIELD, "data: not an object"),
        ({"data": None, "properties": 5}, Reason.INVALID_FIELD, "data: not an object"),
        ({"experiments": {"b": 1, "a": {}}}, Reason.INVALID_FIELD, 'experiments: "a" has {}; a variant is a string or'),
        ({"experiments": {"a": True}}, Reason.INVALID_FIELD, 'experiments: "a" has true; a variant is'),
        ({"experiments": {"a": None}}, Reason.INVALID_FIELD, 'experiments: "a" has null; a variant is'),
        ({"experiments": {"k" * 201: "a"}}, Reason.INVALID_FIELD, "experiments: 'kkkk"),
        ({"experiments": {"a": "v" * 201}}, Reason.INVALID_FIELD, "at most 200 characters"),
        ({"experiments": {str(n): "a" for n in range(101)}}, Reason.INVALID_FIELD, "101 in one event; at most 100"),
        ({"projectKey": None}, Reason.NO_PROJECT, "projectKey"),
        ({"projectKey": ""}, Reason.NO_PROJECT, "projectKey"),
    ],
)
def test_what_is_wrong_is_said_by_reason_and_field(fields: dict[str, object], reason: Reason, words: str) -> None:
    error = refused(fields)
    assert error.reason is reason
    assert words in error.detail


def test_two_hundred_characters_are_allowed() -> None:
    parsed = event({"type": "ä" * 200, "id": "é" * 200})
    assert (len(parsed.type), len(parsed.id or "")) == (200, 200)


def test_the_project_is_the_bodys_then_the_headers_then_the_default() -> None:
    header = [("project", b"from-header")]
    default = ParsingRules(default_project="default")
    assert event({}, header, default).project == "shop"
    assert event({"projectKey": None}, header, default).project == "from-header"
    assert event({"projectKey": None}, [("other", b"x"), ("project", b"")], default).project == "default"
    assert event({"projectKey": None}, None, default).project == "default"


def test_a_header_that_is_not_text_is_refused_only_when_it_is_needed() -> None:
    assert refused({}, [("project", b"\xff")]).reason is Reason.INVALID_FIELD
    assert event({}, [("trace", b"\xff"), ("ce_other", b"\xff"), ("content-type", b"\xff")]).project == "shop"


@pytest.mark.parametrize("name", ["{x}:*", "a\x00b", "../..", "a b", "*", "\u202e", "x" * 5000])
def test_hostile_project_names_are_only_strings(name: str) -> None:
    assert event({"projectKey": name}).project == name


def test_the_last_of_equal_keys_wins() -> None:
    parsed = event(b'{"type":"a","projectKey":"p","type":"b","data":{"x":1,"x":2}}')
    assert (parsed.type, parsed.properties) == ("b", {"x": 2})


@pytest.mark.parametrize(
    ("fields", "corrects", "restated"),
    [
        ({"type": "$retract", "eventType": "purchase", "retracts": "e-1"}, "e-1", None),
        (
            {"type": "$restate", "eventType": "purchase", "restates": "e-1", "restatedData": {"amount": 5}},
            "e-1",
            {"amount": 5},
        ),
    ],
)
def test_a_correction_has_the_original_events_type_and_fields(
    fields: dict[str, object], corrects: str, restated: object
) -> None:
    parsed = event({**fields, "id": "c-1", "timestamp": NOW - DAY, "data": {"amount": 20}})
    assert (parsed.type, parsed.id, parsed.corrects) == ("purchase", "c-1", corrects)
    assert (parsed.occurred_at, parsed.properties) == (NOW - DAY, {"amount": 20})
    assert (None if parsed.restated is None else decode_data(parsed.restated)) == restated


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"type": "$retract", "eventType": "purchase"}, Reason.INVALID_FIELD, "retracts"),
        ({"type": "$retract", "eventType": "p", "retracts": "x" * 201}, Reason.INVALID_FIELD, "retracts"),
        ({"type": "$retract", "retracts": "e-1"}, Reason.MISSING_TYPE, "eventType"),
        ({"type": None, "eventType": "$retract", "retracts": "e-1"}, Reason.MISSING_TYPE, "eventType"),
        ({"type": "$restate", "eventType": "p", "retracts": "e-1"}, Reason.INVALID_FIELD, "restates"),
        ({"type": "$restate", "eventType": "p", "restates": "e-1"}, Reason.INVALID_FIELD, "restatedData"),
        (
            {"type": "$restate", "eventType": "p", "restates": "e-1", "restatedData": []},
            Reason.INVALID_FIELD,
            "restatedData",
        ),
    ],
)
def test_a_correction_that_does_not_say_what_is_refused(fields: dict[str, object], reason: Reason, words: str) -> None:
    error = refused(fields)
    assert error.reason is reason
    assert words in error.detail


def test_a_restated_number_out_of_range_is_refused() -> None:
    value = b'{"type":"$restate","eventType":"p","projectKey":"p","restates":"e","restatedData":{"a":1e999}}'
    assert refused(value).reason is Reason.INVALID_NUMBER


def test_a_replayed_event_without_an_id_gets_the_dead_letters_identity() -> None:
    headers = [("scorekeeper-replay", b"events/3/42"), ("scorekeeper-replay", b"events/0/0")]
    assert event({}, headers).id == "replay:events/3/42"
    assert event({"id": "own"}, headers).id == "own"
    assert event({"messageId": "own"}, headers).id == "own"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    msgspec.json.decode(b'["type","eventType","events","specversion","data","timestamp","id","url"]')
)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_an_invalid_one(value: bytes) -> None:
    with pytest.raises(InvalidEvent):  # random bytes never spell an event
        parse_message(value, NOW, None, RULES)


@given(st.dictionaries(names | st.text(max_size=5), json_values, max_size=8))
def test_any_object_is_an_event_or_has_a_reason(document: dict[str, object]) -> None:
    try:
        parsed = parse_message(json.dumps(document).encode(), NOW, None, ParsingRules(default_project="p"))
    except InvalidEvent as error:
        found: object = error.reason
    else:
        found = parsed
    assert isinstance(found, Reason | Event | list)


@given(st.dictionaries(st.text(), json_values))
def test_properties_come_back_as_they_were_sent(data: dict[str, object]) -> None:
    for escaped in (True, False):
        value = json.dumps({"type": "t", "projectKey": "p", "data": data}, ensure_ascii=escaped).encode(errors="ignore")
        assert event(value).properties == json.loads(value)["data"]
