"""The page's routes, and the event stream that keeps the goals live."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from starlette.staticfiles import StaticFiles

from api.auth import READ, doorkeeper_of
from api.dashboard import conversion_goal_pages, explain_page, goal_pages, reference, signing_in
from api.dashboard.hub import Hub
from api.dashboard.pages import VISITOR, PageRoute, page
from api.dashboard.reasons import REASONS
from api.problems import Problem
from api.schemas import PROBLEMS
from api.services import Key
from app import metrics
from app.errors import InvalidApiKey, ScorekeeperError

HEARTBEAT_SECONDS = 10.0
CHECK_KEY_SECONDS = 0.1
"""The doorkeeper remembers for longer; together they stay below a second."""
router = APIRouter()
pages = APIRouter(route_class=PageRoute, include_in_schema=False)


def mount(app: FastAPI) -> None:
    """Serve the page's assets, and give the app its hub."""
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    services = app.state.services

    async def read(project: str) -> Any:
        return await services.reporter.list_goals(project, services.now())

    app.state.hub = Hub(read)
    views = (pages, goal_pages.pages, conversion_goal_pages.pages, explain_page.pages, signing_in.pages)
    for part in (router, *views, signing_in.router, reference.router):
        app.include_router(part)


@pages.get("/")
async def show_goals(key: VISITOR) -> Response:
    return page("goals.html", key=key, here="/")


@pages.get("/pipeline")
async def show_pipeline(key: VISITOR) -> Response:
    return page("pipeline.html", key=key, here="/pipeline", reasons=REASONS)


@router.get(
    "/api/goals/stream",
    operation_id="streamGoals",
    summary="Goals as they change",
    tags=["goals"],
    responses={**PROBLEMS, 200: {"content": {"text/event-stream": {}}}},
)
async def stream_goals(request: Request, key: Annotated[Key, Depends(READ)]) -> Response:
    """Server-sent events: the whole state first, then what changed, at most four times a second. Each event is
    `{"state": {…}, "order": [ids] or null, "goals": [changed goals]}`. Ends when the key ends."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(request, key), media_type="text/event-stream", headers=headers)


async def _events(request: Request, key: Key) -> AsyncIterator[str]:
    hub: Hub = request.app.state.hub
    metrics.STREAMS.inc()
    try:
        async with hub.watch(key.project) as watch:
            checked = spoken = time.monotonic()
            yield "retry: 1000\n\n"
            while not hub.closing.is_set():
                found = await watch.next(0.5)
                now = time.monotonic()
                if now - checked > CHECK_KEY_SECONDS:
                    checked = now
                    if not await _is_still_valid(request):
                        yield "event: ended\ndata: {}\n\n"
                        return
                if found is not None:
                    spoken = now
                    yield f"id: {found[0]}\nevent: goals\ndata: {found[1]}\n\n"
                elif now - spoken > HEARTBEAT_SECONDS:
                    spoken = now
                    yield ": still here\n\n"
    finally:
        metrics.STREAMS.dec()


async def _is_still_valid(request: Request) -> bool:
    try:
        await doorkeeper_of(request).identify(request)
    except InvalidApiKey:
        return False
    except (ScorekeeperError, Problem):
        return True
    return True
