"""Load on the API, in a process of its own: `python -m tests.benchmarks.asking HOST PORT KEY PATH RATE SECONDS [same]`.

Requests begin when they are due, whether or not the last ones were answered, and a delay counts from then: what a
queue costs is seen. With `same` each asks only for what is newer than its last answer. Prints `{delays, statuses}`.

`python -m tests.benchmarks.asking HOST PORT flood CONNECTIONS SECONDS` sends wrong keys as fast as they are answered.
"""

from __future__ import annotations

import asyncio
import json
import resource
import secrets
import sys
import time
from collections import Counter
from typing import Any

from app.domain.api_key import key_text

CONNECTIONS = 64


class Connection:
    """One request at a time; opened again when the server closed it."""

    def __init__(self, host: str, port: int) -> None:
        self._where = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
        """The answer's status and headers; its body is read and forgotten."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._where)
        reader, writer = self._streams
        lines = [f"GET {path} HTTP/1.1", "host: bench", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        found = dict(line.lower().split(": ", 1) for line in rest if line)
        await reader.readexactly(int(found.get("content-length", 0)))
        if found.get("connection") == "close":
            self.close()
        return int(first.split(" ")[1]), found

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def ask_steadily(
    host: str, port: int, key: str, path: str, rate: float, seconds: float, *, same: bool
) -> dict[str, Any]:
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(Connection(host, port))
    delays: list[tuple[int, float]] = []
    tag = ""

    async def one(due: float) -> None:
        nonlocal tag
        connection = await idle.get()
        headers = {"x-api-key": key, **({"if-none-match": tag} if same and tag else {})}
        status, found = await connection.ask(path, headers)
        tag = found.get("etag", tag)
        delays.append((status, time.perf_counter() - due))
        idle.put_nowait(connection)

    begun = time.perf_counter()
    pending = []
    for number in range(int(rate * seconds)):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        pending.append(asyncio.create_task(one(due)))
    await asyncio.gather(*pending)
    return {"delays": delays}


async def flood(host: str, port: int, connections: int, seconds: float) -> dict[str, Any]:
    until, statuses = time.perf_counter() + seconds, Counter[str]()

    async def send() -> None:
        connection = Connection(host, port)
        while time.perf_counter() < until:
            headers = {"x-api-key": key_text(secrets.token_hex(4), secrets.token_hex(16))}
            try:
                async with asyncio.timeout(seconds):
                    status, _ = await connection.ask("/api/goals", headers)
                statuses[str(status)] += 1
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                statuses["cut off"] += 1
                connection.close()

    await asyncio.gather(*(send() for _ in range(connections)))
    answered = statuses.total() - statuses["cut off"]
    return {"statuses": dict(statuses), "perSecond": round(answered / seconds)}


def main(host: str, port: str, *given: str) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if given[0] == "flood":
        found = asyncio.run(flood(host, int(port), int(given[1]), float(given[2])))
    else:
        key, path, rate, seconds, *more = given
        found = asyncio.run(ask_steadily(host, int(port), key, path, float(rate), float(seconds), same=bool(more)))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
