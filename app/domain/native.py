"""The native form: its fields with their aliases, the limits they have to keep, and the event that they make.

Pure, and part of the hot path of `parsing.py`: what is cheap to test is tested here, in the order of cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import structs

from app.domain.envelope import Envelope
from app.domain.event import Event
from app.domain.formats import ABSENT
from app.domain.refusal import wrong_data
from app.errors import InvalidEvent, Reason

MAX_NAME: Final = 200
"""The longest `type`, `id`, experiment key and variant, in characters."""
MAX_ASSIGNMENTS: Final = 100
_Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]

RETRACT: Final = "$retract"
RESTATE: Final = "$restate"

_FINER: Final = 500
"""So many times the present in epoch milliseconds: microseconds are a thousand times it."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DAY_MS: Final = 86_400_000
UNDATED: Final = -1
"""The broker timestamp of a message that has none, as Kafka's formats say it."""
_NOTHING: Final[object] = None

_decode_any: Final = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class ParsingRules:
    """What parsing needs to know besides the message; fixed for a generation."""

    default_project: str | None = None
    max_age_ms: int = 35 * _DAY_MS
    max_ahead_ms: int = 5 * 60_000


class Message(msgspec.Struct, gc=False, rename="camel"):
    """The native form, aliases included, `data` undecoded. Whatever else a message holds is JSON, and not looked at."""

    type: _Name | None = None
    event_type: _Name | None = None
    project_key: str | None = None
    project_id: str | None = None
    project: str | None = None
    id: _Name | None = None
    event_id: _Name | None = None
    message_id: _Name | None = None
    timestamp: datetime | int | float | None = None
    url: str | None = None
    user_id: str | None = None
    visitor_id: str | None = None
    anonymous_id: str | None = None
    session_id: str | None = None
    data: msgspec.Raw = ABSENT
    properties: msgspec.Raw = ABSENT
    experiments: dict[str, str | int] | None = None
    events: msgspec.Raw = ABSENT
    specversion: msgspec.Raw = ABSENT
    retracts: _Name | None = None
    restates: _Name | None = None
    restated_data: msgspec.Raw = ABSENT


def project_of(message: Message) -> str:
    """The project that a completed message names; empty when it names none."""
    return message.project_key or message.project_id or message.project or ""


def complete(message: Message, envelope: Envelope) -> None:
    """Fill what the message leaves out with what surrounds it."""
    if not project_of(message):
        message.project = envelope.project
    if not (message.id or message.event_id or message.message_id):
        message.id = envelope.ident
    if message.timestamp is None:
        message.timestamp = envelope.occurred_at
    message.url = message.url or envelope.url
    message.user_id = message.user_id or envelope.user_id
    message.visitor_id = message.visitor_id or message.anonymous_id or envelope.visitor_id
    message.session_id = message.session_id or envelope.session_id
    if message.experiments is None and envelope.experiments is not None:
        message.experiments = dict(envelope.experiments)


def event_of(message: Message, kind: str, received_at: int, rules: ParsingRules) -> Event:
    """The event that the fields of a completed message make, of the type `kind`. Raises InvalidEvent."""
    project = message.project_key or message.project_id or message.project or rules.default_project
    if not project:
        raise InvalidEvent(
            Reason.NO_PROJECT, "missing, there is no header `project` and no default", field="projectKey"
        )
    ident = message.id or message.event_id or message.message_id
    moment, occurred_at = message.timestamp, received_at
    if moment is not None:
        if type(moment) is datetime and moment.tzinfo is not None:
            occurred_at = (moment - _EPOCH) // _MILLISECOND
        else:
            occurred_at = milliseconds(moment, project)
        if not -rules.max_ahead_ms <= received_at - occurred_at <= rules.max_age_ms:
            raise _unlikely_time(occurred_at, received_at, rules, project)
    data: bytes | msgspec.Raw = message.data if message.data is not ABSENT else message.properties
    try:
        decoded = _NOTHING if data is ABSENT else _decode_any(data)
    except msgspec.MsgspecError as error:
        raise wrong_data("data", error, project) from None
    if type(decoded) is not dict:
        data, decoded = _other_data(message, decoded, project)
    return Event(
        kind,
        project,
        ident or None,
        occurred_at,
        received_at,
        message.url or None,
        message.user_id or None,
        message.visitor_id or message.anonymous_id or None,
        message.session_id or None,
        data,
        None if message.experiments is None else assignments(message.experiments, project),
        None,
        None,
        decoded,
    )


def _decoded(raw: bytes | msgspec.Raw, name: str, project: str) -> object:
    try:
        return _decode_any(raw)
    except msgspec.MsgspecError as error:
        raise wrong_data(name, error, project) from None


def _other_data(message: Message, decoded: object, project: str) -> tuple[bytes | msgspec.Raw, dict[str, object]]:
    """The properties of an event whose `data` is no object: absent and null leave the place to the alias."""
    if decoded is None and message.data is not ABSENT and message.properties is not ABSENT:
        decoded = _decoded(message.properties, "properties", project)
        if isinstance(decoded, dict):
            return message.properties, decoded
    if decoded is not None:
        raise InvalidEvent(Reason.INVALID_FIELD, "not an object", field="data", project=project)
    return b"{}", {}


def milliseconds(moment: datetime | float, project: str) -> int:
    """Epoch milliseconds, rounded down."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            problem = "without an offset it says no moment; end it with Z or +hh:mm"
            raise InvalidEvent(Reason.INVALID_TIMESTAMP, problem, field="timestamp", project=project)
        return (moment - _EPOCH) // _MILLISECOND
    if moment != int(moment):
        raise InvalidEvent(Reason.INVALID_TIMESTAMP, "epoch milliseconds are whole", field="timestamp", project=project)
    return int(moment)


def undated(project: str) -> InvalidEvent:
    """Of an event whose message has no timestamp: by which definitions it counts, nobody knows."""
    problem = "the message has none, so that nobody knows when it was received; a replay sends it with one"
    return InvalidEvent(Reason.INVALID_TIMESTAMP, problem, field="Kafka's timestamp", project=project)


def _unlikely_time(occurred_at: int, received_at: int, rules: ParsingRules, project: str) -> InvalidEvent:
    if received_at == UNDATED:
        return undated(project)
    age = received_at - occurred_at
    if age < 0:
        most = f"at most {rules.max_ahead_ms / 1000:g} s"
        problem = f"in the future, {-age // 1000} s after the message was received; {most}"
        if occurred_at > _FINER * received_at:
            problem += "; it seems to be in microseconds or finer, epoch milliseconds are expected"
        return InvalidEvent(Reason.IN_THE_FUTURE, problem, field="timestamp", project=project)
    problem = f"{age / _DAY_MS:.1f} days before the message was received; at most {rules.max_age_ms / _DAY_MS:g} days"
    if received_at - rules.max_age_ms < occurred_at * 1000 <= received_at + rules.max_ahead_ms:
        problem += "; it seems to be in seconds, epoch milliseconds are expected"
    return InvalidEvent(Reason.TOO_OLD, problem, field="timestamp", project=project)


def assignments(experiments: Mapping[str, str | int], project: str) -> dict[str, str] | None:
    """Experiment -> variant; an empty name on either side is no assignment. Raises InvalidEvent beyond the limits."""
    found = {key: str(variant) for key, variant in experiments.items() if key and variant != ""}
    if len(found) > MAX_ASSIGNMENTS:
        problem = f"{len(found)} in one event; at most {MAX_ASSIGNMENTS}"
        raise InvalidEvent(Reason.INVALID_FIELD, problem, field="experiments", project=project)
    for key, variant in found.items():
        if len(key) > MAX_NAME or len(variant) > MAX_NAME:
            problem = f"{key[:40]!r}: a key or variant has at most {MAX_NAME} characters"
            raise InvalidEvent(Reason.INVALID_FIELD, problem, field="experiments", project=project)
    return found or None


def correction_of(message: Message, kind: str, received_at: int, rules: ParsingRules) -> Event:
    """`$retract` takes a counted event back, `$restate` gives it other properties.

    Both carry the original event's fields, its type as `eventType`, and its id as `retracts` or `restates`; so what has
    to be taken back is known without looking the event up. `$restate` adds `restatedData`, the properties that hold
    from now on. The original's own timestamp puts the correction into its period.
    """
    project = project_of(message)
    original, name = (message.retracts, "retracts") if kind == RETRACT else (message.restates, "restates")
    if not original:
        raise InvalidEvent(
            Reason.INVALID_FIELD, f"the id of the event that {kind} corrects", field=name, project=project
        )
    if message.type != kind or not message.event_type:
        raise InvalidEvent(
            Reason.MISSING_TYPE, "the type of the event that is corrected", field="eventType", project=project
        )
    event = event_of(message, message.event_type, received_at, rules)
    if kind == RETRACT:
        return structs.replace(event, corrects=original)
    raw = message.restated_data
    restated = _NOTHING if raw is ABSENT else _decoded(raw, "restatedData", event.project)
    if not isinstance(restated, dict):
        raise InvalidEvent(
            Reason.INVALID_FIELD, "the new properties, an object", field="restatedData", project=event.project
        )
    return structs.replace(event, corrects=original, restated=raw)
