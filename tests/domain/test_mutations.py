"""Whatever bytes come, folding goes on: messages mutated at random, each folded or dead-lettered.

SCOREKEEPER_TEST_LONG=1 tries a million, with a new seed each time; it is in the failure's message.
"""

from __future__ import annotations

import json
import os
import random
import secrets
from collections.abc import Sequence

from app.domain.folding import Folder
from tests.builders import NOW, POSITION, RULES, LogRecord
from tests.faults.in_memory import traffic_catalog
from tests.faults.poison import POISON
from tests.faults.traffic import Traffic

IS_LONG = os.environ.get("SCOREKEEPER_TEST_LONG") == "1"
NUMBER = 1_000_000 if IS_LONG else 15_000
BATCH = 250
LONGEST_BYTES = 4_000

TOKENS = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\x00", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\xef\xbb\xbf"),
    *(b"NaN", b"Infinity", b"-", b"1e999", b"1e-999", b"18446744073709551616", b"0.0000001", b"null", b"true", b'""'),
    *(b'"projectKey"', b'"type"', b'"events"', b'"specversion":"1.0"', b'"event"', b'"corrects"', b'"experiments"'),
    *(b'"timestamp":"9999-99-99T99:99:99Z"', b'"url":"http://[::1"', b'"data":', b'"context":{"page":', b"[[[[[[[["),
)
"""What tips parsers over, put in anywhere."""


def seeds() -> list[bytes]:
    """Good messages of every form, and bad ones."""
    own = {"projectKey": "shop", "timestamp": NOW}
    forms: list[object] = [
        {**own, "type": "purchase", "id": "1", "userId": "u", "data": {"amount": 12.5, "plan": "pro"}},
        {**own, "type": "purchase", "experiments": {"button": "red"}, "visitorId": "v", "sessionId": "s"},
        {"projectKey": "shop", "events": [{"type": "pageview", "url": "/a"}, {"type": "purchase", "data": {}}]},
        {"specversion": "1.0", "type": "purchase", "id": "1", "source": "/x", "data": {"projectKey": "shop"}},
        {"type": "track", "event": "purchase", "messageId": "1", "anonymousId": "a", "properties": {"amount": 1}},
        {"type": "page", "messageId": "2", "userId": "u", "context": {"page": {"url": "https://a.example/"}}},
    ]
    valid = [sent.value for sent in Traffic(1, now=NOW, poison=0).take(50) if sent.value is not None]
    poison = [value for value in POISON if value is not None and len(value) <= LONGEST_BYTES]
    return [*(json.dumps(form).encode() for form in forms), *valid, *poison]


def mutated(chance: random.Random, value: bytes, others: Sequence[bytes]) -> bytes:
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        at = chance.randrange(len(value) + 1)
        to = min(len(value), at + chance.choice((1, 1, 2, 8, 64)))
        way = chance.randrange(6)
        if way == 0:
            value = value[:at] + bytes((chance.randrange(256),)) + value[to:]
        elif way == 1:
            value = value[:at] + value[to:]
        elif way == 2:
            value = value[:at] + value[at:to] * chance.choice((2, 3, 40)) + value[to:]
        elif way == 3:
            value = value[:at] + chance.choice(TOKENS) + value[chance.choice((at, to)) :]
        elif way == 4:
            other = chance.choice(others)
            value = value[:at] + other[chance.randrange(len(other) + 1) :]
        else:
            value = value[:at]
    return value[:LONGEST_BYTES]


def test_no_mutation_of_a_message_stops_its_neighbours() -> None:
    seed = secrets.randbelow(1 << 32) if IS_LONG else 7
    chance = random.Random(seed)
    values, folder = seeds(), Folder(traffic_catalog(), RULES)
    folded = rejected = 0
    for first in range(0, NUMBER, BATCH):
        some = [mutated(chance, chance.choice(values), values) for _ in range(BATCH)]
        records = [LogRecord(first + number, value) for number, value in enumerate(some)]
        try:
            (increments,), letters = folder.fold(POSITION, records, [first], first + BATCH, NOW)
        except Exception as error:
            error.add_note(f"seed {seed}, messages from {first}")
            raise
        whole = increments.partition
        # A batch message is received as its elements.
        assert whole.received >= BATCH, f"seed {seed}, messages from {first}: some vanished"
        assert sum(whole.rejected.values()) == len(letters)
        folded += whole.received - len(letters)
        rejected += len(letters)
    assert folded > NUMBER / 20, "most mutations should not be noise"
    assert rejected > NUMBER / 20
