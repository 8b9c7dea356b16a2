"""Alerts: rules that call a webhook, and the log of what was sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from api.auth import WRITE, Needs, services_of
from api.bodies import answer, idempotency_key, once, read_object
from api.problem_schemas import PROBLEMS
from api.schemas import AlertIn, body_of
from api.services import Key, Services
from app.domain.alerting import DEFAULT_HOLD_MINUTES, When
from app.domain.declaring import ALERT, GOAL
from app.domain.deliveries import Delivery, StoredAlert
from app.domain.moments import rfc3339
from app.domain.references import not_found
from app.patience import ask_sql

router = APIRouter(prefix="/api/alerts", tags=["alerts"], responses=PROBLEMS)
SEE: Any = Needs("write", "reads")
"""An address may be a secret itself, as chats' are: who may only read does not see it."""


@router.get("", operation_id="listAlerts", summary="The project's alerts")
async def list_alerts(request: Request, key: Annotated[Key, Depends(SEE)]) -> Response:
    """A bare array, oldest first. Needs the scope `write`, since the address of a webhook may be a secret."""
    return answer(request, [_shown(one) for one in await services_of(request).alerts.list(key.project)])


@router.post("", operation_id="createAlert", status_code=201, summary="Be told", openapi_extra=body_of(AlertIn))
async def create_alert(request: Request, key: Annotated[Key, Depends(WRITE)]) -> Response:
    """`when` a status changed, a target is reached, a goal got no conversion for `silentHours`, or `freshAsOf` is older
    than `staleMinutes`. `warnings` tells of `goalIds` that no goal has; `secret`, which signs the messages, is told in
    this answer alone."""

    async def act() -> Response:
        services, body = services_of(request), await read_object(request)
        warnings = await _warnings(services, key.project, body)
        made, secret = await services.alerts.create(key.project, body, key.id, asked_as=idempotency_key(request))
        shown = {**_shown(made), "warnings": warnings, "secret": secret}
        return answer(request, shown, 201, {"Location": f"/api/alerts/{made.id}"})

    return await once(request, key, act)


@router.get("/{alert_id}", operation_id="getAlert", summary="One alert")
async def get_alert(request: Request, alert_id: str, key: Annotated[Key, Depends(SEE)]) -> Response:
    """Without its secret."""
    return answer(request, _shown(await services_of(request).alerts.get(key.project, alert_id)))


@router.patch(
    "/{alert_id}",
    operation_id="editAlert",
    summary="Edit an alert",
    openapi_extra=body_of(AlertIn, partial=True, has_id=False),
)
async def edit_alert(request: Request, alert_id: str, key: Annotated[Key, Depends(WRITE)]) -> Response:
    """The fields to change; null takes an optional one away. With another condition, and after a pause, it begins anew:
    what became of goals before is not told."""
    services, changes = services_of(request), await read_object(request)
    warnings = await _warnings(services, key.project, changes)
    made = await services.alerts.edit(key.project, alert_id, changes, key.id)
    return answer(request, {**_shown(made), "warnings": warnings})


@router.delete("/{alert_id}", operation_id="deleteAlert", summary="Delete an alert")
async def delete_alert(request: Request, alert_id: str, key: Annotated[Key, Depends(WRITE)]) -> Response:
    """With its log; what was not sent yet is never sent."""
    await services_of(request).alerts.delete(key.project, alert_id, key.id)
    return answer(request, {"id": alert_id, "deleted": True})


@router.post("/{alert_id}/test", operation_id="testAlert", status_code=201, summary="Send a test")
async def test_alert(request: Request, alert_id: str, key: Annotated[Key, Depends(WRITE)]) -> Response:
    """Sent within seconds like any other, with `test: true`; the log tells what became of it."""

    async def act() -> Response:
        services = services_of(request)
        asked_as = idempotency_key(request)
        made = await services.alerts.test(key.project, alert_id, services.now(), asked_as=asked_as)
        return answer(request, _shown_delivery(made), 201)

    return await once(request, key, act)


@router.get("/{alert_id}/deliveries", operation_id="listAlertDeliveries", summary="What was sent")
async def list_deliveries(
    request: Request,
    alert_id: str,
    key: Annotated[Key, Depends(SEE)],
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """Newest first, kept for 30 days: each message, how often it was tried, and what was answered last."""
    found = await services_of(request).alerts.deliveries(key.project, alert_id, limit)
    return answer(request, [_shown_delivery(one) for one in found])


async def _warnings(services: Services, project: str, body: Mapping[str, object]) -> list[str]:
    if not body.get("goalIds"):
        return []
    _, goals = await ask_sql(services.definitions.current, project, GOAL)
    return list(not_found(ALERT, body, {goal.id for goal in goals}))


def _shown(alert: StoredAlert) -> dict[str, Any]:
    defaults: dict[str, Any] = {"goalIds": None, "status": "active"}
    if alert.body["when"] == When.STATUS_CHANGE:
        defaults["holdMinutes"] = DEFAULT_HOLD_MINUTES
    return {"id": alert.id, **defaults, **alert.body, "createdAt": rfc3339(alert.created_at)}


def _shown_delivery(delivery: Delivery) -> dict[str, Any]:
    ended = "given_up" if delivery.delivered_at is None else "delivered"
    return {
        "id": delivery.id,
        "state": ended if delivery.next_at is None else "pending",
        "createdAt": rfc3339(delivery.created_at),
        "attempts": delivery.attempts,
        "nextAt": rfc3339(delivery.next_at),
        "deliveredAt": rfc3339(delivery.delivered_at),
        "answer": delivery.status,
        "error": delivery.error or None,
        "message": json.loads(delivery.body),
    }
