"""Events over HTTP, for services without a Kafka client: checked, sent to Kafka, answered when Kafka has them."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from api.auth import INGEST, limit, services_of
from api.bodies import answer, once, read_json
from api.problems import Problem
from api.schemas import PROBLEMS, EventIn, body_of
from api.services import Key, Services
from app.domain.event import Event
from app.domain.parsing import ParsingRules, parse_message
from app.errors import InvalidEvent

MAX_EVENTS = 100
router = APIRouter(prefix="/api/events", tags=["events"], responses=PROBLEMS)


@router.post("", operation_id="publishEvents", summary="Publish events", openapi_extra=body_of(EventIn))
async def publish_events(request: Request, key: Annotated[Key, Depends(INGEST)]) -> Response:
    """One event, an array, or a batch `{"events": […]}`; native, CloudEvents or Segment; at most 100.

    Answers `{received, duplicates, errors}`. Repeating is harmless: an event's id counts once.
    """

    async def act() -> Response:
        services = services_of(request)
        elements = _elements(await read_json(request))
        if len(elements) > 1:
            await limit(request, key, "events", len(elements) - 1)
        good, duplicates, errors = _judge(elements, key.project, services)
        if good:
            await services.publisher.publish([(k, v, [("project", key.project.encode())]) for k, v in good])
        found = {"received": len(good), "duplicates": duplicates, "errors": errors}
        return answer(request, found, 422 if errors and not good else 200)

    return await once(request, key, act)


@router.post("/validate", operation_id="validateEvents", summary="Check events without publishing them")
async def validate_events(request: Request, key: Annotated[Key, Depends(INGEST)]) -> Response:
    """What would become of each event, without sending any."""
    services = services_of(request)
    good, duplicates, errors = _judge(_elements(await read_json(request)), key.project, services)
    return answer(request, {"valid": len(good), "duplicates": duplicates, "errors": errors})


def _elements(body: Any) -> list[Any]:
    if isinstance(body, dict) and isinstance(body.get("events"), list):
        outer = {name: value for name, value in body.items() if name != "events"}
        found = [{**outer, **one} if isinstance(one, dict) else one for one in body["events"]]
    else:
        found = body if isinstance(body, list) else [body]
    if not 1 <= len(found) <= MAX_EVENTS:
        raise Problem(422, f"Send 1 to {MAX_EVENTS} events, not {len(found)}.", code="batch_size")
    return found


def _judge(
    elements: list[Any], project: str, services: Services
) -> tuple[list[tuple[bytes | None, bytes]], int, list[dict[str, Any]]]:
    """(key and value of each good event, how many repeat an id of this request, what is wrong with the others)."""
    now = services.now()
    rules = ParsingRules(project, services.parsing.max_age_ms, services.parsing.max_ahead_ms)
    good: list[tuple[bytes | None, bytes]] = []
    seen: set[str] = set()
    duplicates = 0
    errors: list[dict[str, Any]] = []
    for index, element in enumerate(elements):
        value = json.dumps(element, ensure_ascii=False).encode(errors="surrogatepass")
        try:
            event = _parse(value, now, rules, project)
        except InvalidEvent as error:
            fault = {"index": index, "pointer": f"/{index}", "code": str(error.reason), "problem": error.detail}
            errors.append(fault)
            continue
        if event.id is not None and event.id in seen:
            duplicates += 1
            continue
        if event.id is not None:
            seen.add(event.id)
        who = event.subject or event.id
        good.append((who.encode() if who else None, value))
    return good, duplicates, errors


def _parse(value: bytes, now: int, rules: ParsingRules, project: str) -> Event:
    parsed = parse_message(value, now, (), rules)
    first = parsed[0] if isinstance(parsed, list) else parsed
    if isinstance(first, InvalidEvent):
        raise first
    if first.project != project:
        raise Problem(403, f"This API key publishes for the project {project!r} only.", code="foreign_project")
    return first
