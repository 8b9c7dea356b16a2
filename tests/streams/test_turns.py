"""Work on several partitions: each one's in order, others meanwhile, and never too much at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.streams.turns import Turns


class Works:
    """Pieces of work that end when they are told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_end: dict[str, asyncio.Event] = {}
        self.ended: list[asyncio.Task[None]] = []

    def named(self, name: str) -> Callable[[], asyncio.Future[None]]:
        self.may_end[name] = asyncio.Event()
        return lambda: asyncio.ensure_future(self._run(name))

    async def _run(self, name: str) -> None:
        self.begun.append(name)
        await self.may_end[name].wait()
        if name.startswith("broken"):
            raise ValueError(name)

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


async def test_what_is_of_one_partition_runs_in_turn_and_others_meanwhile() -> None:
    works = Works()
    turns = Turns(9, works.ended.append)
    for partition, name in ((0, "0a"), (0, "0b"), (1, "1a")):
        await turns.begin(partition, works.named(name))
    await works.settle()
    assert works.begun == ["0a", "1a"]
    works.may_end["0a"].set()
    await works.settle()
    assert works.begun == ["0a", "1a", "0b"]
    turns.cancel()


async def test_who_begins_too_much_waits_until_something_has_ended() -> None:
    works = Works()
    turns = Turns(2, works.ended.append)
    await turns.begin(0, works.named("0a"))
    beginning = asyncio.create_task(turns.begin(1, works.named("1a")))
    await works.settle()
    assert (works.begun, beginning.done()) == (["0a", "1a"], False)
    works.may_end["1a"].set()
    await beginning
    turns.cancel()


async def test_who_watches_is_told_of_each_end_and_of_a_defect_too() -> None:
    works = Works()
    turns = Turns(9, works.ended.append)
    await turns.begin(0, works.named("broken"))
    await turns.begin(0, works.named("next"))
    works.may_end["broken"].set()
    works.may_end["next"].set()
    await works.settle()
    assert [repr(task.exception()) for task in works.ended] == ["ValueError('broken')", "None"]
    assert works.begun == ["broken", "next"]


async def test_what_is_under_way_can_be_ended() -> None:
    works = Works()
    turns = Turns(9, works.ended.append)
    await turns.begin(0, works.named("0a"))
    await turns.begin(0, works.named("0b"))
    turns.cancel()
    await works.settle()
    assert [task.cancelled() for task in works.ended] == [True, True]
    assert works.begun == ["0a"]
