"""For operators: health, metrics, the audit log."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api import pipeline_metrics
from api.auth import ADMIN, services_of
from api.bodies import answer
from api.problem_schemas import PROBLEMS
from api.services import Key
from app.domain.json_values import writable
from app.errors import StoreUnavailable
from app.metrics import API
from app.patience import ask_sql

PIPELINE_SECONDS = 1.5
LARGEST_ID = 2**63 - 1
"""That a database can be asked about."""
router = APIRouter(tags=["operations"])


@router.get("/health/live", operation_id="isLive", summary="Whether the process answers")
async def is_live() -> Response:
    """200 as long as the process runs."""
    return JSONResponse({"status": "live"})


@router.get("/health/ready", operation_id="isReady", summary="Whether requests can be served")
async def is_ready(request: Request) -> Response:
    """503 names the parts that do not answer."""
    found = await services_of(request).check()
    missing = sorted(name for name, problem in found.items() if problem is not None)
    body = {"status": "not ready" if missing else "ready", "missing": missing}
    return JSONResponse(body, 503 if missing else 200, {"Retry-After": "1"} if missing else None)


@router.get("/metrics", operation_id="metrics", summary="Prometheus metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """In Prometheus' text format, with the whole deployment's state; no label holds a project or an id."""
    try:
        async with asyncio.timeout(PIPELINE_SECONDS):
            pipeline_metrics.show(await services_of(request).pipeline())
    except (StoreUnavailable, TimeoutError):
        pipeline_metrics.show(None)
    return Response(generate_latest(API), media_type=CONTENT_TYPE_LATEST)


@router.get("/api/audit", operation_id="listAudit", summary="Who changed what", responses=PROBLEMS)
async def list_audit(
    request: Request,
    key: Annotated[Key, Depends(ADMIN)],
    before: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Newest first; `next` is the `before` of the next page."""
    entries = await ask_sql(services_of(request).audit, key.project, before=before, limit=limit)
    following = entries[-1]["id"] if len(entries) == limit else None
    return answer(request, {"entries": writable(entries), "next": following})
