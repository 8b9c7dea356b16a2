"""What is done for ever is done on after a failure of whatever kind."""

from __future__ import annotations

import asyncio

import pytest

from app.errors import StoreUnavailable
from app.patience import keep_doing


@pytest.mark.parametrize("failure", [StoreUnavailable("sql", "away"), KeyError("a defect")])
async def test_what_is_kept_doing_goes_on_after_a_failure(failure: Exception) -> None:
    failures, done = [failure, failure], asyncio.Event()

    async def act() -> None:
        if failures:
            raise failures.pop()
        done.set()

    doing = asyncio.create_task(keep_doing("nothing is done", 0.001, act))
    try:
        await asyncio.wait_for(done.wait(), 10)
    finally:
        doing.cancel()
