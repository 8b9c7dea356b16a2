"""Goals: list, create, edit, delete; one goal with its history."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from api.auth import READ, WRITE, services_of
from api.bodies import answer, idempotency_key, once, read_object, tagged, wanted_revision
from api.problem_schemas import PROBLEMS
from api.schemas import GoalIn, body_of
from api.services import Key, Services
from app.defining import Defined
from app.errors import InvalidDefinition, StoreUnavailable
from app.goal_items import goal_without_counters

LIST_SECONDS = 1.6
"""With looking up the key, below the two seconds that an answer may take."""
router = APIRouter(prefix="/api/goals", tags=["goals"], responses=PROBLEMS)


@router.get("", operation_id="listGoals", summary="The project's goals with their progress")
async def list_goals(request: Request, key: Annotated[Key, Depends(READ)]) -> Response:
    """A bare array, oldest first. `freshAsOf` says up to when all events are counted; with `If-None-Match`, 304.

    Where there are a hundred goals and more, who asks often may have the last list again, for a quarter of a second at
    most, and while the next one is being made, a second at most. Every list knows the definitions that were there when
    it was asked for.
    """
    services = services_of(request)
    report = await services.reporter.list_for_a_crowd(key.project, services.now(), LIST_SECONDS)
    return tagged(request, report.items, {"X-Stale": "true"} if report.is_stale else None, memo=report.memo)


@router.get("/{goal_id}", operation_id="getGoal", summary="One goal with its history")
async def get_goal(request: Request, goal_id: str, key: Annotated[Key, Depends(READ)]) -> Response:
    """`history` holds points by hour and by day."""
    services = services_of(request)
    report = await services.reporter.goal(key.project, goal_id, services.now())
    response = tagged(request, report.items[0])
    response.headers["x-revision"] = str(report.items[0]["revision"])
    return response


@router.post("", operation_id="createGoal", status_code=201, summary="Set a goal", openapi_extra=body_of(GoalIn))
async def create_goal(request: Request, key: Annotated[Key, Depends(WRITE)]) -> Response:
    """Returns when every worker counts for it; else `live` is false and `warnings` says so."""

    async def act() -> Response:
        services = services_of(request)
        done = await services.defining.create_goal(
            key.project, await read_object(request), key.id, asked_as=idempotency_key(request)
        )
        return answer(request, await shown(services, done), 201, {"Location": f"/api/goals/{done.version.id}"})

    return await once(request, key, act)


@router.patch("", operation_id="editGoal", summary="Edit a goal", openapi_extra=body_of(GoalIn, partial=True))
async def edit_goal(request: Request, key: Annotated[Key, Depends(WRITE)]) -> Response:
    """`id` and the fields to change; null takes an optional field away, and `status: null` the manual status."""
    changes = await read_object(request)
    ident = take_id(changes)
    services = services_of(request)
    edit = services.defining.edit_goal(key.project, ident, changes, key.id, revision=wanted_revision(request))
    return answer(request, await shown(services, await edit))


@router.delete("", operation_id="deleteGoal", summary="Delete a goal")
async def delete_goal(
    request: Request, key: Annotated[Key, Depends(WRITE)], ident: Annotated[str, Query(alias="id", min_length=1)]
) -> Response:
    """`?id=` names it."""
    defining = services_of(request).defining
    await defining.delete_goal(key.project, ident, key.id, revision=wanted_revision(request))
    return answer(request, {"id": ident, "deleted": True})


def take_id(changes: dict[str, object]) -> str:
    """The `id` of the thing to change, taken out of the body."""
    ident = changes.pop("id", None)
    if not isinstance(ident, str) or not ident:
        problem = "it is not a string." if ident is not None and ident != "" else "it is missing."
        raise InvalidDefinition("/id", problem, "Name what to change by its id.")
    return ident


async def shown(services: Services, done: Defined) -> dict[str, object]:
    """The goal as lists show it, with `live` and `warnings`."""
    version = done.version
    try:
        if not done.is_told:
            raise StoreUnavailable("redis", "the workers could not be told")
        report = await services.reporter.goal(version.project, version.id, services.now())
        item = {name: value for name, value in report.items[0].items() if name != "history"}
    except StoreUnavailable:
        item = goal_without_counters(version)
    return {**item, "live": done.is_live, "warnings": list(done.warnings)}
