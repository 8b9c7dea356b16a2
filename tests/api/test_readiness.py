"""Readiness: every part is asked, within a time, and a crowd of askers asks no more often."""

from __future__ import annotations

import asyncio

from api.readiness import Readiness


async def test_each_part_that_does_not_answer_is_named_with_what_is_wrong() -> None:
    async def answer() -> None: ...

    async def fail() -> None:
        raise OSError

    async def hang() -> None:
        await asyncio.Event().wait()

    readiness = Readiness({"redis": answer, "database": fail, "kafka": hang}, patience_seconds=0.05)
    assert await readiness.check() == {"redis": None, "database": "OSError", "kafka": "TimeoutError"}


async def test_a_crowd_of_askers_costs_two_looks() -> None:
    asked = 0

    async def answer() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)

    readiness = Readiness({"kafka": answer})
    found = await asyncio.gather(*(readiness.check() for _ in range(100)))
    assert found == [{"kafka": None}] * 100
    assert asked <= 2
