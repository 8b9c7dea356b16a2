"""The shapes of events, for the API's documentation: each form in the media types that name it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import SCHEMAS, ref, schema_of

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
