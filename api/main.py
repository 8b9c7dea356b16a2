"""The HTTP application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import cors, openapi, problems
from api.auth import Doorkeeper
from api.dashboard import routes as dashboard
from api.middleware import Edge
from api.refusals import LateAnswers
from api.routes import alerts, conversion_goals, events, experiments, goals, operations, pipeline, recent, trying
from api.services import Services

THREADS = 64
DESCRIPTION = """\
Goals and what counts towards them. Every number is exact: each event counts once, whatever dies in between.

Send your API key in the header `x-api-key` (or `Authorization: Bearer`). Errors are RFC 9457 problem documents.
Fields and query parameters that an operation does not have are refused (422), and so is a parameter that is
given twice.
"""


def create_app(services: Services) -> FastAPI:
    """The application, not started."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Blocking calls of stores that hang keep their threads: more than the default number.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "api"))
        if services.start is not None:
            await services.start()
        yield
        if services.stop is not None:
            await services.stop()

    app = FastAPI(
        title="Scorekeeper",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # Clients that do not follow one lose what they post, without a word; the 404 names the right address.
        redirect_slashes=False,
    )
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]  # FastAPI's documented way
    app.state.services = services
    doorkeeper = app.state.doorkeeper = Doorkeeper(services)
    late = app.state.late_answers = LateAnswers()

    def end_soon() -> None:
        """From a signal handler: nobody is kept waiting any longer."""
        app.state.hub.close_soon()
        late.end_soon()

    app.state.end_soon = end_soon
    problems.install(app)
    dashboard.mount_streams(app)
    # Each address is tried in turn: what is asked for most comes first.
    for part in (goals, events, recent, conversion_goals, trying, experiments, alerts, operations, pipeline):
        app.include_router(part.router)
    dashboard.mount_pages(app)
    if services.cors_origins:
        cors.install(app, services.cors_origins)
    app.add_middleware(
        Edge,
        write_seconds=services.write_seconds,
        origins=services.cors_origins,
        gate=doorkeeper.gate,
        late=late,
        tracer=services.tracer,
    )
    return app
