"""PostgreSQL for the tests: a cluster of our own from the machine's binaries, else a skip (never in CI)."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from app.embedded.process import ChildProcess
from app.errors import EmbeddedUnavailable
from tests.servers import is_ci
from tests.servers.ports import free_port

READY_SECONDS = 120.0


class PostgresServer:
    """One PostgreSQL on the loopback address, trusting local connections, without fsync."""

    def __init__(self, home: Path, binaries: Path, port: int | None = None) -> None:
        self._home = home
        self._binaries = binaries
        self.port = port or free_port()
        self._as_user = _unprivileged_user()
        home.mkdir(parents=True, exist_ok=True)
        if self._as_user:
            shutil.chown(home, self._as_user)
            for parent in home.parents:
                if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        data = home / "data"
        if not data.exists():
            init = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"]
            subprocess.run(self._run_as(init), check=True, capture_output=True, cwd="/")
        self._process: ChildProcess | None = None
        self.start()

    def _run_as(self, command: list[str]) -> list[str]:
        return ["setpriv", f"--reuid={self._as_user}", "--clear-groups", *command] if self._as_user else command

    def start(self) -> None:
        options = {"listen_addresses": "127.0.0.1", "port": str(self.port), "fsync": "off", "max_connections": "200"}
        options["unix_socket_directories"] = ""
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = self._run_as([str(self._binaries / "postgres"), "-D", str(self._home / "data"), *settings])
        log = self._home.with_suffix(".log")
        self._process = ChildProcess("PostgreSQL", command, log)
        self._process.wait_until(self._answers, READY_SECONDS)

    def has_started(self) -> bool:
        """Start it again after a kill: not before the killed server's children have let go of its memory."""
        try:
            self.start()
        except EmbeddedUnavailable:
            return False
        return True

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._dsn("postgres"), connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True

    def _dsn(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, options: str = "") -> str:
        """A new empty database; its SQLAlchemy URL. `options` are those of CREATE DATABASE."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {options}".encode())
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def pause(self) -> None:
        """Connections are still taken, by the kernel."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """To the server first, which then starts no more, and to those that serve its connections."""
        if self._process is not None:
            self._process.signal(number)
            for child in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.send_signal(number)


def start_postgres(home: Path) -> PostgresServer:
    """Start one; skips the test with its reason where PostgreSQL cannot be had, and raises in CI."""
    binaries = _binaries()
    if binaries is not None:
        return PostgresServer(home, binaries)
    reason = "PostgreSQL's server binaries are not installed (package postgresql)"
    if is_ci():
        raise RuntimeError(f"CI=true: {reason}")
    pytest.skip(reason)


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return None
