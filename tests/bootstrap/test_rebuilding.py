"""How a rebuild begins, whatever the counters that are shown are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap.parts import Parts, folding_rules
from app.bootstrap.rebuilding import make_rebuild
from app.bootstrap.worker import WorkerParts
from app.domain.beginning import Beginning
from app.domain.folding import DeadLetter
from app.domain.increments import Position
from app.errors import Conflict, Reason
from app.stores.generations import spec_key
from app.streams import beginnings
from app.streams.dead_letters import DeadLetterTopic
from config.settings import Settings
from tests.builders import LogRecord
from tests.faults.in_memory import Letters
from tests.stores.counting import POSITION, apply, increments, simple


@pytest.fixture
async def parts(
    redis_url: str, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Parts]:
    """With receipts, and a topic of one partition."""

    async def spans(_: Parts) -> Mapping[Position, tuple[int, int]]:
        return {POSITION: (0, 9)}

    monkeypatch.setattr(Parts, "spans", spans)
    given: dict[str, Any] = {"redis": redis_url, "database": sqlite_url, "data_dir": tmp_path}
    async with Parts(Settings(kafka="nowhere:1", receipt_topic="receipts", **given), "test") as made:
        made.database.migrate()
        yield made


async def test_a_rebuild_that_was_stopped_does_not_go_on_without_a_topic_that_it_counted(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, rebuild = await make_rebuild(parts)
    await rebuild.store.apply([increments(simple(1, 2))])
    assert (await make_rebuild(parts))[0] == number

    async def spans_of_the_new_topic(_: Parts) -> Mapping[Position, tuple[int, int]]:
        return {replace(POSITION, incarnation="again"): (0, 9)}

    monkeypatch.setattr(Parts, "spans", spans_of_the_new_topic)
    with pytest.raises(Conflict, match=f"{POSITION.name}.* `scorekeeper generations drop {number}`"):
        await make_rebuild(parts)
    await parts.generations.drop(number)
    assert (await make_rebuild(parts))[0] == number + 1


async def test_receipts_go_on_from_where_the_shown_counting_is(parts: Parts) -> None:
    await parts.generations.ensure_active(folding_rules(parts.settings), 1)
    await apply(await parts.counters(), increments(simple(1, 2)))
    _, rebuild = await make_rebuild(parts)
    assert rebuild.opened.receipts_from == {POSITION: 2}


async def test_counters_of_another_version_are_rebuilt_with_receipts_of_everything(parts: Parts) -> None:
    shown = await parts.generations.ensure_active(folding_rules(parts.settings), 1)
    await parts.redis.hset(spec_key(shown.number), "scheme", 2)
    number, rebuild = await make_rebuild(parts)
    assert number == shown.number + 1
    assert rebuild.opened.outbox is not None
    assert rebuild.opened.receipts_from == {}


async def test_dead_letters_are_written_from_where_the_shown_counting_is_then(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = Letters()
    monkeypatch.setattr(DeadLetterTopic, "send", partial(Letters.send, letters))
    _, rebuild = await make_rebuild(parts)
    poison = [DeadLetter(LogRecord(offset, b"{"), Reason.INVALID_JSON, "") for offset in (1, 2)]
    await rebuild.dead_letters.send(poison, POSITION)
    shown = await parts.generations.ensure_active(folding_rules(parts.settings), 1)
    await apply(await parts.counters(), increments(simple(1, 2)))
    await rebuild.dead_letters.send(poison, POSITION)
    await parts.redis.hset(spec_key(shown.number), "scheme", 2)
    await rebuild.dead_letters.send(poison, POSITION)
    assert [offset for _, offset, _ in letters.sent] == [1, 2, 2, 1, 2]


async def test_left_receipts_are_looked_for_beside_a_generation_of_another_version(parts: Parts) -> None:
    rules = folding_rules(parts.settings)
    other = await parts.generations.ensure_active(rules, 1)
    ours = await parts.generations.create(rules, 2)
    await parts.redis.hset(spec_key(other.number), "scheme", 2)
    left = increments(simple(1))
    worker = WorkerParts(parts.settings)
    try:
        (outbox,) = await worker.outboxes()
        await parts.redis.sadd(ours.prefix(0) + "outs", left.position.name)
        assert list(await outbox.positions_with_receipts()) == [left.position.name]
    finally:
        await worker.close()


async def test_a_rebuild_that_was_stopped_goes_on_with_the_settings_that_it_was_begun_with_or_not_at_all(
    parts: Parts,
) -> None:
    first, _ = await make_rebuild(parts)
    assert (await make_rebuild(parts))[0] == first
    parts.settings = parts.settings.model_copy(update={"stripes": 4, "default_project": "shop"})
    with pytest.raises(Conflict) as refused:
        await make_rebuild(parts)
    assert (
        "SCOREKEEPER_DEFAULT_PROJECT, which was unset and is shop and SCOREKEEPER_STRIPES, which was 1 and is 4"
        in str(refused.value)
    )
    assert f"generations drop {first}" in str(refused.value)
    await parts.generations.drop(first)
    number, rebuild = await make_rebuild(parts)
    assert (number, rebuild.opened.rules.stripes) == (first + 1, 4)


async def test_stripes_are_chosen_by_what_each_project_has_brought(parts: Parts) -> None:
    for key in ("quiet", "hot", "still"):
        parts.definitions.create_project(key, key, "UTC")
    await parts.generations.ensure_active(folding_rules(parts.settings), 1)
    counters = await parts.counters()
    for key, counted in (("quiet", 1), ("hot", 10), ("still", 1)):
        await parts.redis.hset(counters.generation.prefix(0) + f"p:{key}", mapping={"received": 20, "counted": counted})
    parts.settings = parts.settings.model_copy(update={"stripes": 2})
    _, rebuild = await make_rebuild(parts)
    assert rebuild.opened.rules.spread == {"hot": 0, "quiet": 1, "still": 1}


async def test_a_worker_that_finds_no_counters_spreads_the_projects_that_there_are(parts: Parts) -> None:
    for key in ("shop", "blog", "docs"):
        parts.definitions.create_project(key, key, "UTC")
    worker = WorkerParts(parts.settings.model_copy(update={"stripes": 3}))
    try:
        store = await worker.open_store(1)
        assert store.generation.rules.spread == {"blog": 0, "docs": 2, "shop": 1}
        parts.definitions.create_project("late", "late", "UTC")
        assert (await worker.open_store(2)).generation == store.generation
    finally:
        await worker.close()


class _Found:
    """Stands for the log: where it is begun is asked once, whatever it would say later."""

    def __init__(self) -> None:
        self.asked = 0

    async def find(self, _: object, __: object, positions: Sequence[Position], since: int, ___: int) -> Beginning:
        self.asked += 1
        return Beginning(since, {position.name: 3 + self.asked for position in positions}, left_out_up_to=since - 1)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> _Found:
    made = _Found()
    monkeypatch.setattr(beginnings, "find_beginning", made.find)
    return made


SINCE = 1_790_000_000_000
BEGAN = "2026-09-21T14:13:20.000Z"


async def test_where_it_begins_is_looked_up_once_and_remembered(parts: Parts, found: _Found) -> None:
    first, rebuild = await make_rebuild(parts, SINCE)
    assert rebuild.store.beginning == Beginning(SINCE, {POSITION.name: 4}, left_out_up_to=SINCE - 1)
    again, rebuild = await make_rebuild(parts, SINCE)
    assert (again, rebuild.store.beginning.offsets, found.asked) == (first, {POSITION.name: 4}, 1)


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        (SINCE, None, f"was begun with --since {BEGAN}, and is now asked for without --since: "),
        (SINCE, SINCE + 1, f"was begun with --since {BEGAN}, and is now asked for with --since {BEGAN[:-2]}1Z: "),
        (None, SINCE, f"was begun without --since, and is now asked for with --since {BEGAN}: "),
    ],
)
async def test_a_rebuild_that_was_stopped_goes_on_since_the_moment_that_it_was_begun_with_or_not_at_all(
    parts: Parts, found: _Found, then: int | None, now: int | None, told: str
) -> None:
    first, _ = await make_rebuild(parts, then)
    with pytest.raises(Conflict) as refused:
        await make_rebuild(parts, now)
    assert told in str(refused.value)
    assert f"generations drop {first}" in str(refused.value)
    assert f"{'leave --since out' if then is None else f'give --since {BEGAN}'}, and it goes on" in str(refused.value)
    assert (await make_rebuild(parts, then))[0] == first
    await parts.generations.drop(first)
    number, rebuild = await make_rebuild(parts, now)
    assert (number, rebuild.store.beginning.since) == (first + 1, now)
    assert found.asked == (then is not None) + (now is not None)
