"""The conversion goal: the definition of which events count, and what a valid one is.

Pure: compiled when it is saved or loaded, never per event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from unicodedata import normalize

from app.domain.condition import Condition, compile_condition
from app.domain.definition_fields import MAX_TEXT, Fields, is_blank
from app.domain.url_pattern import UrlPattern, compile_url_pattern
from app.errors import InvalidDefinition

FOREVER: Final = 2**62
"""The end of a version that is still in force, in epoch milliseconds."""

FIELDS: Final = (
    "name",
    "eventType",
    "urlPattern",
    "conditions",
    "metric",
    "counting",
    "valueProperty",
    "status",
)
"""The fields of a definition, as the API names them."""

_BETWEEN_WORDS: Final = re.compile(r"[\W_]+")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Counting(StrEnum):
    EVERY_EVENT = "every_event"
    ONCE_PER_SESSION = "once_per_session"
    ONCE_PER_VISITOR = "once_per_visitor"


class DefinitionStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class ConversionGoal:
    """One version of a conversion goal, compiled.

    It acts on records whose broker timestamp t holds `effective_from <= t < effective_until` (epoch milliseconds).
    `revision` is the catalog revision that brought this version.
    """

    id: str
    project: str
    name: str
    event_type: str
    metric: str
    url_pattern: UrlPattern | None = None
    condition: Condition | None = None
    counting: Counting = Counting.EVERY_EVENT
    value_property: tuple[str, ...] | None = None
    status: DefinitionStatus = DefinitionStatus.ACTIVE
    revision: int = 0
    effective_from: int = 0
    effective_until: int = FOREVER


def compile_conversion_goal(
    definition: Mapping[str, object],
    *,
    ident: str = "",
    project: str = "",
    revision: int = 0,
    effective_from: int = 0,
    effective_until: int = FOREVER,
) -> ConversionGoal:
    """The compiled form of a definition with the API's field names.

    `null` stands for a field that is absent. Unknown fields are refused. Raises InvalidDefinition (field as JSON
    pointer, problem, remedy; further wrong fields in `others`).
    """
    fields = Fields(definition, FIELDS)
    name = fields.text("name", required=True)
    metric = fields.text("metric")
    if fields.has("metric") and is_blank(metric):
        fields.problem("metric", "it is empty.", "Leave it out to have it made from the name.")
    compiled = ConversionGoal(
        id=ident,
        project=project,
        name=name,
        event_type=fields.text("eventType", required=True),
        metric=metric or metric_slug(name),
        url_pattern=fields.compiled("urlPattern", _url_pattern),
        condition=fields.compiled("conditions", compile_condition),
        counting=fields.choice("counting", Counting, Counting.EVERY_EVENT),
        value_property=fields.compiled("valueProperty", _path),
        status=fields.choice("status", DefinitionStatus, DefinitionStatus.ACTIVE),
        revision=revision,
        effective_from=effective_from,
        effective_until=effective_until,
    )
    fields.finish()
    return compiled


def metric_slug(name: str) -> str:
    """The default metric of a name: `Trial Signup` -> `trial_signup`.

    Lower case, and each run of what is neither letter nor digit in any script becomes one underscore; a name without
    letters and digits stays as it is. One character may become eighteen, so that it is shortened to a metric's length.
    """
    slug = _BETWEEN_WORDS.sub("_", normalize("NFKC", name).lower()).strip("_")[:MAX_TEXT].rstrip("_")
    return slug or name.strip()


def _url_pattern(source: object) -> UrlPattern:
    if not isinstance(source, str):
        raise InvalidDefinition("/urlPattern", "it is not a string.", "For example: /products/:id/reviews")
    return compile_url_pattern(source)


def _path(source: object) -> tuple[str, ...]:
    remedy = "Give the name of a number in data, with dots for nested ones: amount, order.total"
    if not isinstance(source, str):
        raise InvalidDefinition("/valueProperty", "it is not a string.", remedy)
    path = tuple(source.split("."))
    if not all(path):
        raise InvalidDefinition("/valueProperty", "a name in the path is empty.", remedy)
    if len(source) > MAX_TEXT or _SURROGATE.search(source):
        raise InvalidDefinition("/valueProperty", f"it is no path of at most {MAX_TEXT} characters.", remedy)
    return path
