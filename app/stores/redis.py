"""The counters of one generation in Redis. The keys are documented in generations.py, the one script in apply.lua."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from redis.exceptions import NoScriptError

from app.domain import fields
from app.domain.beginning import Beginning
from app.domain.increments import Applied, Increments, Position
from app.domain.witness import Witness
from app.errors import GenerationMissing, StoreUnavailable
from app.stores.generations import Generation, bucket_names, give_record
from app.stores.redis_client import Client, as_store_errors, pattern
from app.stores.redis_packing import Packer
from app.stores.redis_sums import without_carried

_HERE: Final = Path(__file__).parent
_SCRIPT: Final = (
    (_HERE / "apply.lua")
    .read_text(encoding="utf-8")
    .replace("--@values.lua\n", (_HERE / "values.lua").read_text(encoding="utf-8"))
    .replace("--@experiments.lua\n", (_HERE / "experiments.lua").read_text(encoding="utf-8"))
)
_REPORT: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return 1
"""
_TELL_WITNESSES: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local number = 0
for at = 2, #ARGV, 3 do
  local told = redis.call('HGET', KEYS[2], ARGV[at])
  told = told and cjson.decode(told)
  if (told and told[1] .. ' ' .. (told[4] or 0) or '') == ARGV[at + 1] then
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 2])
    number = number + 1
  end
end
return number
"""
_TAKE_BACK: Final = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
"""
_SNAPSHOT: Final = """
local found = {}
for i = 1, #KEYS do found[i] = redis.call('HGETALL', KEYS[i]) end
return found
"""
"""Reads at one moment, as MULTI does; but a Redis that is full refuses MULTI, whatever is asked in it."""
_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


class RedisCounters:
    """Implements CounterStore for one generation, and what its workers report beside the counters."""

    def __init__(self, client: Client, generation: Generation) -> None:
        self._client = client
        self.generation = generation
        self._packer = Packer()

    @property
    def stripes(self) -> int:
        return self.generation.stripes

    @property
    def beginning(self) -> Beginning:
        return self.generation.beginning

    async def checkpoints(self, positions: Sequence[Position]) -> Sequence[Sequence[int]]:
        """Raises GenerationMissing when a stripe was emptied: its checkpoints are not 0 but unknown."""
        names = [position.name for position in positions]
        found: list[list[int]] = []
        with as_store_errors():
            for stripe in range(self.stripes):
                prefix = self.generation.prefix(stripe)
                async with self._client.pipeline(transaction=False) as pipe:
                    pipe.get(prefix + "gen")
                    for name in names:
                        pipe.hget(prefix + "cp", name)
                    identity, *offsets = await pipe.execute()
                if identity is None or identity.decode() != self.generation.identity:
                    raise GenerationMissing(self.generation.number)
                found.append([int(offset or 0) for offset in offsets])
        return [list(of_position) for of_position in zip(*found, strict=True)]

    async def apply(self, batch: Sequence[Increments]) -> Sequence[Applied]:
        if len(batch) == 1:
            return [await self._apply(batch[0])]
        return await asyncio.gather(*(self._apply(increments) for increments in batch))

    async def _apply(self, increments: Increments) -> Applied:
        record = self._prefix(increments.stripe, increments.backfill) + "gen"
        arguments = self.generation.identity, *self._packer.pack(increments)
        with as_store_errors():
            try:
                answer = await self._client.evalsha(_SHA, 1, record, *arguments)
            except NoScriptError:
                answer = await self._client.eval(_SCRIPT, 1, record, *arguments)
        return _applied(answer, self.generation.number)

    def _prefix(self, stripe: int, backfill: str = "") -> str:
        prefix = self.generation.prefix(stripe)
        return prefix + fields.in_backfill(backfill, "") if backfill else prefix

    async def open_backfills(
        self, stripes: Mapping[str, int], positions: Sequence[Position]
    ) -> Mapping[str, Sequence[int]]:
        names = [position.name for position in positions]
        if not stripes or not names:
            return dict.fromkeys(stripes, ())
        with as_store_errors():
            async with self._client.pipeline(transaction=False) as pipe:
                for backfill, stripe in stripes.items():
                    give_record(pipe, self.generation, self._prefix(stripe, backfill))
                    pipe.hmget(self._prefix(stripe, backfill) + "cp", names)
                answers = await pipe.execute()
        found = dict(zip(stripes, answers[1::2], strict=True))
        return {backfill: [int(offset or 0) for offset in offsets] for backfill, offsets in found.items()}

    async def note_backfill(self, name: str, stripe: int, state: Mapping[str, int]) -> Mapping[str, int]:
        key = self._prefix(stripe, name) + fields.STATE
        with as_store_errors():
            if state:
                await self._client.hset(key, mapping=dict(state))
            raw = await self._client.hgetall(key)
        return {field.decode(): int(number) for field, number in raw.items()}

    async def backfill_snapshot(self, name: str, goal: str, stripe: int) -> Mapping[str, Mapping[str, int]]:
        """A backfill's counters, checkpoints and state as they were at one moment."""
        owners = (fields.goal_owner(goal), fields.goal_history_owner(goal), "cp", fields.STATE)
        prefix = self._prefix(stripe, name)
        with as_store_errors():
            answers = await self._client.eval(_SNAPSHOT, len(owners), *(prefix + owner for owner in owners))
        return {owner: _counts(owner, flat) for owner, flat in zip(owners, answers, strict=True)}

    async def backfill_names(self) -> set[str]:
        """Of all that have keys."""
        found = set()
        with as_store_errors():
            for stripe in range(self.stripes):
                prefix = self.generation.prefix(stripe) + "f:"
                async for key in self._client.scan_iter(match=pattern(prefix), count=1000):
                    found.add(key.decode()[len(prefix) :].partition(":")[0])
        return found

    async def drop_backfill(self, name: str) -> None:
        """Delete every key of it."""
        with as_store_errors():
            for stripe in range(self.stripes):
                match = pattern(self._prefix(stripe, name))
                keys = [key async for key in self._client.scan_iter(match=match, count=1000)]
                for first in range(0, len(keys), 500):
                    await self._client.unlink(*keys[first : first + 500])

    async def report_freshness(self, fresh: Mapping[Position, tuple[int, int]], now: int) -> None:
        """Per position: complete up to this broker time, and the log's end offset as the consumer saw it.

        Raises GenerationMissing, and writes nothing, when Redis was emptied: the report would be of other counters.
        """
        told = {position.name: json.dumps([*own, now]) for position, own in fresh.items()}
        prefix, pairs = self.generation.prefix(0), [part for pair in told.items() for part in pair]
        with as_store_errors():
            known = not told or await self._client.eval(
                _REPORT, 2, prefix + "gen", prefix + "fresh", self.generation.identity, *pairs
            )
        if not known:
            raise GenerationMissing(self.generation.number)

    async def tell_witness(self, position: Position, stripe: int, known: Witness | None, witness: Witness) -> bool:
        """Tell a stripe of the position a witness of another epoch, or of another log; False, and nothing is told,
        where the one that was told last is not of the epoch and the line of `known`. Raises GenerationMissing, as
        `report_freshness`."""
        return await self._tell_witnesses(stripe, position.name, _line_of(known), json.dumps(witness)) == 1

    async def report_witnesses(self, witnesses: Mapping[Position, Sequence[Witness]]) -> None:
        """To each stripe newer ones of the epochs and lines that were told; others would say of what was counted what
        is not so: Redis may have gone back meanwhile, and the counters with it. Raises GenerationMissing."""
        for stripe in range(self.stripes):
            told = [(at.name, _line_of(own[stripe]), json.dumps(own[stripe])) for at, own in witnesses.items()]
            if told:
                await self._tell_witnesses(stripe, *chain.from_iterable(told))

    async def _tell_witnesses(self, stripe: int, *told: str) -> int:
        """Of each a position's name, epoch and line of what was told last, and the witness; how many were told."""
        prefix = self.generation.prefix(stripe)
        with as_store_errors():
            number: int = await self._client.eval(
                _TELL_WITNESSES, 2, prefix + "gen", prefix + "ep", self.generation.identity, *told
            )
        if number < 0:
            raise GenerationMissing(self.generation.number)
        return number

    async def witnesses(self, positions: Sequence[Position]) -> Sequence[Mapping[str, Witness]]:
        """Of each stripe: position name -> what was told last, where anything was."""
        names = [position.name for position in positions]
        if not names:
            return [{} for _ in range(self.stripes)]
        with as_store_errors():
            async with self._client.pipeline(transaction=False) as pipe:
                for stripe in range(self.stripes):
                    pipe.hmget(self.generation.prefix(stripe) + "ep", names)
                found = await pipe.execute()
        return [
            {name: Witness(*json.loads(text)) for name, text in zip(names, own, strict=True) if text} for own in found
        ]

    async def expect_positions(self, positions: Sequence[Position]) -> None:
        """Name the positions without which the counts are not complete; existing reports stay.

        Those of a topic's earlier incarnations are not waited for any more. Where counting was complete before, new
        positions (added partitions, a recreated topic) do not make it a rebuild again.
        """
        key = self.generation.prefix(0) + "fresh"
        present = await self.freshness()
        wanted = {position.name for position in positions}
        topics = tuple(f"{topic}:" for topic in {position.topic for position in positions})
        gone = [name for name in present if name.startswith(topics) and name not in wanted]
        was_complete = bool(present) and min(at for at, _, _ in present.values()) >= self.generation.created_at
        at = self.generation.created_at if was_complete else 0
        with as_store_errors():
            async with self._client.pipeline(transaction=False) as pipe:
                for position in positions:
                    pipe.hsetnx(key, position.name, json.dumps([at, 0, 0]))
                if gone:
                    pipe.hdel(key, *gone)
                    for stripe in range(self.stripes):
                        pipe.hdel(self.generation.prefix(stripe) + "ep", *gone)
                await pipe.execute()

    async def wait_only_for(self, topics: Collection[str]) -> Sequence[str]:
        """Other topics' positions are not waited for any more; returns their names. What is counted of them stays."""
        gone = [name for name in await self.freshness() if name.partition(":")[0] not in topics]
        if gone:
            with as_store_errors():
                await self._client.hdel(self.generation.prefix(0) + "fresh", *gone)
        return gone

    async def freshness(self) -> Mapping[str, tuple[int, int, int]]:
        """Position name -> (complete up to, end offset, written at)."""
        with as_store_errors():
            raw = await self._client.hgetall(self.generation.prefix(0) + "fresh")
        return {name.decode(): tuple(json.loads(text)) for name, text in raw.items()}

    async def report_loss(self, loss: Mapping[str, object]) -> None:
        """Remember that messages were lost before they could be counted. A later report of the same replaces it."""
        with as_store_errors():
            await self._client.hset(
                self.generation.prefix(0) + "loss", _loss_name(loss), json.dumps(loss, sort_keys=True)
            )

    async def take_back_loss(self, loss: Mapping[str, object]) -> None:
        """The messages were counted after all, or another worker was the one to pass them: its own report stays."""
        key = self.generation.prefix(0) + "loss"
        with as_store_errors():
            await self._client.eval(_TAKE_BACK, 1, key, _loss_name(loss), json.dumps(loss, sort_keys=True))

    async def losses(self) -> Sequence[Mapping[str, object]]:
        with as_store_errors():
            raw = await self._client.hgetall(self.generation.prefix(0) + "loss")
        return [json.loads(text) for text in raw.values()]

    async def forget_ids_before(self, moment: int) -> int:
        """Drop the deduplication memory of records received before `moment` less two windows; returns how many sets.

        An id is remembered at least one window, and none is looked for before the last epoch but one. Call it with the
        moment up to which every partition is counted.
        """
        oldest_needed = moment // self.generation.rules.window_ms - 1
        with as_store_errors():
            forgotten = await self._memories(oldest_needed)
            for name in forgotten:
                buckets = await self._client.hget(name, "b")
                keys = [f"{name}:{bucket}" for bucket in bucket_names(int(buckets or 1))]
                for first in range(0, len(keys), 500):
                    await self._client.unlink(*keys[first : first + 500])
                await self._client.unlink(name)
        return len(forgotten)

    async def _memories(self, before: int) -> list[str]:
        """The sets of event ids of epochs before that one. All keys are looked through, since a rebuild or an outage
        leaves sets of any age; the many buckets are of another type than the sets' heads, so Redis does not name them.
        """
        prefixes = await self._memory_prefixes()
        found = set()
        for stripe in range(self.stripes):
            match = pattern(self._prefix(stripe), "*s:d:*")
            async for key in self._client.scan_iter(match=match, count=1000, _type="hash"):
                stem, colon, epoch = key.decode().rpartition(":")
                if stem + colon in prefixes and int(epoch) < before:
                    found.add(key.decode())
        return sorted(found)

    async def _memory_prefixes(self) -> set[str]:
        """What the names of the sets of event ids begin with: of each stripe, and of each backfill that is filled (one
        that is not still reads what is old)."""
        stripes = range(self.stripes)
        beside = [self._prefix(stripe, name) for name in await self.backfill_names() for stripe in stripes]
        filled = [p for p in beside if await self._client.hget(p + fields.STATE, fields.FILLED)]
        return {prefix + "s:d:" for prefix in (*map(self._prefix, stripes), *filled)}

    async def snapshot(self, only: Sequence[str] | None = None) -> list[dict[str, dict[str, int]]]:
        """Per stripe, every hash of counters, checkpoints and accounting, as they were at one moment of the stripe.

        Without `only` (the owners that are wanted) it looks through all keys, twice, and blocks that Redis for about a
        millisecond per thousand goals: for `verify`.
        """
        stripes: list[dict[str, dict[str, int]]] = []
        with as_store_errors():
            for stripe in range(self.stripes):
                prefix = self.generation.prefix(stripe)
                stripes.append(await (self._whole(prefix) if only is None else self._some(prefix, only)))
        return stripes

    async def _whole(self, prefix: str) -> dict[str, dict[str, int]]:
        names = await self._owner_names(prefix)
        while True:
            found = await self._some(prefix, sorted(names))
            # What was counted meanwhile may have made owners that were not asked for.
            made = await self._owner_names(prefix) - names
            if not made:
                return found
            names |= made

    async def _some(self, prefix: str, names: Sequence[str]) -> dict[str, dict[str, int]]:
        answers = await self._client.eval(_SNAPSHOT, len(names), *(prefix + name for name in names))
        return {name: _counts(name, flat) for name, flat in zip(names, answers, strict=True)}

    async def _owner_names(self, prefix: str) -> set[str]:
        names = {"cp", "wm", "acct"}
        async for key in self._client.scan_iter(match=pattern(prefix, "[ghckpxy]:*"), count=1000):
            names.add(key.decode()[len(prefix) :])
        return names


def _counts(owner: str, flat: Sequence[bytes]) -> dict[str, int]:
    """Of a hash as a script returns it: field, number, field, number."""
    stored = {field.decode(): int(number) for field, number in zip(flat[::2], flat[1::2], strict=True)}
    return without_carried(owner, stored)


def _line_of(witness: Witness | None) -> str:
    return "" if witness is None else f"{witness.epoch} {witness.line}"


def _loss_name(loss: Mapping[str, object]) -> str:
    return f"{loss['position']}:{loss['from']}"


def _applied(answer: list[object], generation: int) -> Applied:
    code = answer[0]
    if code == 1:
        _, next_offset, counted, duplicate = (int(str(part)) for part in answer)
        return Applied(True, next_offset, counted, duplicate)
    if code == 0:
        return Applied(False, int(str(answer[1])))
    if code == -1:
        raise GenerationMissing(generation)
    key = answer[1]
    name = key.decode() if isinstance(key, bytes) else str(key)
    if code == -3:
        raise StoreUnavailable("redis", f"nothing was applied: {name}")
    raise StoreUnavailable(
        "redis", f"the key {name} is not ours any more: it holds another type; delete it, then rebuild"
    )
