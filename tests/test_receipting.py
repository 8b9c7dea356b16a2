"""Receipts under faults, in one process: a reader who keeps one of each id sees every conversion exactly once."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from app.ports import LeftReceipt
from app.receipting import FOREIGN_RECEIPTS_MS, ReceiptSender
from tests.builders import NOW, LogRecord, event
from tests.faults.in_memory import KeptReceipts, World, answer_for, definitions, log_of
from tests.faults.receipts import receipt_differences
from tests.test_tracking import CrashAt, _CrashError

STEPS = ("fold", "apply", "applied", "receipts", "receipts_sent")
GUARDED = {one.id for one in definitions() if str(one.body.get("counting", "")).startswith("once")}


async def differences(world: World) -> list[str]:
    assert world.receipts is not None
    await world.send_what_is_left()
    bodies = [one.body for one in world.receipts.sent]
    return [*receipt_differences(bodies, answer_for(world.log), GUARDED), *world.differences()]


async def test_every_conversion_has_one_receipt_and_nothing_else_has() -> None:
    world = World(log_of(11, 1500), receipts=KeptReceipts())
    await world.read(world.tracker())
    assert await differences(world) == []
    assert world.receipts is not None
    assert len({one.id for one in world.receipts.sent}) == len(world.receipts.sent), "nothing failed: no repeats"


async def test_a_receipt_that_is_missing_or_too_many_is_noticed() -> None:
    world = World(log_of(11, 200), receipts=KeptReceipts())
    await world.read(world.tracker())
    assert world.receipts is not None
    one = world.receipts.sent.pop()
    assert len(await differences(world)) == 1
    world.receipts.sent += [one, one]
    assert await differences(world) == []
    world.receipts.sent.append(type(one)("x", one.body.replace(one.id.encode(), b"another")))
    assert len(await differences(world)) == 1


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("times", [(0,), (3, 4, 4, 5), (9, 1)])
async def test_a_crash_at_any_step_loses_no_receipt(step: str, times: tuple[int, ...]) -> None:
    world = World(log_of(12, 300), receipts=KeptReceipts())
    for time in times:
        with suppress(_CrashError):
            await world.read(world.tracker(CrashAt(step, time)))
    await world.read(world.tracker())
    assert await differences(world) == []


@pytest.mark.parametrize("seed", range(8))
async def test_faults_of_the_store_and_of_the_topic_lose_no_receipt(seed: int) -> None:
    chance = random.Random(seed)
    faults = [chance.choice(["", "", "before", "after", "twin", "rollback"]) for _ in range(60)]
    faults[chance.randrange(60)] = "missing"
    world = World(log_of(seed, 500), faults, receipts=KeptReceipts(failures=chance.randrange(5)))
    await world.read(world.tracker(), size=chance.choice([1, 7, 30]))
    assert await differences(world) == []


async def test_nothing_is_kept_where_nobody_asks_for_receipts() -> None:
    world = World(log_of(13, 300))
    await world.read(world.tracker())
    assert not any(stripe.outboxes[p.name] for stripe in world.counters._stripes for p in world.log)


class Left:
    """Implements LeftOutbox: of each position, how long its oldest receipt waits; that is all that is asked."""

    def __init__(self, **ages: int) -> None:
        self.ages = ages
        self.asked: list[str] = []

    async def positions_with_receipts(self) -> set[str]:
        return set(self.ages)

    async def oldest_age_ms(self, position: str) -> int:
        return self.ages[position]

    async def left_receipts(self, position: str, limit: int) -> list[LeftReceipt]:
        del limit
        self.asked.append(position)
        return []

    async def forget_receipts(self, position: str, receipts: Sequence[LeftReceipt]) -> None:
        raise AssertionError((position, receipts))


async def test_what_is_left_is_sent_of_own_positions_at_once_and_of_others_when_nobody_else_does() -> None:
    outboxes = [Left(own=0, others=FOREIGN_RECEIPTS_MS, nobodys=FOREIGN_RECEIPTS_MS + 1), Left(own=1)]
    await ReceiptSender(KeptReceipts()).send_left(outboxes, {"own"})
    assert [sorted(outbox.asked) for outbox in outboxes] == [["nobodys", "own"], ["own"]]


# -- what a receipt says


async def read_all(*values: bytes) -> list[dict[str, Any]]:
    (position, *_) = log_of(1, 1)
    log = {position: [LogRecord(offset, value, NOW + offset) for offset, value in enumerate(values)]}
    world = World(log, receipts=KeptReceipts())
    await world.read(world.tracker())
    assert world.receipts is not None
    return [json.loads(one.body) for one in world.receipts.sent]


def purchase(ident: str | None = "e1", amount: float = 12.5, **fields: Any) -> bytes:
    return event(ident, userId="u", sessionId="s", data={"amount": amount}, **fields)


async def test_a_receipt_names_the_conversion() -> None:
    (receipt,) = await read_all(purchase())
    assert receipt == {
        "id": f"shop-cg-1:{NOW // (7 * 86_400_000)}:e1",
        "kind": "conversion",
        "projectKey": "shop",
        "conversionGoalId": "shop-cg-1",
        "metric": "purchase",
        "revision": 1,
        "goalIds": ["shop-goal-1", "shop-goal-2"],
        "eventId": "e1",
        "corrects": None,
        "subject": "u",
        "sessionId": "s",
        "value": 12.5,
        "occurredAt": "2026-09-21T14:13:20.000Z",
        "receivedAt": "2026-09-21T14:13:20.000Z",
        "topic": "events",
        "partition": 0,
        "offset": 0,
        "index": None,
        "isShortened": False,
    }


async def test_corrections_have_receipts_of_their_own() -> None:
    back = purchase("r1", type="$retract", eventType="purchase", retracts="e1")
    again = purchase("r2", type="$restate", eventType="purchase", restates="e2", restatedData={"amount": 99.000001})
    found = await read_all(purchase(), purchase("e2"), back, back, again, again)
    told = [(one["kind"], one["corrects"], one["conversionGoalId"], one["value"]) for one in found]
    assert told == [
        ("conversion", None, "shop-cg-1", 12.5),
        ("conversion", None, "shop-cg-1", 12.5),
        ("retraction", "e1", "shop-cg-1", 12.5),
        ("retraction", "e2", "shop-cg-1", 12.5),
        ("conversion", "e2", "shop-cg-1", 99.000001),
        ("conversion", "e2", "shop-cg-2", None),
    ]
    assert len({one["id"] for one in found}) == len(found)


async def test_an_event_without_an_id_is_named_by_its_place() -> None:
    batch = json.dumps({"projectKey": "shop", "events": [json.loads(purchase(None)), json.loads(purchase(None))]})
    found = await read_all(purchase(None), batch.encode())
    assert [(one["offset"], one["index"]) for one in found] == [(0, None), (1, 0), (1, 1)]
    assert len({one["id"] for one in found}) == 3


async def test_a_subject_that_is_too_long_cannot_make_a_receipt_too_large() -> None:
    (receipt,) = await read_all(event("e1", userId="u" * 900_000, data={"amount": 1}))
    assert (receipt["subject"], receipt["isShortened"]) == (None, True)
    assert len(json.dumps(receipt)) < 2_000
