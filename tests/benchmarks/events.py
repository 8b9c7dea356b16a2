"""One topic of believable events, and how many of each definition are in it, counted while they are written.

20 projects with 10 definitions each; a quarter of the events matches one; 1% repeat an id; 0.1% are no JSON. The count
shares nothing with the product: an event is written for a definition or for none.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PROJECTS, PER_PROJECT, TYPES = 20, 10, 5


def definition(number: int) -> dict[str, Any]:
    """Definition `number` of any project, in the API's field names."""
    condition: dict[str, Any] = {"plan": "pro"} if number % 2 else {"amount": {"$gte": 50}}
    return {
        "name": f"d{number}",
        "metric": f"m{number}",
        "eventType": f"t{number % TYPES}",
        "urlPattern": f"/shop/{number}/*",
        "conditions": condition,
    }


@dataclass(slots=True)
class Count:
    """What is in the topic. Keys are `project:definition`."""

    exact: Counter[str] = field(default_factory=Counter)
    """Each event once."""
    naive: Counter[str] = field(default_factory=Counter)
    """Repeated ids counted again, as a contender without deduplication must."""


def write(
    number: int,
    seed: int,
    count: Count,
    hot: float = 0.0,
    matching: float = 0.25,
    projects: int = PROJECTS,
    per_project: int = PER_PROJECT,
) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of each message; fills `count`. `hot`: the share of the first project beyond its own; `matching`:
    the share of events that match."""
    chance = random.Random(seed)
    repeated: list[tuple[bytes, bytes, str]] = []
    for serial in range(number):
        draw = chance.random()
        if draw < 0.001:
            yield b"broken", b'{"type": "t1", '
            continue
        if draw < 0.011 and repeated:
            key, value, counted = chance.choice(repeated)
            count.naive[counted] += 1
            yield key, value
            continue
        project, visitor = chance.randrange(projects), f"v{chance.randrange(10_000)}"
        if hot and chance.random() < hot:
            project = 0
        wanted = chance.randrange(per_project) if chance.random() < matching else None
        shelf = wanted if wanted is not None else f"x{chance.randrange(per_project)}"
        event = {
            "type": f"t{(wanted if wanted is not None else chance.randrange(per_project)) % TYPES}",
            "projectKey": f"p{project}",
            "id": f"{serial:x}-{chance.getrandbits(40):010x}",
            "url": f"https://shop.example/shop/{shelf}/article?ref={serial}",
            "visitorId": visitor,
            "sessionId": f"s{visitor}",
            "data": {
                "plan": "pro" if wanted is not None else chance.choice(["pro", "free"]),
                "amount": chance.randrange(50, 100) if wanted is not None else chance.randrange(100),
                "currency": "EUR",
                "note": "a few words of no importance to anybody",
            },
        }
        key, value = visitor.encode(), json.dumps(event).encode()
        if wanted is not None:
            counted = f"p{project}:{wanted}"
            count.exact[counted] += 1
            count.naive[counted] += 1
            if len(repeated) < 2_000:
                repeated.append((key, value, counted))
        yield key, value
