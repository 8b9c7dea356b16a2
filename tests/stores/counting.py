"""Builders of batches for counter stores, and the state of a store as plain values that two stores can be compared by.

Nothing here decides what is right: the tests say that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.domain.beginning import WHOLE_LOG, Beginning
from app.domain.increments import (
    Accounting,
    Applied,
    Assignment,
    Change,
    Exposure,
    Increments,
    Part,
    Position,
    Simple,
    Single,
)
from app.domain.parsing import ParsingRules
from app.stores.generations import Generations, new_rules
from app.stores.memory import MemoryCounters
from app.stores.redis import RedisCounters
from app.stores.redis_client import Client

POSITION = Position("events", 0, "first-topic")
SHOP = "shop"
GOAL = ("g:goal", "n")
LAST = "g:goal"
"""Whose `last` moves."""
WINDOW_MS = 7 * 86_400_000

Store = MemoryCounters | RedisCounters


def simple(
    *ids: int,
    epoch: int = 10,
    counters: tuple[tuple[str, str], ...] = (GOAL,),
    without_id: int = 0,
    project: str = SHOP,
    last: tuple[str, ...] = (),
    moments: Sequence[int] | None = None,
    newest_without_id: int = 0,
) -> Simple:
    occurred = [0] * len(ids) if moments is None else list(moments)
    return Simple(project, epoch, counters, list(ids), without_id, last, occurred, newest_without_id)


def single(
    ident: int | None,
    *parts: Part,
    values: Sequence[tuple[int, int] | None] = (),
    epoch: int = 10,
    sign: int = 1,
    session: int | None = None,
    subject: int | None = None,
    requires: int | None = None,
    assignments: tuple[Assignment, ...] = (),
    occurred_at: int | None = None,
) -> Single:
    parts = parts or (Part((GOAL,)),)
    change = Change(parts, tuple(values) or (None,) * len(parts), sign)
    return Single(SHOP, epoch, ident, session, subject, (change,), requires, assignments, occurred_at)


def exposure(experiment: str, variant: str, subject: int | None, project: str = SHOP) -> Exposure:
    return Exposure(project, experiment, variant, subject)


def increments(
    *simples: Simple,
    singles: Sequence[Single] = (),
    expected: int = 0,
    next_offset: int | None = None,
    position: Position = POSITION,
    unmatched: int = 0,
    rejected: Mapping[str, int] | None = None,
    stripe: int = 0,
    exposures: Mapping[Exposure, int] | None = None,
) -> Increments:
    """A batch whose accounting is that of its events; its next offset follows from their number."""
    rejected = dict(rejected or {})
    received: dict[str, int] = {SHOP: unmatched + sum(rejected.values())}
    for one in simples:
        received[one.project] = received.get(one.project, 0) + len(one.hashes) + one.without_id
    for other in singles:
        received[other.project] = received.get(other.project, 0) + 1
    total = sum(received.values())
    projects = {
        project: Accounting(number, unmatched, 0, dict(rejected)) if project == SHOP else Accounting(number)
        for project, number in received.items()
    }
    return Increments(
        position=position,
        stripe=stripe,
        expected=expected,
        next_offset=expected + total if next_offset is None else next_offset,
        watermark=1_000 + expected + total,
        partition=Accounting(total, unmatched, 0, dict(rejected)),
        projects=projects,
        simple=list(simples),
        singles=list(singles),
        exposures=dict(exposures or {}),
    )


async def apply(store: Store, one: Increments) -> Applied:
    (applied,) = await store.apply([one])
    return applied


@dataclass(slots=True)
class State:
    """Everything that a store holds, without zeros: counters, accounting, and the checkpoints of each stripe."""

    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    projects: dict[str, dict[str, int]] = field(default_factory=dict)
    checkpoints: list[dict[str, int]] = field(default_factory=list)

    def accounts_add_up(self) -> bool:
        """received = counted + unmatched + duplicate + rejected, by project and by partition."""
        by_position: dict[str, dict[str, int]] = {}
        for name, number in self.partitions.items():
            position, _, fate = name.rpartition("|")
            by_position.setdefault(position, {})[fate] = number
        return all(adds_up(own) for own in (*by_position.values(), *self.projects.values()))


def adds_up(own: Mapping[str, int]) -> bool:
    rejected = sum(number for fate, number in own.items() if fate.startswith("rejected:"))
    fates = own.get("counted", 0) + own.get("unmatched", 0) + own.get("duplicate", 0) + rejected
    return own.get("received", 0) == fates


async def state_of(store: Store) -> State:
    if isinstance(store, MemoryCounters):
        projects, partitions = store.accounting()
        return State(
            {owner: kept for owner, own in store.owners().items() if (kept := _without_zeros(own))},
            _without_zeros(partitions),
            {name: kept for name, own in projects.items() if (kept := _without_zeros(own))},
            [_without_zeros(stripe.checkpoints) for stripe in store._stripes],
        )
    state = State()
    for stripe in await store.snapshot():
        state.checkpoints.append(_without_zeros(stripe["cp"]))
        for name, number in _without_zeros(stripe["acct"]).items():
            state.partitions[name] = state.partitions.get(name, 0) + number
        for name, own in stripe.items():
            kept = _without_zeros(own)
            if name.startswith("p:") and kept:
                state.projects[name[2:]] = kept
            elif name[:2] != "p:" and name not in {"cp", "wm", "acct"} and kept:
                state.counters[name] = kept
    return state


def _without_zeros(own: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in own.items() if number}


async def new_redis_store(client: Client, stripes: int = 1, beginning: Beginning = WHOLE_LOG) -> RedisCounters:
    """A new generation's counters in that Redis."""
    rules = new_rules(ParsingRules(), window_ms=WINDOW_MS, stripes=stripes)
    return RedisCounters(client, await Generations(client).create(rules, created_at=1, beginning=beginning))


async def everything(client: Client) -> dict[str, Any]:
    """Every key of that Redis with its serialised value: equal when nothing was changed."""
    return {key: await client.dump(key) for key in sorted([key async for key in client.scan_iter(count=1000)])}
