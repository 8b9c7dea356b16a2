"""Readers share looks, and none gets an answer that is older than its question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.errors import StoreUnavailable
from app.patience import Leisure, leisure
from app.sharing import SharedLooks


def gated() -> tuple[asyncio.Event, list[int], Callable[[], Awaitable[int]]]:
    """A look that waits at a gate and answers its number."""
    gate, begun = asyncio.Event(), list[int]()

    async def look() -> int:
        begun.append(len(begun))
        number = begun[-1]
        await gate.wait()
        return number

    return gate, begun, look


async def settle() -> None:
    """Let every task run up to where it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_during_a_look_shares_the_next_one() -> None:
    looks = SharedLooks[int]()
    gate, begun, look = gated()
    first = asyncio.create_task(looks.ask("p", look))
    await settle()
    others = [asyncio.create_task(looks.ask("p", look)) for _ in range(5)]
    await settle()
    gate.set()
    assert await first == 0
    assert await asyncio.gather(*others) == [1] * 5
    assert begun == [0, 1]


async def test_different_keys_do_not_wait_for_each_other() -> None:
    looks = SharedLooks[int]()
    gate, begun, look = gated()
    tasks = [asyncio.create_task(looks.ask(key, look)) for key in "ab"]
    await settle()
    assert len(begun) == 2
    gate.set()
    assert sorted(await asyncio.gather(*tasks)) == [0, 1]


async def test_an_error_is_everybodys_and_the_next_look_is_new() -> None:
    looks = SharedLooks[int]()

    async def fail() -> int:
        raise ValueError("away")

    async def answer() -> int:
        return 7

    tasks = [asyncio.create_task(looks.ask("p", fail)) for _ in range(2)]
    assert [type(found) for found in await asyncio.gather(*tasks, return_exceptions=True)] == [ValueError] * 2
    assert await looks.ask("p", answer) == 7


async def test_that_a_store_is_away_is_waited_for_once() -> None:
    looks = SharedLooks[int]()
    gate, asked = asyncio.Event(), list[None]()

    async def hang() -> int:
        asked.append(None)
        await gate.wait()
        raise StoreUnavailable("redis", "no answer")

    first = asyncio.create_task(looks.ask("p", hang))
    await settle()
    second = asyncio.create_task(looks.ask("p", hang))
    await settle()
    gate.set()
    found = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(one) for one in found] == [StoreUnavailable] * 2
    assert len(asked) == 1
    with pytest.raises(StoreUnavailable):
        await looks.ask("p", hang)
    assert len(asked) == 2


class Begun:
    """One key's looks. They wait at a gate; who asks at leisure stands for work that nobody waits for."""

    def __init__(self, failing: bool = False) -> None:
        self.looks = SharedLooks[int]()
        self.gate = asyncio.Event()
        self._failing = failing
        self._of: list[Leisure | None] = []

    async def look(self) -> int:
        self._of.append(leisure.get())
        await self.gate.wait()
        if self._failing:
            raise StoreUnavailable("redis", "no answer")
        return 1

    async def ask_at_leisure(self) -> int:
        leisure.set(Leisure())
        return await self.looks.ask("p", self.look)

    @property
    def in_haste(self) -> list[bool]:
        """Of each look that has begun."""
        return [one is None or one.is_over for one in self._of]


async def test_looking_ahead_begins_nothing_beside_a_look_but_makes_it_hasten() -> None:
    begun = Begun()
    asking = asyncio.create_task(begun.ask_at_leisure())
    await settle()
    assert (begun.looks.is_running("p"), begun.in_haste) == (True, [False])
    begun.looks.look_ahead("p", begun.look)
    await settle()
    begun.gate.set()
    assert await asking == 1
    assert (begun.looks.is_running("p"), begun.in_haste) == (False, [True])


async def test_who_waits_for_what_is_running_begins_nothing_and_makes_it_hasten() -> None:
    begun = Begun(failing=True)
    await begun.looks.wait_for_running("p")
    asking = asyncio.create_task(begun.ask_at_leisure())
    await settle()
    assert begun.in_haste == [False]
    waiting = asyncio.create_task(begun.looks.wait_for_running("p"))
    await settle()
    begun.gate.set()
    for task in (asking, waiting):
        with pytest.raises(StoreUnavailable):
            await task
    assert begun.in_haste == [True]


async def test_who_is_cancelled_stops_nobody() -> None:
    looks = SharedLooks[int]()
    gate, _begun, look = gated()
    gone, other = (asyncio.create_task(looks.ask("p", look)) for _ in range(2))
    await settle()
    gone.cancel()
    gate.set()
    assert await other == 0
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_look_begun_at_leisure_makes_haste_once_somebody_waits_for_it() -> None:
    begun = Begun()
    asking = [asyncio.create_task(begun.ask_at_leisure())]
    await settle()
    assert begun.in_haste == [False]
    asking.append(asyncio.create_task(begun.ask_at_leisure()))
    await settle()
    assert begun.in_haste == [False], "who has time waits in line"
    asking.append(asyncio.create_task(begun.looks.ask("p", begun.look)))
    await settle()
    assert begun.in_haste == [True]
    begun.gate.set()
    await asyncio.gather(*asking)
    assert begun.in_haste == [True, True]
