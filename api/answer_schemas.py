"""The shapes of answers, for the API's document. Answers may grow fields; a client ignores what it does not know."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import ref, schema_of


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Goal(_Open):
    """A goal with its progress."""

    id: str
    metric: str
    target: float
    current: float | None = Field(description="null while the counters are being counted again.")
    deadline: str = Field(description="As it was given.")
    status: Literal["completed", "on_track", "at_risk", "behind"] | None
    statusSource: Literal["auto", "manual"] | None = None  # noqa: N815  # the API's name
    createdAt: str  # noqa: N815  # the API's name
    description: str
    unit: str
    aggregation: str
    direction: str
    expected: float | None = None
    projected: float | None = None
    progress: float | None = None
    freshAsOf: str | None = Field(None, description="All events up to then are counted.")  # noqa: N815  # the API's name
    stale: bool | None = Field(None, description="true: the last known values, while a part is away.")
    problem: str | None = Field(None, description="Why it counts nothing: an older version took what this one refuses.")
    revision: int = Field(description="For If-Match.")
    live: bool | None = Field(None, description="In the answer to a change: every worker counts by it.")
    warnings: list[str] | None = None


class ConversionGoal(_Open):
    """What counts, and how often it did."""

    id: str
    name: str
    eventType: str  # noqa: N815  # the API's name
    urlPattern: str | None  # noqa: N815  # the API's name
    conditions: dict[str, Any] | None
    metric: str
    counting: str
    status: str
    createdAt: str  # noqa: N815  # the API's name
    revision: int = Field(description="For If-Match.")
    conversions: int | None = None
    lastConversionAt: str | None = None  # noqa: N815  # the API's name
    live: bool | None = Field(None, description="In the answer to a change: every worker counts by it.")
    warnings: list[str] | None = None


class Alert(_Open):
    """A rule, and where it tells of what it sees."""

    id: str
    name: str
    url: str
    when: Literal["status_change", "target_reached", "goal_silent", "stale"]
    goalIds: list[str] | None = None  # noqa: N815  # the API's name
    silentHours: float | None = None  # noqa: N815  # the API's name
    staleMinutes: float | None = None  # noqa: N815  # the API's name
    holdMinutes: float | None = None  # noqa: N815  # the API's name
    status: Literal["active", "paused"]
    createdAt: str  # noqa: N815  # the API's name
    warnings: list[str] | None = Field(None, description="In the answer to a change.")
    secret: str | None = Field(None, description="In the answer to its creation alone: what messages are signed with.")


class AlertDelivery(_Open):
    """One message, and what became of it."""

    id: str = Field(description="The same at each attempt: by it a receiver knows a repetition.")
    state: Literal["pending", "delivered", "given_up"]
    createdAt: str  # noqa: N815  # the API's name
    attempts: int
    nextAt: str | None = None  # noqa: N815  # the API's name
    deliveredAt: str | None = None  # noqa: N815  # the API's name
    answer: int | None = Field(None, description="The status that the receiver answered with last.")
    error: str | None = None
    message: dict[str, Any]


class Deleted(_Open):
    id: str
    deleted: bool


class EventError(_Open):
    index: int
    pointer: str
    code: str
    problem: str


class Published(_Open):
    received: int
    duplicates: int = Field(description="Events that repeat an id of the same request.")
    errors: list[EventError]


class Validated(_Open):
    valid: int
    duplicates: int
    errors: list[EventError]


class Preview(_Open):
    seen: int
    ofType: int  # noqa: N815  # the API's name
    matched: int
    samples: list[dict[str, Any]]
    missed: list[dict[str, Any]]
    warnings: list[str]
    gained: int | None = None
    lost: int | None = None
    unchanged: int | None = None


class Verdict(_Open):
    id: str | None
    name: str
    matches: bool
    why: str
    clauses: list[dict[str, Any]]


class Explanation(_Open):
    event: dict[str, Any]
    verdicts: list[Verdict]
    notes: list[str] = Field(description="What is decided by more than clauses.")


class EventType(_Open):
    type: str
    count: int
    paths: list[dict[str, Any]]
    properties: list[dict[str, Any]]
    conversionGoalIds: list[str]  # noqa: N815  # the API's name


class AuditEntry(_Open):
    id: int
    at: int
    actor: str
    action: str
    kind: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditPage(_Open):
    entries: list[AuditEntry]
    next: int | None = Field(description="`before` of the next page; null at the end.")


class Pipeline(_Open):
    whole: bool = Field(description="false: without the figures that other projects move.")
    partitions: list[dict[str, Any]]
    projects: dict[str, Any]
    workers: list[dict[str, Any]]
    freshAsOf: str | None = None  # noqa: N815  # the API's name


class DeadLetters(_Open):
    letters: list[dict[str, Any]]
    next: str | None = Field(description="`before` of the next page; null at the end.")


class Replayed(_Open):
    replayed: int


class Shown(_Open):
    generation: int


class Experiment(_Open):
    key: str
    variants: list[dict[str, Any]]
    exposed: int
    crossed: int
    firstSeenAt: str | None = None  # noqa: N815  # the API's name


class Comparison(Experiment):
    freshAsOf: str | None = None  # noqa: N815  # the API's name
    conversionGoals: list[dict[str, Any]]  # noqa: N815  # the API's name


class Health(_Open):
    status: str
    missing: list[str] | None = None


def _array(model: type[BaseModel]) -> dict[str, Any]:
    return {"type": "array", "items": schema_of(model)}


def answer_schemas() -> dict[str, dict[str, Any]]:
    """Operation id -> the schema of its good answer."""
    goal, conversion_goal, deleted = schema_of(Goal), schema_of(ConversionGoal), schema_of(Deleted)
    schema_of(EventError)
    return {
        "listGoals": {"type": "array", "items": ref("Goal")},
        "getGoal": goal,
        "createGoal": goal,
        "editGoal": goal,
        "deleteGoal": deleted,
        "listConversionGoals": {"type": "array", "items": ref("ConversionGoal")},
        "createConversionGoal": conversion_goal,
        "editConversionGoal": conversion_goal,
        "deleteConversionGoal": deleted,
        "previewConversionGoal": schema_of(Preview),
        "explainEvent": schema_of(Explanation),
        "listEventTypes": _array(EventType),
        "publishEvents": schema_of(Published),
        "validateEvents": schema_of(Validated),
        "listAudit": schema_of(AuditPage),
        "getPipeline": schema_of(Pipeline),
        "listDeadLetters": schema_of(DeadLetters),
        "replayDeadLetters": schema_of(Replayed),
        "showGeneration": schema_of(Shown),
        "listExperiments": _array(Experiment),
        "getExperiment": schema_of(Comparison),
        "listAlerts": {"type": "array", "items": ref("Alert")},
        "createAlert": schema_of(Alert),
        "getAlert": ref("Alert"),
        "editAlert": ref("Alert"),
        "deleteAlert": deleted,
        "testAlert": schema_of(AlertDelivery),
        "listAlertDeliveries": {"type": "array", "items": ref("AlertDelivery")},
        "isLive": schema_of(Health),
        "isReady": ref("Health"),
    }
