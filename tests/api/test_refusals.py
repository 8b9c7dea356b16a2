"""How late those are answered who are turned away."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator

import pytest

from api.refusals import LEAST_SECONDS, MOST_SECONDS, PER_SECOND, LateAnswers


class HurriedLoop(asyncio.SelectorEventLoop):
    """Its clock jumps to the next timer, for which nobody waits."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        ready, scheduled = vars(self)["_ready"], vars(self)["_scheduled"]
        if scheduled and not ready:
            self._now = max(self._now, scheduled[0].when())
        super()._run_once()  # type: ignore[misc]  # asyncio's own, which it does not declare


@pytest.fixture
def hurried() -> Iterator[HurriedLoop]:
    loop = HurriedLoop()
    yield loop
    loop.close()


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


@pytest.mark.parametrize("connections", [150, 2_000])
def test_who_mistypes_a_key_beside_a_flood_does_not_wait_for_all_of_it(hurried: HurriedLoop, connections: int) -> None:
    late, chance, seconds = LateAnswers(), random.Random(1), 60.0
    waited: list[float] = []
    answered = 0

    async def send_wrong_keys() -> None:
        nonlocal answered
        while True:
            await late.wait_for_turn()
            answered += 1
            await asyncio.sleep(chance.random() / 50)

    async def mistype() -> None:
        await asyncio.sleep(MOST_SECONDS + chance.random() * seconds)
        begun = hurried.time()
        assert await late.wait_for_turn()
        waited.append(hurried.time() - begun)

    async def meet() -> None:
        flood = [asyncio.create_task(send_wrong_keys()) for _ in range(connections)]
        await asyncio.gather(*(mistype() for _ in range(100)))
        for one in flood:
            one.cancel()
        await asyncio.gather(*flood, return_exceptions=True)

    hurried.run_until_complete(meet())
    assert len(waited) == 100
    assert LEAST_SECONDS <= min(waited) <= max(waited) <= MOST_SECONDS
    assert answered <= PER_SECOND * hurried.time()


async def test_who_waits_for_long_has_his_turn_when_nobody_elses_is_due() -> None:
    late, turns = LateAnswers(least_seconds=0.0, most_seconds=0.0, per_second=50), []

    async def one(number: int) -> None:
        assert await late.wait_for_turn()
        turns.append(number)

    await asyncio.gather(*(one(number) for number in range(5)))
    assert sorted(turns) == list(range(5))
    assert late.waiting == 0


async def test_who_went_away_takes_no_harm() -> None:
    late = LateAnswers(least_seconds=0.05)
    gone, *others = [asyncio.create_task(late.wait_for_turn()) for _ in range(3)]
    await asyncio.sleep(0)
    gone.cancel()
    assert await asyncio.gather(*others) == [True, True]
    assert gone.cancelled()
