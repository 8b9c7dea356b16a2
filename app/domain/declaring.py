"""Definitions as a file declares them, and the plan that makes a project's present definitions equal to them. Pure.

A definition is found by its id, else by its name: the `name` of a conversion goal or an alert; a goal's metric,
aggregation, denominator and period, which are what it shows. A new one without an id gets one made from its name, so
that the same file gives the same ids on every installation.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.domain.alerting import FIELDS as ALERT_FIELDS
from app.domain.alerting import compile_alert
from app.domain.conversion_goal import FIELDS as CONVERSION_GOAL_FIELDS
from app.domain.conversion_goal import FOREVER, compile_conversion_goal
from app.domain.definition_fields import differing, unknown_field
from app.domain.deliveries import StoredAlert
from app.domain.goal_definition import FIELDS as GOAL_FIELDS
from app.domain.goal_definition import compile_goal
from app.domain.history import DefinitionVersion, Project
from app.errors import InvalidDefinition, raise_together

CONVERSION_GOAL: Final = "conversion_goal"
GOAL: Final = "goal"
ALERT: Final = "alert"
PREFIXES: Final = {CONVERSION_GOAL: "cg", GOAL: "goal", ALERT: "alert"}
_FIELDS: Final = {CONVERSION_GOAL: CONVERSION_GOAL_FIELDS, GOAL: GOAL_FIELDS, ALERT: ALERT_FIELDS}
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ID_REMEDY: Final = "At most 64 letters, digits, '_', '-' and '.', a letter or digit first; or leave it out."
_DISTINGUISHING: Final = ("metric", "aggregation", "denominatorMetric", "period")

Action = Literal["create", "change", "delete"]


@dataclass(frozen=True, slots=True)
class Declared:
    """One definition of a file. `body` as it would be stored; `place` is where the file says it (a JSON pointer)."""

    kind: str
    id: str | None
    body: Mapping[str, object]
    place: str

    @property
    def name(self) -> str:
        return name_of(self.kind, self.body)


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the plan. `revision` is that of the version it was made from; 0 for a new definition and for an
    alert, of which `before` tells what it was made from."""

    action: Action
    kind: str
    id: str
    name: str
    before: Mapping[str, object]
    after: Mapping[str, object]
    revision: int = 0

    def differences(self) -> list[tuple[str, object, object]]:
        """(field, before, after) of each field that changes; None where it is absent."""
        names = differing(self.before, self.after)
        return [(name, self.before.get(name), self.after.get(name)) for name in names]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, in order, and how much is as it should be."""

    steps: tuple[Step, ...]
    unchanged: int
    undeclared: int
    """Definitions that the file does not name and that stay, since they were not to be pruned."""

    def count(self, action: Action) -> int:
        return sum(step.action == action for step in self.steps)


@dataclass(frozen=True, slots=True)
class Work:
    """All that a file brings about in one project. `is_new`: it is made first, with the versions that acted before."""

    project: Project
    is_new: bool
    earlier: Sequence[DefinitionVersion]
    steps: Sequence[Step]


def declare(kind: str, given: Mapping[str, object], place: str, *, allow_private: bool = False) -> Declared:
    """Read one definition of a file. Raises InvalidDefinition whose fields are pointers into the definition.

    Whether a goal's deadline lies after its start is asked by `plan`, which knows since when there is the goal.
    """
    known = ("id", *_FIELDS[kind])
    problems = [unknown_field(name, known) for name in given if name not in known]
    body = {name: value for name, value in given.items() if name in _FIELDS[kind] and value is not None}
    ident = given.get("id")
    if ident is not None and not (isinstance(ident, str) and _ID.fullmatch(ident)):
        problems.append(InvalidDefinition("/id", f"{ident!r} is no id.", _ID_REMEDY))
    try:
        if kind == CONVERSION_GOAL:
            # Stored as creating it over HTTP stores it: with the metric that its name gives.
            body["metric"] = compile_conversion_goal(body).metric
        elif kind == ALERT:
            compile_alert(body, allow_private=allow_private)
        else:
            compile_goal({"startsAt": "1970-01-01", **body}, ident="", project="", time_zone="UTC", created_at=0)
    except InvalidDefinition as error:
        problems.append(error)
    raise_together(problems)
    return Declared(kind, None if ident is None else str(ident), body, place)


def as_present(alert: StoredAlert) -> DefinitionVersion:
    """An alert as `plan` takes it: it acts at once and has no versions."""
    return DefinitionVersion(
        ALERT, alert.id, alert.project, 0, alert.created_at, FOREVER, alert.created_at, dict(alert.body)
    )


def plan(
    project: Project,
    declared: Sequence[Declared],
    present: Sequence[DefinitionVersion],
    *,
    now: int,
    prune: bool = False,
) -> Plan:
    """The steps from `present` to `declared`. Raises InvalidDefinition; each field is a culprit's `place`."""
    found = _Found(present)
    steps: list[Step] = []
    taken: dict[str, str] = {}
    unchanged = 0
    problems: list[InvalidDefinition] = []
    for one in declared:
        try:
            before = found.find(one)
            if one.kind == GOAL:
                _require_span(one, project.time_zone, now if before is None else before.created_at)
        except InvalidDefinition as error:
            problems.append(error)
            continue
        ident = before.id if before is not None else one.id or derived_id(project.key, one.kind, one.name)
        if ident in taken:
            problem = f"it is the same {_word(one.kind)} as {taken[ident].lstrip('/').replace('/', '.')}: {one.name!r}."
            problems.append(InvalidDefinition(one.place, problem, "Give each an `id` of its own, or take one out."))
            continue
        taken[ident] = one.place
        if before is None:
            steps.append(Step("create", one.kind, ident, one.name, {}, one.body))
        elif differing(before.body, one.body):
            steps.append(Step("change", one.kind, ident, one.name, before.body, one.body, before.revision))
        else:
            unchanged += 1
    raise_together(problems)
    left = [version for version in present if version.id not in taken]
    if prune:
        # Goals first: what feeds them goes when nothing shows it any more.
        for version in sorted(left, key=lambda version: version.kind == CONVERSION_GOAL):
            name = name_of(version.kind, version.body)
            steps.append(Step("delete", version.kind, version.id, name, version.body, {}, version.revision))
    return Plan(tuple(steps), unchanged, 0 if prune else len(left))


def _require_span(one: Declared, time_zone: str, created_at: int) -> None:
    try:
        compile_goal(one.body, ident="", project="", time_zone=time_zone, created_at=created_at)
    except InvalidDefinition as error:
        raise_together([InvalidDefinition(one.place + each.field, each.problem, each.remedy) for each in error.each])


def derived_id(project: str, kind: str, name: str) -> str:
    """The id of a definition that was given none: the same for the same name, everywhere."""
    digest = hashlib.blake2b("\0".join((project, kind, name)).encode(), digest_size=12).hexdigest()
    return f"{PREFIXES[kind]}_{digest}"


def name_of(kind: str, body: Mapping[str, object]) -> str:
    """What a definition is found by when no id is given."""
    if kind in (CONVERSION_GOAL, ALERT):
        return str(body.get("name", ""))
    parts = {field: body.get(field) for field in _DISTINGUISHING}
    parts["aggregation"] = None if parts["aggregation"] == "count" else parts["aggregation"]
    return " ".join(str(part) for part in parts.values() if part)


class _Found:
    """The present definitions by id and by name."""

    def __init__(self, present: Iterable[DefinitionVersion]) -> None:
        self._by_id = {}
        self._by_name: dict[tuple[str, str], list[DefinitionVersion]] = defaultdict(list)
        for version in present:
            self._by_id[version.id] = version
            self._by_name[version.kind, name_of(version.kind, version.body)].append(version)

    def find(self, one: Declared) -> DefinitionVersion | None:
        if one.id is not None:
            version = self._by_id.get(one.id)
            if version is not None and version.kind != one.kind:
                problem = f"{one.id!r} is the id of a {_word(version.kind)}."
                raise InvalidDefinition(f"{one.place}/id", problem, "Give it another one.")
            return version
        same = self._by_name[one.kind, one.name]
        if len(same) > 1:
            ids = ", ".join(version.id for version in same)
            problem = f"there are {len(same)} of that name: {ids}."
            raise InvalidDefinition(one.place, problem, "Say in `id` which one is meant.")
        return same[0] if same else None


def _word(kind: str) -> str:
    return kind.replace("_", " ")
