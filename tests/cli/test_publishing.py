"""`scorekeeper publish`: how a line becomes a message."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from api.event_bodies import Piece, judge
from app.cli.publishing import message_of
from app.domain.parsing import ParsingRules


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (b'{"userId": "u", "visitorId": "v", "id": "i"}', b"u"),
        (b'{"visitorId": "v", "anonymousId": "a", "id": "i"}', b"v"),
        (b'{"anonymousId": "a", "id": "i"}', b"a"),
        (b'{"id": "i"}', b"i"),
        (b'{"userId": "", "visitorId": null, "id": "i"}', b"i"),
        (b'{"userId": 7}', b"7"),
        (b'{"retracts": "e", "id": "i"}', b"e"),
        (b'{"restates": "e", "id": "i"}', b"e"),
        (b'{"retracts": "e", "visitorId": "v"}', b"v"),
        (b'{"eventId": "e"}', b"e"),
        (b'{"type": "track", "event": "x", "messageId": "m"}', b"m"),
        (b'{"specversion": "1.0", "type": "x", "source": "/s", "id": "i"}', b"/s i"),
        (b'{"specversion": "1.0", "type": "x", "source": "/s", "id": "i", "userid": "u", "data": {}}', b"u"),
        (b'{"specversion": "1.0", "type": "x", "source": "/s", "id": "i", "data": {"anonymousId": "a"}}', b"a"),
        (b'{"specversion": "0.3", "type": "x", "id": "i"}', b"i"),
        (b'{"userId": "J\\u00f6rg"}', "Jörg".encode()),
        ('{"userId": "Jörg"}'.encode(), "Jörg".encode()),
        (b'{"type": "x"}', None),
        (b"[1, 2]", None),
        (b'"text"', None),
    ],
)
def test_a_message_is_keyed_by_its_subject(line: bytes, key: bytes | None) -> None:
    assert message_of(line, None).key == key


@pytest.mark.parametrize(
    "event",
    [
        {"type": "x", "eventId": "e"},
        {"type": "x", "id": "e", "anonymousId": "a"},
        {"type": "$retract", "eventType": "x", "retracts": "e", "id": "r"},
        {"type": "track", "event": "x", "messageId": "m"},
        {"specversion": "1.0", "type": "x", "source": "/s", "id": "i"},
        {"specversion": "1.0", "type": "x", "source": "/s", "id": "i", "data": {"userId": "u"}},
    ],
)
def test_an_event_has_the_key_that_it_has_over_http(event: dict[str, Any]) -> None:
    line = json.dumps(event).encode()
    ((key, _, _),) = judge([Piece("", line)], "shop", 0, ParsingRules()).messages
    assert message_of(line, "shop").key == key


@pytest.mark.parametrize("line", [b'{"a":  1.50, "a": 1e2}', b'{"x":"\xc3\xa4"}', b"null"])
def test_the_bytes_are_not_changed(line: bytes) -> None:
    assert message_of(line, "shop").value == line


@pytest.mark.parametrize("line", [b"{", b"not json", b'{"a": NaN}', b'{"a": 1} x', b'{"a": "\xff"}', b"[" * 100_000])
def test_a_line_that_is_not_json_is_refused(line: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, RecursionError)):
        message_of(line, None)


@pytest.mark.parametrize(
    ("line", "project", "headers"),
    [
        (b'{"type": "x"}', "shop", [("project", b"shop")]),
        (b'{"type": "x"}', None, []),
        (b'{"projectKey": "mine"}', "shop", []),
        (b'{"projectId": "mine"}', "shop", []),
        (b'{"project": "mine"}', "shop", []),
        (b'{"projectKey": ""}', "shop", [("project", b"shop")]),
    ],
)
def test_the_project_is_a_header_where_the_event_names_none(
    line: bytes, project: str | None, headers: list[tuple[str, bytes]]
) -> None:
    assert list(message_of(line, project).headers) == headers
