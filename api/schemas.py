"""The shapes of requests, for the API's documentation, and how they come into it.

What is valid is decided by the domain, which names each wrong field; the shapes here say the same as far as a schema
can. tests/api/test_openapi.py holds the two together.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

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
    description: Annotated[str, Field(max_length=2000)] | None = Field(None, description="Its name for people.")
    unit: Text | None = Field(None, description="What is counted, as it is shown: signups, EUR.")
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
    startValue: Amount | None = Field(  # noqa: N815  # the API's name
        None, description="Where `current` begins; default: 0. Beyond the target, the goal is completed at once."
    )
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
