"""The same call again and again, until it is answered."""

from __future__ import annotations

import logging

import pytest

from app.errors import StoreUnavailable
from app.waiting import Waiting


def is_away(error: BaseException) -> bool:
    return isinstance(error, StoreUnavailable)


async def test_a_call_is_repeated_until_it_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    waiting, seen = Waiting(0.001, for_what="for Redis"), []

    async def call() -> str:
        seen.append(waiting.is_going_on)
        if len(seen) < 4:
            raise StoreUnavailable("redis", "away")
        return "done"

    with caplog.at_level(logging.WARNING):
        assert await waiting.until_answered(call, is_away) == "done"
    assert seen == [False, True, True, True]
    assert not waiting.is_going_on
    assert caplog.messages[0].startswith("waiting for Redis: ")
    assert len(caplog.messages) == 3, "each failure is told, for the log to limit"


@pytest.mark.parametrize("failures", [0, 2])
async def test_what_is_an_answer_ends_it(failures: int) -> None:
    waiting, left = Waiting(0.001), [failures]

    async def call() -> None:
        if left[0]:
            left[0] -= 1
            raise StoreUnavailable("redis", "away")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await waiting.until_answered(call, is_away)
    assert not waiting.is_going_on
