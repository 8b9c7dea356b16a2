"""The shape of errors, and which answers may be one, for the API's documentation."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import schema_of


class FaultOut(BaseModel):
    """One thing that is wrong with the request."""

    model_config = ConfigDict(extra="allow")

    pointer: str = Field(description="Where, as a JSON pointer into the body; for a parameter /name.")
    problem: str
    remedy: str | None = None


class ProblemOut(BaseModel):
    """RFC 9457, with `error` and `code` besides."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Where the problem is explained.")
    title: str
    status: int
    detail: str
    error: str = Field(description="The same as `detail`.")
    code: str
    errors: list[FaultOut] | None = Field(None, description="With 422: every wrong field.")


_PROBLEMS = {
    400: "The request cannot be read.",
    401: "No API key, or a wrong one.",
    403: "The key lacks a scope.",
    404: "Nothing of that kind has that id in your project.",
    405: "This path does not take this method; see Allow.",
    408: "The request's body came too slowly.",
    409: "A conflict with the present state.",
    412: "It was changed meanwhile.",
    413: "The request is too large.",
    415: "The body is not JSON.",
    422: "A field is wrong; `errors` names each by its JSON pointer.",
    429: "Too many requests; see Retry-After.",
    500: "A mistake of ours; it is logged under the request id.",
    503: "A part is away; see Retry-After.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of these errors."""
    shape = schema_of(ProblemOut, "Problem")
    return {
        s: {"description": _PROBLEMS[s], "content": {"application/problem+json": {"schema": shape}}} for s in statuses
    }


PROBLEMS = problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503)
