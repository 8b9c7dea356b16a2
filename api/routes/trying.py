"""Trying a definition out on recent events before it is saved, and asking why an event counts or not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from api.auth import READ, services_of
from api.bodies import answer, read_object, refuse_unknown
from api.problem_schemas import PROBLEMS
from api.problems import Problem
from api.routes.recent import RECENT, present_bodies, show_event
from api.schemas import ExplainIn, PreviewIn, body_of
from api.services import Key, Services
from app.domain.clause import MISSING, Clause
from app.domain.conversion_goal import ConversionGoal, DefinitionStatus, compile_conversion_goal
from app.domain.event import Event
from app.domain.fields import HOUR_MS
from app.domain.matching import Explanation, explain
from app.domain.moments import FIRST, LAST, rfc3339
from app.domain.near_misses import impossible
from app.domain.parsing import parse_message
from app.domain.preview import Preview, preview
from app.domain.wording import describe, describe_clause, describe_found
from app.errors import InvalidDefinition, InvalidEvent, StoreUnavailable
from app.patience import ask_sql, within

PREVIEW_SECONDS = 0.3
WARNINGS_SECONDS = 0.8
"""What is saved already is not answered with an error because brokers are away."""
LEAST_SEEN = 200
"""A busy machine must not make it look as if nothing came."""
router = APIRouter(tags=["conversion goals"], responses=PROBLEMS)


@router.post(
    "/api/conversion-goals/preview",
    operation_id="previewConversionGoal",
    summary="Try a definition on recent events",
    openapi_extra=body_of(PreviewIn),
)
async def preview_conversion_goal(request: Request, key: Annotated[Key, Depends(READ)]) -> Response:
    """How many of the newest events it would count, with samples and near misses. With `id`, also what an edit of
    that conversion goal would gain and lose."""
    body = await read_object(request)
    ident = body.pop("id", None)
    return answer(request, await try_definition(services_of(request), key.project, body, ident))


async def try_definition(services: Services, project: str, body: Mapping[str, Any], ident: object) -> dict[str, Any]:
    """The preview's answer. Raises InvalidDefinition, NotFound, StoreUnavailable."""
    before: ConversionGoal | None = None
    if ident is not None:
        version = await _get(services, project, str(ident))
        before = compile_conversion_goal(version, project=project)
        body = {**version, **body}
    definition = compile_conversion_goal(body, project=project)
    found = await _try(await services.recent.recent(project, RECENT), definition, before)
    return _preview(found, edited=before is not None)


async def _try(events: Sequence[Event], definition: ConversionGoal, before: ConversionGoal | None = None) -> Preview:
    """The preview over the newest of `events` (oldest first), as many as there is time for: a definition may be
    costly. In a thread, so that others are answered meanwhile."""
    return await asyncio.to_thread(lambda: preview(_newest(events), definition, before))


def _newest(events: Sequence[Event]) -> Iterator[Event]:
    end = time.monotonic() + PREVIEW_SECONDS
    for number, event in enumerate(reversed(events)):
        if number % 50 == 0 and number >= LEAST_SEEN and time.monotonic() > end:
            return
        yield event


@router.post(
    "/api/conversion-goals/explain",
    operation_id="explainEvent",
    summary="Why an event counts, or not",
    openapi_extra=body_of(ExplainIn),
)
async def explain_event(request: Request, key: Annotated[Key, Depends(READ)]) -> Response:
    """`{"event": {…}, "definition": {…}?, "id": "…"?}`: every clause of the definition, or of all, with its verdict.
    `notes` say what is decided by more than clauses: its age, its id, what it corrects."""
    body = await read_object(request, may_repeat=True)
    refuse_unknown(body, ("event", "definition", "id"))
    return answer(request, await explain_body(services_of(request), key.project, body))


async def explain_body(services: Services, project: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The explanation's answer. Raises InvalidEvent, InvalidDefinition, NotFound, Problem, StoreUnavailable."""
    event = _one_event(body.get("event"), project, services)
    if body.get("definition") is not None:
        if not isinstance(body["definition"], dict):
            raise InvalidDefinition("/definition", "it is not an object.", "Give a conversion goal's fields.")
        named: Mapping[str, Mapping[str, Any]] = {"": {"name": "unsaved", **body["definition"]}}
    elif body.get("id") is not None:
        named = {str(body["id"]): await _get(services, project, str(body["id"]))}
    else:
        named = await present_bodies(services, project)
    is_of_all = body.get("definition") is None and body.get("id") is None
    verdicts = []
    for ident, definition in named.items():
        try:
            compiled = compile_conversion_goal(definition, ident=ident, project=project)
        except InvalidDefinition:
            # One that another version stored counts nothing, and keeps nobody from asking about the others.
            if is_of_all:
                continue
            raise
        verdicts.append(_verdict(compiled, explain(event, compiled)))
    return {"event": show_event(event), "verdicts": verdicts, "notes": _notes(event, services)}


async def warnings_of(services: Services, project: str, body: Mapping[str, object]) -> list[str]:
    """What a preview would warn of; only what is wrong in itself when the log cannot be read now, or is empty."""
    definition = compile_conversion_goal(body, project=project)
    try:
        events = await within(WARNINGS_SECONDS, "kafka", services.recent.recent(project, 1_000))
    except StoreUnavailable:
        events = []
    return (await _try(events, definition)).warnings if events else impossible(definition)


async def _get(services: Services, project: str, ident: str) -> dict[str, Any]:
    return dict((await ask_sql(services.definitions.get, project, "conversion_goal", ident)).body)


def _one_event(found: object, project: str, services: Services) -> Event:
    if not isinstance(found, dict):
        fault = {"pointer": "/event", "problem": "it is not an object.", "remedy": "Paste one event as JSON."}
        raise Problem(422, "/event: it is not an object. Paste one event as JSON.", errors=[fault])
    value = json.dumps({**found, "projectKey": project}).encode()
    now = int(time.time() * 1000)
    # Whatever can be shown is explained, however old.
    rules = type(services.parsing)(default_project=project, max_age_ms=now - FIRST, max_ahead_ms=LAST - now)
    parsed = parse_message(value, now, (), rules)
    first = parsed[0] if isinstance(parsed, list) else parsed
    if isinstance(first, InvalidEvent):
        raise first
    return first


def _verdict(definition: ConversionGoal, explanation: Explanation) -> dict[str, Any]:
    failure = explanation.first_failure()
    return {
        "id": definition.id or None,
        "name": definition.name,
        "status": str(definition.status),
        "matches": explanation.matches,
        "why": _why(definition) if failure is None else describe(failure),
        "clauses": [_clause(clause) for clause in explanation.clauses],
    }


def _why(definition: ConversionGoal) -> str:
    if definition.status is DefinitionStatus.ACTIVE:
        return "every clause holds"
    return f"every clause holds, but the conversion goal is {definition.status}: nothing counts by it"


def _notes(event: Event, services: Services) -> list[str]:
    """What is decided by more than clauses."""
    notes = []
    if event.corrects is not None:
        act = "takes back" if event.restated is None else "restates"
        told = (
            f'It {act} the event "{event.corrects}", where that was counted; the clauses are held against its fields.'
        )
        notes.append(told)
    elif event.id is None:
        notes.append("It has no id: sent twice, it counts twice.")
    age = event.received_at - event.occurred_at
    if age > services.parsing.max_age_ms:
        notes.append(
            f"It happened more than {services.parsing.max_age_ms // (24 * HOUR_MS)} days ago: it is refused, too old."
        )
    elif -age > services.parsing.max_ahead_ms:
        notes.append("It would happen in the future: it is refused.")
    return notes


def _clause(clause: Clause) -> dict[str, Any]:
    shown = asdict(clause)
    shown["found"] = None if clause.found is MISSING else clause.found
    shown["isMissing"] = clause.found is MISSING
    shown["text"] = describe(clause)
    shown["asked"] = describe_clause(clause.path, clause.operator, clause.wanted)
    shown["answer"] = describe_found(clause)
    shown["clauses"] = [_clause(member) for member in clause.clauses]
    return shown


def _preview(found: Preview, *, edited: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "seen": found.seen,
        "ofType": found.of_type,
        "matched": found.matched,
        "perHour": [{"at": rfc3339(hour * HOUR_MS), "count": found.per_hour[hour]} for hour in sorted(found.per_hour)],
        "samples": [show_event(event) for event in found.matching],
        "missed": [
            {"event": show_event(event), "why": describe(failure) if (failure := e.first_failure()) else ""}
            for event, e in found.missed
        ],
        "clauses": [
            {**asdict(count), "text": describe_clause(count.path, count.operator, count.wanted)}
            for count in found.clauses
        ],
        "warnings": found.warnings,
    }
    if edited:
        shown |= {
            "gained": found.gained,
            "lost": found.lost,
            "unchanged": found.unchanged,
            "gainedSamples": [show_event(event) for event in found.gained_samples],
            "lostSamples": [show_event(event) for event in found.lost_samples],
        }
    return shown
