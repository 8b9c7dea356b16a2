"""A TCP proxy in front of Redis that loses answers after the call was executed, delays them, or cuts connections.

Runs in a thread of its own. It looks for EVALSHA in what it forwards, and at nothing else of the protocol.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Self

from tests.faults.site import Site
from tests.servers.redises import RedisClusterServers

CHUNK_BYTES = 1 << 20


class RedisProxy:
    """Forwards to `upstream_port` of this machine. Settings may change at any time; use as a context manager.

    `swallow_every`: of each that many script calls one is executed but never answered: its connection is closed.
    `delay_seconds`: how long each answer to a script call is held back.
    """

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self.swallow_every = 0
        self.delay_seconds = 0.0
        self.swallowed = 0
        self.port = 0
        self._calls = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Close every connection, whatever is under way."""
        self._run(self._cut())

    def _run(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(60)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair, ways = {writer}, list[asyncio.Task[None]]()
        # Cancelled when the proxy closes; asyncio's server complains of callbacks that end so.
        try:
            with suppress(OSError, asyncio.CancelledError):
                upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
                pair.add(upstream_writer)
                self._writers |= pair
                is_call = asyncio.Event()
                ways += [
                    asyncio.create_task(self._forward(reader, upstream_writer, is_call)),
                    asyncio.create_task(self._answer(upstream_reader, writer, is_call)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers -= pair
            for way in ways:
                way.cancel()
            for each in pair:
                each.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, is_call: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if b"EVALSHA" in chunk:
                    is_call.set()
                upstream.write(chunk)
                await upstream.drain()

    async def _answer(
        self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, is_call: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while chunk := await upstream.read(CHUNK_BYTES):
                if is_call.is_set():
                    is_call.clear()
                    self._calls += 1
                    if self.swallow_every and self._calls % self.swallow_every == 0:
                        self.swallowed += 1
                        return
                    if self.delay_seconds:
                        await asyncio.sleep(self.delay_seconds)
                writer.write(chunk)
                await writer.drain()


@contextmanager
def proxied(site: Site) -> Iterator[Sequence[RedisProxy]]:
    """One before each shard of the site; workers that start from now on come by them."""
    with ExitStack() as stack:
        made = [stack.enter_context(RedisProxy(shard.port)) for shard in site.redis_server.shards]
        site.redis_url = made[0].url
        if isinstance(site.redis_server, RedisClusterServers):
            site.redis_url = f"redis+cluster://127.0.0.1:{made[0].port}"
            for shard, proxy in zip(site.redis_server.shards, made, strict=True):
                # Clients come to the address that a shard tells them, the other shards to its bus.
                shard.admin.config_set("cluster-announce-port", proxy.port)
        yield made
