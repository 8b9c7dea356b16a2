"""Events over HTTP, for services without a Kafka client: checked, sent to Kafka, answered when Kafka has them."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from api.auth import INGEST, limit, services_of
from api.bodies import answer, idempotency_key, once
from api.event_bodies import Judged, judge, read_pieces
from api.event_schemas import any_events_body, events_body
from api.problem_schemas import PROBLEMS
from api.problems import Problem
from api.services import Key

router = APIRouter(prefix="/api/events", tags=["events"], responses=PROBLEMS)


@router.post("", operation_id="publishEvents", summary="Publish events", openapi_extra=events_body())
async def publish_events(request: Request, key: Annotated[Key, Depends(INGEST)]) -> Response:
    """One event, an array, or a batch `{"events": […]}`; native, CloudEvents or Segment; at most 100. A CloudEvent in
    binary mode has its attributes in headers (`ce-specversion`, `ce-type`, …) and its data, of any JSON type, as body.

    Answers `{received, duplicates, errors}` when Kafka has all of them. After a 503, or no answer, Kafka may have none,
    some or all of them: send the same request again. That is harmless for events with an id, which counts once, and
    with an `Idempotency-Key`, by which events without an id get one that stays; what has neither may count twice.
    """

    async def act() -> Response:
        pieces = await read_pieces(request)
        if len(pieces) > 1:
            await limit(request, key, "events", len(pieces) - 1)
        services = services_of(request)
        judged = judge(pieces, key.project, services.now(), services.parsing, await _id_prefix(request))
        if judged.messages:
            await services.publisher.publish(judged.messages)
        elif judged.errors:
            raise Problem(422, "Not one of the events can be counted.", code="no_valid_event", **_shown(judged))
        return answer(request, _shown(judged))

    return await once(request, key, act)


@router.post(
    "/validate",
    operation_id="validateEvents",
    summary="Check events without publishing them",
    openapi_extra=any_events_body(),
)
async def validate_events(request: Request, key: Annotated[Key, Depends(INGEST)]) -> Response:
    """What would become of each event, without sending any."""
    services = services_of(request)
    judged = judge(await read_pieces(request), key.project, services.now(), services.parsing)
    found = _shown(judged)
    return answer(request, {"valid": found.pop("received"), **found})


def _shown(judged: Judged) -> dict[str, Any]:
    return {"received": len(judged.messages), "duplicates": judged.duplicates, "errors": judged.errors}


async def _id_prefix(request: Request) -> str | None:
    """Of the key and the body: another body under a key that is known no more holds other events."""
    given = idempotency_key(request)
    if not given:
        return None
    return hashlib.sha256(given.encode() + b"\0" + await request.body()).hexdigest()[:24]
