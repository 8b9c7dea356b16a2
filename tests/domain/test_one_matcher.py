"""Worker, preview, verify, match and explain give one answer: on random pairs of an event and a definition.

40,000 pairs in the suite; 1,000,000 with SCOREKEEPER_TEST_LONG=1.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest

from app.domain.catalog import build_catalog
from app.domain.conversion_goal import ConversionGoal, compile_conversion_goal
from app.domain.event import Event
from app.domain.folding import Folder
from app.domain.history import DefinitionHistory, DefinitionVersion, Project
from app.domain.increments import Position
from app.domain.matching import explain, matches, verdicts
from app.domain.parsing import parse_message
from app.domain.preview import preview
from tests.builders import NOW, RULES, LogRecord, conversion_goal

ROUNDS = 25 if os.environ.get("SCOREKEEPER_TEST_LONG") == "1" else 1
EVENTS = DEFINITIONS = 200
TYPES = ("purchase", "form_submit", "pageview", "Purchase")
PATHS = ("/", "/blog", "/blog/", "/blog/a", "/blog/a/b", "/signup/complete", "/é", "/blog/x y", "/a/../blog", "/p/7")
ORIGINS = ("", "https://shop.example", "https://www.shop.example:8443", "http://SHOP.example", "https://[::1")
PATTERNS = (
    *PATHS,
    "/blog/*",
    "/:kind/:id",
    "/blog{/}?",
    "/*",
    "https://*.shop.example/*",
    "https://shop.example/blog/*",
    "/p/(\\d+)",
)
VALUES: tuple[object, ...] = (
    *(0, 1, 5, 49.99, 50, 2**64, -3, "pro", "Pro", "free", "5", "", None, True, False),
    *([], ["pro", "x"], [1, 5], {"a": 1}, {}, "1.10.0", "1.9"),
)
NAMES = ("plan", "amount", "cart.total", "cart.items", "tags")


def _event(chance: random.Random) -> bytes:
    data: dict[str, Any] = {name: chance.choice(VALUES) for name in ("plan", "amount", "tags") if chance.random() < 0.7}
    if chance.random() < 0.5:
        data["cart"] = {
            "total": chance.choice(VALUES),
            "items": [{"sku": chance.choice("ab"), "n": chance.randrange(4)}],
        }
    whole: dict[str, Any] = {"type": chance.choice(TYPES), "projectKey": "shop", "timestamp": NOW, "data": data}
    if chance.random() < 0.8:
        tail = chance.choice(["", "", "?q=/blog", "#top", "?a=1#/blog"])
        whole["url"] = chance.choice(ORIGINS) + chance.choice(("", *PATHS)) + tail
    for name in ("userId", "visitorId", "sessionId"):
        if chance.random() < 0.5:
            whole[name] = name[0]
    return json.dumps({name: value for name, value in whole.items() if value != ""}).encode()


def _clause(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    if depth < 2 and chance.random() < 0.2:
        operator = chance.choice(["$and", "$or", "$nor"])
        return {operator: [_clause(chance, depth + 1) for _ in range(chance.randrange(1, 4))]}
    value = chance.choice([value for value in VALUES if not isinstance(value, list | dict)])
    some = chance.sample([v for v in VALUES if isinstance(v, str | int | float) and not isinstance(v, bool)], 3)
    simple: tuple[object, ...] = (
        value,
        {"$eq": value},
        {"$ne": value},
        {chance.choice(["$gt", "$gte", "$lt", "$lte"]): chance.choice([0, 5, 50, 49.99, "pro"])},
        {"$gte": 1, "$lt": 50},
        {chance.choice(["$in", "$nin", "$all"]): some},
        {"$exists": chance.random() < 0.5},
        {"$type": chance.choice(["string", "number", "array", "null", "boolean", "object"])},
        {"$regex": chance.choice(["^pro", "(?i)PRO", "e+$"])},
        {"$not": {"$eq": value}},
        {"$size": chance.randrange(3)},
        {"$elemMatch": {"$eq": chance.choice(["pro", 5])}},
        {chance.choice(["$veq", "$vgt", "$vlte"]): "1.9.5"},
        {"$ini": ["PRO", "x"]},
    )
    return {chance.choice(NAMES): chance.choice(simple)}


def _definition(number: int, chance: random.Random) -> DefinitionVersion:
    body: dict[str, Any] = {"metric": f"m{number}"}
    if chance.random() < 0.5:
        body["urlPattern"] = chance.choice(PATTERNS)
    if chance.random() < 0.7:
        body["conditions"] = _clause(chance) | (_clause(chance) if chance.random() < 0.3 else {})
    body["counting"] = chance.choice(["every_event", "every_event", "once_per_session", "once_per_visitor"])
    return conversion_goal(f"d{number}", chance.choice(TYPES), **body)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_every_way_to_ask_gives_the_same_answer(seed: int) -> None:
    chance = random.Random(seed)
    versions = [_definition(number, chance) for number in range(DEFINITIONS)]
    definitions = [compile_conversion_goal(one.body, ident=one.id, project="shop") for one in versions]
    catalog = build_catalog(DefinitionHistory(1, NOW, [Project("shop", "shop", "UTC", 0)], versions))
    folder, matched, agreed = Folder(catalog, RULES), 0, 0
    events = []
    for offset in range(EVENTS):
        record = LogRecord(offset, _event(chance))
        event = parse_message(record.value, record.timestamp, (), RULES.parsing)
        assert isinstance(event, Event)
        events.append(event)
        live = _counted(folder, record)
        for definition in definitions:
            plain, told = matches(event, definition), explain(event, definition)
            assert plain == told.matches == all(clause.holds for clause in told.clauses), (definition, event)
            if event.type == definition.event_type:
                assert verdicts(event, definition) == tuple(clause.holds for clause in told.clauses)
            assert plain == (definition.id in live), (definition, event)
            matched += plain
            agreed += 1
    assert agreed == EVENTS * DEFINITIONS
    assert matched > agreed / 100
    _compare_previews(events, definitions)


def _counted(folder: Folder, record: LogRecord) -> set[str]:
    """The conversion goals that the worker counts the record for; `verify` and `rebuild` fold with this, too."""
    (increments,), letters = folder.fold(Position("events", 0), [record], [0], record.offset + 1, NOW)
    assert not letters
    counters = {counter for simple in increments.simple for counter in simple.counters}
    for single in increments.singles:
        counters |= {counter for change in single.changes for part in change.parts for counter in part.counted}
    return {owner[2:] for owner, _ in counters if owner.startswith("c:")}


def _compare_previews(events: list[Event], definitions: list[ConversionGoal]) -> None:
    for definition in definitions:
        shown = preview(events, definition)
        assert shown.matched == sum(matches(event, definition) for event in events)
        assert shown.of_type == sum(event.type == definition.event_type for event in events)
