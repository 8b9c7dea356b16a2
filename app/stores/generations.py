"""Generations: which complete counting of the log is shown, which others exist, and what each was counted by.

Keys outside every stripe:
  sk:active               the number of the generation that is shown
  sk:generations          the greatest number that was ever given
  sk:generation:<n>       hash: the specification of generation n (below) and what is known of it

Keys of stripe s of generation n all begin with `{sk:<n>:<s>}:`, one hash tag, so that one script may touch them all; of
several stripes a tag may end with `~<k>`, see `stripe_prefix`:
  gen                     the stripe's record, the generation's identity; without it the stripe was emptied. It is
                          written together with the checkpoints at which a generation begins that does not count all
  cp, wm                  hash: position -> checkpoint; position -> newest broker timestamp below it
  acct, p:<project>       hash: accounting by position and by project
  g: h: c: k: x: y:       counters, see app/domain/fields.py
  l:<book>, l:<book>:<x>  what experiments know of each subject, see experiments.lua; buckets as of a seen set
  s:<set>, s:<set>:<x>    a seen set: its size and number of buckets; its buckets, see `bucket_names`
  f:<backfill>:<key>      the same keys of a backfill, see app/domain/backfill.py; `state` says how far it is
  out:<position>, outs    stream: receipts of conversions that are not sent yet; set: the positions that ever had some
  fresh                   hash (stripe 0): position -> complete up to, end offset, when written
  ep                      hash: position -> its witness, see app/domain/witness.py
  loss                    hash (stripe 0): position and first offset -> what was lost, see app/domain/loss.py
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from binascii import crc_hqx
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain, count
from typing import Any, Final

from app.domain.beginning import WHOLE_LOG, Beginning
from app.domain.folding_rules import FoldingRules
from app.domain.parsing import ParsingRules
from app.domain.spreading import spread
from app.errors import GenerationMissing, OtherScheme
from app.stores.redis_client import Client, as_store_errors

SCHEME = 5
"""The version of the keys, of what is hashed into them, and of the rules by which ids count once; another one is
refused, and replaced by a rebuild: what was counted by two of them could not be reproduced."""
ACTIVE = "sk:active"
_COUNTER = "sk:generations"
_OWNER = re.compile(rb"^(?:\{sk:(\d+):|sk:generation:(\d+)$)")
_BATCH = 500
_SLOTS: Final = 16_384
"""Of a Redis Cluster; a key's is the CRC16 (XMODEM) of its tag (Redis Cluster specification, "Hash tags")."""
_MOST_PARTS: Final = 256
"""A tag is looked for in so many tries, on average."""
_RANGE: Final = 2**30
"""RANGE of apply.lua."""
# Each of these touches one key, so that it runs on a cluster too.
_CLAIM: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
"""
_GIVE_RECORD: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""
"""Whoever finds a record finds the checkpoints, too. Those that are there, as of a snapshot, stay."""
_NOTE: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""
"""Not of a generation that was dropped, or lost, meanwhile: a key without a specification would be left."""
_REPLACE: Final = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation's specification. `rules` are fixed for its life, or its counts could not be reproduced."""

    number: int
    rules: FoldingRules
    created_at: int
    beginning: Beginning = WHOLE_LOG

    @property
    def stripes(self) -> int:
        return self.rules.stripes

    @property
    def identity(self) -> str:
        """Tells this generation from another of the same number, given after Redis was emptied."""
        return hashlib.blake2b(self.rules.secret, digest_size=8, person=b"generation").hexdigest()

    def prefix(self, stripe: int) -> str:
        return stripe_prefix(self.number, stripe, self.stripes)


@dataclass(frozen=True, slots=True)
class GenerationState:
    """What is known of a generation besides its rules; times in epoch ms."""

    number: int
    created_at: int
    is_finished: bool
    """It was counted up to the log's end at least once."""
    counted_at: int | None
    """When a rebuild last said that it counts; None when none did."""
    since: int | None = None
    """What came before is not counted; None: all that the log held is."""


@cache
def stripe_prefix(number: int, stripe: int, stripes: int) -> str:
    """What the keys of a stripe begin with.

    Of several stripes each has a slot of Redis Cluster in a part of its own, one part after another: shards that hold
    equally many slots in a row hold equally many stripes, where plain numbers would put two of three on one shard.
    """
    parts = min(stripes, _MOST_PARTS)
    part = stripe * parts // stripes
    own = range(part * _SLOTS // parts, (part + 1) * _SLOTS // parts)
    plain = f"sk:{number}:{stripe}"
    tags = chain([plain], (f"{plain}~{extra}" for extra in count(1)))
    return next(f"{{{tag}}}:" for tag in tags if crc_hqx(tag.encode(), 0) % _SLOTS in own)


def spec_key(number: int) -> str:
    return f"sk:generation:{number}"


def bucket_names(buckets: int) -> list[str]:
    """What the names of a family's buckets end with, as `bucket_at` of apply.lua makes them. Each is a range of hashes
    and named by where it begins; from the lowest on, one after another is split into two.
    """
    half = 1 << (buckets.bit_length() - 1)
    width = _RANGE // half
    halved = (buckets - half) * width
    starts = [*(range(0, halved, width // 2) if halved else ()), *range(halved, _RANGE, width)]
    return [f"{start:08x}" for start in starts]


def new_rules(
    parsing: ParsingRules, *, window_ms: int, stripes: int, loads: Mapping[str, int] | None = None
) -> FoldingRules:
    """Rules with a new secret for the hashes. `loads`: see `spread`."""
    return FoldingRules(parsing, secrets.token_bytes(16), window_ms, stripes, spread(loads or {}, stripes))


def give_record(client: Client, generation: Generation, prefix: str) -> Any:
    """Begin what has these keys, a stripe or a backfill, if it has no record. To be awaited, or of a pipeline."""
    offsets = [part for pair in generation.beginning.offsets.items() for part in pair]
    return client.eval(_GIVE_RECORD, 2, prefix + "gen", prefix + "cp", generation.identity, *offsets)


def _encoded(beginning: Beginning) -> str:
    return json.dumps(
        {"since": beginning.since, "offsets": dict(beginning.offsets), "left_out_up_to": beginning.left_out_up_to}
    )


def _decoded(text: bytes | None) -> Beginning:
    return WHOLE_LOG if text is None else Beginning(**json.loads(text))


class Generations:
    """Creates, finds, switches and drops generations. Coroutines; each may be repeated; raises StoreUnavailable."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def active_number(self) -> int | None:
        with as_store_errors():
            number = await self._client.get(ACTIVE)
        return int(number) if number is not None else None

    async def active(self) -> Generation:
        """The generation that is shown. Raises GenerationMissing when Redis was emptied."""
        number = await self.active_number()
        if number is None:
            raise GenerationMissing
        return await self.get(number)

    async def get(self, number: int) -> Generation:
        """Raises GenerationMissing, OtherScheme."""
        with as_store_errors():
            spec = await self._client.hgetall(spec_key(number))
        if not spec:
            raise GenerationMissing(number)
        if int(spec[b"scheme"]) != SCHEME:
            raise OtherScheme(number, int(spec[b"scheme"]), SCHEME)
        fixed = json.loads(spec[b"rules"])
        rules = FoldingRules(
            parsing=ParsingRules(**fixed["parsing"]),
            secret=bytes.fromhex(spec[b"secret"].decode()),
            window_ms=fixed["window_ms"],
            stripes=fixed["stripes"],
            spread=fixed["spread"],
        )
        return Generation(number, rules, int(spec[b"created_at"]), _decoded(spec.get(b"beginning")))

    async def create(self, rules: FoldingRules, created_at: int, beginning: Beginning = WHOLE_LOG) -> Generation:
        """A new, empty generation; not shown yet."""
        parsing = rules.parsing
        fixed = {
            "parsing": {
                "default_project": parsing.default_project,
                "max_age_ms": parsing.max_age_ms,
                "max_ahead_ms": parsing.max_ahead_ms,
            },
            "window_ms": rules.window_ms,
            "stripes": rules.stripes,
            "spread": dict(rules.spread),
        }
        spec = {
            "scheme": SCHEME,
            "rules": json.dumps(fixed),
            "secret": rules.secret.hex(),
            "created_at": created_at,
            **({} if beginning == WHOLE_LOG else {"beginning": _encoded(beginning)}),
        }
        parts = [part for pair in spec.items() for part in pair]
        while True:
            generation = Generation(await self._new_number(), rules, created_at, beginning)
            with as_store_errors():
                if await self._has_records(generation):
                    continue
                if await self._client.eval(_CLAIM, 1, spec_key(generation.number), *parts):
                    break
        await self.restore_records(generation)
        return generation

    async def claim_number(self) -> int:
        """A number for a generation that is filled before it has a specification."""
        return await self._new_number()

    async def _new_number(self) -> int:
        """A number that no key is left of. A shard that was lost may have taken the counter and left other keys."""
        with as_store_errors():
            number = int(await self._client.incr(_COUNTER))
            if number > 1:
                return number
            left = await self._numbers_with_keys()
            if not left:
                return number
            for orphan in left:
                if not await self._client.exists(spec_key(orphan)):
                    await self._unlink(f"{{sk:{orphan}:*")
            return int(await self._client.incrby(_COUNTER, max(left)))

    async def _numbers_with_keys(self) -> set[int]:
        matches = [_OWNER.match(key) async for key in self._client.scan_iter(match="*sk:*", count=1000)]
        return {int(found[1] or found[2]) for found in matches if found}

    async def _has_records(self, generation: Generation) -> bool:
        names = [generation.prefix(stripe) + "gen" for stripe in range(generation.stripes)]
        return any([await self._client.exists(name) for name in names])

    async def restore_records(self, generation: Generation) -> list[int]:
        """Give each stripe its record, and the checkpoints at which it begins; returns the stripes that had none: they
        were emptied, or are new."""
        with as_store_errors():
            return [
                stripe
                for stripe in range(generation.stripes)
                if await give_record(self._client, generation, generation.prefix(stripe))
            ]

    async def ensure_active(self, rules: FoldingRules, now: int) -> Generation:
        """The active generation, created when there is none; any number of processes may call this at once.

        `rules` are those of a new generation only: an existing one keeps its own.
        """
        try:
            generation = await self.active()
        except GenerationMissing:
            candidate = await self.create(rules, now)
            with as_store_errors():
                # A pointer to a generation without a specification is left from a Redis that lost keys.
                pointed = await self._client.get(ACTIVE) or b""
                is_dangling = not pointed or not await self._client.exists(spec_key(int(pointed)))
                if not (is_dangling and await self._client.eval(_REPLACE, 1, ACTIVE, pointed, candidate.number)):
                    await self.drop(candidate.number)
            generation = await self.active()
            await self.finish(generation.number)
        await self.restore_records(generation)
        return generation

    async def unfinished(self) -> Generation | None:
        """The newest generation that a rebuild began and did not finish."""
        active = await self.active_number()
        for number in reversed(await self.numbers()):
            with as_store_errors():
                finished = await self._client.hget(spec_key(number), "finished")
            if finished is None and number != active:
                try:
                    generation = await self.get(number)
                except OtherScheme:
                    # Another version's rebuild; that version goes on with it.
                    continue
                await self.restore_records(generation)
                return generation
        return None

    async def states(self) -> list[GenerationState]:
        """Of the generations that exist, oldest first."""
        found = []
        for number in await self.numbers():
            with as_store_errors():
                at, finished, counted, beginning = await self._client.hmget(
                    spec_key(number), ["created_at", "finished", "counted_at", "beginning"]
                )
            if at is not None:
                counted_at, since = int(counted) if counted else None, _decoded(beginning).since
                found.append(GenerationState(number, int(at), finished is not None, counted_at, since))
        return found

    async def note_counting(self, number: int, now: int) -> None:
        """Say that a rebuild fills the generation."""
        with as_store_errors():
            await self._client.eval(_NOTE, 1, spec_key(number), "counted_at", now)

    async def finish(self, number: int) -> None:
        """Note that the generation was counted up to the log's end."""
        with as_store_errors():
            await self._client.eval(_NOTE, 1, spec_key(number), "finished", 1)

    async def switch(self, number: int) -> Generation:
        """Show generation `number` from now on. The one shown before stays until it is dropped."""
        generation = await self.get(number)
        with as_store_errors():
            await self._client.set(ACTIVE, number)
        return generation

    async def numbers(self) -> list[int]:
        """The generations that exist, oldest first."""
        with as_store_errors():
            greatest = max([int(await self._client.get(key) or 0) for key in (_COUNTER, ACTIVE)])
            return [n for n in range(1, greatest + 1) if await self._client.exists(spec_key(n))]

    async def drop(self, number: int) -> None:
        """Delete a generation and all its keys. Refuse the active one at the caller: here it is not asked."""
        with as_store_errors():
            await self._unlink(f"{{sk:{number}:*}}:gen")
            await self._unlink(f"{{sk:{number}:*")
            await self._client.delete(spec_key(number))

    async def _unlink(self, match: str) -> None:
        keys = [key async for key in self._client.scan_iter(match=match, count=1000)]
        for first in range(0, len(keys), _BATCH):
            async with self._client.pipeline(transaction=False) as pipe:
                for key in keys[first : first + _BATCH]:
                    # Not pipe.unlink: on a cluster redis-py makes that a coroutine of its own.
                    pipe.execute_command("UNLINK", key)
                await pipe.execute()
