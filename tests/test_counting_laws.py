"""Laws that hold for any events: an edit and its undo leave no trace, and a goal's points add up to what it shows."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.domain.catalog import Catalog, build_catalog
from app.domain.fields import exact_value
from app.domain.history import DefinitionHistory, DefinitionVersion, Project
from app.domain.increments import Position
from app.proving import FixedCatalog
from app.stores.memory import MemoryCounters
from app.stores.redis_client import connect
from app.tracking import OpenedGeneration, Tracker
from tests.builders import (
    NOW,
    POSITION,
    RULES,
    LogRecord,
    batch,
    batches,
    catalog,
    conversion_goal,
    event,
    goal,
)
from tests.faults.in_memory import Letters
from tests.stores.counting import Store, new_redis_store, state_of

EDITED, UNDONE = NOW + 10, NOW + 20
ZONE = "Europe/Berlin"
HOUR, WINDOW = 3_600_000, 7 * 24


async def count(log: Sequence[LogRecord], by: Catalog, store: Store, *, size: int) -> None:
    """Count the log in batches of `size`."""

    async def opened() -> OpenedGeneration:
        return OpenedGeneration(store, RULES)

    tracker = Tracker(opened, FixedCatalog(by), Letters())
    await tracker.assign([POSITION])
    for some in batches(log, size):
        await tracker.track(some)


async def counters_of(log: Sequence[LogRecord], by: Catalog, size: int = 4) -> Mapping[str, Mapping[str, int]]:
    """The counters that the log gives, counted in batches of `size`."""
    store = MemoryCounters()
    await count(log, by, store, size=size)
    return store.owners()


ONCE = (
    conversion_goal("once", metric="once", counting="once_per_session"),
    goal("sessions", metric="once"),
    conversion_goal("first", metric="first", counting="once_per_visitor"),
    goal("visitors", metric="first"),
)
EACH = (
    conversion_goal(valueProperty="amount"),
    conversion_goal("visits", "visit", metric="visits"),
    goal("count"),
    goal("sum", aggregation="sum", period="week"),
    goal("unique", aggregation="unique"),
    goal("rate", aggregation="rate", denominatorMetric="visits", period="day"),
)


@given(kinds=st.lists(st.integers(0, 11), min_size=1, max_size=30), chance=st.randoms(use_true_random=False))
async def test_in_any_order_with_any_copies_on_any_partition_the_counts_are_the_same(
    kinds: list[int], chance: random.Random
) -> None:
    values = [
        event(
            str(number),
            ("purchase", "purchase", "visit")[kind % 3],
            timestamp=NOW - kind * 11 * HOUR,
            userId=f"u{kind % 4}",
            sessionId=f"s{kind}",
            data={"amount": f"{kind}.{number:03}"},
        )
        for number, kind in enumerate(kinds)
    ]
    shuffled = values + chance.sample(values, len(values) // 2)
    chance.shuffle(shuffled)
    # Ids are remembered by windows: copies lie on both sides of where one ends, and the clocks of partitions go back.
    times = [NOW + chance.choice((0, WINDOW * HOUR)) for _ in shuffled]
    spread = [LogRecord(0, value, at) for value, at in zip(shuffled, times, strict=True)]
    in_order = await counts_of([[LogRecord(0, value) for value in values]])
    otherwise = await counts_of([spread[::2], spread[1::2]])
    assert in_order == otherwise


WORDS = ("bought", "bought", "anonymous", "tested", "retracted", "restated", "visited")
Step = tuple[str, int, int]
"""(what is said, of which event, hours since the record before it by the log's clock)"""


def said(word: str, number: int) -> bytes:
    """An event, or what corrects it; copies are the same, whenever they come."""
    fields: dict[str, Any] = {
        "timestamp": NOW - number * HOUR,
        "data": {"amount": 2 + number},
        "userId": f"u{number % 2}",
        "sessionId": "s",
    }
    if word == "visited":
        return event(f"v{number}", "visit", **fields)
    if word == "anonymous":
        return event(None, **fields)
    if word == "retracted":
        return event(None, "$retract", eventType="purchase", retracts=f"e{number}", **fields)
    if word == "restated":
        restated: dict[str, Any] = {"restates": f"e{number}", "restatedData": {"amount": 3}}
        return event(None, "$restate", eventType="purchase", **restated, **fields)
    return event(f"e{number}", **fields, experiments={"test": "a"} if word == "tested" else None)


def log_that_says(steps: Sequence[Step]) -> list[LogRecord]:
    """The clock goes on, stands, and goes back, within four windows."""
    received, log = NOW + WINDOW * HOUR, list[LogRecord]()
    for offset, (word, number, hours_later) in enumerate(steps):
        received = min(max(NOW, received + hours_later * HOUR), NOW + 4 * WINDOW * HOUR)
        log.append(LogRecord(offset, said(word, number), received))
    return log


HOURS = st.sampled_from([0, 0, 1, WINDOW - 1, WINDOW, WINDOW + 1, -1, -WINDOW])
STEPS = st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, 2), HOURS), min_size=2, max_size=12)
EXAMPLES: Sequence[Sequence[Step]] = (
    [("bought", 0, 0), ("bought", 0, 8 * 24), ("bought", 0, 8 * 24)],
    [("bought", 1, 0), ("bought", 0, 0), ("bought", 0, WINDOW), ("bought", 0, WINDOW)],
    [("bought", 1, 0), ("bought", 0, WINDOW), ("bought", 0, -WINDOW)],
    [("bought", 1, 0), ("tested", 0, WINDOW), ("bought", 0, -WINDOW), ("tested", 0, WINDOW)],
    [("retracted", 0, 0), ("bought", 0, 0)],
    [("restated", 0, 0), ("bought", 0, 0), ("bought", 1, 0)],
    [("bought", 0, 0), ("visited", 1, 8 * 24), ("bought", 1, 1), ("bought", 2, 8 * 24)],
)
SMALL, LARGE = (conversion_goal(), goal("count")), (*EACH, *ONCE)


def examples(test: Any) -> Any:
    for steps in EXAMPLES:
        for size in (1, 2, 3):
            test = example(steps=steps, size=size)(test)
    return test


@examples
@settings(max_examples=200)
@given(steps=STEPS, size=st.integers(1, 4))
async def test_however_the_log_is_split_into_batches_it_counts_the_same(steps: Sequence[Step], size: int) -> None:
    log = log_that_says(steps)
    for definitions in (SMALL, LARGE):
        by = catalog(*definitions)
        assert await counters_of(log, by, size) == await counters_of(log, by, len(log))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS, size=st.integers(1, 4))
def test_redis_counts_what_memory_counts_however_the_log_is_split(
    redis_url: str, steps: Sequence[Step], size: int
) -> None:
    async def compare() -> None:
        client = connect(redis_url, name="test", timeout_seconds=60.0)
        try:
            for definitions in (SMALL, LARGE):
                log, by = log_that_says(steps), catalog(*definitions)
                one_by_one, in_redis = MemoryCounters(), await new_redis_store(client)
                await count(log, by, one_by_one, size=1)
                await count(log, by, in_redis, size=size)
                expected, found = await state_of(one_by_one), await state_of(in_redis)
                assert expected.counters == found.counters
                assert expected.projects == found.projects
        finally:
            await client.aclose()

    asyncio.run(compare())


async def counts_of(partitions: Sequence[Sequence[LogRecord]]) -> Mapping[str, Mapping[str, int]]:
    """Of what counts once a session, visitor or subject, how often: which of its events does is left to the order."""
    store, by = MemoryCounters(), catalog(*EACH, *ONCE)

    async def opened() -> OpenedGeneration:
        return OpenedGeneration(store, RULES)

    positions = [Position("events", number, "id") for number in range(len(partitions))]
    tracker = Tracker(opened, FixedCatalog(by), Letters())
    await tracker.assign(positions)
    for position, some in zip(positions, partitions, strict=True):
        if some:
            log = [replace(record, offset=offset) for offset, record in enumerate(some)]
            await tracker.track(batch(log, position=position))
    counts = {owner: dict(own) for owner, own in store.owners().items()}
    for owner in ("sessions", "visitors", "once", "first", "unique"):
        for prefix in "gchk":
            own = counts.get(f"{prefix}:{owner}", {})
            counts[f"{prefix}:{owner}"] = {"n": sum(own[name] for name in own if name == "n" or name[1:2] == ".")}
    return counts


def edited_and_undone(between: Mapping[str, object]) -> list[DefinitionVersion]:
    """One conversion goal that was another between EDITED and UNDONE."""
    whole: dict[str, object] = {"name": "cg", "eventType": "purchase", "metric": "m"}
    times: list[tuple[int, int, Mapping[str, object]]] = [
        (0, EDITED, whole),
        (EDITED, UNDONE, {**whole, **between}),
        (UNDONE, 2**62, whole),
    ]
    return [
        DefinitionVersion("conversion_goal", "cg", "shop", number, since, until, 0, body=body)
        for number, (since, until, body) in enumerate(times, 1)
    ]


@given(received=st.lists(st.integers(EDITED - 3, UNDONE + 3), min_size=1, max_size=40))
async def test_an_edit_and_its_undo_change_nothing_but_what_came_between(received: list[int]) -> None:
    log = [LogRecord(offset, event(str(offset)), at) for offset, at in enumerate(sorted(received))]
    kept = [record for record in log if not EDITED <= record.timestamp < UNDONE]
    kept = [LogRecord(offset, record.value, record.timestamp) for offset, record in enumerate(kept)]
    edited = catalog(*edited_and_undone({"eventType": "refund"}), goal())
    expected = await counters_of(kept, catalog(conversion_goal(), goal())) if kept else {}
    assert await counters_of(log, edited) == expected


GOALS = (
    goal("count"),
    goal("sum", aggregation="sum"),
    goal("unique", aggregation="unique"),
    goal("rate", aggregation="rate", denominatorMetric="visits"),
    goal("weekly", period="week"),
    goal("daily sum", aggregation="sum", period="day"),
)

purchases = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["purchase", "visit"]),
        "timestamp": st.integers(0, WINDOW).map(lambda hour: NOW - hour * HOUR),
        "userId": st.sampled_from("abc"),
        "data": st.fixed_dictionaries({"amount": st.decimals(-1_000, 1_000, places=3).map(str)}),
    }
)


def added_up(counters: Mapping[str, int], kind: str) -> tuple[int, Decimal, int]:
    """Conversions, value and denominator over all fields of a kind: `.` hours, `/` days, `@` periods, or the total."""
    sums: Counter[str] = Counter()
    for name, number in counters.items():
        if name != "last" and name[1:2] == kind:
            sums[name[0]] += number
    return sums["n"], exact_value(sums["v"], sums["u"]), sums["d"]


@given(bodies=st.lists(purchases, min_size=1, max_size=30), taken_back=st.sets(st.integers(0, 29)))
async def test_the_points_of_a_goal_add_up_to_what_it_shows(
    bodies: list[dict[str, object]], taken_back: set[int]
) -> None:
    values = [event(str(number), **body) for number, body in enumerate(bodies)]  # type: ignore[arg-type]  # any fields
    for number in sorted(taken_back & set(range(len(bodies)))):
        body = {**bodies[number], "type": "$retract", "retracts": str(number), "eventType": bodies[number]["type"]}
        values.append(event(f"back-{number}", **body))  # type: ignore[arg-type]  # any fields
    log = [LogRecord(offset, value) for offset, value in enumerate(values)]
    definitions = (
        conversion_goal(valueProperty="amount"),
        conversion_goal("visits", "visit", metric="visits"),
        *GOALS,
    )
    by = build_catalog(DefinitionHistory(1, NOW, [Project("shop", "shop", ZONE, 0)], definitions))
    counters = await counters_of(log, by)
    for one in GOALS:
        shown, points = counters.get(f"g:{one.id}", {}), counters.get(f"h:{one.id}", {})
        whole = added_up(shown, "@" if one.body.get("period") else "")
        assert added_up(points, ".") == added_up(points, "/") == whole
    if any(body["type"] == "purchase" for body in bodies):
        assert counters["h:unique"], "nothing was compared"
