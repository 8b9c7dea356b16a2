"""What counts for what, by the real write path: both sides of each boundary that a definition has."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from app.domain.catalog import Catalog, build_catalog
from app.domain.folding_rules import FoldingRules
from app.domain.history import DefinitionHistory, DefinitionVersion, Project
from app.domain.parsing import ParsingRules
from app.proving import FixedCatalog
from app.stores.memory import MemoryCounters
from app.tracking import OpenedGeneration, Tracker
from tests.builders import NOW, POSITION, LogRecord, batches, conversion_goal, event, goal
from tests.faults.in_memory import Letters

ZONE = "Europe/Berlin"
DAY_MS = 86_400_000
RULES = FoldingRules(ParsingRules(max_age_ms=2**52), secret=b"0" * 16, window_ms=7 * DAY_MS)


def ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def berlin(*versions: DefinitionVersion) -> Catalog:
    return build_catalog(DefinitionHistory(1, NOW, [Project("shop", "shop", ZONE, 0)], versions))


async def counted(by: Catalog, *records: tuple[int, bytes], size: int = 1_000) -> MemoryCounters:
    """`records`: the broker's time and the value of each, counted in batches of this size."""
    store = MemoryCounters()

    async def opened() -> OpenedGeneration:
        return OpenedGeneration(store, RULES)

    tracker = Tracker(opened, FixedCatalog(by), Letters())
    await tracker.assign([POSITION])
    for some in batches([LogRecord(offset, value, at) for offset, (at, value) in enumerate(records)], size):
        await tracker.track(some)
    return store


def happening(moment: str) -> tuple[int, bytes]:
    return ms(moment), event(moment, timestamp=ms(moment))


@pytest.mark.parametrize(
    ("fields", "moments", "number"),
    [
        # A date is its whole day in the project's time zone: +02:00 in summer.
        ({"deadline": "2026-07-01"}, ["2026-07-01T21:59:59.999Z"], 1),
        ({"deadline": "2026-07-01"}, ["2026-07-01T22:00:00.000Z"], 0),
        ({"deadline": "2026-07-01T12:00:00Z"}, ["2026-07-01T11:59:59.999Z", "2026-07-01T12:00:00.000Z"], 2),
        ({"deadline": "2026-07-01T12:00:00Z"}, ["2026-07-01T12:00:00.001Z", "2026-07-01T12:00:01.000Z"], 0),
        ({"startsAt": "2026-07-01"}, ["2026-06-30T21:59:59.999Z"], 0),
        ({"startsAt": "2026-07-01"}, ["2026-06-30T22:00:00.000Z"], 1),
        ({"startsAt": "2026-07-01T12:00:00Z"}, ["2026-07-01T11:59:59.999Z"], 0),
        ({"startsAt": "2026-07-01T12:00:00Z"}, ["2026-07-01T12:00:00.000Z"], 1),
    ],
)
async def test_a_conversion_counts_from_the_start_to_the_deadline(
    fields: dict[str, str], moments: list[str], number: int
) -> None:
    whole = {"startsAt": "2026-01-01", "deadline": "2026-12-31", **fields}
    store = await counted(berlin(conversion_goal(), goal(**whole)), *map(happening, moments))
    assert store.owner("g:goal").get("n", 0) == number
    assert store.owner("c:cg")["n"] == len(moments), "the conversion goal itself has no deadline"


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("day", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        ("day", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        ("week", "2026-03-23T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        ("month", "2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00"),
        ("quarter", "2026-01-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"),
        ("year", "2026-01-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00"),
    ],
)
async def test_a_conversion_falls_into_the_period_in_which_it_happened_however_late_it_comes(
    period: str, start: str, end: str
) -> None:
    by = berlin(conversion_goal(), goal(period=period))
    first, next_one = ms(start), ms(end)
    a_year_later = next_one + 366 * DAY_MS
    found = (first, next_one - 1, next_one, first - 1)
    shown = (await counted(by, *[(a_year_later, event(str(at), timestamp=at)) for at in found])).owner("g:goal")
    assert (shown[f"n@{first}"], shown[f"n@{next_one}"]) == (2, 1)
    assert sum(number for name, number in shown.items() if name.startswith("n@")) == 4


@pytest.mark.parametrize(
    ("definition", "fields", "number"),
    [
        ({}, {}, 1),
        ({}, {"type": "Purchase"}, 0),
        ({"urlPattern": "/thanks"}, {"url": "/thanks?a=1#b"}, 1),
        ({"urlPattern": "/thanks"}, {}, 0),
        ({"urlPattern": "https://shop.example/thanks"}, {"url": "/thanks"}, 0),
        ({"urlPattern": "/thanks", "conditions": {"plan": "pro"}}, {"url": "/thanks", "data": {"plan": "free"}}, 0),
        ({"counting": "once_per_session"}, {"userId": "u"}, 0),
        ({"counting": "once_per_session"}, {"sessionId": "s"}, 1),
        ({"counting": "once_per_visitor"}, {"sessionId": "s"}, 0),
        ({"counting": "once_per_visitor"}, {"visitorId": "v"}, 1),
        ({"status": "paused"}, {}, 0),
        ({"status": "archived"}, {}, 0),
    ],
)
async def test_all_that_a_definition_asks_has_to_hold(
    definition: dict[str, Any], fields: dict[str, Any], number: int
) -> None:
    store = await counted(berlin(conversion_goal(**definition), goal()), (NOW, event("e", **fields)))
    assert store.owner("c:cg").get("n", 0) == store.owner("g:goal").get("n", 0) == number


async def test_a_goal_is_fed_by_its_metric_or_by_the_list_it_gives() -> None:
    by = berlin(
        conversion_goal("a"),
        conversion_goal("b"),
        conversion_goal("c", metric="other"),
        goal("by metric"),
        goal("by list", conversionGoalIds=["b", "c"]),
    )
    store = await counted(by, (NOW, event("e")))
    assert [store.owner(owner)["n"] for owner in ("g:by metric", "g:by list")] == [2, 2]
    assert [store.owner(owner)["n"] for owner in ("c:a", "c:b", "c:c")] == [1, 1, 1]


async def test_a_unique_goal_counts_each_subject_once_a_period_the_user_before_the_visitor() -> None:
    by = berlin(
        conversion_goal(), goal("unique", aggregation="unique"), goal("daily", aggregation="unique", period="day")
    )
    who = [{"userId": "u", "visitorId": "v"}, {"userId": "u"}, {"visitorId": "v"}, {"sessionId": "s"}]
    days = [NOW, NOW, NOW - DAY_MS, NOW]
    values = [event(str(n), timestamp=at, **fields) for n, (at, fields) in enumerate(zip(days, who, strict=True))]
    store = await counted(by, *[(NOW, value) for value in values], (NOW, event("5", userId="u", timestamp=days[2])))
    assert store.owner("g:unique")["n"] == 2
    assert sorted(n for name, n in store.owner("g:daily").items() if name.startswith("n@")) == [1, 2]


async def test_a_definition_that_cannot_be_compiled_is_reported_and_left_out() -> None:
    by = berlin(conversion_goal(), conversion_goal("broken", urlPattern="/a("), goal(), goal("bad", deadline="never"))
    assert sorted(one.version.id for one in by.left_out) == ["bad", "broken"]
    store = await counted(by, (NOW, event("e")))
    assert {"c:broken", "g:bad"}.isdisjoint(store.owners())
    assert store.owner("g:goal")["n"] == 1


def at(moment: int, ident: str, **fields: Any) -> tuple[int, bytes]:
    return NOW, event(ident, timestamp=moment, **fields)


@pytest.mark.parametrize(
    ("definition", "events", "expected"),
    [
        ({}, [at(NOW - 9, "a"), at(NOW - 2, "b"), at(NOW - 5, "c")], NOW - 2),
        ({}, [at(NOW - 9, "a"), at(NOW - 2, "a")], NOW - 9),
        ({"counting": "once_per_visitor"}, [at(NOW - 9, "a", userId="u"), at(NOW - 2, "b", userId="u")], NOW - 9),
        ({"counting": "once_per_session"}, [at(NOW - 9, "a", sessionId="s"), at(NOW - 2, "b", sessionId="s")], NOW - 9),
        ({"counting": "once_per_session"}, [at(NOW - 9, "a", sessionId="s"), at(NOW - 2, "b", sessionId="t")], NOW - 2),
        ({"valueProperty": "amount"}, [at(NOW - 9, "a"), at(NOW - 2, "a"), at(NOW - 5, "b")], NOW - 5),
    ],
)
@pytest.mark.parametrize("size", [1, 3])
async def test_the_last_conversion_is_the_newest_one_that_counted(
    definition: dict[str, Any], events: list[tuple[int, bytes]], expected: int, size: int
) -> None:
    store = await counted(berlin(conversion_goal(**definition), goal()), *events, size=size)
    assert store.owner("c:cg")["last"] == store.owner("g:goal")["last"] == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (event("one"), "invalid_timestamp"),
        (json.dumps({"type": "purchase", "projectKey": "shop"}).encode(), "invalid_timestamp"),
        (event("one", "other"), "invalid_timestamp"),
        (json.dumps({"type": "purchase", "projectKey": "nobody"}).encode(), "unknown_project"),
    ],
    ids=["dated by itself", "not at all", "of a type that nothing counts", "of nobody"],
)
async def test_a_message_without_a_timestamp_is_a_dead_letter_since_nobody_knows_when_it_came(
    value: bytes, reason: str
) -> None:
    store = await counted(berlin(conversion_goal()), (-1, value), (NOW, event("two")))
    _, fates = store.accounting()
    assert {name.partition("|")[2]: number for name, number in fates.items() if number} == {
        "received": 2,
        "counted": 1,
        f"rejected:{reason}": 1,
    }
