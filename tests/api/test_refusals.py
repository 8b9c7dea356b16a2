"""How late those are answered who are turned away."""

from __future__ import annotations

import asyncio
import time

from api.refusals import LateAnswers


async def test_all_together_are_answered_at_a_rate_in_the_order_in_which_they_came() -> None:
    late, turns = LateAnswers(least_seconds=0.1, per_second=50), []

    async def one(number: int) -> None:
        assert await late.wait_for_turn()
        turns.append((number, time.monotonic()))

    begun = time.monotonic()
    await asyncio.gather(*(one(number) for number in range(10)))
    assert [number for number, _ in turns] == list(range(10))
    assert turns[0][1] - begun >= 0.1
    assert turns[-1][1] - begun >= 0.1 + 9 / 50


async def test_turns_that_nobody_took_are_not_kept() -> None:
    late = LateAnswers(least_seconds=0.0, per_second=10)
    late._last = asyncio.get_running_loop().time() - 3600
    begun = time.monotonic()
    assert await asyncio.gather(*(late.wait_for_turn() for _ in range(3))) == [True] * 3
    assert time.monotonic() - begun >= 0.2, "a quiet hour does not let ten pass at once"


async def test_no_more_wait_than_may() -> None:
    late = LateAnswers(least_seconds=0.05, most_waiting=2)
    assert await asyncio.gather(*(late.wait_for_turn() for _ in range(3))) == [True, True, False]
    assert await late.wait_for_turn(), "who was answered makes room"


async def test_when_the_server_ends_nobody_waits() -> None:
    late = LateAnswers(least_seconds=60)
    waiting = [asyncio.create_task(late.wait_for_turn()) for _ in range(3)]
    await asyncio.sleep(0)
    late.end_soon()
    async with asyncio.timeout(20):
        assert await asyncio.gather(*waiting) == [True] * 3
