"""The demo of `scorekeeper up --demo`: a make-believe shop with goals, and its events at a steady rate."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from app.embedded.shop import Shop
from app.errors import StoreUnavailable

if TYPE_CHECKING:
    from app.bootstrap import Parts

PROJECT_NAME: Final = "Demo Shop"
EVENTS_PER_SECOND: Final = 40
LASTS: Final = timedelta(minutes=30)
_TICK_SECONDS: Final = 0.1
_PAUSE_SECONDS: Final = 1.0

CONVERSION_GOALS: Final[tuple[Mapping[str, Any], ...]] = (
    {"name": "Visit", "metric": "visits", "eventType": "pageview", "counting": "once_per_session"},
    {"name": "Sign-up", "metric": "sign_ups", "eventType": "form_submit", "urlPattern": "/signup/complete"},
    {
        "name": "Trial of a paid plan",
        "metric": "trials",
        "eventType": "trial_started",
        "conditions": {"plan": {"$in": ["pro", "team"]}},
    },
    {
        "name": "Purchase",
        "metric": "purchases",
        "eventType": "purchase",
        "urlPattern": "/checkout/*",
        "valueProperty": "amount",
    },
    {
        "name": "Large basket",
        "metric": "large_baskets",
        "eventType": "purchase",
        "conditions": {"amount": {"$gte": 150}},
        "valueProperty": "amount",
    },
)

GOALS: Final[tuple[Mapping[str, Any], ...]] = (
    {"description": "Sign-ups", "metric": "sign_ups", "target": 1_900},
    {"description": "Trials of pro and team", "metric": "trials", "target": 570},
    {"description": "Purchases", "metric": "purchases", "target": 400},
    {"description": "Revenue", "metric": "purchases", "aggregation": "sum", "unit": "EUR", "target": 210_000},
    {"description": "Visitors", "metric": "visits", "aggregation": "unique", "target": 13_000},
    {
        "description": "Visits that end with a purchase",
        "metric": "purchases",
        "aggregation": "rate",
        "denominatorMetric": "visits",
        "unit": "%",
        "target": 12,
    },
    {"description": "Large baskets", "metric": "large_baskets", "target": 300},
)
"""Chosen so that after a while some are reached, some on track and some behind."""


async def prepare_demo(parts: Parts, project: str) -> None:
    """Create the project's conversion goals and goals, as far as they are not there; may be repeated.

    Goals whose time is over are replaced by new ones.
    """
    present = await _names(parts, project, "conversion_goal", "name")
    missing = [body for body in CONVERSION_GOALS if body["name"] not in present]
    await asyncio.gather(*(parts.defining.create_conversion_goal(project, body, "demo") for body in missing))
    running = await _names(parts, project, "goal", "description")
    now = datetime.now(UTC)
    for body in GOALS:
        ident, deadline = running.get(body["description"], ("", ""))
        if ident and datetime.fromisoformat(deadline) > now:
            continue
        if ident:
            await parts.defining.delete_goal(project, ident, "demo")
        ends = (now + LASTS).isoformat(timespec="seconds").replace("+00:00", "Z")
        await parts.defining.create_goal(project, {**body, "deadline": ends}, "demo")


async def _names(parts: Parts, project: str, kind: str, field: str) -> dict[str, tuple[str, str]]:
    """Name -> (id, deadline) of the demo's present definitions."""
    _, versions = await asyncio.to_thread(parts.definitions.current, project, kind)
    return {
        str(version.body.get(field)): (version.id, str(version.body.get("deadline", "9999-12-31T00:00:00Z")))
        for version in versions
    }


async def run_shop(parts: Parts, project: str, events_per_second: int = EVENTS_PER_SECOND) -> None:
    """Publish the shop's events until cancelled; while Kafka is away, the shop is closed."""
    seed = secrets.randbelow(1 << 32)
    events = Shop(project, seed=seed, run=secrets.token_hex(4)).events()
    while True:
        try:
            await _publish(parts, events, events_per_second)
        except StoreUnavailable:
            await asyncio.sleep(_PAUSE_SECONDS)


async def _publish(parts: Parts, events: Any, events_per_second: int) -> None:
    from app.streams.publishing import Message

    publisher = parts.publisher()
    try:
        await publisher.start()
        begun, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - begun) * events_per_second)
            for _ in range(min(due - sent, events_per_second)):
                event = next(events)
                await publisher.add(Message(event["visitorId"].encode(), json.dumps(event).encode()))
            sent = due
            await publisher.flush()
            await asyncio.sleep(_TICK_SECONDS)
    finally:
        await publisher.stop()
