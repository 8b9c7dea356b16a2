"""Parsing: the bytes of one message -> the event or events in it. The hot path: about two microseconds an event.

A message is judged as a whole and at once: whether it is valid never depends on which definitions exist. What must hold
is tested in the order of cost; only a message that failed pays for finding out why (`refusal.py`). Foreign forms are
first rewritten into the native one (`formats.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias, cast

import msgspec
from msgspec import structs

from app.domain.envelope import NO_ENVELOPE, Envelope, read_headers
from app.domain.event import Event
from app.domain.formats import (
    ABSENT,
    SEGMENT_TYPES,
    Document,
    cloud_event,
    cloud_event_of_headers,
    segment_event,
)
from app.domain.native import (
    RESTATE,
    RETRACT,
    Message,
    assignments,
    complete,
    correction_of,
    event_of,
    milliseconds,
    project_of,
)
from app.domain.native import ParsingRules as ParsingRules
from app.domain.refusal import MAX_DEPTH, depth, not_text, refusal, too_deep
from app.errors import InvalidEvent, Reason

MAX_MESSAGE_BYTES: Final = 1_048_576
MAX_BATCH: Final = 1000
DEEPEST: Final = 512
"""No message is looked into beyond this: well below the decoder's own limit, which moves with the stack."""

_SPECIAL: Final = frozenset({RETRACT, RESTATE, *SEGMENT_TYPES})

_ARRAY: Final = ord("[")

Parsed: TypeAlias = "Event | list[Event | InvalidEvent]"

_decode: Final = msgspec.json.Decoder(Message).decode
_decode_elements: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_document: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


def parse_message(
    value: bytes | None,
    received_at: int,
    headers: Sequence[tuple[str, bytes]] | None,
    rules: ParsingRules,
) -> Parsed:
    """The event of a message, or for a batch message the list of its events in order, where an element that can never
    be counted is an InvalidEvent in its place.

    `received_at` is the record's broker timestamp (epoch ms): age is measured from it, so that the same log always
    gives the same events. Of the headers `project`, the `ce_` headers of CloudEvents and `scorekeeper-replay` are read
    (see `Envelope`). Raises InvalidEvent when the message as a whole can never be counted, and nothing else.
    """
    if not headers and value and value.isascii() and len(value) <= MAX_MESSAGE_BYTES and not _may_be_deep(value):
        # Nearly every message. What is not plain here is looked at once more, from the beginning.
        try:
            message = _decode(value)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise refusal(value, error, "") from None
        kind = message.type or message.event_type
        if kind and kind not in _SPECIAL and message.specversion is ABSENT:
            return event_of(message, kind, received_at, rules)
    if headers:
        envelope = read_headers(headers)
        if envelope.cloud_event is not None:
            return _parse_binary_cloud_event(envelope.cloud_event, value, received_at, rules, envelope)
    else:
        envelope = NO_ENVELOPE
    if not value:
        raise InvalidEvent(Reason.EMPTY, "the message has no value", project=envelope.project)
    if len(value) > MAX_MESSAGE_BYTES or not value.isascii():
        _refuse_bytes(value, envelope.project)
    return _parse(value, received_at, rules, envelope)


def _refuse_bytes(value: bytes, project: str) -> None:
    if len(value) > MAX_MESSAGE_BYTES:
        raise InvalidEvent(Reason.TOO_LARGE, f"{len(value)} bytes; at most {MAX_MESSAGE_BYTES}", project=project)
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise not_text(value, error, project) from None


def _may_be_deep(value: bytes) -> bool:
    # Most events have no array, and to look for one costs a tenth of counting brackets.
    braces = value.count(b"{")
    return braces > MAX_DEPTH or (_ARRAY in value and braces + value.count(b"[") > MAX_DEPTH)


def _parse(value: bytes, received_at: int, rules: ParsingRules, envelope: Envelope) -> Parsed:
    levels = 0
    if _may_be_deep(value):
        levels = depth(value, DEEPEST)
        if levels > DEEPEST:
            raise too_deep(envelope.project)
    try:
        message = _decode(value)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise refusal(value, error, envelope.project) from None
    if envelope is not NO_ENVELOPE:
        complete(message, envelope)
    kind = message.type or message.event_type
    if not kind or kind in _SPECIAL or message.specversion is not ABSENT:
        return _parse_special(value, message, levels, received_at, rules, envelope)
    if levels > MAX_DEPTH:
        raise too_deep(project_of(message))
    return event_of(message, kind, received_at, rules)


def _parse_special(
    value: bytes, message: Message, levels: int, received_at: int, rules: ParsingRules, envelope: Envelope
) -> Parsed:
    kind = message.type or message.event_type
    if not kind and message.events is not ABSENT:
        return _batch(message, received_at, rules, envelope)
    project = project_of(message)
    if levels > MAX_DEPTH:
        raise too_deep(project)
    if message.specversion is not ABSENT:
        native, ident = cloud_event(_decode_document(value), project)
        return structs.replace(_native(native, received_at, rules, envelope), id=ident)
    if not kind:
        raise InvalidEvent(Reason.MISSING_TYPE, "missing", field="type", project=project)
    if message.type in (RETRACT, RESTATE) or kind in (RETRACT, RESTATE):
        return correction_of(message, kind, received_at, rules)
    rewritten = segment_event(_decode_document(value))
    if rewritten is None:
        return event_of(message, kind, received_at, rules)
    return _native(rewritten, received_at, rules, envelope)


def _native(document: Document, received_at: int, rules: ParsingRules, envelope: Envelope) -> Event:
    """The event of a document that a normaliser made: its type is final, whatever it is called."""
    value = _encode(document)
    try:
        message = _decode(value)
    except msgspec.MsgspecError as error:
        raise refusal(value, error, envelope.project) from None
    complete(message, envelope)
    return event_of(message, message.type or message.event_type or "", received_at, rules)


def _parse_binary_cloud_event(
    attributes: Mapping[str, str], value: bytes | None, received_at: int, rules: ParsingRules, envelope: Envelope
) -> Parsed:
    if value:
        _refuse_bytes(value, envelope.project)
    try:
        document = cloud_event_of_headers(attributes, value)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise refusal(value or b"", error, envelope.project) from None
    return _parse(_encode(document), received_at, rules, envelope)


def _batch(message: Message, received_at: int, rules: ParsingRules, envelope: Envelope) -> Parsed:
    project = project_of(message)
    if envelope.is_batch:
        raise InvalidEvent(Reason.UNSUPPORTED_FORM, "a batch inside a batch", field="events", project=project)
    try:
        elements = _decode_elements(message.events)
    except msgspec.ValidationError:
        raise InvalidEvent(Reason.INVALID_FIELD, "not an array", field="events", project=project) from None
    if not elements:
        raise InvalidEvent(Reason.EMPTY_BATCH, "empty", field="events", project=project)
    if len(elements) > MAX_BATCH:
        problem = f"{len(elements)} in one message; at most {MAX_BATCH}"
        raise InvalidEvent(Reason.BATCH_TOO_LARGE, problem, field="events", project=project)
    outer = Envelope(
        project=project,
        user_id=message.user_id or "",
        visitor_id=message.visitor_id or message.anonymous_id or "",
        session_id=message.session_id or "",
        url=message.url or "",
        occurred_at=None if message.timestamp is None else milliseconds(message.timestamp, project),
        experiments=assignments(message.experiments, project) if message.experiments else None,
        is_batch=True,
    )
    if envelope.only is None:
        return [
            _element(element, received_at, rules, replace(outer, ident=f"{envelope.ident}/{index}"))
            if envelope.ident
            else _element(element, received_at, rules, outer)
            for index, element in enumerate(elements)
        ]
    if envelope.only >= len(elements):
        raise InvalidEvent(Reason.NOT_AN_EVENT, f"there is no element {envelope.only}", field="events", project=project)
    only = _element(elements[envelope.only], received_at, rules, replace(outer, ident=envelope.ident))
    if isinstance(only, InvalidEvent):
        raise only
    return only


def _element(raw: msgspec.Raw, received_at: int, rules: ParsingRules, envelope: Envelope) -> Event | InvalidEvent:
    try:
        parsed = _parse(bytes(raw), received_at, rules, envelope)
    except InvalidEvent as error:
        return error
    return cast("Event", parsed)
