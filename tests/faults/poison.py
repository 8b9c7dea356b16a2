"""Messages that break careless readers, each with the reason under which it has to be dead-lettered."""

from __future__ import annotations

import gzip
import json
from typing import Final

GOOD: Final = b'{"type":"purchase","projectKey":"shop","data":{"amount":5}}'


def _with(data: bytes) -> bytes:
    return b'{"type":"purchase","projectKey":"shop","data":' + data + b"}"


POISON: Final[dict[bytes | None, str]] = {
    None: "empty",
    b"": "empty",
    b" \n": "empty",
    GOOD[:-9]: "invalid_json",
    b"hello": "invalid_json",
    GOOD + GOOD: "invalid_json",
    _with(b'{"a":NaN}'): "invalid_json",
    _with(b'{"a":-Infinity}'): "invalid_json",
    _with(b'{"a":1e999}'): "invalid_number",
    _with(b'{"a":' + b"9" * 5000 + b"}"): "invalid_number",
    _with(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"): "too_deep",
    b"[" * 100_000: "too_deep",
    _with(b'{"a":"\\ud800"}'): "invalid_json",
    _with(b'{"a":"\xff"}'): "not_utf8",
    GOOD.decode().encode("utf-16"): "not_utf8",
    b"\xef\xbb\xbf" + GOOD: "invalid_json",
    gzip.compress(GOOD, mtime=0): "not_utf8",
    b"null": "not_an_event",
    b"[1]": "not_an_event",
    b"{}": "missing_type",
    b'{"type":{},"projectKey":[],"id":1,"data":"x"}': "invalid_field",
    b'{"type":"purchase"}': "no_project",
    b'{"type":"purchase","projectKey":"shop","timestamp":"1970-01-01T00:00:00Z"}': "too_old",
    b'{"type":"purchase","projectKey":"shop","timestamp":"9999-01-01T00:00:00Z"}': "in_the_future",
    b'{"type":"purchase","projectKey":"shop","timestamp":"32:99"}': "invalid_timestamp",
    b'{"type":"purchase","projectKey":"{x}:*"}': "unknown_project",
    json.dumps({"type": "purchase", "projectKey": "\x1b[31m\u202eshop"}).encode(): "unknown_project",
    b'{"projectKey":"shop","events":[]}': "empty_batch",
}

LOOKS_LIKE_POISON: Final[tuple[dict[str, object], ...]] = (
    {"data": {"amount": 2**64, "plan": "pro"}},
    {"url": "http://[::1"},
    {"data": {"note": "\x1b[31mred \u202egnp.exe", "amount": 7}},
    {"data": {"plan": "\u0000"}},
    {"id": ""},
    {"data": {}},
)
"""Fields that replace those of a valid event, and leave it valid."""
