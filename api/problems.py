"""Errors as answers: RFC 9457 problem documents, with `error` and `code` besides, for clients written for either shape.

Nothing of the inside is told: no stack, no SQL, no path, no version.
"""

from __future__ import annotations

import logging
from difflib import get_close_matches
from traceback import walk_tb
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.errors import (
    ChangedMeanwhile,
    Conflict,
    InvalidApiKey,
    InvalidDefinition,
    InvalidEvent,
    NotFound,
    StoreUnavailable,
    Unconfirmed,
    in_one_line,
)

log = logging.getLogger("api")

TITLES = {
    400: ("bad_request", "The request cannot be read"),
    401: ("invalid_api_key", "An API key is needed"),
    403: ("forbidden", "The API key may not do this"),
    404: ("not_found", "There is no such thing"),
    405: ("method_not_allowed", "This path does not take this method"),
    408: ("too_slow", "The request came too slowly"),
    409: ("conflict", "It does not fit the present state"),
    412: ("changed_meanwhile", "It was changed meanwhile"),
    413: ("too_large", "The request is too large"),
    415: ("unsupported_media_type", "The body has to be JSON"),
    422: ("invalid", "The request says something that cannot be"),
    429: ("too_many_requests", "Too many requests"),
    431: ("headers_too_large", "The request's headers are too large"),
    500: ("internal", "We made a mistake"),
    503: ("unavailable", "A part that this needs is away"),
}
"""Status -> its general code, which is also the anchor of `type`, and its title."""

CODES = {
    "batch_size": (422, "More events than one request may have, or none"),
    "concerns_all_projects": (403, "An operation that concerns every project, where there are several"),
    "cors_refused": (400, "A page of another site asks for what SCOREKEEPER_CORS_ORIGINS does not allow"),
    "empty_body": (400, "The body is empty"),
    "foreign_page": (403, "A session is used by a page of another site"),
    "foreign_project": (403, "An event names a project that is not the API key's"),
    "invalid_form": (400, "A form of the page that cannot be read"),
    "invalid_http": (400, "What was sent is not HTTP"),
    "invalid_idempotency_key": (422, "The Idempotency-Key is no printable text of 1 to 255 characters"),
    "invalid_json": (400, "The body is not JSON, or holds text that is not Unicode"),
    "missing_scope": (403, "The API key lacks the scope that the operation needs"),
    "no_valid_event": (422, "Not one event of the request can be counted; `errors` says why for each"),
    "still_working": (409, "The first request with this Idempotency-Key is not answered yet; ask again in a moment"),
    "too_deep": (422, "The body is nested too deeply"),
    "too_many_failures": (429, "Too many wrong API keys came from your address"),
    "unconfirmed": (503, "Some of the events may be stored, or all; send the same request again"),
    "unfinished": (409, "A generation that is not counted up to the log's end yet"),
}
"""Codes that tell more than the status's own: code -> (status, meaning). Each has its anchor too."""
_QUERY_FAULTS = {
    "int_parsing": ("it is {input}, not a whole number.", "Give digits alone, like 20."),
    "int_parsing_size": ("it is {input}, which is too large.", "Give a smaller number, like 20."),
    "greater_than_equal": ("it is {input}.", "At least {ge} is allowed."),
    "less_than_equal": ("it is {input}.", "At most {le} is allowed."),
    "string_too_short": ("it is empty.", "Give it in the address, after the =."),
    "string_too_long": ("it is too long.", "At most {max_length} characters are allowed."),
}
"""What pydantic finds in an address -> the problem and the remedy, in our words."""
RETRY_SECONDS = 1
_UNCONFIRMED = (
    "It is not known whether all of the events are stored; some may be. Send the same request again: an event's id "
    "counts once, and with the same Idempotency-Key events without an id have the same ones again."
)


class Problem(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.headers = headers or {}
        self.more = more


def body_of(problem: Problem) -> dict[str, Any]:
    """The problem document."""
    kind, title = TITLES.get(problem.status, ("error", "Error"))
    code = problem.code or kind
    return {
        "type": f"/docs/errors#{code if code in CODES else kind}",
        "title": title,
        "status": problem.status,
        "detail": problem.detail,
        "error": problem.detail,
        "code": code,
        **problem.more,
    }


def respond(problem: Problem) -> Response:
    """The problem as a response."""
    headers = dict(problem.headers)
    if problem.status == 503:
        headers.setdefault("Retry-After", str(RETRY_SECONDS))
    if problem.status == 401:
        headers.setdefault("WWW-Authenticate", 'ApiKey realm="scorekeeper"')
    return JSONResponse(body_of(problem), problem.status, headers, media_type="application/problem+json")


def to_problem(error: Exception, request_id: str = "") -> Problem:
    """What of an error is told outside; the rest is logged under the request's id."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, InvalidDefinition):
        return invalid([error, *error.others])
    if isinstance(error, InvalidEvent):
        return Problem(422, error.detail or str(error.reason), code=str(error.reason))
    if isinstance(error, InvalidApiKey):
        return Problem(401, str(error))
    if isinstance(error, NotFound):
        return Problem(404, str(error))
    if isinstance(error, ChangedMeanwhile):
        return Problem(412, str(error))
    if isinstance(error, Conflict):
        return Problem(409, str(error))
    if isinstance(error, StoreUnavailable):
        log.warning("503: %s", error, extra={"fields": {"requestId": request_id, "store": error.store}})
        if isinstance(error, Unconfirmed):
            return Problem(503, _UNCONFIRMED, code="unconfirmed")
        return Problem(503, "A part that this request needs does not answer; try again in a moment.")
    if isinstance(error, HTTPException):
        _, title = TITLES.get(error.status_code, ("error", str(error.detail)))
        return Problem(error.status_code, f"{title}.", headers=dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        return Problem(422, _first_fault(error), errors=[_fault(fault) for fault in error.errors()])
    fields = {"requestId": request_id, "kind": type(error).__name__, "where": _where(error)}
    log.error("500: %s at %s", fields["kind"], fields["where"], extra={"fields": fields})
    return Problem(500, "We made a mistake; it is logged under the request id.")


def _where(error: Exception) -> str:
    """Modules, functions and lines from the first of ours to the last: what a stack tells, without paths, values or
    statements, which may hold what nobody should read."""
    frames = [
        f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_name}:{line}"
        for frame, line in walk_tb(error.__traceback__)
    ]
    ours = [index for index, frame in enumerate(frames) if frame.startswith(("api.", "app."))]
    return " > ".join(frames[ours[1] if len(ours) > 1 else 0 :][-8:])


def invalid(errors: list[InvalidDefinition]) -> Problem:
    """422 that names every wrong field by its JSON pointer."""
    faults = [{"pointer": e.field, "problem": e.problem, "remedy": e.remedy} for e in errors]
    return Problem(422, in_one_line(str(error) for error in errors), errors=faults)


def _fault(fault: dict[str, Any]) -> dict[str, str]:
    where = "/".join(str(part) for part in fault["loc"] if part not in {"body", "query", "path", "header"})
    pointer = f"/{where}" if where else ""
    if fault["type"] == "missing" and fault["loc"][0] == "query":
        return {"pointer": pointer, "problem": "it is missing.", "remedy": f"Give it in the address: ?{where}=…"}
    if fault["type"] in _QUERY_FAULTS:
        problem, remedy = _QUERY_FAULTS[fault["type"]]
        given = {"input": repr(str(fault["input"])[:60]), **fault.get("ctx", {})}
        return {"pointer": pointer, "problem": problem.format(**given), "remedy": remedy.format(**given)}
    return {"pointer": pointer, "problem": str(fault["msg"]), "remedy": ""}


def _first_fault(error: RequestValidationError) -> str:
    faults = [_fault(fault) for fault in error.errors()]
    return in_one_line(f"{one['pointer'] or '/'}: {one['problem']} {one['remedy']}".rstrip() for one in faults)


def _allowed(request: Request) -> set[str]:
    """All methods of the path; Starlette names those of the first route alone."""
    found = {
        method
        for method in ("GET", "POST", "PATCH", "DELETE")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    }
    return found | ({"HEAD"} if "GET" in found else set())


def address_without_slash(request: Request) -> str | None:
    """What the path is without the slashes at its end, where that leads somewhere and the path itself does not."""
    path = request.url.path.rstrip("/")
    if not path or path == request.url.path:
        return None
    bare = {**request.scope, "path": path}
    return path if any(route.matches(bare)[0] is not Match.NONE for route in request.app.routes) else None


def _meant(request: Request) -> str:
    bare = address_without_slash(request)
    known = [bare] if bare else request.app.openapi()["paths"]
    nearest = get_close_matches(request.url.path[:200], known, n=1, cutoff=0.75)
    return f"Did you mean {nearest[0]!r}? " if nearest else ""


async def answer(request: Request, error: Exception) -> Response:
    """The error as the answer to a client of the API."""
    problem = to_problem(error, getattr(request.state, "request_id", ""))
    if problem.status == 405:
        allowed = problem.headers["Allow"] = ", ".join(sorted(_allowed(request)))
        problem.detail = f"This path does not take {request.method}. It takes {allowed}."
    elif isinstance(error, HTTPException) and problem.status == 404:
        problem.detail = f"There is nothing at {request.url.path[:200]!r}. {_meant(request)}/docs lists all paths."
    return respond(problem)


def install(app: FastAPI) -> None:
    """Answer errors of the app as problems; what else is raised is left to the edge."""
    for kind in (
        Problem,
        InvalidDefinition,
        InvalidEvent,
        InvalidApiKey,
        NotFound,
        Conflict,
        StoreUnavailable,
        HTTPException,
        RequestValidationError,
    ):
        app.add_exception_handler(kind, answer)
