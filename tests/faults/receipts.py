"""What a reader of receipts sees, held against the oracle. An empty list is proof."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from tests.faults.oracle import MICRO, Answer


def receipt_differences(bodies: Iterable[bytes], answer: Answer, guarded: Iterable[str]) -> list[str]:
    """`bodies` as they lie in the topic, repeats and all; `guarded`: the conversion goals that count once per session
    or visitor, where any event of a session may be the one that counted."""
    read: dict[str, dict[str, Any]] = {}
    for body in bodies:
        receipt = json.loads(body, parse_float=Decimal)
        read.setdefault(receipt["id"], receipt)
    by_goal: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for receipt in read.values():
        by_goal[receipt["conversionGoalId"]].append(receipt)
    found: list[str] = []
    for goal in sorted({*by_goal, *answer.conversions}):
        has, should = by_goal.get(goal, []), answer.conversions.get(goal, [])
        if len(has) != len(should):
            found.append(f"{goal}: {len(has)} receipts, but the log holds {len(should)} conversions")
        elif goal not in guarded:
            told = Counter((one["eventId"], int((one["value"] or 0) * MICRO)) for one in has)
            if told != Counter((one.event, one.micros) for one in should):
                found.append(f"{goal}: other events or values than the log's")
    return found
