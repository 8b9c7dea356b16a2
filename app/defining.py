"""Definitions' write path: create, edit, end, and wait until every worker counts by the new one.

Checks by the rules of the domain, stores through a port, nudges the workers. Knows no driver.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ParamSpec, TypeVar
from zoneinfo import available_timezones

from app.domain.catalog import goal_of
from app.domain.conversion_goal import compile_conversion_goal
from app.domain.declaring import ALERT, CONVERSION_GOAL, GOAL, Step, Work
from app.domain.definition_fields import Fields, differing, without_nulls
from app.domain.goal import Direction, Goal
from app.domain.goal_definition import compile_goal
from app.domain.history import EFFECTIVE_LEAD_MS, DefinitionVersion, Project
from app.domain.references import not_found
from app.errors import ChangedMeanwhile, Conflict, InvalidDefinition, StoreUnavailable
from app.ids import id_for
from app.patience import within
from app.ports import CatalogSignals, DefinitionStore

ACTS_AFTER_SECONDS = EFFECTIVE_LEAD_MS / 1000
_POLL_SECONDS = 0.01
_SAYS_WHAT_FEEDS = frozenset({"metric", "denominatorMetric", "conversionGoalIds"})
_SAYS_WHERE_IT_BEGINS = frozenset({"startValue", "target", "direction"})
_NEITHER_WORD_NOR_DIGIT = re.compile(r"[^a-z0-9]+")

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Defined:
    """A stored change. `is_live`: every worker that lives counts by it, and there is one. `is_told`: the workers could
    be reached; else they find it out by themselves."""

    version: DefinitionVersion
    is_live: bool
    warnings: tuple[str, ...] = field(default=())
    is_told: bool = True


class Defining:
    """Coroutines; raise InvalidDefinition, NotFound, Conflict, StoreUnavailable. Then nothing is stored; but of a
    store that gave no answer within `patience_seconds` nobody knows."""

    def __init__(
        self,
        store: DefinitionStore,
        signals: CatalogSignals,
        *,
        live_timeout_seconds: float = 3.0,
        patience_seconds: float = 15.0,
    ) -> None:
        self._store = store
        self._patience_seconds = patience_seconds
        self._signals = signals
        self._live_timeout_seconds = live_timeout_seconds

    # -- projects

    async def create_project(self, name: str, time_zone: str = "UTC", *, key: str | None = None) -> Project:
        """A project whose key is the name's slug, where none is given. Returns when events may name it; workers that
        can know it then."""
        check_name(name)
        key = key or project_key(name)
        check_time_zone(time_zone)
        await self._wait_for_workers_in_touch()
        begun = time.monotonic()
        project = await self._ask(self._store.create_project, key, name, time_zone)
        revision, _ = await self._ask(self._store.revision)
        await self._live(revision, begun)
        return project

    # -- conversion goals

    async def create_conversion_goal(
        self, project: str, body: Mapping[str, object], actor: str, *, asked_as: str | None = None
    ) -> Defined:
        """What is asked for again under the same name, `asked_as`, is created once."""
        compiled = compile_conversion_goal(body, project=project)
        stored = without_nulls({**body, "metric": compiled.metric})
        return await self._create(project, CONVERSION_GOAL, id_for("cg", project, asked_as), stored, actor)

    async def edit_conversion_goal(
        self, project: str, ident: str, changes: Mapping[str, object], actor: str, *, revision: int | None = None
    ) -> Defined:
        """`changes` replaces the fields that it names; null takes an optional one away."""

        def change(before: DefinitionVersion) -> Mapping[str, object]:
            _require_revision(before, revision)
            body = {**before.body, **changes}
            compiled = compile_conversion_goal(body, ident=ident, project=project)
            return without_nulls({**body, "metric": compiled.metric})

        return await self._do(lambda: self._store.change(project, CONVERSION_GOAL, ident, change, actor))

    async def delete_conversion_goal(
        self, project: str, ident: str, actor: str, *, revision: int | None = None
    ) -> Defined:
        return await self._delete(project, CONVERSION_GOAL, ident, actor, revision)

    # -- goals

    async def create_goal(
        self, project: str, body: Mapping[str, object], actor: str, *, asked_as: str | None = None
    ) -> Defined:
        """What is asked for again under the same name, `asked_as`, is created once."""
        owner, present = await self._ask(self._store.current, project, CONVERSION_GOAL)
        now = int(time.time() * 1000)
        goal = compile_goal(body, ident="", project=project, time_zone=owner.time_zone, created_at=now)
        done = await self._create(project, GOAL, id_for("goal", project, asked_as), without_nulls(body), actor)
        return replace(done, warnings=done.warnings + _unfed(body, present) + _reached_at_once(goal))

    async def edit_goal(
        self, project: str, ident: str, changes: Mapping[str, object], actor: str, *, revision: int | None = None
    ) -> Defined:
        """`changes` replaces the fields that it names; null takes an optional one away (`status`: the override).
        Warns as `create_goal` does, when what it warns of changes."""
        owner, present = await self._ask(self._store.current, project, CONVERSION_GOAL)

        def change(before: DefinitionVersion) -> Mapping[str, object]:
            _require_revision(before, revision)
            body = {**before.body, **changes}
            compile_goal(body, ident=ident, project=project, time_zone=owner.time_zone, created_at=before.created_at)
            return without_nulls(body)

        done = await self._do(lambda: self._store.change(project, GOAL, ident, change, actor))
        warnings = () if _SAYS_WHAT_FEEDS.isdisjoint(changes) else _unfed(done.version.body, present)
        if not _SAYS_WHERE_IT_BEGINS.isdisjoint(changes):
            warnings += _reached_at_once(goal_of(done.version, owner.time_zone))
        return replace(done, warnings=done.warnings + warnings)

    async def delete_goal(self, project: str, ident: str, actor: str, *, revision: int | None = None) -> Defined:
        return await self._delete(project, GOAL, ident, actor, revision)

    # -- many at once

    async def carry_out(self, project: str, steps: Sequence[Step], secrets: Mapping[str, str], actor: str) -> bool:
        """All steps of a plan or none, as one change; whether every worker counts by it when this returns. `secrets`:
        of each alert that is new, by id."""
        if not steps:
            return True
        if all(step.kind == ALERT for step in steps):
            # No worker knows of alerts.
            await self._ask(self._store.carry_out, project, steps, secrets, actor)
            return True
        await self._wait_for_workers_in_touch()
        begun = time.monotonic()
        revision = await self._ask(self._store.carry_out, project, steps, secrets, actor)
        return await self._live(revision, begun)

    async def rehearse(self, works: Sequence[Work], actor: str) -> None:
        """Raises what the database would refuse, before anything is changed."""
        await self._ask(self._store.rehearse, works, actor)

    async def restore(self, project: Project, earlier: Sequence[DefinitionVersion], actor: str) -> bool:
        """A project that does not exist, as it was; what its definitions count from the log, a rebuild counts."""
        await self._wait_for_workers_in_touch()
        begun = time.monotonic()
        revision = await self._ask(self._store.restore, project, earlier, actor)
        return await self._live(revision, begun)

    # -- common steps

    async def _delete(self, project: str, kind: str, ident: str, actor: str, revision: int | None) -> Defined:
        def check(before: DefinitionVersion) -> Mapping[str, object]:
            _require_revision(before, revision)
            return before.body

        return await self._do(lambda: self._store.delete(project, kind, ident, actor, check))

    async def _create(self, project: str, kind: str, ident: str, body: Mapping[str, object], actor: str) -> Defined:
        def create() -> DefinitionVersion:
            try:
                return self._store.create(project, kind, ident, body, actor)
            except Conflict:
                present = self._store.get(project, kind, ident)
                if differing(present.body, body):
                    raise
                return present  # carried out the first time, though its answer was cut off

        return await self._do(create)

    async def _do(self, change: Callable[[], DefinitionVersion]) -> Defined:
        # Who waited for Redis once does not wait for it again: an answer takes two seconds at most.
        is_told = await self._wait_for_workers_in_touch()
        begun = time.monotonic()
        version = await self._ask(change)
        is_live = await self._live(version.revision, begun, is_told=is_told)
        warnings = () if is_live else ("No worker has confirmed this change yet: it is stored and acts when one does.",)
        return Defined(version, is_live, warnings, is_told)

    async def _ask(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await within(self._patience_seconds, "sql", asyncio.to_thread(call, *args, **kwargs))

    async def _live(self, revision: int, begun: float, *, is_told: bool = True) -> bool:
        is_live = is_told and await self.wait_until_live(revision)
        # An event that is published after the answer must fall under the definition.
        await asyncio.sleep(max(0.0, begun + ACTS_AFTER_SECONDS + 0.01 - time.monotonic()))
        return is_live

    async def _wait_for_workers_in_touch(self) -> bool:
        """Right after an outage of the database workers may still count by what they knew: let them notice its return.

        A bounded time: a worker that alone cannot reach it must not keep everybody from changing definitions. Returns
        whether the workers could be asked.
        """
        deadline = time.monotonic() + self._live_timeout_seconds
        try:
            while True:
                if time.monotonic() > deadline or not await self._signals.workers_out_of_touch():
                    return True
                await asyncio.sleep(_POLL_SECONDS)
        except StoreUnavailable:
            return False

    async def wait_until_live(self, revision: int) -> bool:
        """Whether every worker that lives runs the revision, waiting a bounded time for it. False without a worker."""
        deadline = time.monotonic() + self._live_timeout_seconds
        try:
            await self._signals.publish(revision)
            while True:
                running = await self._signals.worker_revisions()
                if not running or min(running.values()) >= revision:
                    return bool(running)
                if time.monotonic() > deadline:
                    return False
                await asyncio.sleep(_POLL_SECONDS)
        except StoreUnavailable:
            return False


def check_name(name: str) -> None:
    """Of a new project or key; there are projects from before there was a limit. Raises InvalidDefinition."""
    fields = Fields({"name": name}, ("name",))
    fields.text("name", required=True)
    fields.finish()


def check_time_zone(name: object) -> None:
    """Of a new project. Raises InvalidDefinition, with the zone that was probably meant."""
    # `localtime` is whatever each machine is set to: two workers could put one event into two days.
    known = available_timezones() - {"localtime"}
    if isinstance(name, str) and name in known:
        return
    wanted = str(name).strip().replace(" ", "_").lower()
    meant = sorted(zone for zone in known if wanted and f"/{zone.lower()}".endswith(f"/{wanted}"))
    remedy = f"Did you mean {meant[0]}?" if meant else "Give an IANA name: Europe/Berlin."
    raise InvalidDefinition("/timeZone", f"{name!r} is no time zone.", remedy)


def project_key(name: str) -> str:
    """The key of a project of that name: `Demo Shop` -> `demo-shop`. Raises InvalidDefinition when nothing is left."""
    key = _NEITHER_WORD_NOR_DIGIT.sub("-", name.lower()).strip("-")[:64].strip("-")
    if not key:
        raise InvalidDefinition(
            "/name", f"{name!r} has no letter a to z and no digit.", "Give a name such as: Web Shop."
        )
    return key


def _require_revision(before: DefinitionVersion, revision: int | None) -> None:
    if revision is not None and before.revision != revision:
        raise ChangedMeanwhile(
            f"it was changed meanwhile: its revision is {before.revision}, not {revision}; read it again"
        )


def _reached_at_once(goal: Goal) -> tuple[str, ...]:
    """Lawful, since sums may fall; but mostly `at_most` was meant, or the two were mixed up."""
    if not goal.start_value or goal.direction is Direction.AT_MOST or goal.start_value < goal.target:
        return ()
    begun = f"startValue {goal.start_value:f} has reached the target {goal.target:f} already: the goal is completed"
    return (f"{begun} from the start. Of one that is to go down, the direction is 'at_most'.",)


def _unfed(body: Mapping[str, object], present: Sequence[DefinitionVersion]) -> tuple[str, ...]:
    if body.get("conversionGoalIds"):
        return not_found(GOAL, body, {version.id for version in present})
    metrics = sorted({str(version.body.get("metric")) for version in present})
    wanted_metrics = [name for name in (body.get("metric"), body.get("denominatorMetric")) if name]
    return tuple(
        f"No conversion goal feeds the metric {name!r} yet"
        + (f"; there are: {', '.join(metrics[:10])}." if metrics else ".")
        for name in wanted_metrics
        if name not in metrics
    )
