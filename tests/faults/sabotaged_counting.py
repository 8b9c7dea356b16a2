"""Protections of the write path that can be taken out: of the stores, the script, the tracker and its receipts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from tests.faults.taking_out import after_start, never, nothing, put


def change_script(old: str, new: str) -> None:
    """Let every counter store of this process use another apply.lua."""
    from app.stores import redis

    assert redis._SCRIPT.count(old) == 1, f"apply.lua has changed: {old!r} is not there once"
    script = redis._SCRIPT.replace(old, new)
    put(redis, "_SCRIPT", script)
    put(redis, "_SHA", hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest())


def no_compare_and_set() -> None:
    change_script("if stored ~= expected then", "if false then")


def no_look_at_the_generation() -> None:
    """Apply to whatever has the number, also to what another worker began after Redis was emptied."""
    change_script("if call('GET', record) ~= ARGV[1] then", "if false then")


def no_look_at_types() -> None:
    change_script("  check('cp', 'hash'); check('wm', 'hash'); check('acct', 'hash')\n", "")


def no_undo() -> None:
    change_script("  undo_all()\n", "")


def no_deduplication() -> None:
    from app.stores.memory import _Stripe

    head = "local function remember(set, member, place)\n"
    change_script(head, f"{head}  do return true end\n")
    change_script("or call('SADD', stem .. hex(place - place % width), member) == 0 then", "or false then")
    put(_Stripe, "_is_first", lambda *_: True)


def no_look_into_the_window_after() -> None:
    from app.stores.memory import _Stripe

    change_script("open_set('d:' .. (epoch + 1))", "open_set('d:none')")
    is_first = _Stripe._is_first

    def is_first_without(self: _Stripe, epoch: int, member: int) -> bool:
        kept = self.seen.pop(f"d:{epoch + 1}", set())
        try:
            return is_first(self, epoch, member)
        finally:
            self.seen[f"d:{epoch + 1}"] = kept

    put(_Stripe, "_is_first", is_first_without)


def all_of_many() -> None:
    """What a batch named before is counted with the others that differ in nothing but their ids, before it."""
    from app.domain.gathering import Gathering

    def join(self: Gathering, simple: Any, event: Any) -> bool:
        self._identities.append(f"{event.project}\0{event.id}")
        self._joined.append(simple)
        return True

    put(Gathering, "join", join)


def one_checkpoint_for_all_stripes() -> None:
    """Fold everything from the lowest, and apply it to each stripe at whatever it is."""
    from app.domain.folding import Folder

    fold = Folder.fold

    def fold_from_the_lowest(
        self: Folder, position: Any, records: Any, checkpoints: Sequence[int], *rest: Any
    ) -> tuple[list[Any], list[Any]]:
        increments, letters = fold(self, position, records, [min(checkpoints)] * len(checkpoints), *rest)
        for part in increments:
            if not part.backfill:
                part.expected = checkpoints[part.stripe]
        return increments, letters

    put(Folder, "fold", fold_from_the_lowest)


def no_hole_check() -> None:
    from app.tracking import Batch, Tracker

    track = Tracker.track

    async def track_anything(self: Tracker, batch: Batch) -> Any:
        return await track(self, replace(batch, start=0))

    put(Tracker, "track", track_anything)


def no_look_for_lost_writes() -> None:
    from app.tracking import Tracker

    put(Tracker, "has_gone_back", never)


def no_repetition() -> None:
    from app.waiting import Waiting

    async def call_once(_: Waiting, call: Callable[[], Any], __: object) -> Any:
        return await call()

    put(Waiting, "until_answered", call_once)


def long_pauses() -> None:
    from tenacity import wait_fixed

    from app import waiting

    put(waiting, "wait_random_exponential", lambda **_: wait_fixed(60.0))


class _Later:
    """Implements DeadLetters: sends when the checkpoint has moved already."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._pending: set[asyncio.Task[None]] = set()

    async def send(self, letters: Sequence[Any], position: Any) -> None:
        self._pending.add(asyncio.ensure_future(self._send(letters, position)))

    async def _send(self, letters: Sequence[Any], position: Any) -> None:
        await asyncio.sleep(0.3)
        await self._inner.send(letters, position)


def dead_letters_later() -> None:
    from app.tracking import Tracker

    after_start(Tracker, lambda tracker: setattr(tracker, "_dead_letters", _Later(tracker._dead_letters)))


def no_reference() -> None:
    """A dead letter that is too large is sent whole, again and again."""
    from app.streams import dead_letters

    async def is_written(sent: Any) -> bool:
        await sent
        return True

    put(dead_letters, "_is_written", is_written)


def poison_is_an_error() -> None:
    from app.domain import folding
    from app.domain.parsing import parse_message as parse
    from app.errors import InvalidEvent

    def parse_carelessly(*arguments: Any) -> Any:
        try:
            return parse(*arguments)
        except InvalidEvent as error:
            raise ValueError(error.detail) from error

    put(folding, "parse_message", parse_carelessly)


def receipts_forgotten_first() -> None:
    from app.receipting import ReceiptSender

    async def send(self: ReceiptSender, outbox: Any, position: Any) -> int:
        name = getattr(position, "name", position)
        left = await outbox.left_receipts(name, 1000)
        if left:
            await outbox.forget_receipts(name, left)
            self._hook("receipts")
            await self._topic.send([one.receipt for one in left])
            self._hook("receipts_sent")
        return len(left)

    put(ReceiptSender, "send", send)


def no_expected_positions() -> None:
    from app.stores.redis import RedisCounters

    put(RedisCounters, "expect_positions", nothing)


def reading_by_transaction() -> None:
    from app.stores.redis import RedisCounters, _counts
    from app.stores.redis_client import as_store_errors

    async def snapshot(self: RedisCounters, only: Sequence[str] | None = None) -> list[dict[str, dict[str, int]]]:
        stripes = []
        with as_store_errors():
            for stripe in range(self.stripes):
                prefix = self.generation.prefix(stripe)
                names = sorted(await self._owner_names(prefix) if only is None else only)
                async with self._client.pipeline(transaction=True) as pipe:
                    for name in names:
                        pipe.hgetall(prefix + name)
                    flat = [[part for pair in own.items() for part in pair] for own in await pipe.execute()]
                stripes.append({name: _counts(name, own) for name, own in zip(names, flat, strict=True)})
        return stripes

    put(RedisCounters, "snapshot", snapshot)


COUNTING: Final[Mapping[str, Callable[[], None]]] = {
    "compare-and-set": no_compare_and_set,
    "generation-record": no_look_at_the_generation,
    "types-first": no_look_at_types,
    "undo": no_undo,
    "deduplication": no_deduplication,
    "both-windows": no_look_into_the_window_after,
    "order-of-the-log": all_of_many,
    "own-checkpoints": one_checkpoint_for_all_stripes,
    "hole-check": no_hole_check,
    "lost-writes": no_look_for_lost_writes,
    "repetition": no_repetition,
    "short-pauses": long_pauses,
    "dead-letters-first": dead_letters_later,
    "by-reference": no_reference,
    "poison": poison_is_an_error,
    "receipts-first": receipts_forgotten_first,
    "expected-positions": no_expected_positions,
    "reading-script": reading_by_transaction,
}
