"""The conversion goal: the definition of which events count, and what a valid one is.

Pure: compiled when it is saved or loaded, never per event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.domain.condition import Condition
from app.domain.url_pattern import UrlPattern

FOREVER: Final = 2**62
"""The end of a version that is still in force, in epoch milliseconds."""


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
    """The compiled form of a definition with the API's field names (SEMANTICS section 2).

    Unknown fields are refused. Raises InvalidDefinition(field as JSON pointer, problem, remedy).
    """
    raise NotImplementedError


def metric_slug(name: str) -> str:
    """The default metric of a name: `Trial Signup` -> `trial_signup`."""
    raise NotImplementedError
