"""Foreign forms, each rewritten into the native one: CloudEvents 1.0 (structured and binary) and the Segment spec.

A document is a mapping from field names to raw JSON, so that values move unread and numbers stay exact. Pure; what is
wrong inside a field is found when the native document is parsed.

Sources: CloudEvents 1.0.2 with its JSON format and Kafka protocol binding; Segment spec, "Track", "Page", "Screen" and
"Experiment Viewed".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from app.errors import InvalidEvent, Reason

Document: TypeAlias = "dict[str, msgspec.Raw]"

ABSENT: Final = msgspec.Raw()
"""The field is not there. Compared by identity."""
SEGMENT_TYPES: Final = frozenset({"track", "page", "screen"})

_encode: Final = msgspec.json.Encoder().encode
_decode_any: Final = msgspec.json.Decoder().decode
_decode_raw: Final = msgspec.json.Decoder(msgspec.Raw).decode
_decode_document: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_EXTENSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "projectKey": ("projectkey", "projectid", "project", "projectKey", "projectId"),
    "userId": ("userid", "userId"),
    "visitorId": ("visitorid", "anonymousid", "visitorId", "anonymousId"),
    "sessionId": ("sessionid", "sessionId"),
    "url": ("url",),
    "experiments": ("experiments",),
}
"""Native field -> the CloudEvents extension attributes that fill it (the standard's names are lower-case)."""
_IN_DATA: Final[Mapping[str, tuple[str, ...]]] = {
    "userId": ("userId",),
    "visitorId": ("visitorId", "anonymousId"),
    "sessionId": ("sessionId",),
    "url": ("url",),
}
"""Native field -> where it is looked for in `data` when no attribute fills it."""


def cloud_event(document: Document, project: str = "") -> tuple[Document, str]:
    """A CloudEvent in its JSON format -> the native document and the identity `source id`.

    A source is a URI reference, without spaces, so that the joined identity is one for one (source, id). Raises
    InvalidEvent(UNSUPPORTED_FORM, MISSING_TYPE, INVALID_FIELD) on behalf of the project.
    """
    version = _text(document.get("specversion"))
    if version != "1.0":
        raise InvalidEvent(
            Reason.UNSUPPORTED_FORM, f"CloudEvents 1.0 is understood, not specversion {version!r}", project=project
        )
    if "data_base64" in document:
        raise InvalidEvent(
            Reason.UNSUPPORTED_FORM, "binary data has no properties; send JSON", field="data_base64", project=project
        )
    source, ident = _text(document.get("source")), _text(document.get("id"))
    if not source or any(character.isspace() for character in source):
        raise InvalidEvent(
            Reason.INVALID_FIELD, "a CloudEvent needs one, a URI reference", field="source", project=project
        )
    if not ident:
        raise InvalidEvent(Reason.INVALID_FIELD, "a CloudEvent needs one", field="id", project=project)
    if not _text(document.get("type")):
        raise InvalidEvent(Reason.MISSING_TYPE, "a CloudEvent needs one", field="type", project=project)
    native: Document = {"type": document["type"]}
    if "time" in document:
        native["timestamp"] = document["time"]
    if "data" in document:
        native["data"] = document["data"]
    _fill(native, document, _EXTENSIONS)
    inner = _object(document.get("data"))
    _fill(native, {name: raw for name, raw in inner.items() if _text(raw)}, _IN_DATA)
    return native, f"{source} {ident}"


def _fill(native: Document, source: Document, table: Mapping[str, tuple[str, ...]]) -> None:
    for name, candidates in table.items():
        for candidate in candidates:
            if candidate in source:
                native.setdefault(name, source[candidate])


def cloud_event_of_headers(attributes: Mapping[str, str], value: bytes | None) -> Document:
    """A CloudEvent in binary mode -> its JSON format. `value` is valid UTF-8.

    Raises InvalidEvent(UNSUPPORTED_FORM) for data that is not JSON by its content type, and msgspec's errors for data
    that is none by its text.
    """
    content_type = attributes.get("datacontenttype", "application/json").partition(";")[0].strip().lower()
    document: Document = {name: msgspec.Raw(_encode(text)) for name, text in attributes.items() if name != "data"}
    if value:
        if content_type not in ("application/json", "text/json") and not content_type.endswith("+json"):
            raise InvalidEvent(Reason.UNSUPPORTED_FORM, f"content-type: {content_type!r} is not JSON")
        # Decoded by itself, so that a value cannot break out of its field and into the others.
        document["data"] = _decode_raw(value)
    return document


def segment_event(document: Document) -> Document | None:
    """A `track`, `page` or `screen` call of the Segment spec -> the native document; None when it is native already.

    A track call's type is its `event`. A page or screen call keeps `page` or `screen`, and its `name` and `category`
    become properties. The url is the properties' (page calls carry it there), else `context.page.url`. `Experiment
    Viewed` becomes an assignment.
    """
    call = _text(document.get("type")) or _text(document.get("eventType"))
    properties = _object(document.get("properties"))
    native = dict(document)
    if call == "track":
        if not _text(document.get("event")):
            return None
        native["type"] = document["event"]
    elif "data" in document:
        return None
    else:
        named = {name: document[name] for name in ("category", "name") if _text(document.get(name))}
        if named:
            native["properties"] = msgspec.Raw(_encode({**named, **properties}))
    if not _text(native.get("url")):
        page = _object(_object(document.get("context")).get("page"))
        found = [source["url"] for source in (properties, page) if _text(source.get("url"))]
        native.pop("url", None)
        if found:
            native["url"] = found[-1] if call == "track" else found[0]
    if _text(native.get("type")) == "Experiment Viewed" and "experiments" not in document:
        _assign(native, properties)
    return native


def _assign(native: Document, properties: Document) -> None:
    experiment = _first(properties, "experiment_id", "experimentId", "experiment_name", "experimentName")
    variant = _first(properties, "variation_id", "variationId", "variation_name", "variationName")
    if experiment and variant:
        native["experiments"] = msgspec.Raw(_encode({experiment: variant}))


def _first(properties: Document, *names: str) -> str:
    for name in names:
        found = _decode_any(properties[name]) if name in properties else None
        if isinstance(found, int | str) and not isinstance(found, bool) and found != "":
            return str(found)
    return ""


def _text(raw: msgspec.Raw | None) -> str:
    """The string that the raw JSON is, else an empty one."""
    if raw is None or bytes(raw)[:1] != b'"':
        return ""
    return str(_decode_any(raw))


def _object(raw: msgspec.Raw | None) -> Document:
    """The members of the object that the raw JSON is, else none."""
    if raw is None or bytes(raw)[:1] != b"{":
        return {}
    return _decode_document(raw)
