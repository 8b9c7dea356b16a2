"""Conversion goals: what counts. List, create, edit, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from api.auth import READ, WRITE, services_of
from api.bodies import answer, idempotency_key, once, read_object, tagged, wanted_revision
from api.problem_schemas import PROBLEMS
from api.routes.goals import take_id
from api.routes.trying import warnings_of
from api.schemas import ConversionGoalIn, body_of
from api.services import Key
from app.defining import Defined
from app.domain.moments import rfc3339

_SAYS_WHAT_COUNTS = frozenset({"eventType", "urlPattern", "conditions", "counting", "valueProperty"})
MOST_LISTED = 1_000
router = APIRouter(tags=["conversion goals"], responses=PROBLEMS)


@router.get("/api/conversion-goals", operation_id="listConversionGoals", summary="What counts in the project")
async def list_conversion_goals(
    request: Request,
    key: Annotated[Key, Depends(READ)],
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = MOST_LISTED,
    after: Annotated[str | None, Query(description="Where the page before ended.", max_length=200)] = None,
) -> Response:
    """A bare array, oldest first, with how often each counted and when last. Where it goes on, the header `Link` holds
    the next page's address (`rel="next"`)."""
    report = await services_of(request).reporter.list_conversion_goals(key.project)
    items = [item for item in report.items if after is None or _place(item) > after]
    page = items[:limit]
    if len(items) == len(page):
        return tagged(request, page)
    following = urlencode({"limit": limit, "after": _place(page[-1])})
    return tagged(request, page, {"Link": f'</api/conversion-goals?{following}>; rel="next"'})


def _place(item: Mapping[str, Any]) -> str:
    """Where in the list it stands, whatever else comes and goes."""
    return f"{item['createdAt']}~{item['id']}"


@router.post(
    "/api/conversion-goals",
    operation_id="createConversionGoal",
    status_code=201,
    summary="Define what counts",
    openapi_extra=body_of(ConversionGoalIn),
)
async def create_conversion_goal(request: Request, key: Annotated[Key, Depends(WRITE)]) -> Response:
    """Returns when every worker counts by it. `warnings` tells when it would count none of the recent events of its
    type, or each of them; it is saved still."""

    async def act() -> Response:
        services = services_of(request)
        body = await read_object(request)
        done = await services.defining.create_conversion_goal(
            key.project, body, key.id, asked_as=idempotency_key(request)
        )
        warnings = await warnings_of(services, key.project, done.version.body)
        return answer(request, {**_shown(done), "warnings": [*done.warnings, *warnings]}, 201)

    return await once(request, key, act)


@router.patch(
    "/api/conversion-goals",
    operation_id="editConversionGoal",
    summary="Edit, pause or archive what counts",
    openapi_extra=body_of(ConversionGoalIn, partial=True),
)
async def edit_conversion_goal(request: Request, key: Annotated[Key, Depends(WRITE)]) -> Response:
    """`id` and the fields to change; null takes an optional field away. Acts on events from now on. `warnings` as when
    it was created, when what counts changes."""
    changes = await read_object(request)
    ident = take_id(changes)
    services = services_of(request)
    done = await services.defining.edit_conversion_goal(
        key.project, ident, changes, key.id, revision=wanted_revision(request)
    )
    says_what_counts = not _SAYS_WHAT_COUNTS.isdisjoint(changes)
    warnings = await warnings_of(services, key.project, done.version.body) if says_what_counts else []
    return answer(request, {**_shown(done), "warnings": [*done.warnings, *warnings]})


@router.delete("/api/conversion-goals", operation_id="deleteConversionGoal", summary="Delete what counts")
async def delete_conversion_goal(
    request: Request, key: Annotated[Key, Depends(WRITE)], ident: Annotated[str, Query(alias="id", min_length=1)]
) -> Response:
    """Nothing counts by it from now on; what was counted stays."""
    defining = services_of(request).defining
    await defining.delete_conversion_goal(key.project, ident, key.id, revision=wanted_revision(request))
    return answer(request, {"id": ident, "deleted": True})


def _shown(done: Defined) -> dict[str, object]:
    version = done.version
    body = {"urlPattern": None, "conditions": None, "counting": "every_event", "status": "active", **version.body}
    return {
        "id": version.id,
        **body,
        "createdAt": rfc3339(version.created_at),
        "revision": version.revision,
        "live": done.is_live,
        "warnings": list(done.warnings),
    }
