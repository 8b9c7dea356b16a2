"""The catalog: every definition that ever acted, compiled and indexed by project and event type. Immutable.

Workers swap a whole catalog between two batches; a rebuild and `verify` read the log again with the same object, since
each version says from when to when it acts (by the broker's clock).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from sys import intern
from typing import Final, cast

from app.domain.backfill import Backfill, find_backfills
from app.domain.condition import Condition
from app.domain.conversion_goal import FOREVER, ConversionGoal, compile_conversion_goal
from app.domain.goal import Goal
from app.domain.goal_definition import compile_goal
from app.domain.history import DefinitionHistory, DefinitionVersion, Project
from app.domain.type_index import Feed, PathMemory, TypeIndex
from app.domain.url_pattern import UrlPattern
from app.errors import InvalidDefinition

BROKERS_DIFFER_MS: Final = 60_000
"""Brokers that lead a partition one after the other stamp by clocks of their own: what came later may seem earlier, by
so much at most."""


@dataclass(frozen=True, slots=True)
class ProjectView:
    """One project's definitions."""

    project: Project
    by_type: Mapping[str, TypeIndex]
    goals: tuple[Goal, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A version of a definition that could not be compiled; the others work."""

    version: DefinitionVersion
    problem: InvalidDefinition

    @property
    def is_in_force(self) -> bool:
        """Whether it is what the definition says now; of a superseded one only events of its time go uncounted."""
        return self.version.effective_until == FOREVER


@dataclass(frozen=True, slots=True)
class Catalog:
    """All definitions at one revision; `as_of` is the database's clock when they were read (epoch ms)."""

    revision: int
    as_of: int
    projects: Mapping[str, ProjectView] = field(default_factory=dict)
    backfills: Mapping[str, Backfill] = field(default_factory=dict)
    """The countings of present goals with `backfill`, by name."""
    left_out: tuple[LeftOut, ...] = ()
    memory: PathMemory = field(default_factory=PathMemory, compare=False, repr=False)
    """Of all indexes."""

    def had_projects(self, at: int | None) -> bool:
        """Whether there may have been a project before a message was received that is stamped so (epoch ms; None where
        nobody knows when it was, but by now); if not, of all that lay before it nothing counts anywhere."""
        return any(at is None or view.project.created_at <= at + BROKERS_DIFFER_MS for view in self.projects.values())


EMPTY = Catalog(revision=-1, as_of=0)


def build_catalog(history: DefinitionHistory, before: Catalog = EMPTY) -> Catalog:
    """Compile and index a history. A version that does not compile is left out and named in `left_out`.

    What `before` has of projects that did not change since is taken over: with twenty thousand definitions to compile
    them all takes seconds, and an edit concerns one project.
    """
    changed = history.changed
    kept = {} if changed is None else {key: view for key, view in before.projects.items() if key not in changed}
    zones = {project.key: project.time_zone for project in history.projects}
    definitions: dict[str, list[ConversionGoal]] = defaultdict(list)
    goals: dict[str, list[Goal]] = defaultdict(list)
    left_out = [one for one in before.left_out if one.version.project in kept]
    shared: dict[object, object] = {}
    for version in history.versions:
        if version.project not in zones or version.effective_from >= version.effective_until:
            continue
        try:
            if version.kind == "conversion_goal":
                definitions[version.project].append(_share(_conversion_goal(version), shared))
            else:
                goals[version.project].append(goal_of(version, zones[version.project]))
        except InvalidDefinition as problem:
            left_out.append(LeftOut(version, problem))
    found = find_backfills(history.versions, (goal for own in goals.values() for goal in own))
    backfills_of: dict[str, list[Backfill]] = defaultdict(list)
    for backfill in found.values():
        backfills_of[backfill.project].append(backfill)
    memory = before.memory if kept else PathMemory()
    views = {}
    for project in history.projects:
        key = project.key
        view = kept.get(key)
        if view is None:
            by_type = _index(definitions[key], goals[key], backfills_of[key], memory)
            view = ProjectView(project, by_type, tuple(goals[key]))
        views[key] = view if view.project == project else replace(view, project=project)
    backfills = {name: one for name, one in before.backfills.items() if one.project in kept} | dict(found)
    return Catalog(history.revision, history.as_of, views, backfills, tuple(left_out), memory)


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


def goal_of(version: DefinitionVersion, time_zone: str) -> Goal:
    """A goal's version, compiled. Raises InvalidDefinition."""
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


def _index(
    definitions: Iterable[ConversionGoal], goals: Sequence[Goal], backfills: Sequence[Backfill], memory: PathMemory
) -> Mapping[str, TypeIndex]:
    fed = _Fed(goals)
    fed_in = [(backfill, _Fed(backfill.versions)) for backfill in backfills]
    first_versions = _first_versions(definitions)
    by_type: dict[str, list[Feed]] = defaultdict(list)
    for definition in definitions:
        if definition.status != "active":
            continue
        counted = {
            backfill.name: feed for backfill, of_it in fed_in if (feed := of_it.feed(definition, counts_itself=False))
        }
        by_type[definition.event_type].append(
            Feed(definition, fed.numerators(definition), fed.denominators(definition), backfills=counted)
        )
        since = definition.effective_from
        earlier = replace(definition, effective_from=0, effective_until=since)
        before = {
            backfill.name: feed
            for backfill, of_it in fed_in
            if first_versions[definition.id] == since <= backfill.begun_at
            and (feed := of_it.feed(earlier, counts_itself=False))
        }
        if before:
            by_type[definition.event_type].append(Feed(earlier, (), (), counts_itself=False, backfills=before))
    # One string for all projects: it is compared with at each event, and one is where the processor has it at hand.
    return {intern(event_type): TypeIndex(feeds, memory) for event_type, feeds in by_type.items()}


class _Fed:
    """Which of some goals a conversion goal feeds."""

    def __init__(self, goals: Iterable[Goal]) -> None:
        self._by_id: dict[str, list[Goal]] = defaultdict(list)
        self._by_metric: dict[str, list[Goal]] = defaultdict(list)
        self._by_denominator: dict[str, list[Goal]] = defaultdict(list)
        for goal in goals:
            if goal.conversion_goal_ids is None:
                self._by_metric[goal.metric].append(goal)
            else:
                for ident in goal.conversion_goal_ids:
                    self._by_id[ident].append(goal)
            if goal.denominator_metric is not None:
                self._by_denominator[goal.denominator_metric].append(goal)

    def numerators(self, definition: ConversionGoal) -> tuple[Goal, ...]:
        return (*self._by_id.get(definition.id, ()), *self._by_metric.get(definition.metric, ()))

    def denominators(self, definition: ConversionGoal) -> tuple[Goal, ...]:
        return tuple(self._by_denominator.get(definition.metric, ()))

    def feed(self, definition: ConversionGoal, *, counts_itself: bool) -> Feed | None:
        """None where it feeds none of them."""
        goals, denominators = self.numerators(definition), self.denominators(definition)
        return Feed(definition, goals, denominators, counts_itself) if goals or denominators else None


def _first_versions(definitions: Iterable[ConversionGoal]) -> Mapping[str, int]:
    first: dict[str, int] = {}
    for definition in definitions:
        first[definition.id] = min(definition.effective_from, first.get(definition.id, definition.effective_from))
    return first
