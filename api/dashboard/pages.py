"""Rendering: templates of this package, escaped, under a policy that allows nothing foreign and nothing inline."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.exceptions import HTTPException

from api import problems
from api.auth import doorkeeper_of
from api.problems import Problem, to_problem
from api.services import Key
from app.errors import InvalidApiKey, ScorekeeperError

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "worker-src 'self'; require-trusted-types-for 'script'; trusted-types scorekeeper-stream"
)
NAVIGATION = (
    ("/", "Goals"),
    ("/conversion-goals", "Conversion goals"),
    ("/explain", "Explain"),
    ("/alerts", "Alerts"),
    ("/pipeline", "Pipeline"),
)
_templates = Environment(
    loader=PackageLoader("api.dashboard"),
    autoescape=select_autoescape(default=True),
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals["navigation"] = NAVIGATION


def page(name: str, status: int = 200, **values: object) -> Response:
    """The template as an HTML answer. With `key`, whose page it is, the navigation and the sign-out are shown."""
    html = _templates.get_template(name).render(**values)
    return HTMLResponse(html, status, headers={"content-security-policy": POLICY, "cache-control": "no-store"})


async def _visitor(request: Request) -> Key:
    key = request.state.visitor = await doorkeeper_of(request).identify(request)
    return key


VISITOR = Annotated[Key, Depends(_visitor)]
"""The key of the session that asks for a page; without one, the answer is the sign-in page."""


async def visitor_if_any(request: Request) -> Key | None:
    """Whose page it is, where nobody has to be signed in: whatever keeps that from being told, the page is shown."""
    try:
        return await _visitor(request)
    except (ScorekeeperError, Problem):
        return None


class PageRoute(APIRoute):
    """A route whose errors are pages too: in words, with what to do next. Nobody signed in: the sign-in page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_with_a_page(request: Request) -> Response:
            try:
                return await answer(request)
            except InvalidApiKey:
                wanted = request.url.path if request.method == "GET" else "/"
                more = "" if wanted == "/" else f"?next={quote(wanted, safe='/')}"
                return RedirectResponse(f"/sign-in{more}", 303)
            except (ScorekeeperError, Problem, HTTPException, RequestValidationError) as error:
                return show_problem(to_problem(error), getattr(request.state, "visitor", None))

        return answer_with_a_page


def show_problem(problem: Problem, key: Key | None) -> Response:
    """An error as a page; with the navigation, when it is known whose page it is."""
    shown = page("problem.html", problem.status, problem=problem, key=key)
    for name, value in problem.headers.items():
        shown.headers[name] = value
    return shown


async def answer_unknown_address(request: Request, error: Exception) -> Response:
    """An address that leads nowhere, or only takes what a form sends: a page for browsers, a problem document for
    clients of the API."""
    if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        return await problems.answer(request, error)
    problem = to_problem(error)
    bare = problems.address_without_slash(request)
    if bare is not None and request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(quote(bare, safe="/") + query, 307)
    if problem.status == 404:
        problem.detail = f"Nothing is at {request.url.path[:200]!r}."
    return show_problem(problem, await visitor_if_any(request))
