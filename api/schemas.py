"""The shapes of requests and answers, for the API's documentation. What is valid is decided by the domain."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class GoalIn(BaseModel):
    """A goal to reach."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"metric": "signups", "target": 500, "deadline": "2027-12-31", "unit": "signups"}]
        }
    )

    metric: str = Field(description="The metric that feeds the goal.")
    target: float = Field(description="What is to be reached.")
    deadline: str = Field(description="A date (to its end in the project's time zone) or an RFC 3339 date-time.")
    description: str | None = None
    unit: str | None = None
    aggregation: str | None = Field(None, description="count (default), sum, unique or rate.")
    denominatorMetric: str | None = Field(None, description="With rate: what the metric is divided by.")  # noqa: N815
    period: str | None = Field(None, description="day, week, month, quarter or year: current restarts with each.")
    direction: str | None = Field(None, description="at_least (default) or at_most.")
    pace: str | None = Field(None, description="linear (default), or seasonal: learned from your hours of the week.")
    startsAt: str | None = Field(None, description="From when conversions count; default: now.")  # noqa: N815
    startValue: float | None = Field(None, description="The baseline.")  # noqa: N815
    backfill: bool | None = Field(None, description="Count at once what the log still holds since startsAt.")
    conversionGoalIds: list[str] | None = Field(None, description="Instead of the metric's.")  # noqa: N815


class ConversionGoalIn(BaseModel):
    """What counts as a conversion. All that is given must hold."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Trial Signup",
                    "eventType": "form_submit",
                    "urlPattern": "/signup/complete",
                    "conditions": {"plan": {"$in": ["pro", "team"]}},
                }
            ]
        }
    )

    name: str
    eventType: str = Field(description="Equal to the event's type, case-sensitive.")  # noqa: N815
    urlPattern: str | None = Field(None, description="A URL Pattern; with a leading / of the path.")  # noqa: N815
    conditions: dict[str, Any] | None = Field(None, description="A MongoDB-style query over the event's data.")
    metric: str | None = Field(None, description="What goals refer to; default: the name as a slug.")
    counting: str | None = Field(None, description="every_event (default), once_per_session, once_per_visitor.")
    valueProperty: str | None = Field(None, description="Dotted path of the number to sum.")  # noqa: N815
    status: str | None = Field(None, description="active (default), paused or archived.")


class EventIn(BaseModel):
    """One event in the native form."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "form_submit",
                    "id": "evt-1",
                    "url": "https://example.com/signup/complete",
                    "visitorId": "v-1",
                    "data": {"plan": "pro"},
                }
            ]
        },
    )

    type: str


class ProblemOut(BaseModel):
    """RFC 9457, with `error` and `code` besides."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    code: str


def body_of(model: type[BaseModel], *, partial: bool = False) -> dict[str, Any]:
    """The OpenAPI request body of a model; `partial` for a PATCH, where every field may be left out."""
    schema = model.model_json_schema()
    if partial:
        schema["required"] = ["id"]
        schema["properties"] = {"id": {"type": "string"}, **schema["properties"]}
        schema["examples"] = [{"id": "…"}]
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/problem+json": {"schema": ProblemOut.model_json_schema()}}}
    for status, text in {
        400: "The request cannot be read.",
        401: "No API key, or a wrong one.",
        403: "The key lacks a scope.",
        404: "Nothing of that kind has that id in your project.",
        409: "A conflict with the present state.",
        412: "It was changed meanwhile.",
        413: "The request is too large.",
        415: "The body is not JSON.",
        422: "A field is wrong; `errors` names each by its JSON pointer.",
        429: "Too many requests; see Retry-After.",
        503: "A part is away; see Retry-After.",
    }.items()
}
