"""Traffic from a seed: several projects, duplicates anywhere, out-of-order and late events, poison of every kind.

Some events carry assignments to experiments; most visitors see one variant of each, some several.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.faults.poison import LOOKS_LIKE_POISON, POISON

PROJECTS: Final = ("shop", "docs", "app")
EXPERIMENTS: Final = ("button", "price|*{x}")
VARIANTS: Final = ("control", "red", "blau|é")
HOUR_MS: Final = 3_600_000

CONVERSION_GOALS: Final[tuple[dict[str, Any], ...]] = (
    {"name": "Signup", "metric": "signup", "eventType": "form_submit", "urlPattern": "/signup/complete"},
    {"name": "Purchase", "metric": "purchase", "eventType": "purchase", "valueProperty": "amount"},
    {"name": "Large", "metric": "large", "eventType": "purchase", "conditions": {"amount": {"$gte": 50}}},
    {"name": "Pro", "metric": "pro", "eventType": "form_submit", "conditions": {"plan": "pro"}},
    {"name": "Visit", "metric": "visit", "eventType": "pageview", "counting": "once_per_session"},
    {"name": "Person", "metric": "person", "eventType": "pageview", "counting": "once_per_visitor"},
)
GOALS: Final[tuple[dict[str, Any], ...]] = (
    {"metric": "signup"},
    {"metric": "purchase", "aggregation": "sum"},
    {"metric": "purchase", "aggregation": "unique"},
    {"metric": "large"},
    {"metric": "visit"},
    {"metric": "person"},
)
"""Each of these is defined in every project, with a target, a deadline and a start of the test's."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message to be sent to `partition`."""

    partition: int
    key: bytes | None
    value: bytes | None


class Traffic:
    """`take(n)` gives the next n messages; the same seed gives the same ones, but for `now` (epoch ms)."""

    def __init__(
        self,
        seed: int,
        *,
        partitions: int = 4,
        now: int,
        duplicates: float = 0.2,
        out_of_order: float = 0.1,
        poison: float = 0.01,
        spread: bool = True,
    ) -> None:
        self._chance = random.Random(seed)
        self._seed = seed
        self._partitions = partitions
        self._now = now
        self._duplicates, self._out_of_order, self._poison_share = duplicates, out_of_order, poison
        self._spread = spread
        self._poison = _endlessly(list(POISON))
        self._recent: list[Sent] = []
        self._held: list[Sent] = []
        self._number = 0

    def take(self, number: int) -> Iterator[Sent]:
        """Poison comes at its share, one kind after the other."""
        for _ in range(number):
            yield self._next()

    def _next(self) -> Sent:
        chance = self._chance
        if chance.random() < self._poison_share:
            value = next(self._poison)
            # kafka-python sends no message that has neither key nor value.
            return Sent(chance.randrange(self._partitions), b"tombstone" if value is None else None, value)
        if self._recent and chance.random() < self._duplicates:
            again = chance.choice(self._recent)
            # A duplicate may come by any way, also by another partition.
            where = chance.randrange(self._partitions) if self._spread and chance.random() < 0.3 else again.partition
            return Sent(where, again.key, again.value)
        if chance.random() < self._out_of_order:
            self._held.append(self._event())
        if self._held and chance.random() < self._out_of_order / 2:
            return self._remember(self._held.pop(chance.randrange(len(self._held))))
        return self._remember(self._event())

    def _remember(self, sent: Sent) -> Sent:
        self._recent.append(sent)
        if len(self._recent) > 5_000:
            del self._recent[:1_000]
        return sent

    def _event(self) -> Sent:
        chance = self._chance
        self._number += 1
        visitor = f"visitor-{chance.randrange(300)}"
        event: dict[str, Any] = {
            "id": f"{self._seed}-{self._number}",
            "projectKey": chance.choice(PROJECTS),
            "type": chance.choice(("form_submit", "purchase", "pageview", "click")),
            "timestamp": self._now - chance.randrange(HOUR_MS),
            "url": chance.choice(("/signup/complete", "/signup", "/cart")),
            "visitorId": visitor,
            "sessionId": f"{visitor}-{chance.randrange(5)}",
            "data": {"plan": chance.choice(("pro", "free")), "amount": chance.randrange(1, 20_000) / 100},
        }
        if chance.random() < 0.4:
            event["experiments"] = {
                key: chance.choice(VARIANTS)
                if chance.random() < 0.1
                else VARIANTS[zlib.crc32((key + visitor).encode()) % 3]
                for key in EXPERIMENTS
                if chance.random() < 0.7
            }
        if chance.random() < 0.02:
            event.update(chance.choice(LOOKS_LIKE_POISON))
        elif chance.random() < 0.02:
            del event["visitorId"], event["sessionId"]
        value = json.dumps(event, ensure_ascii=chance.random() < 0.5).encode()
        return Sent(zlib.crc32(visitor.encode()) % self._partitions, visitor.encode(), value)


def _endlessly(kinds: list[bytes | None]) -> Iterator[bytes | None]:
    while True:
        yield from kinds
