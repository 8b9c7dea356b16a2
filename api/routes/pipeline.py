"""The pipeline, for those who run it: its state, what could not be counted, and which counting is shown."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from api.auth import ADMIN, READ, WRITE, services_of
from api.bodies import answer, once, read_object
from api.pipeline_view import for_project
from api.problem_schemas import PROBLEMS
from api.problems import Problem, invalid
from api.schemas import body_of
from api.services import Key, Services
from app.errors import GenerationMissing, InvalidDefinition, NotFound, Reason
from app.patience import ask_sql
from app.ports import Which

MOST_LETTERS = 200
MOST_IDENTS = 1_000
router = APIRouter(prefix="/api", tags=["operations"], responses=PROBLEMS)


class ReplayIn(BaseModel):
    """Which dead letters to send again: those of a reason, those of these ids, or `all`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "unknown_project"}]})

    reason: str | None = None
    ids: list[str] | None = None
    all: bool | None = None


@router.get("/pipeline", operation_id="getPipeline", summary="The pipeline's state")
async def get_pipeline(request: Request, key: Annotated[Key, Depends(READ)]) -> Response:
    """The project's accounting, up to when the log is counted, and by which workers.

    Where it is the only project, or with the scope `operator`, all that `scorekeeper status` says (`whole` is true):
    lag, and figures by partition and worker. Elsewhere these would tell what other projects send.
    """
    found = await services_of(request).pipeline()
    if key.may("operator") or set(found["projects"]) == {key.project}:
        return answer(request, {"whole": True, **found})
    return answer(request, for_project(found, key.project))


@router.get("/dead-letters", operation_id="listDeadLetters", summary="Messages that could not be counted")
async def list_dead_letters(
    request: Request,
    key: Annotated[Key, Depends(READ)],
    reason: Annotated[str | None, Query(description="Only those with this reason.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LETTERS)] = 20,
    before: Annotated[str | None, Query(description="The `next` of the page before.", max_length=1000)] = None,
) -> Response:
    """The newest first; `next` is the `before` of the next page, which may hold less than the limit or nothing, and
    null at the end. Letters that name no project are shown where there is only one, and to operators."""
    services = services_of(request)
    which = Which(_known(reason), await _own(services, key))
    letters, following = await services.dead_letters.newest(which, limit, before)
    return answer(request, {"letters": letters, "next": following})


@router.post(
    "/dead-letters/replay",
    operation_id="replayDeadLetters",
    summary="Send dead letters again",
    openapi_extra=body_of(ReplayIn),
)
async def replay_dead_letters(request: Request, key: Annotated[Key, Depends(WRITE)]) -> Response:
    """Name a `reason` or `ids`, or say `all: true`. Harmless to repeat: what counted once does not count again."""

    async def act() -> Response:
        services = services_of(request)
        which = _which(await read_object(request), await _own(services, key))
        return answer(request, {"replayed": await services.dead_letters.replay(which)})

    return await once(request, key, act)


@router.post("/generations/{number}/show", operation_id="showGeneration", summary="Show another counting of the log")
async def show_generation(request: Request, number: int, key: Annotated[Key, Depends(ADMIN)]) -> Response:
    """For every project at once, so where there are several it takes the scope `operator` too.

    A generation that a rebuild has not finished is refused too: its figures are too low.
    """

    async def act() -> Response:
        services = services_of(request)
        if not key.may("operator") and not await _is_alone(services):
            detail = "It would change what every project shows: use a key with the scope operator."
            raise Problem(403, detail, code="concerns_all_projects")
        generations = services.generations
        found = {state.number: state for state in await generations.states()}
        if number not in found:
            raise NotFound("generation", str(number))
        if not found[number].is_finished:
            raise Problem(409, f"Generation {number} is not counted up to the log's end yet.", code="unfinished")
        try:
            await generations.switch(number)
        except GenerationMissing:
            raise NotFound("generation", str(number)) from None
        return answer(request, {"generation": number})

    return await once(request, key, act)


async def _is_alone(services: Services) -> bool:
    """Whether there is one project: then what belongs to the whole deployment is its own."""
    return len(await ask_sql(services.definitions.projects)) == 1


async def _own(services: Services, key: Key) -> frozenset[str]:
    return frozenset({key.project, *([""] if key.may("operator") or await _is_alone(services) else [])})


def _known(reason: Any) -> str | None:
    if reason is None:
        return None
    if not isinstance(reason, str) or reason not in set(Reason):
        raise invalid([InvalidDefinition("/reason", f"{reason!r} is no reason.", f"One of: {', '.join(Reason)}.")])
    return str(reason)


def _which(body: dict[str, Any], own: frozenset[str]) -> Which:
    unknown = sorted(set(body) - {"reason", "ids", "all"})
    if unknown:
        raise invalid([InvalidDefinition(f"/{unknown[0]}", "is not known.", "Send reason, ids or all.")])
    idents = body.get("ids")
    if idents is not None and not (
        isinstance(idents, list) and 1 <= len(idents) <= MOST_IDENTS and all(isinstance(one, str) for one in idents)
    ):
        raise invalid([InvalidDefinition("/ids", f"has to be a list of 1 to {MOST_IDENTS} ids.", "Send texts.")])
    if body.get("reason") is None and idents is None and body.get("all") is not True:
        raise invalid([InvalidDefinition("", "nothing is chosen.", "Send a reason, ids, or all: true.")])
    return Which(_known(body.get("reason")), own, None, None if idents is None else frozenset(idents))
