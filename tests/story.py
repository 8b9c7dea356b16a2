"""A shop's last weeks, for pictures and for trying the page out: definitions, and events that happened in the past."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

DAYS: Final = 24
SEED: Final = 4

CONVERSION_GOALS: Final[Sequence[Mapping[str, Any]]] = (
    {
        "name": "Trial signup",
        "metric": "trials",
        "eventType": "form_submit",
        "urlPattern": "/signup/complete",
        "conditions": {"plan": {"$in": ["pro", "team"]}},
        "counting": "once_per_visitor",
    },
    {"name": "Order paid", "metric": "orders", "eventType": "order_paid", "valueProperty": "total"},
    {
        "name": "Large order",
        "metric": "large_orders",
        "eventType": "order_paid",
        "conditions": {"total": {"$gte": 150}, "country": {"$in": ["DE", "AT", "CH"]}},
        "valueProperty": "total",
    },
    {"name": "Visit", "metric": "visits", "eventType": "pageview", "counting": "once_per_session"},
    {"name": "Webinar seat", "metric": "seats", "eventType": "form_submit", "urlPattern": "/webinar/:topic/booked"},
    {"name": "Newsletter (old form)", "metric": "newsletter", "eventType": "newsletter", "status": "archived"},
)


def goals(now: datetime) -> Sequence[Mapping[str, Any]]:
    """Goals of every kind, some in need and some not."""
    start = moment(now - timedelta(days=DAYS - 2))
    began: Mapping[str, Any] = {"startsAt": start, "backfill": True}

    def ends(days: int) -> str:
        return (now + timedelta(days=days)).date().isoformat()

    return (
        {"description": "Trials of paid plans", "metric": "trials", "target": 1500, "unit": "trials", **began}
        | {"deadline": ends(26)},
        {"description": "Revenue of the campaign", "metric": "orders", "aggregation": "sum", "unit": "EUR", **began}
        | {"target": 90_000, "deadline": ends(12)},
        {"description": "Orders each week", "metric": "orders", "period": "week", "target": 330, "unit": "orders"}
        | {**began, "deadline": ends(120)},
        {"description": "Large orders from the Alps", "metric": "large_orders", "target": 240, **began}
        | {"deadline": ends(20)},
        {"description": "People who booked a webinar", "metric": "seats", "aggregation": "unique", "target": 120}
        | {**began, "deadline": ends(5)},
        {"description": "Visits that end with an order", "metric": "orders", "aggregation": "rate", "unit": "%"}
        | {"denominatorMetric": "visits", "target": 9, **began, "deadline": ends(30)},
        {"description": "Webinar in Lisbon", "metric": "lisbon", "target": 80, "unit": "seats", "deadline": ends(40)},
    )


def events(now: datetime) -> Iterator[dict[str, Any]]:
    """What happened, in order: busier by day, quieter at weekends, a little more each week."""
    chance = random.Random(SEED)
    for hour in range(DAYS * 24):
        at = now - timedelta(hours=DAYS * 24 - hour)
        busy = (0.35 if at.weekday() >= 5 else 1.0) * (0.25 + 1.2 * max(0.0, 1 - abs(at.hour - 14) / 9))
        busy *= 0.85 + 0.3 * hour / (DAYS * 24)
        happened = [event for kind in _KINDS for event in _some(kind, busy, at, chance)]
        for number, event in enumerate(sorted(happened, key=lambda one: str(one["timestamp"]))):
            if event["timestamp"] < moment(now):
                yield {"id": f"{hour}-{number}", **event}


_KINDS: Final = {
    "order": 2.6,
    "signup": 3.4,
    "visit": 20.0,
    "webinar": 0.22,
}
"""Kind -> how many an hour."""


def _some(kind: str, busy: float, at: datetime, chance: random.Random) -> Iterator[dict[str, Any]]:
    for _ in range(_poisson(_KINDS[kind] * busy, chance)):
        when = moment(at + timedelta(seconds=chance.randrange(3600)))
        person = f"v-{chance.randrange(5000)}"
        common = {"timestamp": when, "visitorId": person, "sessionId": f"{person}-{at.date()}"}
        yield {**common, **_what(kind, chance)}


def _what(kind: str, chance: random.Random) -> dict[str, Any]:
    country = chance.choice(["DE", "DE", "AT", "CH", "FR", "NL"])
    if kind == "order":
        total = round(chance.lognormvariate(4.3, 0.6), 2)
        data: dict[str, Any] = {"total": total, "country": country, "items": chance.randrange(1, 6)}
        return {"type": "order_paid", "url": "https://shop.example/checkout/thanks", "data": data}
    if kind == "signup":
        data = {"plan": chance.choice(["free", "pro", "pro", "team"]), "seats": chance.randrange(1, 20)}
        return {"type": "form_submit", "url": "https://shop.example/signup/complete", "data": data}
    if kind == "webinar":
        topic = chance.choice(["pricing", "attribution"])
        return {"type": "form_submit", "url": f"https://shop.example/webinar/{topic}/booked", "data": {}}
    path = chance.choice(["/", "/pricing", "/blog/attribution", "/products/4711"])
    return {"type": "pageview", "url": f"https://shop.example{path}", "data": {"country": country}}


def _poisson(mean: float, chance: random.Random) -> int:
    """How many arrive in one unit of time when `mean` do on average."""
    number, waited = 0, chance.expovariate(1.0)
    while waited < mean:
        number += 1
        waited += chance.expovariate(1.0)
    return number


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def lines(now: datetime) -> Iterator[bytes]:
    """The events as NDJSON."""
    for event in events(now):
        yield json.dumps(event).encode()
