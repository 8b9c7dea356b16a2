"""What is done for ever is done on after a failure of whatever kind; and long work lets others have their turn."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from app import patience
from app.errors import StoreUnavailable
from app.patience import Leisure, Patience, ProjectTurns, giving_way, keep_doing, leisure


@pytest.mark.parametrize("failure", [StoreUnavailable("sql", "away"), KeyError("a defect")])
async def test_what_is_kept_doing_goes_on_after_a_failure(failure: Exception) -> None:
    failures, done = [failure, failure], asyncio.Event()

    async def act() -> None:
        if failures:
            raise failures.pop()
        done.set()

    doing = asyncio.create_task(keep_doing("nothing is done", 0.001, act))
    try:
        await asyncio.wait_for(done.wait(), 60)
    finally:
        doing.cancel()


async def test_what_fails_for_one_keeps_no_other_from_its_turn(caplog: pytest.LogCaptureFixture) -> None:
    failures: dict[str, Exception] = {"away": StoreUnavailable("sql", "away"), "defective": ValueError("a defect")}
    turns, had = ProjectTurns("nothing is done"), list[str]()

    async def act(project: str) -> int:
        had.append(project)
        if project in failures:
            raise failures[project]
        return 1

    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await turns.give(["away", "defective", "good"], act)
    assert had == ["away", "defective", "good"] * 3
    assert [record.getMessage() for record in caplog.records] == ["nothing is done of the project defective: a defect"]
    defect = failures.pop("defective")
    failures.pop("away")
    assert await turns.give(["away", "defective", "good"], act) == 3
    failures["defective"] = defect
    assert await turns.give(["away", "defective", "good"], act) == 2
    assert len(caplog.records) == 2, "it was over in between"


async def test_what_takes_long_is_rested_from() -> None:
    """A pause shorter than three times what it took would let it begin a second time."""
    begun, took, twice = list[float](), 0.1, asyncio.Event()

    async def act() -> None:
        begun.append(time.monotonic())
        if len(begun) == 2:
            twice.set()
        await asyncio.sleep(took)

    doing = asyncio.create_task(keep_doing("nothing is done", 0.001, act, rest=3))
    await twice.wait()
    doing.cancel()
    assert begun[1] - begun[0] >= 3.9 * took


async def test_others_get_their_turn_in_the_middle_of_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SLICE_SECONDS", 0.0)
    seen = list[str]()

    async def other() -> None:
        seen.append("other")

    waiting = asyncio.create_task(other())
    async for item in giving_way("ab"):
        seen.append(item)
    assert seen == ["a", "other", "b"]
    await waiting


async def test_only_waiting_uses_patience_up() -> None:
    patient = Patience(1.0)
    assert await patient.wait("sql", asyncio.sleep(0.01, "answer")) == "answer"
    time.sleep(1.1)  # noqa: ASYNC251  # the work itself: longer than all patience, and no waiting
    assert await patient.wait("sql", asyncio.sleep(0.01, "answer")) == "answer"
    with pytest.raises(StoreUnavailable):
        await patient.wait("redis", asyncio.Event().wait())
    with pytest.raises(StoreUnavailable):
        await patient.wait("redis", asyncio.sleep(0.01))


@pytest.mark.parametrize(("own", "turns"), [(None, 1), (Leisure(), 5), ("over", 1)])
async def test_work_at_leisure_gives_way_until_nobody_else_has_anything_to_do(
    monkeypatch: pytest.MonkeyPatch, own: Leisure | str | None, turns: int
) -> None:
    now = [0.0]
    monkeypatch.setattr(patience, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(patience, "SLICE_SECONDS", -1.0)
    if own == "over":
        own = Leisure()
        own.is_over = True
    assert not isinstance(own, str)
    seen = list[str]()

    async def other() -> None:
        for _ in range(5):
            seen.append("other")
            now[0] += 1.0
            await asyncio.sleep(0)

    async def work() -> None:
        leisure.set(own)
        async for item in giving_way("ab"):
            seen.append(item)

    working = asyncio.create_task(work())
    await asyncio.gather(working, other())
    assert seen.index("b") - seen.index("a") - 1 == turns
