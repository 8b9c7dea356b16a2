"""The page's routes: sign in and out, the goals, and the event stream that keeps them live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.staticfiles import StaticFiles

from api.auth import READ, SESSION_COOKIE, doorkeeper_of, services_of
from api.bodies import read_object
from api.dashboard import reference
from api.dashboard.hub import Hub
from api.dashboard.pages import page
from api.problems import Problem
from api.schemas import PROBLEMS
from api.services import Key
from app import metrics
from app.errors import InvalidApiKey, ScorekeeperError

HEARTBEAT_SECONDS = 10.0
CHECK_KEY_SECONDS = 4.0
router = APIRouter()


def mount(app: FastAPI) -> None:
    """Serve the page's assets, and give the app its hub."""
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    services = app.state.services

    async def read(project: str) -> Any:
        return await services.reporter.list_goals(project, services.now())

    app.state.hub = Hub(read)
    app.include_router(router)
    app.include_router(reference.router)


@router.get("/", include_in_schema=False)
async def show_goals(request: Request) -> Response:
    """The goals; the sign-in page without a session."""
    try:
        key = await doorkeeper_of(request).identify(request)
    except (InvalidApiKey, Problem):
        return RedirectResponse("/sign-in", 303)
    return page("goals.html", project=key.project)


@router.get("/sign-in", include_in_schema=False)
async def show_sign_in() -> Response:
    return page("sign_in.html")


@router.get("/session", include_in_schema=False)
async def read_session(request: Request) -> Response:
    """Whether the browser is signed in: 200, else 401."""
    key = await doorkeeper_of(request).identify(request)
    return JSONResponse({"project": key.project})


@router.post("/session", include_in_schema=False)
async def open_session(request: Request) -> Response:
    """An API key in, a session cookie out. The key is kept nowhere."""
    body = await read_object(request)
    services = services_of(request)
    key = await asyncio.to_thread(services.keys.authenticate, str(body.get("apiKey", "")).strip())
    token = await asyncio.to_thread(services.keys.open_session, key)
    response = JSONResponse({"project": key.project})
    is_secure = request.url.scheme == "https"
    response.set_cookie(SESSION_COOKIE, token, httponly=True, samesite="strict", secure=is_secure, max_age=14 * 86_400)
    return response


@router.delete("/session", include_in_schema=False)
async def close_session(request: Request) -> Response:
    token = request.cookies.get(SESSION_COOKIE)
    if token is not None:
        await asyncio.to_thread(services_of(request).keys.close_session, token)
        doorkeeper_of(request).forget()
    response = JSONResponse({"signedIn": False})
    response.delete_cookie(SESSION_COOKIE)
    return response


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
