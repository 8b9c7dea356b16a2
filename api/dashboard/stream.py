"""The event stream of a project's goals: server-sent events, as the HTML standard has them.

A client costs at most what lies in its connection's buffer: frames are shared, handed on in pieces, and made only when
the last one is gone. One that takes nothing for SLOW_SECONDS is told so and cut off; with the id of the last whole
event it comes back to all that it missed.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from api.dashboard.hub import Hub, Watch
from api.dashboard.key_guard import KeyGuard
from api.services import Key
from app import metrics

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 4.0
SLOW_SECONDS = 15.0
LINGER_SECONDS = 10.0
REVOKED, SLOW = "revoked", "slow"
PIECE_BYTES = 16 * 1024
SEND_BUFFER_BYTES = 64 * 1024
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class _Slow(Exception):
    """The client takes nothing."""


class GoalStream(Response):
    """An answer that goes on until the client leaves, its key ends, or the process does."""

    def __init__(self, request: Request, hub: Hub, guard: KeyGuard, key: Key) -> None:
        super().__init__(media_type="text/event-stream")
        self._request = request
        self._guard = guard
        self._watch = hub.watch(key.project, request.headers.get("last-event-id"))
        self._spoken_at = time.monotonic()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        transport = scope.get("state", {}).get("transport")
        _limit_kernel_buffer(transport)
        gone = asyncio.create_task(_until_gone(receive, self._watch))
        mark = self._guard.add(self._request, self._watch)
        metrics.STREAMS.inc()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
            cause = await self._follow_until_the_end(send)
            if cause == SLOW:
                await _tell_and_cut(transport, gone)
            elif cause is not None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            if cause is not None:
                metrics.STREAMS_ENDED.labels(cause).inc()
        finally:
            metrics.STREAMS.dec()
            self._guard.remove(mark, self._watch)
            gone.cancel()

    async def _follow_until_the_end(self, send: Any) -> str | None:
        """Returns why the stream ends; None when the client left."""
        try:
            async with self._watch as watch:
                await _send(send, f"retry: {random.randint(800, 1600)}\n\n")  # noqa: S311  # spreads reconnections
                while not watch.is_ending:
                    await self._follow(watch, send)
                if watch.cause == REVOKED:
                    await _send(send, "event: ended\ndata: {}\n\n")
                return watch.cause
        except _Slow:
            log.warning("a stream's client took nothing for %g s: cut off", SLOW_SECONDS)
            return SLOW

    async def _follow(self, watch: Watch, send: Any) -> None:
        found = await watch.next(max(0.01, self._spoken_at + HEARTBEAT_SECONDS - time.monotonic()))
        if found is not None:
            # The id comes last: of an event that is cut off, a client must not believe that it has it.
            await _send(send, f"event: goals\ndata: {found[1]}\nid: {found[0]}\n\n")
            self._spoken_at = time.monotonic()
        elif time.monotonic() - self._spoken_at >= HEARTBEAT_SECONDS:
            await _send(send, "event: still-here\ndata: {}\n\n")
            self._spoken_at = time.monotonic()


async def _send(send: Any, text: str) -> None:
    """Hand the text on, in pieces, each when the connection takes it. Raises _Slow."""
    whole = text.encode()
    for first in range(0, len(whole), PIECE_BYTES):
        message = {"type": "http.response.body", "body": whole[first : first + PIECE_BYTES], "more_body": True}
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                await send(message)
        except TimeoutError:
            raise _Slow from None


async def _until_gone(receive: Any, watch: Watch) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    watch.stop(None)


async def _tell_and_cut(transport: Any, gone: asyncio.Task[None]) -> None:
    """Append a last event to what the client has not taken yet, and close when it takes it, or after a while.

    The server's own `send` waits for the client, so this goes around it. An event that was cut off becomes this one.
    """
    if transport is None:
        return
    last = b'\nevent: dropped\ndata: {"cause":"slow"}\n\n'
    transport.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(last), last))
    transport.close()
    await asyncio.wait([gone], timeout=LINGER_SECONDS)
    transport.abort()
    await asyncio.wait([gone], timeout=1.0)


def _limit_kernel_buffer(transport: Any) -> None:
    """A client that takes nothing should be seen before megabytes are under way to it."""
    connection = transport.get_extra_info("socket") if transport is not None else None
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
