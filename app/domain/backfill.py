"""A backfill: one goal's own counting, from the start of the log on, beside the counting of everything. Pure.

A goal with `backfill` counts what the log held before it was defined. Whether an event counts can depend on any earlier
one (its id, its session, its subject, what it corrects), so that nothing which was counted already can be added to:
the goal is counted on its own, with a memory and checkpoints of its own, and is not shown before it has caught up.

So a backfill is a function of the log and of the definitions' history alone, whenever and however it was made:

- It begins with the version that turns `backfill` on, that changes `startsAt` while it is on, or that creates a deleted
  goal again. Further edits act from their own moment, as they always do; turning it off or deleting the goal ends it.
- Conversion goals that existed when it began act back to the start of the log; later ones from their creation.
- An event counts once in it, whatever other countings did with that event.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from app.domain.conversion_goal import FOREVER
from app.domain.goal import Goal
from app.domain.history import DefinitionVersion


@dataclass(frozen=True, slots=True)
class Backfill:
    """One goal's own counting."""

    name: str
    """The goal's id and the revision that it began with: what was counted under another name is not mixed in."""
    project: str
    goal: str
    begun_at: int
    """When its first version was created, by the broker's clock."""
    versions: tuple[Goal, ...]
    """The first one acts from the start of the log."""


def backfill_name(versions: Iterable[DefinitionVersion]) -> str | None:
    """The name of the backfill that a goal with these versions is shown from; None when it has none."""
    first = _first_of_backfill(sorted(versions, key=lambda version: version.revision))
    return None if first is None else f"{first.id}~{first.revision}"


def find_backfills(history: Sequence[DefinitionVersion], goals: Iterable[Goal]) -> Mapping[str, Backfill]:
    """Every present goal's backfill, by name. `goals`: the compiled versions."""
    of_goal: dict[str, list[DefinitionVersion]] = defaultdict(list)
    for version in history:
        if version.kind == "goal":
            of_goal[version.id].append(version)
    compiled: dict[str, list[Goal]] = defaultdict(list)
    for goal in goals:
        compiled[goal.id].append(goal)
    found = {}
    for ident, versions in of_goal.items():
        versions.sort(key=lambda version: version.revision)
        first = _first_of_backfill(versions)
        own = [goal for goal in compiled[ident] if first is not None and goal.revision >= first.revision]
        if first is None or not own or own[-1].effective_until != FOREVER:
            continue
        acting = (replace(own[0], effective_from=0), *own[1:])
        name = f"{ident}~{first.revision}"
        found[name] = Backfill(name, first.project, ident, first.effective_from, acting)
    return found


def _first_of_backfill(versions: Sequence[DefinitionVersion]) -> DefinitionVersion | None:
    first: DefinitionVersion | None = None
    before: DefinitionVersion | None = None
    for version in versions:
        if not version.body.get("backfill"):
            first = None
        elif first is None or before is None or _begins_again(before, version):
            first = version
        before = version
    return first


def _begins_again(before: DefinitionVersion, version: DefinitionVersion) -> bool:
    # Between the two the goal was deleted: its backfill was counted no more, and may have been dropped.
    is_gap = before.effective_until < version.effective_from
    return is_gap or version.body.get("startsAt") != before.body.get("startsAt")
