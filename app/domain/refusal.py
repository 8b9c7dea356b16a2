"""Refusal: why a message can never be counted. The slow path of parsing, taken only by a message that failed."""

from __future__ import annotations

import json
import re
from typing import Final

import msgspec

from app.errors import InvalidEvent, Reason

MAX_DEPTH: Final = 64
"""How deep objects and arrays may be nested in an event, the event itself included."""

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A JSON string, or an unfinished one at the end. Possessive: linear whatever the text is."""
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"{}[]"))
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_JSON_NUMBER: Final = re.compile(rb"[:\[,]\s*-?(?:NaN|Infinity)")
_MOST_SHOWN: Final = 40
_LONGEST: Final = re.compile(r"of length <= (\d+)")
_AT: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")

_decode_any: Final = msgspec.json.Decoder().decode


def depth(value: bytes, enough: int) -> int:
    """How deep brackets are nested outside strings; stops counting beyond `enough`."""
    deepest = level = 0
    for bracket in _STRING.sub(b"", value).translate(None, _NOT_BRACKETS):
        if bracket in b"{[":
            level += 1
            if level > deepest:
                deepest = level
                if deepest > enough:
                    break
        else:
            level -= 1
    return deepest


def too_deep(project: str) -> InvalidEvent:
    return InvalidEvent(Reason.TOO_DEEP, f"objects and arrays are nested deeper than {MAX_DEPTH}", project=project)


def not_text(value: bytes, error: UnicodeDecodeError, project: str) -> InvalidEvent:
    """Why bytes that are not UTF-8 are refused, with a guess at what they are."""
    if value[:2] == b"\x1f\x8b":
        detail = "the value looks gzipped; let the producer compress (compression.type), not the program"
    elif value[:2] in (b"\xff\xfe", b"\xfe\xff"):
        detail = "the value looks like UTF-16"
    else:
        detail = f"byte {error.start} is not UTF-8"
    return InvalidEvent(Reason.NOT_UTF8, detail, project=project)


def refusal(value: bytes, error: Exception, project: str) -> InvalidEvent:
    """Why the decoder refused a value that is valid UTF-8."""
    if isinstance(error, RecursionError):
        return too_deep(project)
    try:
        document = _decode_any(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as syntax:
        return _not_json(value, syntax, project)
    if not isinstance(document, dict):
        detail = f"the value is {_kind(document)}, not an object"
        if isinstance(document, list):
            detail += '; several events in one message are {"events": [...]}'
        return InvalidEvent(Reason.NOT_AN_EVENT, detail, project=project)
    return _wrong_field(document, error, project_of(document) or project)


def wrong_data(name: str, error: Exception, project: str) -> InvalidEvent:
    """Why the properties of an event were refused. They are JSON, so it can only be a number."""
    return InvalidEvent(Reason.INVALID_NUMBER, str(error).partition(" - at")[0], field=name, project=project)


def project_of(document: dict[str, object]) -> str:
    """The project that a document names, if it names one."""
    for name in ("projectKey", "projectId", "project"):
        found = document.get(name)
        if isinstance(found, str) and found:
            return found
    return ""


def _not_json(value: bytes, error: Exception, project: str) -> InvalidEvent:
    if isinstance(error, RecursionError):
        return too_deep(project)
    if isinstance(error, msgspec.ValidationError):
        return InvalidEvent(Reason.INVALID_NUMBER, str(error).partition(" - at")[0], project=project)
    if not value.strip(b" \t\r\n"):
        return InvalidEvent(Reason.EMPTY, "the value is blank", project=project)
    reason, detail = Reason.INVALID_JSON, str(error)
    if value[:3] == b"\xef\xbb\xbf":
        detail = "the value begins with a byte order mark"
    elif b"\0" in value[:4]:
        reason, detail = Reason.NOT_UTF8, "the value looks like UTF-16 or UTF-32"
    elif _SURROGATE.search(value) and ("truncated" in detail or "surrogate" in detail):
        detail = "a string holds half of a surrogate pair"
    elif _NOT_JSON_NUMBER.search(value):
        detail = "NaN and Infinity are not JSON"
    return InvalidEvent(reason, detail, project=project)


def _wrong_field(document: dict[str, object], error: Exception, project: str) -> InvalidEvent:
    text = str(error)
    found = _AT.search(text)
    name = found["path"].partition("[")[0] if found else ""
    value = document.get(name)
    problem = text[: found.start()] if found else text
    reason = Reason.INVALID_TIMESTAMP if name == "timestamp" else Reason.INVALID_FIELD
    if isinstance(value, str) and (most := _LONGEST.search(problem)):
        problem = f"it has {len(value)} characters; at most {most[1]} are allowed"
    elif problem.startswith(("Expected", "Invalid RFC3339")):
        problem = _wrong_kind(name, value)
    return InvalidEvent(reason, problem, field=name, project=project)


def _wrong_kind(name: str, value: object) -> str:
    if name == "timestamp":
        return f"{_shown(value)} is not an RFC 3339 date-time (nor epoch milliseconds)"
    if name == "experiments" and isinstance(value, dict):
        wrong = [one for one in value.items() if isinstance(one[1], bool) or not isinstance(one[1], str | int)]
        where, value = (f"{_shown(wrong[0][0])} has ", wrong[0][1]) if wrong else ("", value)
        return f"{where}{_shown(value)}; a variant is a string or a whole number"
    if name == "experiments":
        return f"{_shown(value)} is {_kind(value)}, not an object"
    quoted = f'; put it in quotes: "{value}"' if type(value) in (int, float) else ""
    return f"{_shown(value)} is {_kind(value)}, not a string{quoted}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"


def _kind(document: object) -> str:
    if document is None:
        return "null"
    if isinstance(document, bool):
        return "a boolean"
    if isinstance(document, list | dict):
        return "an array" if isinstance(document, list) else "an object"
    return "a string" if isinstance(document, str) else "a number"
