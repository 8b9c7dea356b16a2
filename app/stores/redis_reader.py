"""Reads counters from Redis for those who show them. The keys are documented in generations.py."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from app.errors import GenerationMissing
from app.ports import Reading, Wanted
from app.stores.generations import ACTIVE, Generation, Generations
from app.stores.redis_client import Client, as_store_errors
from app.stores.redis_sums import with_carried, without_carried

_ALL: Final = "*"
_READ: Final = """
local shapes, wanted = unpack(cmsgpack.unpack(ARGV[1]))
local prefix, found = ARGV[2], {}
local function some_of(key, names)
  local all = {}
  for first = 1, #names, 1000 do
    local some = redis.call('HMGET', key, unpack(names, first, math.min(first + 999, #names)))
    for j = 1, #some do all[first + j - 1] = some[j] end
  end
  return all
end
local function known_of(key, names, rest)
  local some = redis.call('HMGET', key, unpack(names))
  for j = 1, #some - 1 do rest = rest - (some[j] or 0) end
  if rest + (some[#some] or 0) == 0 then return some end
end
for i, one in ipairs(wanted) do
  local key, names = prefix .. one[1], shapes[one[2]]
  if names == '*' then
    found[i] = redis.call('HGETALL', key)
  else
    found[i] = one[3] and known_of(key, shapes[one[3]], one[4]) or some_of(key, names)
  end
end
return cmsgpack.pack(found)
"""
"""Many fields of many owners of a stripe as one text: redis-py takes longer to read thirty thousand short answers than
Redis to give them."""


_Shapes: TypeAlias = dict[tuple[str, ...], tuple[int, tuple[str, ...]]]
"""Fields that are wanted -> the number of their list, from 1, and what has to be asked for to know them."""


@dataclass(frozen=True, slots=True)
class _Owners:
    """Each is made when it is reached: to make those of ten thousand goals takes longer than Redis took, others want
    their turn meanwhile, and it is no waiting for Redis."""

    wanted: Sequence[Wanted]
    answers: Sequence[list[Any]]
    shapes: _Shapes

    def __iter__(self) -> Iterator[Mapping[str, int]]:
        for asked, answer in zip(self.wanted, self.answers, strict=True):
            yield _numbers(asked, answer, self.shapes)


class RedisReader:
    """Implements CounterReader: reads the active generation, whichever that is, in one round trip."""

    def __init__(self, client: Client, generation: Generation | None = None) -> None:
        self._client = client
        self._generation = generation

    async def read(self, wanted: Sequence[Wanted]) -> Reading:
        return await self._read(wanted, {one.project for one in wanted})

    async def mark(self, project: str) -> object:
        return (await self._read((), {project})).mark

    async def _read(self, wanted: Sequence[Wanted], projects: Iterable[str]) -> Reading:
        for _ in range(3):
            if self._generation is None:
                self._generation = await Generations(self._client).active()
            reading = await self._read_of(self._generation, wanted, projects)
            if reading is not None:
                return reading
            self._generation = None
        raise GenerationMissing

    async def _read_of(
        self, generation: Generation, wanted: Sequence[Wanted], projects: Iterable[str]
    ) -> Reading | None:
        """None when another generation is shown meanwhile."""
        answers = await self._ask(generation, wanted, projects)
        return _reading(generation, answers) if _is_shown(generation, answers) else None

    async def _ask(self, generation: Generation, wanted: Sequence[Wanted], projects: Iterable[str]) -> _Answers:
        prefixes = [generation.prefix(stripe) for stripe in range(generation.stripes)]
        indexes: dict[int, list[int]] = {}
        for index, one in enumerate(wanted):
            indexes.setdefault(generation.rules.stripe_of(one.project), []).append(index)
        shapes: _Shapes = {}
        stripes = sorted({generation.rules.stripe_of(project) for project in projects})
        with as_store_errors():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.get(ACTIVE)
                pipe.hgetall(prefixes[0] + "fresh")
                pipe.hgetall(prefixes[0] + "loss")
                for prefix in prefixes:
                    pipe.get(prefix + "gen")
                # Checkpoints move with the counters. They are asked for first, and so never newer.
                for stripe in stripes:
                    pipe.hgetall(prefixes[stripe] + "cp")
                for stripe, own in indexes.items():
                    request = _request([wanted[index] for index in own], shapes)
                    pipe.eval(_READ, 1, prefixes[stripe] + "gen", request, prefixes[stripe])
                active, fresh, losses, *rest = await pipe.execute()
        by_stripe = iter(rest)
        records = list(islice(by_stripe, len(prefixes)))
        checkpoints = list(islice(by_stripe, len(stripes)))
        found: list[Any] = [()] * len(wanted)
        for own, packed in zip(indexes.values(), by_stripe, strict=True):
            for index, answer in zip(own, msgspec.msgpack.decode(packed), strict=True):
                found[index] = answer
        return _Answers(active, fresh, losses, records, checkpoints, _Owners(wanted, found, shapes))


class _Answers(NamedTuple):
    """What Redis gave, as it gave it."""

    active: bytes | None
    """The number of the generation that is shown."""
    fresh: Mapping[bytes, bytes]
    losses: Mapping[bytes, bytes]
    records: Sequence[bytes | None]
    """Of the generation that was asked for, in each stripe."""
    checkpoints: Sequence[Mapping[bytes, bytes]]
    owners: _Owners


def _is_shown(generation: Generation, answers: _Answers) -> bool:
    """Whether the answers are those of the generation that is shown. Raises GenerationMissing."""
    if answers.active is None:
        raise GenerationMissing
    if int(answers.active) != generation.number:
        return False
    identities = [None if record is None else record.decode() for record in answers.records]
    if None in identities:
        raise GenerationMissing(generation.number)
    # One of the same number may have been made after Redis was emptied.
    return set(identities) == {generation.identity}


def _reading(generation: Generation, answers: _Answers) -> Reading:
    fresh_as_of = min((json.loads(text)[0] for text in answers.fresh.values()), default=0)
    left_out = generation.beginning.left_out_up_to
    lost = [_received_before(json.loads(text)) for text in answers.losses.values()]
    lost_at = tuple(sorted(lost if left_out is None else [*lost, left_out]))
    return Reading(
        owners=answers.owners,
        fresh_as_of=fresh_as_of or None,
        generation=generation.number,
        rebuilding=fresh_as_of < generation.created_at,
        lost_at=lost_at,
        mark=(generation.number, generation.identity, fresh_as_of, lost_at, answers.checkpoints),
    )


def _received_before(loss: Mapping[str, Any]) -> int:
    """Of reports of earlier versions only when it was noticed is known."""
    return int(loss.get("before", loss["at"]))


def _request(wanted: Sequence[Wanted], shapes: _Shapes) -> bytes:
    """What the script takes: each list of fields once, and per owner which of them."""
    owners: list[tuple[object, ...]] = []
    for _, owner, names, known in wanted:
        number, _ = _shape_of(names, shapes)
        if known is None:
            owners.append((owner, number))
        else:
            owners.append((owner, number, _shape_of(known.fields, shapes)[0], known.rest))
    asked = [_ALL if names == (_ALL,) else names for _, names in shapes.values()]
    return msgspec.msgpack.encode((asked, owners))


def _shape_of(names: Sequence[str], shapes: _Shapes) -> tuple[int, tuple[str, ...]]:
    wanted = tuple(names)
    shape = shapes.get(wanted)
    if shape is None:
        shape = shapes[wanted] = (len(shapes) + 1, tuple(with_carried(wanted)))
    return shape


def _numbers(asked: Wanted, answer: list[Any], shapes: _Shapes) -> Mapping[str, int]:
    names = asked.fields
    if len(names) == 1 and names[0] == _ALL:
        stored = {name: int(number) for name, number in zip(answer[::2], answer[1::2], strict=True)}
        return without_carried(asked.owner, stored)
    _, stored_as = _shape_of(names, shapes)
    if asked.known is not None and len(answer) < len(stored_as):
        names = asked.known.fields
        _, stored_as = _shape_of(names, shapes)
    found = {name: int(number) for name, number in zip(stored_as, answer, strict=True) if number}
    return found if len(stored_as) == len(names) else without_carried(asked.owner, found)
