"""Experiments: what was seen, and how the variants compare."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.convertors import Convertor, register_url_convertor

from api.auth import READ, services_of
from api.bodies import tagged
from api.problem_schemas import PROBLEMS
from api.problems import Problem
from api.services import Key
from app.errors import NotFound
from app.experiments import LIMIT_REACHED


class _AnyText(Convertor[str]):
    """What an address names may hold every character: Starlette's own `path` ends at a new line."""

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("text", _AnyText())
router = APIRouter(prefix="/api/experiments", tags=["experiments"], responses=PROBLEMS)

_SUMMARY: dict[str, Any] = {
    "key": "checkout-button",
    "variants": [
        {"variant": "control", "exposed": 1000, "firstSeenAt": "2026-09-21T12:00:00.000Z"},
        {"variant": "green", "exposed": 1010, "firstSeenAt": "2026-09-21T12:00:01.250Z"},
    ],
    "exposed": 2010,
    "crossed": 3,
    "firstSeenAt": "2026-09-21T12:00:00.000Z",
}
_ROW: dict[str, Any] = {
    "variant": "control",
    "exposed": 1000,
    "converted": 100,
    "conversions": 112,
    "value": 2240.5,
    "rate": 0.1,
    "interval": [0.0829, 0.1202],
    "lift": None,
    "liftInterval": None,
}
_OTHER: dict[str, Any] = {
    "variant": "green",
    "exposed": 1010,
    "converted": 131,
    "conversions": 140,
    "value": 2801,
    "rate": 0.1297,
    "interval": [0.1104, 0.1518],
    "lift": 0.297,
    "liftInterval": [0.015, 0.6573],
}
_WHOLE: dict[str, Any] = {
    **_SUMMARY,
    "freshAsOf": "2026-09-21T13:00:00.000Z",
    "conversionGoals": [
        {"id": "cg_0123456789abcdef01234567", "name": "Purchase", "metric": "purchase", "variants": [_ROW, _OTHER]}
    ],
}


def _example(value: object) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "Successful Response", "content": {"application/json": {"example": value}}}}


@router.get(
    "", operation_id="listExperiments", summary="The experiments that were seen", responses=_example([_SUMMARY])
)
async def list_experiments(request: Request, key: Annotated[Key, Depends(READ)]) -> Response:
    """A bare array, by key. Whoever carries an assignment in an event's `experiments` is exposed, once.

    `crossed` subjects saw several variants, and count in the one that they saw first. With `X-Limit-Reached: true`
    events named more than is counted.
    """
    known = await services_of(request).experiments.list_all(key.project)
    return tagged(request, known.items, {"X-Limit-Reached": "true"} if known.is_full else None)


@router.get(
    "/{experiment:text}", operation_id="getExperiment", summary="How the variants compare", responses=_example(_WHOLE)
)
async def get_experiment(request: Request, experiment: str, key: Annotated[Key, Depends(READ)]) -> Response:
    """Per conversion goal and variant: subjects exposed and converted, conversions, their value, the rate
    (converted / exposed) with its 95% Wilson score interval, and the lift of the rate over the variant that was seen
    first (0.2 is a fifth more) with its 95% interval by Katz' logarithmic method.

    A conversion counts for the assignments that its own event carries. An interval is null where nothing can be said.
    """
    experiments = services_of(request).experiments
    try:
        return tagged(request, await experiments.compare(key.project, experiment))
    except NotFound:
        if (await experiments.list_all(key.project)).is_full:
            raise Problem(404, f"Nothing is counted of the experiment {experiment!r}. {LIMIT_REACHED}") from None
        raise
