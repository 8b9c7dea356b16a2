"""Experiments over HTTP: counted by the real write path in memory, shown by the API."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from app.domain.catalog import build_catalog
from app.domain.experiments import MAX_EXPERIMENTS
from app.domain.folding_rules import FoldingRules
from app.domain.increments import Position
from app.domain.parsing import ParsingRules
from app.proving import FixedCatalog
from app.recounting import NoDeadLetters
from app.tracking import OpenedGeneration, Tracker
from tests.api.conftest import World
from tests.builders import batch, records

RULES = FoldingRules(ParsingRules(max_age_ms=2**52, max_ahead_ms=2**52), secret=b"0" * 16, window_ms=2**52)


def seen(subject: str, variant: str, **fields: Any) -> dict[str, Any]:
    return {"type": "view", "userId": subject, "experiments": {"button": variant}, **fields}


def buys(subject: str, variant: str, ident: str, amount: float = 10, **fields: Any) -> dict[str, Any]:
    return seen(subject, variant, **{"type": "purchase", "id": ident, "data": {"amount": amount}, **fields})


async def count(world: World, *events: dict[str, Any], partition: int = 0) -> None:
    """By the definitions as they are, in the order given, a millisecond apart."""

    async def open_generation() -> OpenedGeneration:
        return OpenedGeneration(world.counters, RULES)

    tracker = Tracker(open_generation, FixedCatalog(build_catalog(world.definitions.history())), NoDeadLetters())
    position = Position("events", partition)
    start = (await tracker.assign([position]))[position]
    some = records([json.dumps({"projectKey": "shop", **event}).encode() for event in events], start)
    stamped = [type(one)(one.offset, one.value, world.now + one.offset) for one in some]
    await tracker.track(batch(stamped, start, position))


async def define(world: World) -> str:
    body = {"name": "Purchase", "eventType": "purchase", "valueProperty": "amount"}
    created = await world.call("POST", "/api/conversion-goals", json=body)
    ident: str = created.json()["id"]
    return ident


async def compare(world: World, key: str = "button") -> dict[str, Any]:
    response = await world.call("GET", f"/api/experiments/{quote(key, safe='')}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_variants_are_compared_per_conversion_goal(world: World) -> None:
    ident = await define(world)
    await count(world, *[seen(f"c{n}", "control") for n in range(100)], *[seen(f"g{n}", "green") for n in range(100)])
    await count(world, *[buys(f"c{n}", "control", f"pc{n}") for n in range(10)])
    await count(world, *[buys(f"g{n}", "green", f"pg{n}", 10.5) for n in range(15)], buys("g1", "green", "again"))
    found = await compare(world)
    assert [(one["variant"], one["exposed"]) for one in found["variants"]] == [("control", 100), ("green", 100)]
    (goal,) = found["conversionGoals"]
    assert (goal["id"], goal["name"], goal["metric"]) == (ident, "Purchase", "purchase")
    control, green = goal["variants"]
    assert control == {
        "variant": "control",
        "exposed": 100,
        "converted": 10,
        "conversions": 10,
        "value": 100,
        "rate": 0.1,
        "interval": pytest.approx([0.05522914, 0.17436566]),
        "lift": None,
        "liftInterval": None,
    }
    assert (green["converted"], green["conversions"], green["value"]) == (15, 16, 167.5)
    assert green["lift"] == pytest.approx(0.5)
    assert green["liftInterval"] == pytest.approx([-0.29188159, 2.17743468])


async def test_the_list_says_what_was_seen(world: World) -> None:
    assert (await world.call("GET", "/api/experiments")).json() == []
    await count(world, seen("u", "b"), seen("v", "a"), {"type": "view", "experiments": {"a/b": "x", "z": 1}})
    listed = (await world.call("GET", "/api/experiments")).json()
    assert [one["key"] for one in listed] == ["a/b", "button", "z"]
    assert listed[1] == {
        "key": "button",
        "variants": [
            {"variant": "b", "exposed": 1, "firstSeenAt": "2027-01-15T08:00:00.000Z"},
            {"variant": "a", "exposed": 1, "firstSeenAt": "2027-01-15T08:00:00.001Z"},
        ],
        "exposed": 2,
        "crossed": 0,
        "firstSeenAt": "2027-01-15T08:00:00.000Z",
    }
    assert (await world.call("GET", "/api/experiments", "other")).json() == []


async def test_who_saw_two_variants_counts_in_the_first_and_is_reported(world: World) -> None:
    await define(world)
    await count(world, seen("u", "a"), seen("u", "b"), buys("u", "b", "p1"))
    found = await compare(world)
    assert found["crossed"] == 1
    assert [one["exposed"] for one in found["variants"]] == [1, 0]
    first, second = found["conversionGoals"][0]["variants"]
    assert (first["converted"], first["conversions"], first["value"]) == (1, 1, 10)
    assert (second["converted"], second["conversions"], second["rate"], second["interval"]) == (0, 0, None, None)


async def test_duplicates_and_what_is_taken_back_and_restated(world: World) -> None:
    await define(world)
    bought = buys("u", "a", "p1", 10)
    await count(world, bought, bought, buys("u", "a", "p2", 5), buys("v", "a", "p3", 7))
    back = {**bought, "type": "$retract", "eventType": "purchase", "id": "r1", "retracts": "p1"}
    other = {**buys("u", "a", "r2", 5), "type": "$restate", "eventType": "purchase", "restates": "p2"}
    await count(world, back, {**back, "id": "r3"}, {**other, "restatedData": {"amount": 6.25}})
    (row,) = (await compare(world))["conversionGoals"][0]["variants"]
    assert (row["exposed"], row["converted"], row["conversions"], row["value"]) == (2, 2, 2, 13.25)
    await count(world, {**buys("v", "a", "r4", 7), "type": "$retract", "eventType": "purchase", "retracts": "p3"})
    (row,) = (await compare(world))["conversionGoals"][0]["variants"]
    assert (row["exposed"], row["converted"], row["conversions"], row["value"]) == (2, 1, 1, 6.25)


async def test_segments_experiment_viewed_exposes(world: World) -> None:
    properties = {"experiment_id": "button", "experiment_name": "Button", "variation_id": "a", "variation_name": "A"}
    await count(world, {"type": "track", "event": "Experiment Viewed", "anonymousId": "v", "properties": properties})
    assert [one["exposed"] for one in (await compare(world))["variants"]] == [1]


@pytest.mark.parametrize(
    "key", ["a/b", "../goals", "x|y", "%2e", "é {x}:*", "?", " ", "a\nb", "\n", "a\r\n", "a//", "/", "#%0A"]
)
async def test_any_text_is_a_key(world: World, key: str) -> None:
    await count(world, {"type": "view", "userId": "u", "experiments": {key: "a|b"}})
    found = await compare(world, key)
    assert (found["key"], found["variants"][0]["variant"], found["variants"][0]["exposed"]) == (key, "a|b", 1)


async def test_a_deleted_conversion_goal_keeps_its_figures(world: World) -> None:
    ident = await define(world)
    await count(world, buys("u", "a", "p1"))
    await world.call("DELETE", f"/api/conversion-goals?id={ident}")
    (goal,) = (await compare(world))["conversionGoals"]
    assert (goal["id"], goal["name"], goal["variants"][0]["conversions"]) == (ident, None, 1)


async def test_beyond_the_limit_the_answer_says_why_nothing_is_counted(world: World) -> None:
    many = [{"type": "view", "userId": "u", "experiments": {f"test-{n}": "a"}} for n in range(MAX_EXPERIMENTS)]
    await count(world, *many)
    assert "x-limit-reached" not in (await world.call("GET", "/api/experiments")).headers
    await count(world, seen("u", "a"))
    listed = await world.call("GET", "/api/experiments")
    assert (len(listed.json()), listed.headers["x-limit-reached"]) == (MAX_EXPERIMENTS, "true")
    missing = await world.call("GET", "/api/experiments/button")
    assert missing.status_code == 404
    assert f"at most {MAX_EXPERIMENTS} experiments" in missing.json()["detail"]


async def test_an_unknown_experiment_is_not_found_and_nothing_is_shown_as_zero_during_a_rebuild(world: World) -> None:
    assert (await world.call("GET", "/api/experiments/none")).status_code == 404
    world.counters.rebuilding = True
    for path in ("/api/experiments", "/api/experiments/none"):
        assert (await world.call("GET", path)).status_code == 503
