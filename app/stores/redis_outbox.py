"""The receipts of one generation that are not sent yet, in Redis. `apply.lua` puts them there."""

from __future__ import annotations

from collections.abc import Sequence

from app.ports import LeftReceipt, Receipt
from app.stores.generations import Generation
from app.stores.redis_client import Client, as_store_errors

_TIME = "local now = redis.call('TIME') return math.floor(now[1] * 1000 + now[2] / 1000)"


class RedisOutbox:
    """Implements Outbox: one stream a position and stripe. An entry is taken out by its name, so that of two processes
    that send at once neither takes out what was not sent."""

    def __init__(self, client: Client, generation: Generation) -> None:
        self._client = client
        self._generation = generation

    async def left_receipts(self, position: str, limit: int) -> Sequence[LeftReceipt]:
        """The oldest of its outboxes, at most `limit` of each stripe."""
        found: list[LeftReceipt] = []
        with as_store_errors():
            async with self._client.pipeline(transaction=False) as pipe:
                for stripe in range(self._generation.stripes):
                    pipe.xrange(self._outbox(stripe, position), count=limit)
                answers = await pipe.execute()
        for stripe, entries in enumerate(answers):
            for entry, fields in entries:
                ((ident, body),) = fields.items()
                found.append(LeftReceipt(stripe, entry.decode(), Receipt(ident.decode(), body)))
        return found

    async def forget_receipts(self, position: str, receipts: Sequence[LeftReceipt]) -> None:
        """Take these out of their outboxes. May be repeated."""
        with as_store_errors():
            async with self._client.pipeline(transaction=False) as pipe:
                for stripe in range(self._generation.stripes):
                    entries = [one.entry for one in receipts if one.stripe == stripe]
                    if entries:
                        pipe.xdel(self._outbox(stripe, position), *entries)
                await pipe.execute()

    async def oldest_age_ms(self, position: str) -> int:
        """How long the oldest has been waiting, by Redis' clock; 0 where none is."""
        oldest = [int(one.entry.partition("-")[0]) for one in await self.left_receipts(position, 1)]
        if not oldest:
            return 0
        with as_store_errors():
            answer = await self._client.eval(_TIME, 1, self._generation.prefix(0) + "gen")
        return int(answer) - min(oldest)

    async def positions_with_receipts(self) -> set[str]:
        """The positions that ever had an outbox."""
        found: set[str] = set()
        with as_store_errors():
            for stripe in range(self._generation.stripes):
                names = await self._client.smembers(self._generation.prefix(stripe) + "outs")
                found |= {name.decode() for name in names}
        return found

    def _outbox(self, stripe: int, position: str) -> str:
        return f"{self._generation.prefix(stripe)}out:{position}"


async def unsent_receipts(client: Client, generation: int) -> int:
    """How many are left of a generation of any key scheme: all have the same names for these streams."""
    with as_store_errors():
        # By type: a project may have a name that looks like the key of an outbox.
        outboxes = client.scan_iter(match=f"{{sk:{generation}:*}}:out:*", count=1000, _type="stream")
        return sum([await client.xlen(name) async for name in outboxes])
