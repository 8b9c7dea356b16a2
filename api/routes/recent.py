"""What happened lately, read back from the log: the project's newest events, and a goal's newest conversions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from api.auth import READ, services_of
from api.bodies import answer
from api.problem_schemas import PROBLEMS
from api.services import Key, Services
from app.domain.catalog import goal_of
from app.domain.conversion_goal import ConversionGoal, DefinitionStatus, compile_conversion_goal
from app.domain.discovery import discover
from app.domain.event import Event
from app.domain.goal import Goal
from app.domain.matching import matches
from app.domain.moments import rfc3339
from app.errors import InvalidDefinition
from app.patience import ask_sql

RECENT = 10_000
router = APIRouter(responses=PROBLEMS)


@router.get("/api/events/recent", operation_id="listRecentEvents", summary="The newest events", tags=["events"])
async def list_recent_events(
    request: Request,
    key: Annotated[Key, Depends(READ)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    type: Annotated[str | None, Query(max_length=200)] = None,  # noqa: A002  # the name in the address
) -> Response:
    """Newest first, read back from the log; `receivedAt` is the broker's time."""
    events = await services_of(request).recent.recent(key.project, RECENT)
    newest = (event for event in reversed(events) if type is None or event.type == type)
    return answer(request, [show_event(event) for _, event in zip(range(limit), newest, strict=False)])


@router.get(
    "/api/goals/{goal_id}/conversions",
    operation_id="listConversions",
    summary="A goal's newest conversions",
    tags=["goals"],
)
async def list_conversions(
    request: Request,
    goal_id: str,
    key: Annotated[Key, Depends(READ)],
    limit: Annotated[int, Query(ge=1, le=500)] = 20,
) -> Response:
    """Newest first, of the newest events that the log holds, each with what it matched. Copies are left out; which of a
    visitor's events was the first is not looked up, so that a definition that counts once shows each of them."""
    services = services_of(request)
    goal = await ask_sql(_goal, services, key.project, goal_id)
    feeding = await ask_sql(_feeding, services, key.project, goal)
    events = await services.recent.recent(key.project, RECENT) if feeding else []
    found = await asyncio.to_thread(conversions, events, goal, feeding, limit)
    return answer(request, {"seen": len(events), "conversions": found})


def conversions(
    events: Sequence[Event], goal: Goal, feeding: Mapping[str, ConversionGoal], limit: int
) -> list[dict[str, Any]]:
    """Those of `events` (in the log's order) that are conversions of the goal, the last to happen first."""
    seen: set[str] = set()
    found: list[tuple[int, dict[str, Any]]] = []
    taken_back = {event.corrects for event in events if event.corrects is not None and event.restated is None}
    for event in events:
        if event.corrects is not None or (event.id is not None and event.id in taken_back):
            continue
        if not goal.starts_at <= event.occurred_at <= goal.ends_at or event.id in seen:
            continue
        matched = [definition for definition in feeding.values() if matches(event, definition)]
        if not matched:
            continue
        if event.id is not None:
            seen.add(event.id)
        by = [{"id": definition.id, "name": definition.name} for definition in matched]
        found.append((event.occurred_at, {**show_event(event), "conversionGoals": by}))
    return [shown for _, shown in sorted(found, key=lambda one: -one[0])[:limit]]


@router.get(
    "/api/event-types",
    operation_id="listEventTypes",
    summary="What was seen lately",
    tags=["conversion goals"],
)
async def list_event_types(request: Request, key: Annotated[Key, Depends(READ)]) -> Response:
    """Types, templated paths and properties of the newest events, with examples, and what counts by them."""
    services = services_of(request)
    events = await services.recent.recent(key.project, RECENT)
    named = await present_bodies(services, key.project)
    counted: dict[str, list[str]] = {}
    for ident, body in named.items():
        if body.get("status") == DefinitionStatus.ARCHIVED:
            continue
        counted.setdefault(str(body.get("eventType")), []).append(ident)
    return answer(
        request,
        [
            {
                "type": seen.type,
                "count": seen.count,
                "lastAt": rfc3339(seen.last_at),
                "paths": [{"path": path, "count": number} for path, number in seen.paths.most_common()],
                "properties": [
                    {"path": path, "count": p.count, "kinds": sorted(p.kinds), "examples": p.examples}
                    for path, p in sorted(seen.properties.items(), key=lambda item: -item[1].count)
                ],
                "conversionGoalIds": counted.get(seen.type, []),
            }
            for seen in await asyncio.to_thread(discover, [event for event in events if event.corrects is None])
        ],
    )


async def present_bodies(services: Services, project: str) -> dict[str, Mapping[str, Any]]:
    """The project's conversion goals as they are written, by id."""
    _, versions = await ask_sql(services.definitions.current, project, "conversion_goal")
    return {version.id: version.body for version in versions}


def show_event(event: Event) -> dict[str, Any]:
    """`corrects`: the id of the event that this one takes back or restates, whose fields it has."""
    return {
        "id": event.id,
        "type": event.type,
        "occurredAt": rfc3339(event.occurred_at),
        "receivedAt": rfc3339(event.received_at),
        "url": event.url,
        "userId": event.user_id,
        "visitorId": event.visitor_id,
        "sessionId": event.session_id,
        "data": dict(event.properties),
        "corrects": event.corrects,
    }


def _goal(services: Services, project: str, ident: str) -> Goal:
    owner = services.definitions.project(project)
    return goal_of(services.definitions.get(project, "goal", ident), owner.time_zone)


def _feeding(services: Services, project: str, goal: Goal) -> dict[str, ConversionGoal]:
    """The active conversion goals that feed the goal, by id; without one that cannot be compiled."""
    _, versions = services.definitions.current(project, "conversion_goal")
    found = {}
    for version in versions:
        try:
            definition = compile_conversion_goal(version.body, ident=version.id, project=project)
        except InvalidDefinition:
            continue
        if goal.is_fed_by(version.id, definition.metric) and definition.status is DefinitionStatus.ACTIVE:
            found[version.id] = definition
    return found
