"""`scorekeeper wait`: what could not be counted is told, and is counted for all that."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.bootstrap import Parts
from app.cli.waiting import RECENT_MS, Waited, wait_until_counted
from app.domain.increments import Position
from app.errors import GenerationMissing, NotFound, StoreUnavailable
from tests.cli.conftest import Ended, Scorekeeper

WHERE = Position("events", 0, "t")
LAST = 1_790_000_000_000
"""When the last dead letter came."""
State = tuple[int, Mapping[str, int]]


class ScriptedParts:
    """A log of seven messages. Each time the counters are asked for they are in the next state, (checkpoint,
    accounting), or missing; the last one stays."""

    def __init__(self, *states: State | None) -> None:
        self._states = list(states)
        self.letters_error: Exception | None = None

    async def spans(self) -> Mapping[Position, tuple[int, int]]:
        return {WHERE: (0, 7)}

    async def counters(self) -> Any:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        if state is None:
            raise GenerationMissing(1)

        async def checkpoints(_: object) -> list[list[int]]:
            return [[state[0]]]

        async def snapshot(_: object) -> list[Mapping[str, Mapping[str, int]]]:
            return [{"acct": {f"{WHERE.name}|{fate}": number for fate, number in state[1].items()}}]

        return SimpleNamespace(checkpoints=checkpoints, snapshot=snapshot)

    @property
    def letters(self) -> Any:
        async def last_at() -> int:
            if self.letters_error is not None:
                raise self.letters_error
            return LAST

        return SimpleNamespace(last_at=last_at)


NOTHING: State = (0, {})
BEFORE: State = (5, {"received": 5, "counted": 4, "rejected:too_old": 1})
AFTER: State = (7, {"received": 7, "counted": 4, "rejected:no_project": 2, "rejected:too_old": 1})


@pytest.mark.parametrize(
    ("states", "meanwhile"),
    [
        ([None, AFTER], 3),
        ([NOTHING, NOTHING, AFTER], 3),
        ([BEFORE, BEFORE, AFTER], 2),
        ([AFTER], 0),
        # Another generation, which leaves something out, is shown by now.
        ([(5, {"received": 9, "rejected:too_old": 9}), AFTER], 0),
    ],
)
async def test_dead_letters_are_counted_from_the_beginning_and_from_that_of_the_wait(
    states: list[State | None], meanwhile: int
) -> None:
    waited = await wait_until_counted(cast(Parts, ScriptedParts(*states)), 60)
    assert waited == Waited(0, 7, {"no_project": 2, "too_old": 1}, meanwhile, LAST)


@pytest.mark.parametrize("error", [NotFound("topic", "x"), StoreUnavailable("kafka", "away")])
async def test_a_wait_ends_well_though_dead_letters_cannot_be_looked_at(error: Exception) -> None:
    parts = ScriptedParts(BEFORE, BEFORE, AFTER)
    parts.letters_error = error
    waited = await wait_until_counted(cast(Parts, parts), 60)
    assert waited == Waited(0, 7, {"no_project": 2, "too_old": 1}, 2, None)


async def test_with_no_counters_everything_is_waited_for() -> None:
    assert await wait_until_counted(cast(Parts, ScriptedParts(None)), 0) == Waited(7, 0, {}, 0)


@pytest.mark.parametrize(
    ("waited", "ended"),
    [
        (Waited(0, 7, {}, 0), Ended(0, "all counted\n", "")),
        (
            Waited(0, 4_000, {"no_project": 1_002, "too_old": 1}, 1_002),
            Ended(
                0,
                "all counted\n",
                "scorekeeper: dead letters so far: 1,003 of 4,000 events (no_project 1,002, too_old 1), 1,002 of them "
                "since this wait began; `scorekeeper dead-letters list` shows why\n",
            ),
        ),
        (
            Waited(3, 1, {"too_old": 1}, 0, LAST),
            Ended(
                1,
                "3 messages are not counted yet\n",
                "scorekeeper: dead letters so far: 1 of 1 event (too_old 1), none of them since this wait began, the "
                "last one at 2026-09-21T14:13:20.000Z; "
                "`scorekeeper dead-letters list` shows why\n"
                "scorekeeper: is a worker running? `scorekeeper status` shows them\n",
            ),
        ),
        (Waited(0, 9, {"too_old": 1}, 0, LAST - 1), Ended(0, "all counted\n", "")),
        (Waited(0, 9, {"too_old": 1}, 0), Ended(0, "all counted\n", "")),
    ],
    ids=["none", "some", "some lately, and not all is counted", "long ago", "nobody knows when"],
)
def test_dead_letters_are_told_beside_the_answer(
    scorekeeper: Scorekeeper, monkeypatch: pytest.MonkeyPatch, waited: Waited, ended: Ended
) -> None:
    monkeypatch.setattr("app.cli.waiting.with_parts", lambda _: waited)
    monkeypatch.setattr("app.cli.waiting.time.time", lambda: (LAST + RECENT_MS) / 1000)
    assert scorekeeper("wait") == ended
    found = scorekeeper("wait", "--json")
    assert (found.code, found.json()["lag"]) == (ended.code, waited.lag)
    assert (found.json()["rejected"], found.json()["rejectedMeanwhile"]) == (
        waited.rejected,
        waited.rejected_meanwhile,
    )
