"""Receipts: one message for each conversion, for services that build on conversions. Pure.

A receipt is a function of the log and the definitions, its id too: whoever writes it again writes the same, and a
reader who keeps one of each id sees every conversion exactly once. The id does not tell which of several copies of an
event, or events of a session, was counted: another one may be the first when the log is counted again. `epoch` is the
deduplication window that the event was received in, since an id may count again after it. An event without an id is
named by its place in the log.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import blake2b

import msgspec

from app.domain.event import Event
from app.domain.fields import exact_value
from app.domain.increments import Change, Part, Position, Receipt, Whose
from app.domain.moments import rfc3339

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event lies in the log."""

    position: Position
    offset: int
    index: int | None
    epoch: int

    @property
    def name(self) -> str:
        whole = f"{self.position.name}:{self.offset}"
        return whole if self.index is None else f"{whole}:{self.index}"


class _Body(msgspec.Struct, rename="camel"):
    """A receipt's value. `kind` is `conversion`, or `retraction` of one; `value` is exact, null where none is."""

    id: str
    kind: str
    project_key: str
    conversion_goal_id: str
    metric: str
    revision: int
    goal_ids: tuple[str, ...]
    event_id: str | None
    corrects: str | None
    subject: str | None
    """Null, like the session, also where it is too long to be told (`isShortened`)."""
    session_id: str | None
    value: msgspec.Raw | None
    occurred_at: str
    received_at: str
    topic: str
    partition: int
    offset: int
    index: int | None
    is_shortened: bool


MAX_SUBJECT = 500
"""Characters of a subject or session: a receipt must never be too large for its topic."""
MAX_GOALS = 1_000


def with_receipts(event: Event, change: Change, place: Place | None) -> Change:
    """What the event changes, with a receipt for each part that is a conversion of its own. No place: no receipts."""
    if place is None:
        return change
    receipts = tuple(
        _receipt(event, part, value, change.sign, place) if part.conversion_goal else None
        for part, value in zip(change.parts, change.values, strict=True)
    )
    return replace(change, receipts=receipts)


def _receipt(event: Event, part: Part, value: tuple[int, int] | None, sign: int, place: Place) -> Receipt:
    ident = f"{part.conversion_goal}:{_named(event, part, place)}"
    if event.corrects is not None:
        ident += ":retraction" if sign < 0 else ":conversion"
    position = place.position
    body = _Body(
        id=ident,
        kind="conversion" if sign > 0 else "retraction",
        project_key=event.project,
        conversion_goal_id=part.conversion_goal,
        metric=part.metric,
        revision=part.revision,
        goal_ids=part.goals[:MAX_GOALS],
        event_id=event.id,
        corrects=event.corrects,
        subject=_short(event.subject),
        session_id=_short(event.session_id),
        value=None if value is None else msgspec.Raw(_number(exact_value(*value))),
        occurred_at=rfc3339(event.occurred_at),
        received_at=rfc3339(event.received_at),
        topic=position.topic,
        partition=position.partition,
        offset=place.offset,
        index=place.index,
        is_shortened=(_short(event.subject), _short(event.session_id)) != (event.subject, event.session_id),
    )
    return Receipt(ident, _encode(body))


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= MAX_SUBJECT else None


def _named(event: Event, part: Part, place: Place) -> str:
    """What makes the conversion one: whose it is, where only the first of a session or visitor counts; else the event.

    A retraction is one by what it takes back, a restatement by its own id too.
    """
    if part.guard is not None:
        whose = part.guard[1]
        who = event.session_id if whose is Whose.SESSION else event.subject
        digest = blake2b((who or "").encode(errors="surrogatepass"), digest_size=16).hexdigest()
        return f"{whose}:{digest}"
    if event.corrects is not None and event.restated is None:
        return f"{place.epoch}:{event.corrects}"
    own = f"{place.epoch}:{event.id}" if event.id is not None else place.name
    return own if event.corrects is None else f"{own}:{event.corrects}"


def _number(value: Decimal) -> bytes:
    """As JSON writes it, without an exponent and without zeros at its end."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).encode()
