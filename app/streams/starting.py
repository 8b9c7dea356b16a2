"""Starts aiokafka's consumers and producers so that whoever is cancelled meanwhile can still close them."""

from __future__ import annotations

import asyncio
from typing import Protocol

GRACE_SECONDS = 0.2
"""Brokers answer within a few milliseconds, or are away."""


class Startable(Protocol):
    async def start(self) -> None: ...


async def start_whole(client: Startable) -> None:
    """Start `client`. Raises what its `start` raises; stopping it is the caller's, whatever was raised.

    Who is cancelled waits for the rest of the start, GRACE_SECONDS at most: of a start that was broken off aiokafka
    forgets the connection over which it asked for the brokers, and `stop` does not close it.
    """
    starting = asyncio.create_task(client.start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting], timeout=GRACE_SECONDS)
        raise
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
