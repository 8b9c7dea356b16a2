"""The catalog: every definition that ever acted, compiled and indexed by project and event type. Immutable.

Workers swap a whole catalog between two batches; a rebuild and `verify` read the log again with the same object, since
each version says from when to when it acts (by the broker's clock).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from app.domain.condition import Condition
from app.domain.conversion_goal import ConversionGoal, compile_conversion_goal
from app.domain.goal import Goal
from app.domain.goal_definition import compile_goal
from app.domain.history import DefinitionHistory, DefinitionVersion, Project
from app.domain.type_index import Feed, PathMemory, TypeIndex
from app.domain.url_pattern import UrlPattern
from app.errors import InvalidDefinition


@dataclass(frozen=True, slots=True)
class ProjectView:
    """One project's definitions."""

    project: Project
    by_type: Mapping[str, TypeIndex]
    goals: tuple[Goal, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A definition that could not be compiled; the others work."""

    version: DefinitionVersion
    problem: InvalidDefinition


@dataclass(frozen=True, slots=True)
class Catalog:
    """All definitions at one revision; `as_of` is the database's clock when they were read (epoch ms)."""

    revision: int
    as_of: int
    projects: Mapping[str, ProjectView] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()


EMPTY = Catalog(revision=-1, as_of=0)


def build_catalog(history: DefinitionHistory) -> Catalog:
    """Compile and index a history. A version that does not compile is left out and named in `left_out`."""
    zones = {project.key: project.time_zone for project in history.projects}
    definitions: dict[str, list[ConversionGoal]] = defaultdict(list)
    goals: dict[str, list[Goal]] = defaultdict(list)
    left_out: list[LeftOut] = []
    shared: dict[object, object] = {}
    for version in history.versions:
        if version.project not in zones or version.effective_from >= version.effective_until:
            continue
        try:
            if version.kind == "conversion_goal":
                definitions[version.project].append(_share(_conversion_goal(version), shared))
            else:
                goals[version.project].append(_goal(version, zones[version.project]))
        except InvalidDefinition as problem:
            left_out.append(LeftOut(version, problem))
    memory = PathMemory()
    views = {
        project.key: ProjectView(
            project, _index(definitions[project.key], goals[project.key], memory), tuple(goals[project.key])
        )
        for project in history.projects
    }
    return Catalog(history.revision, history.as_of, views, tuple(left_out))


def _conversion_goal(version: DefinitionVersion) -> ConversionGoal:
    return compile_conversion_goal(
        version.body,
        ident=version.id,
        project=version.project,
        revision=version.revision,
        effective_from=version.effective_from,
        effective_until=version.effective_until,
    )


def _share(definition: ConversionGoal, shared: dict[object, object]) -> ConversionGoal:
    """The same definition, with the one object of each condition and pattern that is equal to its own."""
    condition = shared.setdefault(definition.condition, definition.condition)
    pattern = shared.setdefault(definition.url_pattern, definition.url_pattern)
    if condition is definition.condition and pattern is definition.url_pattern:
        return definition
    return replace(
        definition, condition=cast("Condition | None", condition), url_pattern=cast("UrlPattern | None", pattern)
    )


def _goal(version: DefinitionVersion, time_zone: str) -> Goal:
    return compile_goal(
        version.body,
        ident=version.id,
        project=version.project,
        time_zone=time_zone,
        created_at=version.created_at,
        revision=version.revision,
        effective_from=version.effective_from,
        effective_until=version.effective_until,
    )


def _index(definitions: Iterable[ConversionGoal], goals: Sequence[Goal], memory: PathMemory) -> Mapping[str, TypeIndex]:
    by_id: dict[str, list[Goal]] = defaultdict(list)
    by_metric: dict[str, list[Goal]] = defaultdict(list)
    by_denominator: dict[str, list[Goal]] = defaultdict(list)
    for goal in goals:
        if goal.conversion_goal_ids is None:
            by_metric[goal.metric].append(goal)
        else:
            for ident in goal.conversion_goal_ids:
                by_id[ident].append(goal)
        if goal.denominator_metric is not None:
            by_denominator[goal.denominator_metric].append(goal)
    by_type: dict[str, list[Feed]] = defaultdict(list)
    first_versions = _first_versions(definitions)
    for definition in definitions:
        if definition.status != "active":
            continue
        fed = (*by_id[definition.id], *by_metric[definition.metric])
        denominators = tuple(by_denominator[definition.metric])
        by_type[definition.event_type].append(Feed(definition, fed, denominators))
        backfilled = tuple(goal for goal in fed if goal.backfill)
        if backfilled and first_versions[definition.id] == definition.effective_from:
            earlier = replace(definition, effective_from=0, effective_until=definition.effective_from)
            before = tuple(goal for goal in denominators if goal.backfill)
            by_type[definition.event_type].append(Feed(earlier, backfilled, before, counts_itself=False))
    return {event_type: TypeIndex(feeds, memory) for event_type, feeds in by_type.items()}


def _first_versions(definitions: Iterable[ConversionGoal]) -> Mapping[str, int]:
    first: dict[str, int] = {}
    for definition in definitions:
        first[definition.id] = min(definition.effective_from, first.get(definition.id, definition.effective_from))
    return first
