"""Messages that break careless readers: each is an event after all, or refused with its reason."""

from __future__ import annotations

import gzip
import json
import sys
import threading

import pytest

from app.domain.event import Event
from app.domain.parsing import MAX_BATCH, MAX_MESSAGE_BYTES, ParsingRules, parse_message
from app.domain.properties import exact_number
from app.errors import InvalidEvent, Reason

NOW = 1_790_000_000_000
RULES = ParsingRules()
GOOD = b'{"type":"purchase","projectKey":"shop","data":{"amount":5}}'


def with_data(data: bytes) -> bytes:
    return b'{"type":"purchase","projectKey":"shop","data":' + data + b"}"


def padded(size: int) -> bytes:
    start, end = b'{"type":"t","projectKey":"p","pad":"', b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    """Data with so many levels in it, the event itself and `data` included."""
    return with_data(b'{"a":' + opening * (levels - 2) + b"1" + closing * (levels - 2) + b"}")


REFUSED: list[tuple[str, bytes | None, Reason]] = [
    ("tombstone", None, Reason.EMPTY),
    ("empty", b"", Reason.EMPTY),
    ("blank", b" \n\t ", Reason.EMPTY),
    ("truncated", GOOD[:-9], Reason.INVALID_JSON),
    ("truncated in a string", GOOD[:15], Reason.INVALID_JSON),
    ("not JSON", b"hello", Reason.INVALID_JSON),
    ("two documents", GOOD + GOOD, Reason.INVALID_JSON),
    ("single quotes", b"{'type':'a'}", Reason.INVALID_JSON),
    ("trailing comma", b'{"type":"a",}', Reason.INVALID_JSON),
    ("comment", b'{"type":"a"} // x', Reason.INVALID_JSON),
    ("raw control character", b'{"type":"a\nb"}', Reason.INVALID_JSON),
    ("NaN", with_data(b'{"a":NaN}'), Reason.INVALID_JSON),
    ("Infinity", with_data(b'{"a":[-Infinity]}'), Reason.INVALID_JSON),
    ("1e999", with_data(b'{"a":1e999}'), Reason.INVALID_NUMBER),
    ("-1e999, nested", with_data(b'{"a":{"b":[-1E+999]}}'), Reason.INVALID_NUMBER),
    ("1e999 as timestamp", b'{"type":"t","projectKey":"p","timestamp":1e999}', Reason.INVALID_NUMBER),
    ("5,000 digits", with_data(b'{"a":' + b"9" * 5000 + b"}"), Reason.INVALID_NUMBER),
    ("65 levels of arrays", nested(65), Reason.TOO_DEEP),
    ("65 levels of objects", nested(65, b'{"a":', b"}"), Reason.TOO_DEEP),
    (
        "600 levels, unread field",
        b'{"type":"t","projectKey":"p","x":' + b"[" * 600 + b"]" * 600 + b"}",
        Reason.TOO_DEEP,
    ),
    ("100,000 levels", nested(100_000), Reason.TOO_DEEP),
    ("100,000 levels, never closed", b"[" * 100_000, Reason.TOO_DEEP),
    ("lone surrogate", with_data(b'{"a":"\\ud800"}'), Reason.INVALID_JSON),
    ("surrogates in the wrong order", with_data(b'{"a":"\\udc00\\ud800"}'), Reason.INVALID_JSON),
    ("lone surrogate in a key", with_data(b'{"\\udfff":1}'), Reason.INVALID_JSON),
    ("invalid UTF-8", with_data(b'{"a":"\xff"}'), Reason.NOT_UTF8),
    ("overlong UTF-8", with_data(b'{"a":"\xc0\xaf"}'), Reason.NOT_UTF8),
    ("a surrogate as UTF-8", with_data(b'{"a":"\xed\xa0\x80"}'), Reason.NOT_UTF8),
    ("Latin-1", '{"type":"käse","projectKey":"p"}'.encode("latin-1"), Reason.NOT_UTF8),
    ("UTF-16 with a mark", GOOD.decode().encode("utf-16"), Reason.NOT_UTF8),
    ("UTF-16 little-endian", GOOD.decode().encode("utf-16-le"), Reason.NOT_UTF8),
    ("UTF-16 big-endian", GOOD.decode().encode("utf-16-be"), Reason.NOT_UTF8),
    ("UTF-32", GOOD.decode().encode("utf-32-be"), Reason.NOT_UTF8),
    ("byte order mark", b"\xef\xbb\xbf" + GOOD, Reason.INVALID_JSON),
    ("gzip", gzip.compress(GOOD), Reason.NOT_UTF8),
    ("over 1 MiB", padded(MAX_MESSAGE_BYTES + 1), Reason.TOO_LARGE),
    ("over the broker's limit", padded(3_000_000), Reason.TOO_LARGE),
    ("null", b"null", Reason.NOT_AN_EVENT),
    ("a number", b"17", Reason.NOT_AN_EVENT),
    ("a string", b'"purchase"', Reason.NOT_AN_EVENT),
    ("a boolean", b"true", Reason.NOT_AN_EVENT),
    ("an array", b"[" + GOOD + b"]", Reason.NOT_AN_EVENT),
    ("an empty object", b"{}", Reason.MISSING_TYPE),
    ("wrong types", b'{"type":{},"projectKey":[],"id":1,"data":"x"}', Reason.INVALID_FIELD),
    ("data that is a list", with_data(b"[]"), Reason.INVALID_FIELD),
    ("no project", b'{"type":"t"}', Reason.NO_PROJECT),
    ("an old event", b'{"type":"t","projectKey":"p","timestamp":"1970-01-01T00:00:00Z"}', Reason.TOO_OLD),
    ("an event to come", b'{"type":"t","projectKey":"p","timestamp":"9999-01-01T00:00:00Z"}', Reason.IN_THE_FUTURE),
    ("a time that is none", b'{"type":"t","projectKey":"p","timestamp":"32:99"}', Reason.INVALID_TIMESTAMP),
    ("another CloudEvents", b'{"specversion":"0.3","type":"t","source":"/a","id":"1"}', Reason.UNSUPPORTED_FORM),
    ("an empty batch", b'{"projectKey":"p","events":[]}', Reason.EMPTY_BATCH),
    ("a batch that is none", b'{"projectKey":"p","events":{}}', Reason.INVALID_FIELD),
    ("a huge batch", b'{"events":[' + b"{}," * MAX_BATCH + b"{}]}", Reason.BATCH_TOO_LARGE),
]


@pytest.mark.parametrize(("value", "reason"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_poison_is_refused_with_its_reason(value: bytes | None, reason: Reason) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parse_message(value, NOW, None, RULES)
    assert caught.value.reason is reason
    assert caught.value.detail


def test_every_reason_that_parsing_gives_is_tried() -> None:
    assert {reason for _, _, reason in REFUSED} == set(Reason) - {Reason.UNKNOWN_PROJECT}


ACCEPTED: list[tuple[str, bytes]] = [
    ("2^64", with_data(b'{"a":18446744073709551616}')),
    ("4,300 digits", with_data(b'{"a":' + b"9" * 4300 + b"}")),
    ("a tiny number", with_data(b'{"a":1e-999}')),
    ("many decimals", with_data(b'{"a":0.' + b"1" * 5000 + b"}")),
    ("1e308", with_data(b'{"a":1.7e308}')),
    ("1e999 in a string", with_data(b'{"a":"1e999","b":"NaN"}')),
    ("brackets in strings", with_data(b'{"a":"' + b"[{" * 1000 + b'\\""}')),
    ("64 levels of arrays", nested(64)),
    ("64 levels of objects", nested(64, b'{"a":', b"}")),
    ("many shallow arrays", with_data(b'{"a":[' + b"[],{}," * 500 + b"0]}")),
    ("a pair of surrogates", with_data(b'{"a":"\\ud83d\\ude00"}')),
    ("NUL", with_data(b'{"a":"\\u0000"}')),
    ("1 MiB", padded(MAX_MESSAGE_BYTES)),
    ("ANSI", json.dumps({"type": "\x1b[31mred\x1b[0m", "projectKey": "p"}).encode()),
    ("bidi", json.dumps({"type": "\u202egnp.exe", "projectKey": "p"}, ensure_ascii=False).encode()),
    ("a url that is none", b'{"type":"t","projectKey":"p","url":"http://[::1"}'),
    ("a hostile project", b'{"type":"t","projectKey":"{x}:*"}'),
    ("spaces around", b" \r\n" + GOOD + b"\n"),
]


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in ACCEPTED])
def test_what_only_looks_like_poison_is_an_event(value: bytes) -> None:
    parsed = parse_message(value, NOW, None, RULES)
    assert isinstance(parsed, Event)
    assert isinstance(parsed.properties, dict)


def test_no_digit_of_a_great_number_is_lost() -> None:
    parsed = parse_message(with_data(b'{"a":18446744073709551617}'), NOW, None, RULES)
    assert isinstance(parsed, Event)
    assert parsed.properties["a"] == 2**64 + 1
    assert exact_number(parsed.data, ("a",)) is None


DEEP = [value for _, value, _ in REFUSED if value and b"[[[" in value]
DEEP_ELEMENT = b'{"projectKey":"p","events":[' + GOOD + b"," + nested(700) + b"]}"


@pytest.mark.parametrize("value", [*DEEP, DEEP_ELEMENT])
def test_depth_is_judged_alike_however_deep_the_caller_stands(value: bytes) -> None:
    found: list[object] = []

    def parse_at(depth: int) -> None:
        if depth:
            parse_at(depth - 1)
            return
        try:
            found.append(parse_message(value, NOW, None, RULES))
        except InvalidEvent as error:
            found.append(error.reason)

    for depth in (0, sys.getrecursionlimit() // 3):
        thread = threading.Thread(target=parse_at, args=(depth,))
        thread.start()
        thread.join()
    assert found == [Reason.TOO_DEEP, Reason.TOO_DEEP]


def test_a_bad_element_of_a_batch_stops_none_of_its_neighbours() -> None:
    bad = [b'{"type":"t","data":{"a":1e999}}', nested(65), b"[]", b"{}", b'{"type":"t","id":1}']
    elements = [element for poison in bad for element in (GOOD, poison)] + [GOOD]
    parsed = parse_message(b'{"projectKey":"p","events":[' + b",".join(elements) + b"]}", NOW, None, RULES)
    assert isinstance(parsed, list)
    reasons = [element.reason if isinstance(element, InvalidEvent) else None for element in parsed]
    assert reasons[1::2] == [
        Reason.INVALID_NUMBER,
        Reason.TOO_DEEP,
        Reason.NOT_AN_EVENT,
        Reason.MISSING_TYPE,
        Reason.INVALID_FIELD,
    ]
    assert reasons[::2] == [None] * 6
