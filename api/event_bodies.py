"""The body of `POST /api/events`, split into single events: one, an array, a batch, CloudEvents, Segment.

Pieces stay the bytes that were sent, so that no number loses a digit on its way to Kafka.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import msgspec
from fastapi import Request

from api.bodies import read_text
from api.problems import Problem
from app.domain.event import Event
from app.domain.parsing import ParsingRules, parse_message
from app.errors import InvalidEvent, Reason

MAX_EVENTS = 100
MAX_BYTES = 900_000
"""Of all events, once each has got the batch's common fields: a long common field would be sent a hundred times."""

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode
_CLOUD_EVENT = "ce-"


@dataclass(frozen=True, slots=True)
class Piece:
    """What may be one event. `pointer` is where it stood in the body."""

    pointer: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    common: frozenset[str] = frozenset()
    """Fields that stood outside of it."""

    def pointer_to(self, field: str) -> str:
        """Where a field of it stood, or should stand; of what came from elsewhere (common fields, headers, a form that
        names it otherwise) where the event did."""
        if not field or self.headers or field in self.common:
            return self.pointer
        is_own = field == "type" or field in _decode_object(self.value)
        return f"{self.pointer}/{field}" if is_own else self.pointer


@dataclass(slots=True)
class Judged:
    """What is to be sent, how many repeat an id of this request, and what is wrong with the others."""

    messages: list[tuple[bytes | None, bytes, list[tuple[str, bytes]]]] = field(default_factory=list)
    duplicates: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)


async def read_pieces(request: Request) -> list[Piece]:
    """Raises Problem."""
    if "ce-specversion" in request.headers:
        return [Piece("", await request.body(), _binary_headers(request.headers))]
    text = await read_text(request)
    try:
        found = list(_split(text.encode()))
    except (msgspec.MsgspecError, RecursionError) as error:
        why = f": {error}" if isinstance(error, msgspec.MsgspecError) else ""
        raise Problem(400, f"The body is not JSON{why}.", code="invalid_json") from error
    if not 1 <= len(found) <= MAX_EVENTS:
        raise Problem(422, f"Send 1 to {MAX_EVENTS} events, not {len(found)}.", code="batch_size")
    if sum(len(piece.value) for piece in found) > MAX_BYTES:
        raise Problem(413, "The batch's common fields make its events larger than 900 kB; repeat less in each.")
    return found


def _split(raw: bytes) -> Iterator[Piece]:
    msgspec.json.decode(raw, type=msgspec.Raw)
    if raw.lstrip()[:1] == b"[":
        for index, one in enumerate(_decode_list(raw)):
            yield Piece(f"/{index}", bytes(one))
        return
    if raw.lstrip()[:1] != b"{":
        msgspec.json.decode(raw)
        yield Piece("", raw)
        return
    body = _decode_object(raw)
    # `events` is ours, with common fields outside; `batch` is Segment's, whose only common field is the context.
    for name, common in (("events", set(body) - {"events"}), ("batch", {"context"} & set(body))):
        elements = body.get(name)
        if elements is not None and bytes(elements)[:1] == b"[":
            outer = {key: body[key] for key in body if key in common}
            for index, one in enumerate(_decode_list(elements)):
                yield Piece(f"/{name}/{index}", _completed(bytes(one), outer), (), frozenset(outer))
            return
    yield Piece("", raw)


def _completed(one: bytes, outer: Mapping[str, msgspec.Raw]) -> bytes:
    if not outer or one[:1] != b"{":
        return one
    return _encode({**outer, **_decode_object(one)})


def _binary_headers(headers: Mapping[str, str]) -> tuple[tuple[str, bytes], ...]:
    """CloudEvents' binary mode: attributes in headers, percent-encoded; in Kafka they are called `ce_…`."""
    found = [
        (f"ce_{name[len(_CLOUD_EVENT) :]}", unquote(value).encode())
        for name, value in headers.items()
        if name.startswith(_CLOUD_EVENT)
    ]
    kind = headers.get("content-type")
    return (*found, *((("content-type", kind.encode()),) if kind else ()))


def judge(pieces: list[Piece], project: str, now: int, given: ParsingRules, id_prefix: str | None = None) -> Judged:
    """Each piece as the worker will judge it. With `id_prefix` an event without an id gets one, so that repeating the
    request repeats the id. Raises Problem(403) for an event of another project."""
    rules = ParsingRules(project, given.max_age_ms, given.max_ahead_ms)
    judged = Judged()
    seen: set[tuple[str | None, str | None]] = set()
    for index, piece in enumerate(pieces):
        headers = [*piece.headers, ("project", project.encode())]
        try:
            event = _parse(piece.value, now, headers, rules)
            value = piece.value
            if event.id is None and id_prefix is not None:
                value = _encode({**_decode_object(value), "messageId": f"{id_prefix}-{index}"})
                event = _parse(value, now, headers, rules)
        except InvalidEvent as error:
            fault = {
                "index": index,
                "pointer": piece.pointer_to(error.field),
                "code": str(error.reason),
                "problem": error.detail,
            }
            judged.errors.append(fault)
            continue
        if event.project != project:
            raise Problem(403, f"This API key publishes for the project {project!r} only.", code="foreign_project")
        # A correction may have the id of what it corrects.
        named = (event.id, event.corrects)
        if event.id is not None and named in seen:
            judged.duplicates += 1
            continue
        seen.add(named)
        # A correction has to come after its original, so into the same partition.
        who = event.subject or event.corrects or event.id
        judged.messages.append((who.encode() if who else None, value, headers))
    return judged


def _parse(value: bytes, now: int, headers: list[tuple[str, bytes]], rules: ParsingRules) -> Event:
    parsed = parse_message(value, now, headers, rules)
    if isinstance(parsed, list):
        raise InvalidEvent(Reason.UNSUPPORTED_FORM, "a batch inside a batch; send its events side by side")
    return parsed
