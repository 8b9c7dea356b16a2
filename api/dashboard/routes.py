"""The page's routes, and the event stream that keeps the goals live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from api.auth import READ
from api.dashboard import alert_pages, conversion_goal_pages, explain_page, goal_pages, reference, signing_in
from api.dashboard.hub import Hub
from api.dashboard.key_guard import KeyGuard
from api.dashboard.pages import VISITOR, PageRoute, answer_unknown_address, page
from api.dashboard.reasons import REASONS
from api.dashboard.stream import GoalStream
from api.problem_schemas import PROBLEMS
from api.services import Key

STATIC = Path(__file__).parent / "static"
WORKER_POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'"
router = APIRouter()
pages = APIRouter(route_class=PageRoute, include_in_schema=False)


def mount_streams(app: FastAPI) -> None:
    """Serve the streams of goals, and give the app its hub. Before the goals: `/api/goals/stream` is no goal."""
    services = app.state.services

    async def read(project: str) -> Any:
        return await services.reporter.list_goals(project, services.now())

    app.state.hub = Hub(read)
    app.state.guard = KeyGuard()
    app.include_router(router)


def mount_pages(app: FastAPI) -> None:
    """Serve the page, its assets, and what is not there."""
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for status in (404, 405):
        app.add_exception_handler(status, answer_unknown_address)
    views = (pages, goal_pages.pages, conversion_goal_pages.pages, explain_page.pages, alert_pages.pages)
    for part in (*views, signing_in.pages, signing_in.router, reference.router):
        app.include_router(part)


@pages.get("/")
async def show_goals(key: VISITOR) -> Response:
    return page("goals.html", key=key, here="/")


@pages.get("/pipeline")
async def show_pipeline(key: VISITOR) -> Response:
    return page("pipeline.html", key=key, here="/pipeline", reasons=REASONS)


@router.get("/stream-worker.js", include_in_schema=False)
async def read_stream_worker() -> Response:
    """The worker that all tabs share. It has a policy of its own, since a worker does not have its page's."""
    headers = {"content-security-policy": WORKER_POLICY, "cache-control": "no-cache"}
    return FileResponse(STATIC / "stream_worker.js", media_type="text/javascript", headers=headers)


@router.get(
    "/api/goals/stream",
    operation_id="streamGoals",
    summary="Goals as they change",
    tags=["goals"],
    responses={**PROBLEMS, 200: {"content": {"text/event-stream": {}}}},
)
async def stream_goals(request: Request, key: Annotated[Key, Depends(READ)]) -> Response:
    """Server-sent events: the whole state first, then what changed, at most five times a second.

    `event: goals` has `{"project", "state": {"stale", "rebuilding", "freshAsOf"}, "order": [ids] or null, "goals":
    [changed goals]}`; `still-here` comes when there is nothing to say; `dropped` goes to a client that took nothing
    for 15 s; `ended` says that the key ended. With `Last-Event-ID` it goes on from there.
    """
    return GoalStream(request, request.app.state.hub, request.app.state.guard, key)
