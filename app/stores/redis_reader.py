"""Reads counters from Redis for those who show them. The keys are documented in generations.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.errors import GenerationMissing
from app.ports import Reading
from app.stores.generations import ACTIVE, Generation, Generations
from app.stores.redis_client import Client, as_store_errors


class RedisReader:
    """Implements CounterReader: reads the active generation, whichever that is, in one round trip."""

    def __init__(self, client: Client, generation: Generation | None = None) -> None:
        self._client = client
        self._generation = generation

    async def read(self, wanted: Sequence[tuple[str, str, Sequence[str]]]) -> Reading:
        for _ in range(3):
            if self._generation is None:
                self._generation = await Generations(self._client).active()
            reading = await self._read(self._generation, wanted)
            if reading is not None:
                return reading
            self._generation = None
        raise GenerationMissing

    async def _read(self, generation: Generation, wanted: Sequence[tuple[str, str, Sequence[str]]]) -> Reading | None:
        """None when another generation is shown meanwhile."""
        prefixes = [generation.prefix(stripe) for stripe in range(generation.stripes)]
        asked = [(project, owner, fields) for project, owner, fields in wanted if fields]
        with as_store_errors():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.get(ACTIVE)
                pipe.hgetall(prefixes[0] + "fresh")
                pipe.hgetall(prefixes[0] + "loss")
                for prefix in prefixes:
                    pipe.get(prefix + "gen")
                for project, owner, fields in asked:
                    prefix = prefixes[generation.rules.stripe_of(project)]
                    if fields == ("*",):
                        pipe.hgetall(prefix + owner)
                    else:
                        pipe.hmget(prefix + owner, list(fields))
                active, fresh, losses, *rest = await pipe.execute()
        if active is None:
            raise GenerationMissing
        if int(active) != generation.number:
            return None
        records = rest[: len(prefixes)]
        if any(record is None for record in records):
            raise GenerationMissing(generation.number)
        if any(record.decode() != generation.identity for record in records):
            return None
        answers = iter(rest[len(prefixes) :])
        owners = [_numbers(fields, next(answers)) if fields else {} for _, _, fields in wanted]
        fresh_as_of = min((json.loads(text)[0] for text in fresh.values()), default=0)
        lost_at = [json.loads(text)["at"] for text in losses.values()]
        return Reading(
            owners=owners,
            fresh_as_of=fresh_as_of or None,
            generation=generation.number,
            rebuilding=fresh_as_of < generation.created_at,
            incomplete_since=min(lost_at, default=None),
        )


def _numbers(fields: Sequence[str], answer: Any) -> Mapping[str, int]:
    if isinstance(answer, dict):
        return {field.decode(): int(number) for field, number in answer.items()}
    values: list[bytes | None] = answer
    return {field: int(number) for field, number in zip(fields, values, strict=True) if number is not None}
