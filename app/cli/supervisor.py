"""Keeps child processes alive: starts them, starts them again when they die, and surely ends them.

Used from the main thread only, since the kernel ties a child's life to the thread that started it.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from app.embedded.process import ChildProcess
from app.errors import EmbeddedUnavailable

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 10.0
_CAUSES: Final = ("error", "critical")
"""What is logged below these is no reason to end."""
STEADY_SECONDS: Final = 30.0
"""A part that ran this long is started again without more patience than the first time."""


class Part(Protocol):
    """Something that runs."""

    @property
    def pid(self) -> int: ...
    def is_running(self) -> bool: ...
    def stop(self) -> None: ...


class OurProcess:
    """A Part that is one of our own modules, run by this Python."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._process = ChildProcess(name, command, log, environment)

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.exit_code() is None

    def ask_to_end(self) -> None:
        self._process.signal(signal.SIGTERM)

    def last_words(self) -> str:
        """Its last line, or the message in it if that is an error; else the signal or exit code with which it ended."""
        line = self._process.last_words(1)
        with suppress(ValueError):  # it need not be a line of our log
            match json.loads(line):
                case {"message": str(message), "level": level}:
                    return message.partition("\n")[0] if level in _CAUSES else self._end()
        return line

    def _end(self) -> str:
        code = self._process.exit_code() or 0
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def stop(self) -> None:
        self._process.stop(grace_seconds=4.0)


@dataclass(slots=True)
class _Kept:
    name: str
    start: Callable[[], Part]
    part: Part
    started_at: float
    deaths: int = 0
    again_at: float | None = None


class Supervisor:
    """`tell` is given one line about each death and each new start."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._kept: list[_Kept] = []

    def keep(self, name: str, start: Callable[[], Part]) -> Part:
        """Start a part and keep it alive. Raises EmbeddedUnavailable when it does not start at all."""
        part = start()
        self._kept.append(_Kept(name, start, part, time.monotonic()))
        return part

    @property
    def is_busy(self) -> bool:
        """Whether there is anything to end."""
        return bool(self._kept)

    def pids(self, prefix: str) -> list[int]:
        """Of the parts whose name begins so, in the order of their start."""
        return [kept.part.pid for kept in self._kept if kept.name.startswith(prefix)]

    def look_after(self) -> bool:
        """Start again what died and has waited long enough; whether any process is another one now."""
        changed = False
        now = time.monotonic()
        for kept in self._kept:
            if kept.again_at is None and not kept.part.is_running():
                self._mourn(kept, now)
            if kept.again_at is not None and now >= kept.again_at:
                changed |= self._start_again(kept)
        return changed

    def stop(self) -> None:
        """End all, the youngest first; ours are asked together and end side by side."""
        for kept in self._kept:
            if isinstance(kept.part, OurProcess):
                kept.part.ask_to_end()
        while self._kept:
            self._kept.pop().part.stop()

    def _mourn(self, kept: _Kept, now: float) -> None:
        if now - kept.started_at > STEADY_SECONDS:
            kept.deaths = 0
        pause = min(FIRST_PAUSE_SECONDS * 2**kept.deaths, LONGEST_PAUSE_SECONDS)
        kept.deaths += 1
        kept.again_at = now + pause
        words = f": {kept.part.last_words()}" if isinstance(kept.part, OurProcess) else ""
        self._tell(f"{kept.name} ended; it is started again in {pause:.1f} s{words}")

    def _start_again(self, kept: _Kept) -> bool:
        kept.again_at = None
        kept.started_at = time.monotonic()
        try:
            kept.part = kept.start()
        except EmbeddedUnavailable as error:
            self._tell(f"{kept.name} cannot be started: {error}")
            return False
        return True
