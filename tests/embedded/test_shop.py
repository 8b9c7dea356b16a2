"""The make-believe shop: the same seed, the same story; a story that makes sense."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import islice
from typing import Any

from app.domain.event import Event
from app.domain.parsing import ParsingRules, parse_message
from app.embedded.shop import Shop


def _events(number: int, **shop: Any) -> list[dict[str, Any]]:
    return list(islice(Shop("shop", **{"seed": 1, **shop}).events(), number))


def test_the_same_seed_tells_the_same_story() -> None:
    assert _events(2_000) == _events(2_000)
    assert _events(2_000) != _events(2_000, seed=2)


def test_two_runs_share_no_id() -> None:
    first, second = _events(2_000, run="a"), _events(2_000, run="b")
    assert not {event["id"] for event in first} & {event["id"] for event in second}


def test_ids_are_unique_and_every_event_can_be_counted() -> None:
    events = _events(5_000)
    assert len({event["id"] for event in events}) == len(events)
    for event in events:
        assert isinstance(parse_message(json.dumps(event).encode(), 0, (), ParsingRules()), Event)


def test_nobody_buys_before_arriving_and_going_to_the_checkout() -> None:
    seen: dict[str, list[str]] = defaultdict(list)
    for event in _events(20_000):
        before = seen[event["sessionId"]]
        if event["type"] == "purchase":
            assert before[-1] == "checkout_started"
            assert "added_to_basket" in before
        if not before:
            assert event["type"] == "pageview"
        before.append(event["type"])


def test_a_visitor_keeps_the_variant_that_was_assigned() -> None:
    variants: dict[str, set[str]] = defaultdict(set)
    for event in _events(20_000):
        for variant in event.get("experiments", {}).values():
            variants[event["visitorId"]].add(variant)
    assert variants
    assert all(len(found) == 1 for found in variants.values())


def test_every_step_of_the_funnel_happens() -> None:
    kinds = {event["type"] for event in _events(20_000)}
    assert kinds == {
        "pageview",
        "added_to_basket",
        "checkout_started",
        "purchase",
        "form_submit",
        "trial_started",
        "subscription_started",
        "newsletter_subscribed",
    }
