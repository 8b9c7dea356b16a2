"""Foreign forms become native events. The documents are modelled on the examples of the specifications."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from app.domain.event import Event
from app.domain.parsing import ParsingRules, parse_message
from app.domain.properties import exact_number
from app.errors import InvalidEvent, Reason

NOW = 1_790_000_000_000
RULES = ParsingRules(default_project="shop")
Headers = Sequence[tuple[str, bytes]]

CLOUD_EVENT: dict[str, object] = {
    "specversion": "1.0",
    "type": "com.github.pull_request.opened",
    "source": "https://github.com/cloudevents/spec/pull",
    "subject": "123",
    "id": "A234-1234-1234",
    "time": "2026-09-20T17:31:00Z",
    "comexampleextension1": "value",
    "comexampleothervalue": 5,
    "datacontenttype": "application/json",
    "data": {"amount": 12.5, "url": "/pulls/123", "userId": "octocat"},
}

TRACK: dict[str, object] = {
    "type": "track",
    "event": "Course Clicked",
    "anonymousId": "507f191e810c19729de860ea",
    "userId": "AiUGstSDIg",
    "messageId": "ajs-f8ca1e4de5024d9430b3928bd8ac6b96",
    "context": {
        "library": {"name": "analytics.js", "version": "2.11.1"},
        "page": {"path": "/academy/", "title": "Analytics Academy", "url": "https://segment.com/academy/"},
        "ip": "108.0.78.21",
    },
    "integrations": {},
    "properties": {"title": "Intro to Analytics"},
    "originalTimestamp": "2026-09-20T19:11:01.152Z",
    "sentAt": "2026-09-20T19:11:01.169Z",
    "receivedAt": "2026-09-20T19:11:01.266Z",
    "timestamp": "2026-09-20T19:11:01.249Z",
}

PAGE: dict[str, object] = {
    "type": "page",
    "name": "Home",
    "category": "Docs",
    "userId": "97980cfea0067",
    "messageId": "022bb90c-bbac-11e4-8dfc-aa07a5b093db",
    "properties": {"path": "/", "title": "Welcome", "url": "https://example.com/"},
    "timestamp": "2026-09-20T19:11:01.249Z",
}


def one(document: object, headers: Headers | None = None) -> Event:
    parsed = parse_message(json.dumps(document).encode(), NOW, headers, RULES)
    assert isinstance(parsed, Event)
    return parsed


def refused(value: bytes | None, headers: Headers | None = None) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        parse_message(value, NOW, headers, RULES)
    return caught.value


# ---------------------------------------------------------------- CloudEvents


def test_a_structured_cloud_event_is_identified_by_source_and_id() -> None:
    event = one(CLOUD_EVENT)
    assert event.id == "https://github.com/cloudevents/spec/pull A234-1234-1234"
    assert (event.type, event.project) == ("com.github.pull_request.opened", "shop")
    assert event.occurred_at == 1_789_925_460_000
    assert (event.url, event.user_id) == ("/pulls/123", "octocat")
    assert event.properties == CLOUD_EVENT["data"]


@pytest.mark.parametrize(
    ("attributes", "name", "found"),
    [
        ({"projectkey": "p"}, "project", "p"),
        ({"projectKey": "p"}, "project", "p"),
        ({"userid": "u"}, "user_id", "u"),
        ({"visitorid": "v"}, "visitor_id", "v"),
        ({"anonymousid": "v"}, "visitor_id", "v"),
        ({"sessionid": "s"}, "session_id", "s"),
        ({"url": "https://a.example/"}, "url", "https://a.example/"),
        ({"data": None}, "properties", {}),
        ({"data": {"anonymousId": "v"}}, "visitor_id", "v"),
        ({"data": {"userId": 5}}, "user_id", None),
        ({"type": "track"}, "type", "track"),
        ({"source": "x" * 500}, "id", "x" * 500 + " A234-1234-1234"),
    ],
)
def test_attributes_of_a_cloud_event_fill_the_events_fields(
    attributes: dict[str, object], name: str, found: object
) -> None:
    assert getattr(one({**CLOUD_EVENT, **attributes}), name) == found


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"specversion": "0.3"}, Reason.UNSUPPORTED_FORM),
        ({"specversion": 1.0}, Reason.UNSUPPORTED_FORM),
        ({"data_base64": base64.b64encode(b"x").decode()}, Reason.UNSUPPORTED_FORM),
        ({"source": ""}, Reason.INVALID_FIELD),
        ({"source": "a b"}, Reason.INVALID_FIELD),
        ({"id": None}, Reason.INVALID_FIELD),
        ({"type": None}, Reason.MISSING_TYPE),
        ({"type": 5}, Reason.INVALID_FIELD),
        ({"data": "<xml/>"}, Reason.INVALID_FIELD),
        ({"time": "today"}, Reason.INVALID_TIMESTAMP),
        ({"userid": 5}, Reason.INVALID_FIELD),
    ],
)
def test_a_cloud_event_that_is_none_is_refused(attributes: dict[str, object], reason: Reason) -> None:
    assert refused(json.dumps({**CLOUD_EVENT, **attributes}).encode()).reason is reason


BINARY: list[tuple[str, bytes]] = [
    ("ce_specversion", b"1.0"),
    ("ce_type", b"com.example.someevent"),
    ("ce_time", b"2026-09-20T03:56:24Z"),
    ("ce_id", b"1234-1234-1234"),
    ("ce_source", b"/mycontext/subcontext"),
    ("ce_visitorid", b"v-1"),
    ("content-type", b"application/json; charset=utf-8"),
]


def binary(value: bytes | None, headers: Headers = BINARY) -> Event:
    parsed = parse_message(value, NOW, headers, RULES)
    assert isinstance(parsed, Event)
    return parsed


def test_a_binary_cloud_event_is_its_headers_around_its_value() -> None:
    event = binary(b'{"amount":0.10}')
    assert (event.type, event.id) == ("com.example.someevent", "/mycontext/subcontext 1234-1234-1234")
    assert (event.visitor_id, event.occurred_at) == ("v-1", 1_789_876_584_000)
    assert exact_number(event.data, ("amount",)) == (0, 100_000)


def test_a_binary_cloud_event_may_have_no_data() -> None:
    assert binary(None).properties == {}
    assert binary(b"").properties == {}


def test_the_value_of_a_binary_cloud_event_cannot_break_out_of_data() -> None:
    assert refused(b'{},"projectKey":"other"', BINARY).reason is Reason.INVALID_JSON
    assert binary(b'{"projectKey":"other","type":"x"}').project == "shop"


def test_a_binary_cloud_event_takes_its_project_from_the_header() -> None:
    assert binary(b"{}", [*BINARY, ("project", b"from-header")]).project == "from-header"


@pytest.mark.parametrize(
    ("value", "content_type", "reason"),
    [
        (b"<xml/>", b"application/xml", Reason.UNSUPPORTED_FORM),
        (b"[1]", b"application/json", Reason.INVALID_FIELD),
        (b'{"a":', b"application/vnd.x+json", Reason.INVALID_JSON),
        (b'{"a":1e999}', b"application/json", Reason.INVALID_NUMBER),
        (b"\xff", b"application/json", Reason.NOT_UTF8),
        (b"[" * 100_000, b"application/json", Reason.TOO_DEEP),
        (b" " * 1_048_577, b"application/json", Reason.TOO_LARGE),
    ],
)
def test_data_that_is_no_json_object_is_refused(value: bytes, content_type: bytes, reason: Reason) -> None:
    assert refused(value, [*BINARY[:-1], ("content-type", content_type)]).reason is reason


def test_attributes_that_are_not_text_are_refused() -> None:
    assert refused(b"{}", [*BINARY, ("ce_x", b"\xff")]).reason is Reason.INVALID_FIELD


def test_a_refused_cloud_event_is_its_projects() -> None:
    assert refused(json.dumps({**CLOUD_EVENT, "projectKey": "p", "id": ""}).encode()).project == "p"
    assert refused(json.dumps({**CLOUD_EVENT, "id": ""}).encode(), [("project", b"h")]).project == "h"


def test_numbers_of_a_foreign_document_stay_exact() -> None:
    data = '{"amount":123456789.123456499999999999,"count":18446744073709551617}'
    document = json.dumps({**CLOUD_EVENT, "data": 0}).replace('"data": 0', f'"data": {data}').encode()
    event = parse_message(document, NOW, None, RULES)
    assert isinstance(event, Event)
    assert exact_number(event.data, ("amount",)) == (123_456_789, 123_456)
    assert event.properties["count"] == 2**64 + 1


# ---------------------------------------------------------------- the Segment spec


def test_a_track_call_is_an_event_of_its_own_name() -> None:
    event = one(TRACK)
    assert (event.type, event.id) == ("Course Clicked", "ajs-f8ca1e4de5024d9430b3928bd8ac6b96")
    assert (event.user_id, event.visitor_id) == ("AiUGstSDIg", "507f191e810c19729de860ea")
    assert event.url == "https://segment.com/academy/"
    assert event.occurred_at == 1_789_931_461_249
    assert event.properties == {"title": "Intro to Analytics"}


def test_a_page_call_is_an_event_page_at_its_url() -> None:
    event = one(PAGE)
    assert (event.type, event.url) == ("page", "https://example.com/")
    assert event.properties == {
        "name": "Home",
        "category": "Docs",
        "path": "/",
        "title": "Welcome",
        "url": "https://example.com/",
    }


def test_a_screen_call_is_an_event_screen() -> None:
    event = one({**PAGE, "type": "screen", "name": "Welcome", "properties": {"Feed Type": "private"}})
    assert (event.type, event.url) == ("screen", None)
    assert event.properties == {"category": "Docs", "name": "Welcome", "Feed Type": "private"}


@pytest.mark.parametrize(
    ("properties", "experiments"),
    [
        (
            {"experiment_id": "123", "experiment_name": "New Signup", "variation_id": "c", "variation_name": "C"},
            {"123": "c"},
        ),
        ({"experiment_name": "New Signup", "variation_name": "Control"}, {"New Signup": "Control"}),
        ({"experimentId": "my-test", "variationId": 0}, {"my-test": "0"}),
        ({"experiment_id": "123"}, None),
        ({}, None),
    ],
)
def test_experiment_viewed_is_an_assignment(properties: dict[str, object], experiments: object) -> None:
    event = one({**TRACK, "event": "Experiment Viewed", "properties": properties})
    assert (event.type, event.experiments) == ("Experiment Viewed", experiments)


@pytest.mark.parametrize(
    ("changes", "name", "found"),
    [
        ({"event": None}, "type", "track"),
        ({"event": {"a": 1}}, "type", "track"),
        ({"event": "$retract"}, "type", "$retract"),
        ({"event": "page"}, "type", "page"),
        ({"url": "/own"}, "url", "/own"),
        ({"context": None}, "url", None),
        ({"context": {"page": "x"}}, "url", None),
        ({"context": {}, "properties": {"url": "/p"}}, "url", "/p"),
        ({"properties": None}, "properties", {}),
        ({"anonymousId": None}, "visitor_id", None),
    ],
)
def test_a_track_call_may_leave_things_out(changes: dict[str, object], name: str, found: object) -> None:
    assert getattr(one({**TRACK, **changes}), name) == found


def test_a_native_event_may_be_called_page() -> None:
    event = one({"type": "page", "url": "/a", "data": {"x": 1}, "name": "n"})
    assert (event.type, event.url, event.properties) == ("page", "/a", {"x": 1})


def test_a_track_call_with_wrong_types_is_refused() -> None:
    assert refused(json.dumps({**TRACK, "userId": 5}).encode()).reason is Reason.INVALID_FIELD
    assert refused(json.dumps({**TRACK, "event": "x" * 201}).encode()).reason is Reason.INVALID_FIELD


# ---------------------------------------------------------------- batches


def batch(
    events: list[object], headers: Headers | None = None, outer: Mapping[str, object] | None = None
) -> list[Event | InvalidEvent]:
    parsed = parse_message(json.dumps({**(outer or {}), "events": events}).encode(), NOW, headers, RULES)
    assert isinstance(parsed, list)
    return parsed


def events(parsed: list[Event | InvalidEvent]) -> list[Event]:
    assert all(isinstance(element, Event) for element in parsed)
    return [element for element in parsed if isinstance(element, Event)]


def test_the_outer_fields_of_a_batch_are_defaults() -> None:
    outer = {
        "projectKey": "p",
        "userId": "u",
        "anonymousId": "v",
        "sessionId": "s",
        "url": "/outer",
        "timestamp": NOW - 5000,
        "experiments": {"a": "b"},
        "messageId": "of the batch",
    }
    plain, own = events(
        batch(
            [
                {"type": "a"},
                {
                    "type": "b",
                    "id": "1",
                    "project": "q",
                    "userId": "w",
                    "visitorId": "x",
                    "sessionId": "t",
                    "url": "/inner",
                    "timestamp": NOW,
                    "experiments": {"c": "d"},
                },
            ],
            outer=outer,
        )
    )
    assert plain == Event("a", "p", None, NOW - 5000, NOW, "/outer", "u", "v", "s", b"{}", {"a": "b"}, decoded={})
    assert own == Event("b", "q", "1", NOW, NOW, "/inner", "w", "x", "t", b"{}", {"c": "d"}, decoded={})


def test_elements_of_a_batch_may_be_of_any_form() -> None:
    first, second, third = events(batch([CLOUD_EVENT, TRACK, PAGE], outer={"projectKey": "p"}))
    assert [first.type, second.type, third.type] == ["com.github.pull_request.opened", "Course Clicked", "page"]
    assert {first.project, second.project, third.project} == {"p"}


def test_a_batch_of_one_is_still_a_batch() -> None:
    assert len(batch([{"type": "a"}])) == 1


def test_a_batch_inside_a_batch_is_refused() -> None:
    (element,) = batch([{"events": [{"type": "a"}]}])
    assert isinstance(element, InvalidEvent)
    assert element.reason is Reason.UNSUPPORTED_FORM


def test_the_time_of_a_batch_must_be_a_moment() -> None:
    value = json.dumps({"timestamp": "2026-09-21T00:00:00", "events": [{"type": "a"}]}).encode()
    assert refused(value).reason is Reason.INVALID_TIMESTAMP


def test_a_replayed_batch_has_ids_for_its_elements() -> None:
    replay = [("scorekeeper-replay", b"events/3/42")]
    first, second = events(batch([{"type": "a"}, {"type": "b", "id": "own"}], replay))
    assert (first.id, second.id) == ("replay:events/3/42/0", "own")


def test_of_a_replayed_element_only_that_one_counts() -> None:
    value = json.dumps({"events": [{"type": "a"}, {"type": "b"}, {}]}).encode()
    event = parse_message(value, NOW, [("scorekeeper-replay", b"events/3/42/1")], RULES)
    assert isinstance(event, Event)
    assert (event.type, event.id) == ("b", "replay:events/3/42/1")
    assert refused(value, [("scorekeeper-replay", b"events/3/42/2")]).reason is Reason.MISSING_TYPE
    assert refused(value, [("scorekeeper-replay", b"events/3/42/3")]).reason is Reason.NOT_AN_EVENT


def test_raw_data_is_the_text_that_was_sent() -> None:
    parsed = parse_message(b'{"type":"a","data": {"x" : 1.500}}', NOW, None, RULES)
    assert isinstance(parsed, Event)
    assert isinstance(parsed.data, msgspec.Raw)
    assert bytes(parsed.data) == b'{"x" : 1.500}'
