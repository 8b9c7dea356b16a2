"""Which pace a goal is measured by: a straight line, or the project's own hours of the week, learned from its history.

Learned once an hour from the conversion goals that feed the goal: they have a history when the goal is still new.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.domain import fields
from app.domain.fields import HOUR_MS
from app.domain.goal import Aggregation, Goal, PaceKind
from app.domain.pace import LINEAR, WEEKS_NEEDED, Pace, learn_pace
from app.errors import GenerationMissing
from app.patience import Patience, giving_way
from app.ports import CounterReader, DefinitionStore, Wanted

MOST_KEPT = 10_000
TOO_EARLY = f"seasonal needs {WEEKS_NEEDED} whole weeks of conversions to learn from; until then the pace is linear"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The pace, and why it is not the one that was asked for; empty when it is."""

    pace: Pace = LINEAR
    reason: str = ""


class Paces:
    """Learns and remembers. Coroutines; raise StoreUnavailable."""

    def __init__(self, definitions: DefinitionStore, counters: CounterReader) -> None:
        self._definitions = definitions
        self._counters = counters
        self._known: dict[tuple[str, int, int], Chosen] = {}

    async def choose(self, project: str, goals: Sequence[Goal], now: int, patience: Patience) -> Mapping[str, Chosen]:
        """By goal id, for those that ask for another pace than the straight line. At most one read of each store."""
        seasonal = [goal for goal in goals if goal.pace is PaceKind.SEASONAL]
        # Kept here: whoever learns meanwhile may make room in what is remembered.
        chosen = {goal.id: self._known.get(self._key(goal, now)) for goal in seasonal}
        missing = [goal for goal in seasonal if chosen[goal.id] is None]
        if missing:
            chosen |= await self._learn(project, missing, now, patience)
        return {ident: found or Chosen(reason=TOO_EARLY) for ident, found in chosen.items()}

    def _key(self, goal: Goal, now: int) -> tuple[str, int, int]:
        return goal.id, goal.revision, now // HOUR_MS

    async def _learn(self, project: str, goals: Sequence[Goal], now: int, patience: Patience) -> dict[str, Chosen]:
        """By goal id; none of them while there is nothing to learn from."""
        ask = asyncio.to_thread(self._definitions.current, project, "conversion_goal")
        _, present = await patience.wait("sql", ask)
        metrics = {version.id: str(version.body.get("metric")) for version in present}
        owners = [fields.conversion_goal_history_owner(ident) for ident in metrics]
        try:
            wanted = [Wanted(project, owner, ("*",)) for owner in owners]
            reading = await patience.wait("redis", self._counters.read(wanted))
        except GenerationMissing:
            return {}
        if reading.rebuilding or reading.fresh_as_of is None:
            return {}
        if len(self._known) > MOST_KEPT:
            self._known.clear()
        # What is not counted yet must not look like a quiet hour.
        until = min(now, reading.fresh_as_of)
        histories = dict(zip(metrics, [history async for history in giving_way(reading.owners)], strict=True))
        # Most goals of a project share what they are fed by: to learn it takes milliseconds.
        learned: dict[tuple[str, str, tuple[str, ...]], Chosen] = {}
        chosen: dict[str, Chosen] = {}
        async for goal in giving_way(goals):
            letter = "v" if goal.aggregation is Aggregation.SUM else "n"
            feeds = tuple(ident for ident, metric in metrics.items() if goal.is_fed_by(ident, metric))
            like = (letter, goal.time_zone, feeds)
            if like not in learned:
                learned[like] = _learned([_by_hour(histories[ident], letter) for ident in feeds], until, goal.time_zone)
            chosen[goal.id] = self._known[self._key(goal, now)] = learned[like]
        return chosen


def _learned(histories: Iterable[Mapping[int, int]], until: int, time_zone: str) -> Chosen:
    hourly: Counter[int] = Counter()
    for history in histories:
        hourly.update(history)
    pace = learn_pace(hourly, until, time_zone)
    return Chosen(reason=TOO_EARLY) if pace is None else Chosen(pace)


def _by_hour(history: Mapping[str, int], letter: str) -> dict[int, int]:
    prefix = letter + fields.hour_suffix(0)[:1]
    return {int(name[len(prefix) :]): number for name, number in history.items() if name.startswith(prefix)}
