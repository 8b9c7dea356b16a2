"""The shapes of requests, for the API's documentation, and how they come into it.

What is valid is decided by the domain, which names each wrong field; the shapes here say the same as far as a schema
can. tests/api/test_openapi.py holds the two together.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMAS: dict[str, dict[str, Any]] = {}
"""The document's components by name; filled where they are used."""

_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
_NOT_BLANK = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=_NOT_BLANK)]
Text = Annotated[str, Field(max_length=200, pattern=_PRINTABLE)]
Amount = Annotated[float, Field(ge=-1e15, le=1e15)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GoalIn(_Strict):
    """A goal to reach."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"metric": "trial_signup", "target": 500, "deadline": "2099-12-31", "unit": "signups"}]
        }
    )

    metric: Name = Field(description="The metric that feeds the goal.")
    target: float = Field(ge=0, le=1e15, description="What is to be reached; at most six decimals.")
    deadline: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="A date (to its end in the project's time zone) or an RFC 3339 date-time with its offset."
    )
    description: Annotated[str, Field(max_length=2000)] | None = None
    unit: Text | None = None
    aggregation: Literal["count", "sum", "unique", "rate"] | None = Field(None, description="Default: count.")
    denominatorMetric: Text | None = Field(None, description="With rate: what the metric is divided by.")  # noqa: N815  # the API's name
    period: Literal["day", "week", "month", "quarter", "year"] | None = Field(
        None, description="`current` restarts with each, in the project's time zone."
    )
    direction: Literal["at_least", "at_most"] | None = Field(None, description="Default: at_least.")
    pace: Literal["linear", "seasonal"] | None = Field(
        None, description="linear (default), or seasonal: learned from your hours of the week."
    )
    startsAt: Annotated[str, Field(max_length=200)] | None = Field(  # noqa: N815  # the API's name
        None, description="From when conversions count; default: now."
    )
    startValue: Amount | None = Field(None, description="The baseline.")  # noqa: N815  # the API's name
    backfill: bool | None = Field(None, description="Count at once what the log still holds since startsAt.")
    conversionGoalIds: (  # noqa: N815  # the API's name
        Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1, max_length=100)] | None
    ) = Field(None, description="These conversion goals feed it, instead of the metric's.")
    status: Literal["completed", "on_track", "at_risk", "behind"] | None = Field(
        None, description="Overrides the status that is computed; null takes it back."
    )


class ConversionGoalIn(_Strict):
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

    name: Name
    eventType: Name = Field(description="Equal to the event's type, case-sensitive.")  # noqa: N815  # the API's name
    urlPattern: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(  # noqa: N815  # the API's name
        None, description="A URL Pattern; with a leading / of the path."
    )
    conditions: dict[str, Any] | None = Field(
        None, description="A MongoDB-style query over the event's data; at most 50 conditions, 16 levels."
    )
    metric: Name | None = Field(None, description="What goals refer to; default: the name as a slug.")
    counting: Literal["every_event", "once_per_session", "once_per_visitor"] | None = Field(
        None, description="Default: every_event."
    )
    valueProperty: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(  # noqa: N815  # the API's name
        None, description="Dotted path of the number to sum: amount, order.total."
    )
    status: Literal["active", "paused", "archived"] | None = Field(None, description="Default: active.")


class AlertIn(_Strict):
    """What is told to whom."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "Signups fall behind", "url": "https://hooks.example.com/scorekeeper", "when": "status_change"}
            ]
        }
    )

    name: Name
    url: Annotated[str, Field(min_length=1, max_length=2000)] = Field(
        description="Where messages are posted to: https, and a public address."
    )
    when: Literal["status_change", "target_reached", "goal_silent", "stale"]
    goalIds: (  # noqa: N815  # the API's name
        Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1, max_length=100)] | None
    ) = Field(None, description="Of these goals; default: of every goal.")
    silentHours: Annotated[float, Field(gt=0, le=720)] | None = Field(  # noqa: N815  # the API's name
        None, description="With goal_silent: so long without a conversion."
    )
    staleMinutes: Annotated[float, Field(gt=0, le=43_200)] | None = Field(  # noqa: N815  # the API's name
        None, description="With stale: `freshAsOf` is so long ago."
    )
    holdMinutes: Annotated[float, Field(ge=0, le=43_200)] | None = Field(  # noqa: N815  # the API's name
        None, description="With status_change: the new status has to hold for so long; default: 5."
    )
    status: Literal["active", "paused"] | None = Field(None, description="Default: active.")


class PreviewIn(_Strict):
    """A definition to try out; with `id` an edit of that conversion goal, whose other fields it keeps."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Trial Signup", "eventType": "form_submit"}]})

    id: str | None = None
    name: Name | None = None
    eventType: Name | None = None  # noqa: N815  # the API's name
    urlPattern: str | None = None  # noqa: N815  # the API's name
    conditions: dict[str, Any] | None = None
    metric: str | None = None
    counting: str | None = None
    valueProperty: str | None = None  # noqa: N815  # the API's name
    status: str | None = None


_Named = Annotated[str, Field(max_length=200)]


class _EventFields(BaseModel):
    """What an event says besides its type. Names in parentheses are understood too."""

    model_config = ConfigDict(extra="allow")

    projectKey: str | None = Field(  # noqa: N815  # the API's name
        None, description="Over HTTP the API key's project, and may be left out (projectId, project)."
    )
    id: _Named | None = Field(
        None, description="Identity: an id counts once. Without one every copy counts (eventId, messageId)."
    )
    eventId: _Named | None = Field(None, description="Alias of id.")  # noqa: N815  # the API's name
    messageId: _Named | None = Field(None, description="Alias of id.")  # noqa: N815  # the API's name
    timestamp: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | int | None = Field(
        None,
        description="When it happened: RFC 3339 with an offset, or epoch milliseconds; default: when it is received.",
    )
    url: str | None = Field(None, description="Where it happened: an absolute URL or a path.")
    userId: str | None = Field(None, description="Who; a unique subject.")  # noqa: N815  # the API's name
    visitorId: str | None = Field(None, description="Who, where there is no userId.")  # noqa: N815  # the API's name
    anonymousId: str | None = Field(None, description="Alias of visitorId.")  # noqa: N815  # the API's name
    sessionId: str | None = Field(None, description="For once_per_session.")  # noqa: N815  # the API's name
    data: dict[str, Any] | None = Field(None, description="What conditions and valueProperty look at.")
    properties: Any = Field(None, description="Alias of data, an object; used where data is absent.")
    experiments: dict[str, str | int] | None = Field(
        None, description="Experiment -> variant, at most 100: the assignments at the time of the event."
    )


class EventIn(_EventFields):
    """One event in the native form; CloudEvents and Segment's track, page and screen are understood too."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "form_submit",
                    "id": "evt-1",
                    "url": "https://example.com/signup/complete",
                    "visitorId": "v-1",
                    "data": {"plan": "pro"},
                },
                {
                    "type": "purchase",
                    "id": "evt-2",
                    "userId": "u-1",
                    "sessionId": "s-1",
                    "data": {"amount": 19.99, "currency": "EUR"},
                    "experiments": {"checkout-button": "green"},
                },
                {"specversion": "1.0", "type": "purchase", "source": "/shop", "id": "ce-1", "data": {"amount": 5}},
                {"type": "track", "event": "purchase", "messageId": "s-1", "anonymousId": "v-1", "properties": {}},
            ]
        },
    )

    type: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="What happened.")
    eventType: _Named | None = Field(None, description="Alias of type.")  # noqa: N815  # the API's name


class AliasedEventIn(_EventFields):
    """The same with `eventType` in place of `type`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"eventType": "form_submit", "eventId": "evt-3", "anonymousId": "v-1"}]}
    )

    eventType: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="What happened.")  # noqa: N815  # the API's name
    type: _Named | None = None


class EventBatchIn(BaseModel):
    """Several events; fields beside `events` are defaults of each."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"userId": "u-1", "events": [{"type": "pageview"}, {"type": "purchase"}]}]},
    )

    events: Annotated[list[Any], Field(min_length=1, max_length=100)]


class ExplainIn(_Strict):
    """One event, and what to hold it against: an unsaved definition, a saved one by its id, or all of the project."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "event": {"type": "form_submit", "url": "/signup/complete", "data": {"plan": "free"}},
                    "definition": {"name": "Trial", "eventType": "form_submit", "conditions": {"plan": "pro"}},
                }
            ]
        }
    )

    event: dict[str, Any]
    definition: dict[str, Any] | None = None
    id: str | None = None


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def schema_of(
    model: type[BaseModel], name: str | None = None, *, partial: bool = False, has_id: bool = True
) -> dict[str, Any]:
    """A reference to the model among the document's components; `partial` for an edit, where every field may be left
    out or, where it is optional, be null; `has_id`: the body names what is changed, and not the path."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    SCHEMAS.update(schema.pop("$defs", {}))
    if partial and not has_id:
        del schema["required"]
        schema["description"] = "The fields to change; null takes an optional one away."
        schema["examples"] = [{"status": "paused"}]
    elif partial:
        schema["required"] = ["id"]
        schema["properties"] = {"id": {"type": "string", "minLength": 1}, **schema["properties"]}
        schema["description"] = "`id`, and the fields to change; null takes an optional one away."
        schema["examples"] = [{"id": "…"}]
    name = name or model.__name__
    schema["title"] = name
    SCHEMAS[name] = schema
    return ref(name)


def body_of(model: type[BaseModel], *, partial: bool = False, has_id: bool = True) -> dict[str, Any]:
    """The OpenAPI request body of a model."""
    name = model.__name__.replace("In", "Edit") if partial else None
    schema = schema_of(model, name, partial=partial, has_id=has_id)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def events_body() -> dict[str, Any]:
    """One event, an array or a batch. Elements are not described: each is judged for itself."""
    SCHEMAS["EventsIn"] = {
        "title": "EventsIn",
        "anyOf": [
            schema_of(EventIn),
            schema_of(AliasedEventIn),
            schema_of(EventBatchIn),
            {"type": "array", "items": {}, "minItems": 1, "maxItems": 100},
        ],
        "examples": [
            *SCHEMAS["EventIn"]["examples"],
            *SCHEMAS["AliasedEventIn"]["examples"],
            *SCHEMAS["EventBatchIn"]["examples"],
        ],
    }
    return _in_each_type(ref("EventsIn"))


def any_events_body() -> dict[str, Any]:
    """Whatever JSON: what is wrong with it is the answer."""
    meaning = "As for publishing; what could never be counted is told and not refused."
    SCHEMAS["CheckIn"] = {"title": "CheckIn", "description": meaning, "examples": SCHEMAS["EventIn"]["examples"]}
    return _in_each_type(ref("CheckIn"))


_CLOUD_EVENT: Final = {
    "specversion": "1.0",
    "type": "purchase",
    "source": "/shop",
    "id": "order-1",
    "data": {"amount": 5, "userId": "u-1"},
}


def _in_each_type(schema: dict[str, Any]) -> dict[str, Any]:
    """Events in the media types that name a form. Each form is taken in each of them, and as any other `+json`."""
    examples = {
        "application/cloudevents-batch+json": [_CLOUD_EVENT],
        "application/cloudevents+json": _CLOUD_EVENT,
        # The last: of several that fit, a client that is made by openapi-python-client sends that one.
        "application/json": SCHEMAS["EventIn"]["examples"][0],
    }
    content = {kind: {"schema": schema, "example": example} for kind, example in examples.items()}
    return {"requestBody": {"required": True, "content": content}}


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
