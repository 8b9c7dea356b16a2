"""`make load`: many clients of the goals' stream on a running demo, with forced disconnects. Prints what was seen.

At the end every client must know the final value of every goal; the API's memory is read before, during and after.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

from tests.end_to_end.processes import COMMAND, eventually

SETTLE_SECONDS = 12.0


class Client:
    """Follows the stream over a plain connection; is cut off now and then and comes back with its last id."""

    def __init__(self, host: str, port: int, key: str, seed: int) -> None:
        self._where = (host, port)
        self._key = key
        self._random = random.Random(seed)
        self.goals: dict[str, Any] = {}
        self.ident = ""
        self.resumed = self.wholes = 0
        self.is_calm = False

    async def run(self, seconds: float) -> None:
        """Until it is cancelled, with a disconnect every `seconds` on average."""
        while True:
            reader, writer = await asyncio.open_connection(*self._where)
            head = f"GET /api/goals/stream HTTP/1.1\r\nHost: load\r\nx-api-key: {self._key}\r\n"
            writer.write(f"{head}Last-Event-ID: {self.ident}\r\n\r\n".encode())
            try:
                async with asyncio.timeout(None if self.is_calm else self._random.uniform(0.2, 2 * seconds)):
                    await self._follow(reader)
            except (TimeoutError, OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(self._random.uniform(0, 0.3))
            finally:
                writer.transport.abort()

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise OSError(head.decode())
        data = b""
        while True:
            size = int(await reader.readline(), 16)
            data += (await reader.readexactly(size + 2))[:-2]
            *events, data = data.split(b"\n\n")
            for event in events:
                self._take(event)

    def _take(self, event: bytes) -> None:
        fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line)
        if fields.get(b"event") != b"goals":
            return
        frame = json.loads(fields[b"data"])
        if self.ident and frame["order"] is None:
            self.resumed += 1
        elif frame["order"] is not None:
            self.wholes += 1
        self.ident = fields[b"id"].decode()
        self.goals |= {goal["id"]: goal["current"] for goal in frame["goals"]}


def rss_kib(pid: int) -> int:
    """The process's resident memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1])


async def load(where: dict[str, Any], number: int, seconds: float) -> int:
    """The exit code: 0 when no client missed a final value."""
    url = httpx.URL(where["url"])
    api = where["pids"]["api"]
    before = rss_kib(api)
    clients = [Client(str(url.host), int(url.port or 80), where["apiKey"], seed) for seed in range(number)]
    tasks = [asyncio.create_task(client.run(12.0)) for client in clients]
    for _ in range(3):
        await asyncio.sleep(seconds / 3)
        sys.stdout.write(f"the API's memory: {rss_kib(api) / 1024:.1f} MiB ({before / 1024:.1f} without clients)\n")
    during = rss_kib(api)
    for client in clients:
        client.is_calm = True
    for pid in where["pids"]["workers"]:
        # Nothing is counted any more: what there is now is final.
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(SETTLE_SECONDS)
    async with httpx.AsyncClient(base_url=url, headers={"x-api-key": where["apiKey"]}) as http:
        answer = await http.get("/api/goals", timeout=20)
    assert answer.status_code == 200, answer.text
    final = {goal["id"]: goal["current"] for goal in answer.json()}
    for pid in where["pids"]["workers"]:
        os.kill(pid, signal.SIGCONT)
    missed = sum(client.goals != final for client in clients)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    told = sum(client.resumed for client in clients), sum(client.wholes for client in clients)
    sys.stdout.write(
        f"{number} clients, {seconds:g} s: {missed} missed a final value; "
        f"{told[0]} frames of changes, {told[1]} wholes; {(during - before) / number:.1f} KiB each\n"
    )
    return 1 if missed else 0


def main() -> int:
    """Start the demo, load it, end it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scorekeeper-load-") as folder:
        ready = Path(folder) / "ready.json"
        arguments = ["up", "--demo", "--port", "0", "--data-dir", f"{folder}/data", "--ready-file", str(ready)]
        # Hundreds of clients of one project read more often than a project may by default.
        environment = {**os.environ, "SCOREKEEPER_READS_PER_MINUTE": "0"}
        quiet = subprocess.DEVNULL
        with subprocess.Popen([*COMMAND, *arguments], stdout=quiet, stderr=quiet, env=environment) as up:
            try:
                eventually(ready.exists, 60, "the demo")
                return asyncio.run(load(json.loads(ready.read_text()), options.clients, options.seconds))
            finally:
                up.send_signal(signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
