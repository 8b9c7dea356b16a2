"""Errors as answers: RFC 9457 problem documents, with `error` and `code` besides, for clients written for either shape.

Nothing of the inside is told: no stack, no SQL, no path, no version.
"""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from app.errors import Conflict, InvalidApiKey, InvalidDefinition, InvalidEvent, NotFound, StoreUnavailable

log = logging.getLogger("api")

TITLES = {
    400: ("bad_request", "The request cannot be read"),
    401: ("invalid_api_key", "An API key is needed"),
    403: ("forbidden", "The API key may not do this"),
    404: ("not_found", "There is no such thing"),
    405: ("method_not_allowed", "This path does not take this method"),
    406: ("not_acceptable", "The answer is JSON"),
    409: ("conflict", "It does not fit the present state"),
    412: ("changed_meanwhile", "It was changed meanwhile"),
    413: ("too_large", "The request is too large"),
    415: ("unsupported_media_type", "The body has to be JSON"),
    422: ("invalid", "The request says something that cannot be"),
    428: ("precondition_required", "A precondition is needed"),
    429: ("too_many_requests", "Too many requests"),
    500: ("internal", "We made a mistake"),
    503: ("unavailable", "A part that this needs is away"),
}
RETRY_SECONDS = 1


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


def respond(problem: Problem) -> Response:
    """The problem as a response."""
    kind, title = TITLES.get(problem.status, ("error", "Error"))
    code = problem.code or kind
    body = {
        "type": f"/docs/errors#{kind}",
        "title": title,
        "status": problem.status,
        "detail": problem.detail,
        "error": problem.detail,
        "code": code,
        **problem.more,
    }
    headers = dict(problem.headers)
    if problem.status == 503:
        headers.setdefault("Retry-After", str(RETRY_SECONDS))
    if problem.status == 401:
        headers.setdefault("WWW-Authenticate", 'ApiKey realm="scorekeeper"')
    return JSONResponse(body, problem.status, headers, media_type="application/problem+json")


def to_problem(error: Exception) -> Problem:
    """What of an error is told outside."""
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
    if isinstance(error, Conflict):
        return Problem(409, str(error))
    if isinstance(error, StoreUnavailable):
        log.warning("503: %s", error)
        return Problem(503, "A part that this request needs does not answer; try again in a moment.")
    if isinstance(error, HTTPException):
        _, title = TITLES.get(error.status_code, ("error", str(error.detail)))
        return Problem(error.status_code, f"{title}.", headers=dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        return Problem(422, _first_fault(error), errors=[_fault(fault) for fault in error.errors()])
    log.error("500", exc_info=error)
    return Problem(500, "We made a mistake; it is logged under the request id.")


def invalid(errors: list[InvalidDefinition]) -> Problem:
    """422 that names every wrong field by its JSON pointer."""
    faults = [{"pointer": e.field, "problem": e.problem, "remedy": e.remedy} for e in errors]
    return Problem(422, "; ".join(str(error) for error in errors), errors=faults)


def _fault(fault: dict[str, Any]) -> dict[str, str]:
    where = "/".join(str(part) for part in fault["loc"] if part not in {"body", "query", "path", "header"})
    return {"pointer": f"/{where}" if where else "", "problem": str(fault["msg"]), "remedy": ""}


def _first_fault(error: RequestValidationError) -> str:
    return "; ".join(f"{_fault(fault)['pointer'] or '/'}: {fault['msg']}" for fault in error.errors())


def install(app: FastAPI) -> None:
    """Answer every error of the app as a problem."""

    async def handle(request: Request, error: Exception) -> Response:
        del request
        return respond(to_problem(error))

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
        Exception,
    ):
        app.add_exception_handler(kind, handle)
